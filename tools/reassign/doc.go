// Package reassign is kafka-reassign-partitions.sh: propose, start, watch and cancel moves
// of partitions between brokers and log directories of any Kafka cluster, with the flags,
// files and lines of Apache Kafka's tool (org.apache.kafka.tools.reassign).
//
// Two things differ from it: --cancel cancels each move that is under way (Kafka's skips
// moves that only add replicas), and a line end stands where Kafka forgot one.
package reassign
