// Package admin sends the administrative calls of clients that others wrote to a broker:
// kadm, sarama's ClusterAdmin, librdkafka's through confluent-kafka-go, and what kcat and
// kaf show when they list a cluster. What one call changes is read back by another one.
//
// The broker is the one that BOOTSTRAP names, or the project's own, with two log
// directories.
package admin
