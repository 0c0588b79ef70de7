// Package raftlog keeps what a Raft server must not lose: the log, the stable state (term and
// vote) and snapshots, for hashicorp/raft's LogStore, StableStore and SnapshotStore. The
// formats are in docs/format/quorum-log.md.
//
// # The log
//
// The log is a segment.Chain. An entry is one record batch whose base offset is its index. A
// StoreLogs call is one append and one sync, however many entries it has, and AppendLogs splits
// the two, with every other change waiting until the second is done; a segment never
// begins inside of it. Each entry carries the commit index that was staged when it was
// written, and its place among the entries of the same call: so recovery can tell a tail that
// a power cut tore, which nobody was told of, from damage to what was acknowledged. The first
// is cut off; the second ends Open with a *CorruptError, because a server that forgets what
// it acknowledged must not vote.
//
// Entries are dense (IsMonotonic). The first index is logical: entries below it may still be
// on disk, in the segment that holds it and, on purpose, back to the snapshot before the
// newest one, so that a damaged snapshot is no loss.
//
// # The first failure is final
//
// A write or sync that failed leaves the disk in a state that nobody knows, and a second try
// may report success for pages that the kernel dropped. The library would try again. So one
// latch stands over log, stable state and snapshots: after the first failure each call that
// changes something returns a *FailedError, and Failed is closed, upon which the process must
// end. A call that takes longer than StallFail fails the same way, while it may still hang:
// a leader with a disk that stands still keeps its followers' peace by heartbeats otherwise.
// A full disk is no failure where nothing was changed (see Options.ReserveBytes).
//
// # Who may call what
//
// All methods of Logs, Stable and Snapshots may be called from several goroutines at once; a
// sink has one user. Close and Kill come after raft was shut down. Lock order: Logs.turn, then
// Snapshots.mu or Stable.mu, then the chain's locks; stall.mu is a leaf.
package raftlog
