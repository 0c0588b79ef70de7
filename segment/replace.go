package segment

import (
	"errors"
	"os"

	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/internal/vfs"
)

// Replace puts a cleaned segment in the place of the parts that it was made of, which lie
// side by side. It may run beside Append, Read and Sync: who reads an old segment reads on
// in it, and finds the new one with the next lookup; nobody sees both, or neither.
//
// The steps, so that a power cut between any two leaves one log or the other:
//
//  1. all files are durable as *.cleaned; recovery would remove them;
//  2. they become *.swap, durably; recovery would complete what follows;
//  3. the list changes; the old logs become *.deleted, durably, so that none is ever found
//     without its indexes, and those follow;
//  4. the new files lose .swap.
//
// ErrChanged: the log was truncated, or retention took a part, since Sealed; x is discarded
// and nothing else has happened. The same holds for a full disk and vfs.OutOfFiles; any other
// error poisons the log.
func (c *Chain) Replace(x *Cleaned, parts []Part) error {
	withTxns := len(x.txns) > 0
	for i := range parts {
		txns, err := parts[i].Aborted()
		if err != nil {
			return errors.Join(err, x.Discard())
		}
		withTxns = withTxns || len(txns) > 0
	}
	if err := x.finish(withTxns); err != nil {
		return c.giveUp(x, err)
	}
	c.syncMu.Lock()
	defer c.syncMu.Unlock()
	if err := c.holdsAll(parts); err != nil {
		return errors.Join(err, x.Discard())
	}
	if err := c.o.FS.SyncDir(c.o.Dir); err != nil {
		return c.giveUp(x, &syncFailure{err})
	}
	n := x.segment(parts, withTxns)
	if err := c.swapIn(x, n, parts, withTxns); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.poison(err)
	}
	return nil
}

// giveUp discards x before it was swapped in, and tells which failures are more than that.
func (c *Chain) giveUp(x *Cleaned, err error) error {
	discarded := x.Discard()
	var failed *syncFailure
	if vfs.OutOfFiles(err) || IsDiskFull(err) || !errors.As(err, &failed) {
		return errors.Join(err, discarded)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.poison(failed.err)
}

// holdsAll checks that the parts are still in the list, side by side and sealed. syncMu is
// held, so that it stays so.
func (c *Chain) holdsAll(parts []Part) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failure(); err != nil {
		return err
	}
	list := c.segments()
	first := floor(list, parts[0].Base)
	if first < 0 || first+len(parts) >= len(list) || c.truncations.Load() != parts[0].truncations {
		return ErrChanged
	}
	for i := range parts {
		if list[first+i] != parts[i].s || !parts[i].s.sealed.Load() {
			return ErrChanged
		}
	}
	return nil
}

// segment describes what x has become, under its *.swap names.
func (x *Cleaned) segment(parts []Part, withTxns bool) *segment {
	next := min(parts[len(parts)-1].Next, x.base+maxPosition+1)
	suffix := swapSuffix
	s := &segment{
		c: x.c, base: x.base,
		maxTimestamp: x.maxTimestamp, maxTimestampAt: x.maxTimestampAt, firstTimestamp: x.firstTimestamp,
		createdMs: x.c.o.Clock.Now().UnixMilli(),
		synced:    x.written, nameSynced: true, sealSynced: true, exists: true,
	}
	s.publish(next, x.written)
	s.txns.Store(&x.txns)
	s.suffix.Store(&suffix)
	s.sealed.Store(true)
	return s
}

