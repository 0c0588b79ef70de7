// Package group is the group coordinator: the shell around the pure machines of its
// subpackages (classic, consumer, offsets, journal). It finds the group, gives it the time, writes what
// it wants written to __consumer_offsets, keeps the requests that wait and the one timer of
// each shard, and reads everything back when this broker begins to lead a partition.
//
// # Shards
//
// A shard is one partition of __consumer_offsets that this broker leads, with the groups that
// hash to it. Its lock is held over a step of a group and the append that the step asks for,
// so that the order in memory is the order in the log. Nothing is answered under it: answers
// and log lines are queued and run after it (shard.later). An append that is acknowledged at
// once, which with one replica is every one, ends under the same lock; one that must wait is
// ended by a goroutine that drains what the partition has acknowledged.
//
// A group speaks one of two protocols: entry.members is a classicGroup or a consumerGroup
// (KIP-848). It changes from one to the other in one write (migration.go). A consumer group's
// records are applied as soon as they are appended, so that its next step builds on them;
// only answers wait for the acknowledgement.
//
// # What is promised
//
// A commit is answered when it is in the log as acks=all means it, and only then seen by
// fetches. An assignment is in the log before a member is told of it. Every request that
// waits is answered once: by its group, or with NOT_COORDINATOR when the partition moves away
// or the broker stops.
//
// # Who calls
//
// broker's handlers call the methods of Coordinator, from reader goroutines; done functions
// are called once, on the same goroutine or on another, without locks. The composition root
// makes the Coordinator, adds it to the metadata Loader, and closes it after the broker and
// before the replication Manager. Metrics call Offsets and Groups.
package group
