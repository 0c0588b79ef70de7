// Package segment stores one log as a chain of segments: files named by the offset they
// start at, each with its sparse indexes, byte-compatible with Apache Kafka's. It knows
// nothing of topics: engine uses it for partitions, quorum for the Raft log.
//
// # The active segment
//
// Space is taken before it is written (fallocate), in steps that grow from 64 KiB to
// 64 MiB; nothing before the first append. Watermarks, all positions in the file:
//
//	allocated >= position == published >= synced
//	allocated >= populated >= the end of any store through the mapping
//
// Nothing is loaded or stored past allocated. Small batches are stored through a mapping
// below populated, which is moved ahead first; large ones go by WriteAt, which may take
// position past populated (docs/adr/0002-active-segment-append.md). position moves only
// after the bytes are there; it is published together with the next offset in one atomic
// word, so that a reader always sees a pair that belongs together and whole batches below
// it. What lies between position and allocated reads as zeros, except for the remains of
// an append that failed; the next append overwrites those, and recovery rejects them.
//
// Where each append waits for a sync (Config.SyncEveryAppend) there is no mapping. Zeros are
// written ahead, so that a sync finds blocks that are written, and what came with the
// promise of one (Addition.SyncFollows) is kept in memory until the sync or a read, by type
// gather: published then means that every read through the segment's files finds it
// (docs/adr/0013).
//
// # Locks
//
// The caller serializes Append, Roll, TruncateTo, TruncateFullyAndStartAt and SetConfig
// (one writer). syncMu serializes Sync, Idle, truncation and Close with each other; mu
// guards the writer's state and the list of segments; order: syncMu, then mu, then a
// segment's openMu, then a gather's io and mu. Read, NextOffset, StartOffset and SyncedOffset take no lock: they load
// the immutable list and the published word.
//
// # Pins
//
// The open files of a segment are counted. A reader pins them while it looks up and while
// somebody sends from the range it got; roll, Idle, deletion and Close only drop the
// chain's own pin, and the last pin to go closes the files. So a range stays readable
// after its segment was deleted. A truncation never lets a range read other bytes: the cut
// file is not appended to again while anybody pins it. Appends go on in a new segment that
// starts at the cut, and a range past the cut meets the end of the file, an error.
//
// # Compaction
//
// Sealed lists the segments that a cleaning may read, NewCleaned starts the one that takes
// their place, and Replace puts it there: durably, while appends, reads and syncs go on. The
// list of segments is never changed, only replaced by another one, so whoever finds a
// segment's file gone loads the list again and finds the one that holds its records now.
//
// # After a crash
//
// Segments below the recovery point are trusted (their indexes are checked); the one that
// holds it and all later ones are scanned by CRC. The log ends at the first batch that is
// not whole, not in order or all zeros; what follows is cut off and later segments are
// removed. Indexes are rebuilt from the scan.
package segment
