// Package journal is the records of __consumer_offsets, byte for byte as Apache Kafka
// writes them (group-coordinator/src/main/resources/common/message): keys and values of
// committed offsets and of classic groups. All versions are read; written are those that
// Kafka 4 writes.
//
// A key begins with its kind, two bytes; a value with its version. A nil value is a
// tombstone. The package is pure: no state, clock or I/O. Decoders are bounded: a count is
// checked against the bytes that are left before anything is allocated, and bad input is a
// *FormatError, never a panic.
//
// Who calls: coordinator/group, which writes and replays the topic; tools that show it.
package journal
