// Package cleaner holds what decides in a log's compaction (Kafka's Cleaner and
// LogCleanerManager), without files, clock or goroutines: which logs are worth a cleaning
// (Pick), the newest offset of each key in a bounded table (OffsetMap), what stays of a batch
// (Round), which segments become one (Group), and how fast all that may go (Throttle).
//
// What compaction promises:
//   - For every key the record with its largest offset below the cleaned point stays, unless
//     it is a tombstone whose delete horizon has passed. A record above that point stays.
//   - Offsets never change, nor does their order; a batch keeps its first and last offset.
//   - A tombstone stays at least delete.retention.ms after the first cleaning that met it:
//     that cleaning writes the horizon into its batch (KIP-534).
//   - The last batch of a producer id, and the last one of a cleaning, stay as headers without
//     records: sequence numbers and the log's end outlive their records.
//   - Records of aborted transactions go at once. A marker goes, like a tombstone, when nothing
//     of its transaction is left and its horizon has passed.
//
// engine reads and writes the segments and calls this package for one log at a time.
package cleaner
