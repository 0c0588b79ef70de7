// Package index reads and writes the sparse files beside a segment's log, in Apache
// Kafka's byte layouts:
//
//	.index      8-byte entries: offset - base (u32), position in the log (u32)
//	.timeindex  12-byte entries: timestamp in ms (i64), offset - base (u32)
//	.txnindex   34-byte entries: one aborted transaction each
//
// All numbers are big-endian. An index is a hint that narrows a scan of the log: whatever
// it says is checked against the log, and a file that fails a check is rebuilt by package
// segment, the only caller besides the dump tool.
//
// An index that is being written is one mapping of its greatest size. Space is taken in
// small steps that grow (Allocate, so that a full disk is an error and never a signal) and
// faulted in before it is touched. The invariant of such an index is
//
//	count*entryBytes <= populated == allocated <= maxBytes
//
// and count is published atomically after the bytes of its last entry: a lookup loads it
// once and never reads past it. One goroutine writes at a time; any number may look up
// meanwhile. Close and Trim must not race with lookups: segment pins the files for those.
//
// An index of a sealed segment is only read, in blocks of 4 KiB by pread: it has no
// mapping, so that a cold page stops a system call and not the Go scheduler.
package index
