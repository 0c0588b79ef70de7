// Package groups is kafka-consumer-groups.sh and kafka-groups.sh: list, describe, delete
// consumer groups of any Kafka cluster and reset their offsets, with the flags and tables
// of Apache Kafka 4.2 (org.apache.kafka.tools.consumer.group.ConsumerGroupCommand,
// org.apache.kafka.tools.GroupsCommand). People parse those tables: they do not change.
//
// Exit codes are Kafka's: what is wrong with a group ("does not exist", "is not inactive")
// is printed as "Error: ..." and ends with 0. Unlike Kafka's tool, one that could not do
// its work at all (no broker answers, not authorized) ends with 1. Where Kafka prints in
// the order of a hash map, rows are sorted by group, topic and partition.
package groups
