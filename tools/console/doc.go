// Package console is kafka-console-producer.sh and kafka-console-consumer.sh: lines of
// standard input become records, and records become lines of standard output, with the
// flags, properties and formats of Apache Kafka's tools (org.apache.kafka.tools
// ConsoleProducer, LineMessageReader, ConsoleConsumer, DefaultMessageFormatter).
package console