// swapIn does steps 2 to 4. syncMu is held.
func (c *Chain) swapIn(x *Cleaned, n *segment, parts []Part, withTxns bool) error {
	suffixes := []string{indexSuffix, timeSuffix, logSuffix}
	if withTxns {
		suffixes = append(suffixes, txnSuffix)
	}
	for _, suffix := range suffixes {
		if err := c.o.FS.Rename(x.name(suffix, cleanedSuffix), x.name(suffix, swapSuffix)); err != nil {
			return err
		}
	}
	if !seededbug.On(seededbug.SwapNotDurable) {
		if err := c.o.FS.SyncDir(c.o.Dir); err != nil {
			return err
		}
	}
	c.setReplaced(n, parts)
	err := c.removeParts(parts)
	if err != nil {
		return err
	}
	c.mu.Lock()
	for i := range parts {
		c.deleted = append(c.deleted, deletion{s: parts[i].s, at: c.o.Clock.Now()})
	}
	c.mu.Unlock()
	if err := n.loseSuffix(suffixes); err != nil {
		return err
	}
	err = c.o.FS.SyncDir(c.o.Dir)
	if vfs.OutOfFiles(err) {
		// Recovery can still complete it; the next Sync makes up for this one.
		c.mu.Lock()
		n.nameSynced = false
		c.mu.Unlock()
		return nil
	}
	return err
}

// removeParts takes the old segments out of use: their logs first, durably.
func (c *Chain) removeParts(parts []Part) (err error) {
	defer func() {
		for i := range parts {
			parts[i].s.drop() // off the list: nobody else would close it
		}
	}()
	for i := range parts {
		if err := parts[i].s.renameDeleted(logSuffix); err != nil {
			return err
		}
	}
	if err := c.o.FS.SyncDir(c.o.Dir); err != nil {
		return err
	}
	for i := range parts {
		if err := parts[i].s.renameDeleted(indexSuffix, timeSuffix, txnSuffix); err != nil {
			return err
		}
	}
	return nil
}

// setReplaced publishes the list with n instead of the parts.
func (c *Chain) setReplaced(n *segment, parts []Part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.segments()
	first := floor(list, parts[0].Base)
	now := make([]*segment, 0, len(list))
	now = append(append(append(now, list[:first]...), n), list[first+len(parts):]...)
	c.setList(now)
}

// loseSuffix gives the files of a segment that was swapped in their last names. Who opens
// them meanwhile waits.
func (s *segment) loseSuffix(suffixes []string) error {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	for _, suffix := range suffixes {
		name := fileName(s.c.o.Dir, s.base, suffix)
		if err := s.c.o.FS.Rename(name+swapSuffix, name); err != nil {
			return err
		}
	}
	s.suffix.Store(nil)
	return nil
}

// completeSwap finishes what Replace had begun when the power went, at its step 2 or later:
// the segments that lie in the offsets which the swapped-in ones cover go, and then those
// get their names.
func (c *Chain) completeSwap(swaps []string, entries []os.DirEntry) error {
	low, high := int64(-1), int64(-1)
	fresh := make(map[int64]bool) // bases of swapped-in logs
	for _, name := range swaps {
		base, suffix, _ := parseName(name)
		if suffix != logSuffix+swapSuffix {
			continue
		}
		next, err := c.endOfFile(name, base)
		if err != nil {
			return err
		}
		if fresh[base] = true; low < 0 || base < low {
			low = base
		}
		high = max(high, next)
	}
	exists := make(map[int64]bool) // bases of logs with their plain names
	for _, e := range entries {
		if base, suffix, ok := parseName(e.Name()); ok && suffix == logSuffix {
			exists[base] = true
		}
	}
	for _, e := range entries {
		base, suffix, ok := parseName(e.Name())
		if !ok || !isSegmentFile(suffix) {
			continue
		}
		// A plain log at the base of a swapped-in one is the old one, and what goes with it.
		// Without it step 4 had begun: these files are the new one's.
		if old := fresh[base] && exists[base] || !fresh[base] && low >= 0 && base >= low && base < high; !old {
			continue
		}
		if err := c.o.FS.Remove(fileName(c.o.Dir, base, suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := c.o.FS.SyncDir(c.o.Dir); err != nil {
		return err
	}
	for _, name := range swaps {
		base, suffix, _ := parseName(name)
		from := fileName(c.o.Dir, base, suffix)
		if err := c.o.FS.Rename(from, from[:len(from)-len(swapSuffix)]); err != nil {
			return err
		}
	}
	return c.o.FS.SyncDir(c.o.Dir)
}

func isSegmentFile(suffix string) bool {
	switch suffix {
	case logSuffix, indexSuffix, timeSuffix, txnSuffix:
		return true
	}
	return false
}
