package segment

import (
	"errors"
	"math"
	"os"

	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/internal/vfs"
)

// Sync makes everything durable that was appended before the call, and returns the offset
// below which everything is. It may run beside Append. A failure poisons the log: a failed
// sync must not be tried again, the kernel may have dropped the pages. Only where vfs.OutOfFiles
// holds, no sync has failed, and the caller may try again.
func (c *Chain) Sync() (upTo int64, err error) {
	c.syncMu.Lock()
	defer c.syncMu.Unlock()
	return c.syncLocked(math.MaxInt64)
}

// SyncSealed is Sync for the sealed segments that end at or below an offset: the active one
// is left alone, and what it holds costs nothing.
func (c *Chain) SyncSealed(below int64) (upTo int64, err error) {
	c.syncMu.Lock()
	defer c.syncMu.Unlock()
	return c.syncLocked(below)
}

// dirty is one segment's part of a Sync.
type dirty struct {
	s        *segment
	h        *files
	sealed   bool
	from, to int64 // positions
	newName  bool
	txns     bool // sealed, and has a transaction index
}

// syncLocked syncs the segments that end at or below an offset, all of them when it is the
// largest; syncMu is held.
func (c *Chain) syncLocked(below int64) (int64, error) {
	c.mu.Lock()
	if err := c.failure(); err != nil {
		c.mu.Unlock()
		return c.synced.Load(), err
	}
	list, upTo := c.segments(), c.NextOffset()
	count := len(list)
	if below != math.MaxInt64 {
		for count = 0; count < len(list)-1 && list[count+1].base <= below; count++ {
		}
		upTo = list[count].base
	}
	work, err := c.collectDirty(list, count)
	c.mu.Unlock()
	if err == nil {
		err = c.syncAll(work)
	}
	for _, d := range work {
		d.h.Unpin()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if vfs.OutOfFiles(err) {
		return c.synced.Load(), err
	}
	if err != nil {
		return c.synced.Load(), c.poison(err)
	}
	for _, d := range work {
		d.s.synced, d.s.nameSynced, d.s.sealSynced = d.to, true, d.sealed
	}
	c.synced.Store(max(upTo, c.synced.Load()))
	return upTo, nil
}

// collectDirty pins those of the first count segments of the list that hold unsynced bytes or
// names. mu is held.
func (c *Chain) collectDirty(list []*segment, count int) ([]dirty, error) {
	var work []dirty
	for i, s := range list[:count] {
		_, position := s.end()
		sealed := i < len(list)-1
		if s.synced == position && s.nameSynced && (s.sealSynced || !sealed) {
			continue
		}
		if position == 0 && s.files.Load() == nil && !s.exists {
			continue // not on disk yet
		}
		h, err := s.pin()
		if err != nil {
			for _, d := range work {
				d.h.Unpin()
			}
			return nil, err
		}
		d := dirty{s: s, h: h, sealed: sealed, from: s.synced, to: position, newName: !s.nameSynced}
		if txns := s.txns.Load(); sealed && (txns == nil || len(*txns) > 0) {
			d.txns, d.newName = true, true // the file may be younger than the segment's name
		}
		work = append(work, d)
	}
	return work, nil
}

func (c *Chain) syncAll(work []dirty) error {
	names := false
	for _, d := range work {
		if err := d.sync(); err != nil {
			return err
		}
		names = names || d.newName
	}
	if names && !seededbug.On(seededbug.NoDirSync) {
		return c.o.FS.SyncDir(c.o.Dir)
	}
	return nil
}

// sync makes one segment durable. All indexes of a sealed segment are synced with it: once
// the recovery point has passed it, they are trusted after a sanity check.
func (d dirty) sync() error {
	if !d.sealed && d.h.mapping != nil && d.to <= int64(len(d.h.mem)) {
		// SyncData would write all that was populated ahead, as zeros; a range syncs what
		// came by WriteAt as well.
		return d.h.mapping.Sync(d.from, d.to-d.from)
	}
	if d.sealed {
		if err := d.s.seal(); err != nil {
			return err
		}
	}
	if err := d.h.log.SyncData(); err != nil {
		return err
	}
	if !d.sealed {
		return nil
	}
	suffixes := []string{indexSuffix, timeSuffix}
	if d.txns {
		suffixes = append(suffixes, txnSuffix)
	}
	var errs []error
	for _, suffix := range suffixes {
		errs = append(errs, d.s.c.syncFile(d.s.name(suffix)))
	}
	return errors.Join(errs...)
}

// syncFile syncs a file that may be absent.
func (c *Chain) syncFile(name string) error {
	f, err := c.o.FS.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.SyncData(), f.Close())
}
