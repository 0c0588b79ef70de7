// Package epoch holds a log's leader-epoch cache: for each leader epoch that wrote, the
// offset of its first record (Kafka's LeaderEpochFileCache, KIP-101 and KIP-279). With it a
// replica finds where its log and its leader's went apart, and a consumer notices that the
// log it reads was truncated.
//
// Invariant: entries rise strictly in epoch and in start offset. An assignment that breaks
// the order removes what contradicts it, as the newest leader is right.
//
// Readers are lock-free; writers take turns (engine.Log calls Assign and the truncations
// under its append lock). The cache does no I/O: engine persists Entries when Dirty says so,
// before the recovery point passes them, because recovery derives from the batches only
// what lies behind that point.
package epoch

import (
	"slices"
	"sync/atomic"

	"github.com/millrace/millrace/engine/checkpoint"
)

// Undefined stands for "no such epoch" and "no such offset" in Kafka's protocol.
const Undefined = -1

// Cache is one log's entries. The zero value is empty and ready. It must not be copied.
type Cache struct {
	entries atomic.Pointer[[]checkpoint.Epoch] // replaced, never changed in place
	version atomic.Uint64                      // counts changes
	saved   atomic.Uint64                      // version of the last contents that were persisted
}

// Assign notes that epoch wrote its first record at start. It reports whether the cache
// changed: a repeated assignment changes nothing, and a negative epoch or offset (batches
// of clients that know no epochs) is ignored.
func (c *Cache) Assign(epoch int32, start int64) bool {
	entries := c.load()
	if n := len(entries); n > 0 {
		last := entries[n-1]
		if last.Epoch == epoch && start >= last.Start {
			return false
		}
	}
	if epoch < 0 || start < 0 {
		return false
	}
	keep := len(entries)
	for keep > 0 && (entries[keep-1].Epoch >= epoch || entries[keep-1].Start >= start) {
		keep--
	}
	next := make([]checkpoint.Epoch, keep, keep+1)
	copy(next, entries)
	c.store(append(next, checkpoint.Epoch{Epoch: epoch, Start: start}))
	return true
}

// EndOffsetFor answers OffsetForLeaderEpoch: the largest epoch not above the asked one, and
// the offset at which the next epoch starts; logEnd for the latest epoch. An epoch below
// all known ones answers itself and the first known start; an unknown later one, or
// Undefined, answers Undefined twice.
func (c *Cache) EndOffsetFor(epoch int32, logEnd int64) (found int32, end int64) {
	entries := c.load()
	if epoch < 0 || len(entries) == 0 || epoch > entries[len(entries)-1].Epoch {
		return Undefined, Undefined
	}
	if epoch == entries[len(entries)-1].Epoch {
		return epoch, logEnd
	}
	higher, _ := slices.BinarySearchFunc(entries, epoch+1, func(e checkpoint.Epoch, want int32) int {
		return int(int64(e.Epoch) - int64(want))
	})
	if higher == 0 {
		return epoch, entries[0].Start
	}
	return entries[higher-1].Epoch, entries[higher].Start
}

// Latest is the newest epoch, and false when none wrote.
func (c *Cache) Latest() (int32, bool) {
	entries := c.load()
	if len(entries) == 0 {
		return Undefined, false
	}
	return entries[len(entries)-1].Epoch, true
}

// ForOffset is the epoch that wrote offset, and false for an offset before the first entry.
func (c *Cache) ForOffset(offset int64) (int32, bool) {
	entries := c.load()
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Start <= offset {
			return entries[i].Epoch, true
		}
	}
	return Undefined, false
}

// TruncateTail drops the entries that start at end or later: the log now ends there.
func (c *Cache) TruncateTail(end int64) bool {
	entries := c.load()
	keep := len(entries)
	for keep > 0 && entries[keep-1].Start >= end {
		keep--
	}
	if keep == len(entries) {
		return false
	}
	c.store(slices.Clone(entries[:keep]))
	return true
}

// TruncateHead drops the entries that ended before start and lets the one that covers it
// begin there: the log now starts at start.
func (c *Cache) TruncateHead(start int64) bool {
	entries := c.load()
	covering := -1
	for i, e := range entries {
		if e.Start > start {
			break
		}
		covering = i
	}
	if covering < 0 || (covering == 0 && entries[0].Start == start) {
		return false
	}
	next := slices.Clone(entries[covering:])
	next[0].Start = start
	c.store(next)
	return true
}

// Clear drops everything.
func (c *Cache) Clear() {
	if len(c.load()) > 0 {
		c.store(nil)
	}
}

// Restore sets the entries that a checkpoint file held, and drops those that are not
// monotonic.
func (c *Cache) Restore(entries []checkpoint.Epoch) {
	for _, e := range entries {
		c.Assign(e.Epoch, e.Start)
	}
	c.saved.Store(c.version.Load())
}

// Entries returns the cache's contents, to be read only, and the version to give to Saved.
func (c *Cache) Entries() ([]checkpoint.Epoch, uint64) {
	v := c.version.Load() // before the entries: saving newer contents under an older version only saves twice
	return c.load(), v
}

// Dirty tells whether something changed since the contents that were saved.
func (c *Cache) Dirty() bool { return c.version.Load() != c.saved.Load() }

// Saved notes that the contents of that version are durable.
func (c *Cache) Saved(version uint64) { c.saved.Store(version) }

func (c *Cache) load() []checkpoint.Epoch {
	if p := c.entries.Load(); p != nil {
		return *p
	}
	return nil
}

func (c *Cache) store(entries []checkpoint.Epoch) {
	c.entries.Store(&entries)
	c.version.Add(1)
}
