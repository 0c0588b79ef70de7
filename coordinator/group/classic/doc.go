// Package classic is the group membership protocol of Kafka's consumers before KIP-848, and
// of Connect and everything else that brings its own assignor: members join, the broker
// picks a leader and a protocol, the leader assigns, and everybody syncs. A Group is a pure
// step function: no goroutine, clock or I/O. Each call takes the time and an Out, in which
// it leaves what is to be done: answers to requests that waited, values to be written,
// lines for the log.
//
// Behaviour follows Apache Kafka's GroupMetadataManager (classic groups) and
// GroupCoordinator before it; where both leave a request unanswered, this package answers
// it: a JoinGroup or SyncGroup that a later one of the same member replaces gets
// REBALANCE_IN_PROGRESS, and one of a member that is removed UNKNOWN_MEMBER_ID. So
// every Ticket that a call takes comes back in exactly one answer, as long as Tick is called
// in time and every Write is told to Written.
//
// # Invariants
//
// The generation only rises. In Stable each member has the assignment of the current
// generation, which was in the log before any member was told. Everybody who waits in
// PreparingRebalance is answered by joinDeadline, in CompletingRebalance by syncDeadline.
// Wake is never later than the earliest deadline.
//
// # Who calls
//
// The shell, package group, with its own lock held. Nobody else.
package classic
