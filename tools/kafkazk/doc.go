// Package kafkazk is what Kafka's administrative tools did to a cluster before brokers had
// requests for it: they read and write its nodes in ZooKeeper themselves (AdminUtils and
// ZkUtils of Apache Kafka 1.0), and the controller follows. The nodes, their JSON and the
// order of the calls are those of 1.0, so that it works on any cluster that is kept in
// ZooKeeper, and on Millrace's in its own quorum.
//
// The tools that still take --zookeeper use it: kafka-topics.sh and kafka-configs.sh.
package kafkazk
