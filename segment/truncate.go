package segment

import (
	"errors"
	"os"
	"time"

	"github.com/millrace/millrace/internal/vfs"
)

// TruncateTo removes the records at and above offset: the log then ends at the start of
// the batch that holds it, which is offset itself when it is a batch's first.
func (c *Chain) TruncateTo(offset int64) error {
	c.syncMu.Lock()
	defer c.syncMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failure(); err != nil {
		return err
	}
	if offset >= c.NextOffset() {
		return nil
	}
	before := c.truncations.Load()
	if offset <= c.StartOffset() {
		return c.failTruncation(before, c.restartAt(offset))
	}
	return c.failTruncation(before, c.cut(offset))
}

// failTruncation poisons the log when a truncation failed: where it ends is unknown. before
// is what c.truncations was: when a file could not be opened before anything was cut, the
// log is what it was.
func (c *Chain) failTruncation(before int64, err error) error {
	if err == nil {
		return nil
	}
	if vfs.OutOfFiles(err) && c.truncations.Load() == before {
		list := c.segments()
		for _, s := range list[:len(list)-1] {
			s.sealed.Store(true)
		}
		return err
	}
	return c.poison(err)
}

// cut removes the segments that lie above offset and shortens the one that holds it.
func (c *Chain) cut(offset int64) error {
	list := c.segments()
	i := floor(list, offset)
	s := list[i]
	next, at := s.end()
	next = min(next, offset)
	if at > 0 {
		h, err := s.pin()
		if err != nil {
			return err
		}
		pos, hd, ok, err := h.locateBatch(offset, at)
		if err == nil && s.sealed.Load() {
			err = s.unseal(h)
		}
		h.Unpin()
		if err != nil {
			return err
		}
		if ok {
			at, next = pos, min(offset, hd.base)
		}
		if at == 0 {
			next = s.base
		}
	}
	kept := append(make([]*segment, 0, i+2), list[:i+1]...)
	return c.shorten(s, kept, list[i+1:], next, at)
}

// unseal makes a sealed segment one that can be appended to: it needs to know how many
// entries its indexes have.
func (s *segment) unseal(h *files) error {
	off, err := h.offset()
	if err != nil {
		return err
	}
	tim, err := h.time()
	if err != nil {
		return err
	}
	s.openMu.Lock()
	defer s.openMu.Unlock()
	s.offCount, s.timCount = off.Count(), tim.Count()
	s.sealed.Store(false)
	s.sealSynced = false
	return nil
}

// shorten makes s end at (next, at), publishes the list and removes the segments behind.
// mu and syncMu are held.
func (c *Chain) shorten(s *segment, kept, above []*segment, next, at int64) error {
	h, err := s.openWrite()
	if err != nil {
		return err
	}
	c.truncations.Add(1)
	s.publish(next, at)
	c.setList(kept)
	c.truncations.Add(1)
	pinned := s.pins.Load() > 0
	if err := c.removeAll(above); err != nil {
		return err
	}
	off, tim := h.indexes()
	err = errors.Join(off.TruncateTo(next), tim.TruncateTo(next), h.log.Truncate(at), off.Trim(), tim.Trim())
	if err != nil {
		return err
	}
	if err := s.truncateTxns(next); err != nil {
		return err
	}
	s.synced, s.sealSynced = min(s.synced, at), false
	s.sinceIndex = 0
	s.drop()
	c.synced.Store(min(c.synced.Load(), next))
	if s.maxTimestamp, s.maxTimestampAt, err = s.readMaxTimestamp(); err != nil {
		return err
	}
	if at == 0 {
		s.firstTimestamp, s.createdMs = -1, c.o.Clock.Now().UnixMilli()
	}
	// What was cut off must stay cut off after a power cut: new batches would otherwise
	// follow the remains of old ones.
	if err := c.syncFile(s.name(logSuffix)); err != nil {
		return err
	}
	if pinned {
		return c.leaveToReaders(s, kept, next, at)
	}
	return nil
}

// leaveToReaders starts a new segment behind one that was cut while somebody may be sending
// from it: the cut file never grows again, so what was cut off reads as the end of the
// file and never as later batches.
func (c *Chain) leaveToReaders(s *segment, kept []*segment, next, at int64) error {
	if at > 0 {
		_, err := c.roll(next, next)
		return err
	}
	if err := c.remove(s, true); err != nil {
		return err
	}
	fresh := c.newSegment(s.base)
	if _, err := fresh.openWrite(); err != nil {
		return err
	}
	c.setList(append(kept[:len(kept)-1:len(kept)-1], fresh))
	return nil
}

// TruncateFullyAndStartAt removes everything and makes the log start, and end, at offset.
func (c *Chain) TruncateFullyAndStartAt(offset int64) error {
	c.syncMu.Lock()
	defer c.syncMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failure(); err != nil {
		return err
	}
	return c.failTruncation(c.truncations.Load(), c.restartAt(offset))
}

