// Package powercut runs the storage engine on a disk in memory, cuts the power at one of
// the calls that it makes to the disk, and opens what is left, again and again: killing a
// process leaves its written pages to the kernel, so that only this shows a missing sync.
//
// Producers append concurrently to logs with different flush policies while retention,
// deletion of records, checkpoints and idle trimming go on. At call number n the disk is
// cloned as a power cut would leave it (internal/vfs/memfs), and everything else on it
// fails. The cut may strike recovery too. After each cut it is checked that
//
//   - every record that was acknowledged as durable is at its offset, and nothing that a
//     reader saw after an earlier recovery has changed (package history);
//   - offsets are dense from the log start to the log end, every batch has a right CRC
//     and the leader epoch that the epoch cache tells for its offset;
//   - lookups by time and by offset find what a scan finds;
//   - a batch that an idempotent producer sends again is recognised, with its old offset;
//   - the log start did not pass what was deleted on purpose.
//
// It has tests only. POWERCUT_SEEDS says how many runs of several cuts each are made.
package powercut
