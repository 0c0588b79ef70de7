// Package configs is kafka-configs.sh and kafka-client-metrics.sh: show and change the
// settings of topics, brokers, groups and client metrics, quotas of users, clients and
// addresses, and SCRAM credentials, of any Kafka cluster, with the flags and lines of
// Apache Kafka's tools (kafka.admin.ConfigCommand, org.apache.kafka.tools.ClientMetricsCommand).
//
// All changes go through IncrementalAlterConfigs, as in Kafka 4: what is not named stays.
// Where Kafka prints in the order of a hash map, lines are sorted by name.
package configs
