// Package replication stands between handlers and logs: a Partition is one replica of a
// partition on this broker, with what leadership means for it; the Manager holds them all
// and makes them follow the cluster's metadata.
//
// # What a Partition decides
//
// Who may append and read (leader and leader epoch, KIP-320), what consumers may see (the
// high watermark), when a produce is acknowledged, and who waits. The rules themselves are
// the pure functions of rules.go. With one replica the in-sync replicas are this broker and
// the high watermark is the log's end, except on a topic with flush.messages=1: there it is
// what is synced, so that no consumer sees a record that a power cut could take back.
//
// # Waiting
//
// A produce that must wait is parked as an entry, not as a goroutine: its ProduceDone is
// called exactly once, from the goroutine that moved the high watermark, from the
// directory's syncer, or from the timer; never if CancelProduce came first. It may be
// called before Produce has returned. Fetches that wait register a FetchWaiter and look
// again when it wakes them: register first, then read once more, and no move is lost.
//
// # Locks and goroutines
//
//	Partition.lead (RWMutex) -> the log's append lock; at the end of a move those of two logs
//	Partition.mu -> wheel.mu
//
// lead is held for reading around an append with the epoch that it stamps, so that no
// append of a former epoch comes after a change. mu guards the queues and waiters; nothing
// is called back under it but Wake, which must not block. Reads take neither. The Manager
// has one worker goroutine that creates, deletes and configures logs as the metadata says
// (some in parallel), and publishes its table of partitions by an atomic pointer; Publish
// only hands it the newest image. All parked produces of a Manager share one timer.
// Moves of logs between directories have goroutines of their own, one a directory at most;
// the last step of a move holds lead, since it replaces the partition's log.
//
// # Who calls
//
// broker's handlers call Get and the methods of Partition; the composition root makes the
// Manager, adds it to the metadata Loader, and asks FindOnDisk before, for a directory of
// Kafka's opened in place. A follower's fetch takes the same path as a consumer's, with a
// replica id.
package replication
