// Package partitions holds the small tools about partitions of any Kafka cluster:
// kafka-delete-records.sh, kafka-leader-election.sh and kafka-log-dirs.sh, with the flags
// and lines of Apache Kafka's tools (org.apache.kafka.tools.DeleteRecordsCommand,
// LeaderElectionCommand, LogDirsCommand). Where Kafka prints in the order of a hash map,
// output is sorted.
package partitions
