// Package cluster holds the small tools about a whole cluster, of any Kafka:
// kafka-cluster.sh, kafka-broker-api-versions.sh, kafka-features.sh and
// kafka-metadata-quorum.sh, with the flags and lines of Apache Kafka's tools
// (org.apache.kafka.tools.ClusterTool, BrokerApiVersionsCommand, FeatureCommand,
// MetadataQuorumCommand).
//
// Left out, because they do their work on a disk or on controllers of their own kind:
// adding and removing controllers, and Kafka's built-in mapping of releases to features.
package cluster
