// Package cli holds what the command-line tools have in common: flags in Java's manner,
// properties files, the client that talks to the cluster, and errors in Kafka's words.
//
// The tools (tools/topics, tools/console, tools/offsets, tools/dumplog) each export one
// Command for cmd/millrace. They know nothing of the server in this repository: they are
// ordinary Kafka clients and work against any Kafka broker.
package cli
