// Package engine is a broker's storage: Log is one partition's log, Store all the log
// directories. A Log adds to a segment.Chain what Kafka's UnifiedLog adds to its LocalLog:
// offsets and timestamps assigned by the leader, leader epochs, producer state, the
// watermarks, flush policy, retention, and recovery; a Store adds what LogManager does:
// directories with locks and meta.properties, parallel loading, checkpoints, the
// clean-shutdown marker, deletion, and one directory failing alone.
//
// It is a library too: OpenLog opens a log without a broker.
//
// # Watermarks
//
//	log start <= last stable <= high watermark <= log end
//
// The log end moves with an append, the high watermark when the owner of the replicas says
// so (SetHighWatermark), the last stable offset is the high watermark or the first offset of
// an open transaction, the log start rises by retention and DeleteRecords. The recovery
// point is the offset below which records, leader epochs and snapshots are durable, so that
// recovery may trust the segments below it.
//
// # Locks
//
//	metaMu -> appendMu -> (segment's own)
//	metaMu, appendMu -> metaMu, appendMu of the future log that takes its place
//
// appendMu serializes appends, rolls and truncation of one log; metaMu syncs and the writing
// of its small files. Reads, watermarks and epoch lookups take neither. Nothing is called
// back under appendMu but segment's OnRoll, which only encodes the producer state. Store.mu
// guards the map of logs and is never held over I/O.
//
// # Compaction
//
// A cleaning (clean.go) looks at sealed segments below the last stable offset, after it made
// them durable: what goes because of a newer record must not outlive that. Package cleaner
// decides, segment.Chain.Replace swaps the result in. It holds no lock of the log while it
// reads and writes; when the log is cut, trimmed or closed meanwhile the swap is refused and
// the cleaning was for nothing. Store runs the threads (cleaners.go) and sets a log aside whose
// bytes are bad, so that the others go on.
//
// # Files
//
// Everything under a log directory is byte-compatible with Apache Kafka's; see
// docs/format and the subpackages checkpoint, epoch and producer. Package flush is the group
// commit: one syncer a directory.
//
// A Move (move.go, docs/adr/0006) takes a log to another directory while it serves: it copies
// batches into a future log, and Finish puts that in the log's place, as another Log.
//
// # Who calls
//
// replication appends, reads, waits and moves the high watermark; broker asks Store for
// directories and sizes; cmd opens and closes the Store; tools open logs read-only through
// segment. engine knows nothing of requests, topics' configuration keys or brokers.
package engine
