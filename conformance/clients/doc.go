// Package clients runs the same script through Kafka clients that others wrote: franz-go,
// sarama, kafka-go, confluent-kafka-go (librdkafka), kcat, Debian's python3-confluent-kafka
// and python3-kafka, and kafkajs. What one client writes another one reads, so that no client is checked
// against itself alone.
//
// It is a module of its own, with cgo on, so that the root module stays the engine's. A
// client that cannot be run fails the test; none is ever skipped. The broker under test is
// the one that BOOTSTRAP names, or the project's own binary started by the harness.
package clients
