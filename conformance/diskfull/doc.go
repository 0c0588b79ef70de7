// Package diskfull runs the broker on a disk that fills up. A produce request is then
// refused with an error that clients do not repeat and a message that says why; what was
// acknowledged is there; fetches, administration and deletion go on; the broker starts on
// the full disk; and once space is free again it takes records, without a restart.
//
// The disk is a tmpfs of its own, which takes the right to mount. Without it the same is
// shown for the engine on a disk in memory, and the test says so.
package diskfull