func (c *Chain) restartAt(offset int64) error {
	c.truncations.Add(1) // readers wait: the files of the old list are going
	defer c.truncations.Add(1)
	if err := c.removeAll(c.segments()); err != nil {
		return err
	}
	s := c.newSegment(offset)
	if _, err := s.openWrite(); err != nil {
		return err
	}
	if err := c.o.FS.SyncDir(c.o.Dir); err != nil {
		s.drop() // on no list: nobody else would close it
		return err
	}
	s.nameSynced = true
	c.setList([]*segment{s})
	c.synced.Store(offset)
	return nil
}

// removeAll removes segments from the end of the log, the last first and each durably: a
// crash in between leaves no hole. After a failure none of them is open: they may be on no
// list any more, where nobody else would close them.
func (c *Chain) removeAll(list []*segment) (err error) {
	defer func() {
		if err != nil {
			for _, s := range list {
				s.drop()
			}
		}
	}()
	for i := len(list) - 1; i >= 0; i-- {
		if !list[i].exists {
			continue
		}
		if err := c.remove(list[i], true); err != nil {
			return err
		}
		if err := c.o.FS.SyncDir(c.o.Dir); err != nil {
			return err
		}
	}
	return nil
}

// DropHead removes the segments whose records all lie below before, never the active one.
// Their files get the suffix .deleted and stay until RemoveDeleted; ranges that are being
// sent stay readable. It returns what was removed. It may run beside Append.
func (c *Chain) DropHead(before int64) ([]Info, error) {
	c.syncMu.Lock()
	defer c.syncMu.Unlock()
	dropped, err := c.takeHead(before)
	if err != nil || len(dropped) == 0 {
		return nil, err
	}
	for i, s := range dropped {
		if err != nil {
			s.drop() // off the list: nobody else would close it
			continue
		}
		// The oldest first and each durably: a power cut in between leaves no hole.
		if err = c.remove(s, false); err == nil {
			if err = c.o.FS.SyncDir(c.o.Dir); vfs.OutOfFiles(err) {
				c.putBack(dropped[i+1:])
				dropped, err = dropped[:i+1], nil
				break
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		return nil, c.poison(err)
	}
	infos := make([]Info, len(dropped))
	for i, s := range dropped {
		next, position := s.end()
		infos[i] = Info{Base: s.base, Next: next, SizeBytes: position, MaxTimestamp: max(s.maxTimestamp, -1)}
		c.deleted = append(c.deleted, deletion{s: s, at: c.o.Clock.Now()})
	}
	return infos, nil
}

// takeHead takes the segments that DropHead removes off the list.
func (c *Chain) takeHead(before int64) ([]*segment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failure(); err != nil {
		return nil, err
	}
	list := c.segments()
	n := 0
	for n < len(list)-1 && list[n+1].base <= before {
		n++
	}
	if n == 0 {
		return nil, nil
	}
	if !list[n].nameSynced || c.headUnsynced {
		// Else a power cut could take all names, and the log would start at 0 again.
		if err := c.o.FS.SyncDir(c.o.Dir); err != nil {
			return nil, c.refuse(err)
		}
		list[n].nameSynced, c.headUnsynced = true, false
	}
	c.setList(append([]*segment(nil), list[n:]...))
	return list[:n], nil
}

// putBack undoes takeHead for segments that were not removed: the names of those before them
// could not be synced, for want of a descriptor. The next DropHead begins with that.
func (c *Chain) putBack(kept []*segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headUnsynced = true
	c.setList(append(append([]*segment(nil), kept...), c.segments()...))
}

// deletion is one segment whose files wait to be removed.
type deletion struct {
	s  *segment
	at time.Time
}

// remove takes a segment out of use: its files are renamed. With queue, mu is held and
// RemoveDeleted will find it.
func (c *Chain) remove(s *segment, queue bool) error {
	defer s.drop() // last: until it is gone, a reader may open it
	if err := s.renameDeleted(logSuffix, indexSuffix, timeSuffix, txnSuffix); err != nil {
		return err
	}
	if queue {
		c.deleted = append(c.deleted, deletion{s: s, at: c.o.Clock.Now()})
	}
	return nil
}

// renameDeleted gives files of a segment their last names; it is gone from then on.
func (s *segment) renameDeleted(suffixes ...string) error {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	for _, suffix := range suffixes {
		name := fileName(s.c.o.Dir, s.base, suffix)
		err := s.c.o.FS.Rename(name, name+deletedSuffix)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	suffix := deletedSuffix
	s.suffix.Store(&suffix)
	s.gone.Store(true)
	return nil
}

// Deleted is the number of segments whose files wait for RemoveDeleted.
func (c *Chain) Deleted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.deleted)
}

// RemoveDeleted unlinks the files of segments that were removed at or before cutoff. Who
// still sends from one keeps its space until done.
func (c *Chain) RemoveDeleted(cutoff time.Time) error {
	c.mu.Lock()
	var due []deletion
	var later []deletion
	for _, d := range c.deleted {
		if d.at.After(cutoff) {
			later = append(later, d)
		} else {
			due = append(due, d)
		}
	}
	c.deleted = later
	c.mu.Unlock()
	var errs []error
	for _, d := range due {
		for _, suffix := range []string{logSuffix, indexSuffix, timeSuffix, txnSuffix} {
			err := c.o.FS.Remove(d.s.name(suffix))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
