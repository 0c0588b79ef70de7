package segment

import (
	"errors"
	"os"
	"path"
	"strings"

	"github.com/millrace/millrace/index"
)

// Open opens the log in o.Dir, which must exist, and recovers it as r says. An empty folder
// is a log that starts at 0. Magic 0 and 1 are refused with record.ErrUnsupportedMagic.
func Open(o Options, cfg Config, r Recovery) (*Chain, RecoveryResult, error) {
	c := &Chain{o: o, cfg: cfg}
	c.conf.Store(&cfg)
	var res RecoveryResult
	if err := c.load(); err != nil {
		return nil, res, err
	}
	if err := c.recover(r, &res); err != nil {
		c.Kill()
		return nil, res, err
	}
	c.synced.Store(c.NextOffset())
	return c, res, nil
}

// load lists the folder, completes or undoes what a crash interrupted, and makes the list
// of segments with the sizes that the folder tells. Nothing is opened.
func (c *Chain) load() error {
	entries, err := c.o.FS.ReadDir(c.o.Dir)
	if err != nil {
		return err
	}
	changed, err := c.cleanLeftovers(entries)
	if err != nil {
		return err
	}
	if changed {
		if entries, err = c.o.FS.ReadDir(c.o.Dir); err != nil {
			return err
		}
	}
	var list []*segment
	logs := make(map[int64]bool)
	names := make(map[string]bool, len(entries))
	for _, e := range entries {
		names[e.Name()] = true
	}
	var noTxns []index.AbortedTxn
	for _, e := range entries {
		base, suffix, ok := parseName(e.Name())
		if !ok || suffix != logSuffix || e.IsDir() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		s := c.newSegment(base)
		if !names[fileName("", base, txnSuffix)] {
			s.txns.Store(&noTxns)
		}
		s.exists, s.nameSynced = true, true
		s.maxTimestamp, s.firstTimestamp = unknownTimestamp, unknownTimestamp
		if info.Size() > maxPosition {
			return &CorruptError{Name: e.Name(), Position: maxPosition, Err: errTooLong}
		}
		s.publish(base, info.Size())
		list = append(list, s)
		logs[base] = true
	}
	if err := c.removeOrphans(logs, names); err != nil {
		return err
	}
	if len(list) == 0 {
		list = append(list, c.newSegment(0))
	}
	for i, s := range list[:len(list)-1] {
		_, size := s.end()
		if !index.Fits(s.base, list[i+1].base-1) && size > 0 {
			// A gap wider than an index can express can only be a compacted log's.
			s.publish(s.base+maxPosition+1, size)
		} else {
			s.publish(list[i+1].base, size)
		}
		s.synced, s.sealSynced = size, true
		s.sealed.Store(true)
	}
	c.setList(list)
	return nil
}

// removeOrphans deletes index files without a log, as Kafka does.
func (c *Chain) removeOrphans(logs map[int64]bool, names map[string]bool) error {
	for name := range names {
		base, suffix, ok := parseName(name)
		if !ok || logs[base] {
			continue
		}
		if suffix == indexSuffix || suffix == timeSuffix || suffix == txnSuffix {
			if err := c.o.FS.Remove(path.Join(c.o.Dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// cleanLeftovers removes temporary files and completes interrupted swaps, as Kafka's
// LogLoader does: *.deleted and *.cleaned go; a *.swap at or above the smallest *.cleaned
// belongs to a swap, or a split, that was not decided and goes too; other *.swap files replace
// the segments that they cover.
func (c *Chain) cleanLeftovers(entries []os.DirEntry) (changed bool, err error) {
	var swaps []string
	var remove []string
	minCleaned := int64(-1)
	for _, e := range entries {
		name := e.Name()
		base, suffix, ok := parseName(name)
		switch {
		case e.IsDir():
		case strings.HasPrefix(name, nextPrefix), strings.HasSuffix(name, rebuildSuffix) && ok:
			remove = append(remove, name)
		case !ok:
		case strings.HasSuffix(suffix, deletedSuffix):
			remove = append(remove, name)
		case strings.HasSuffix(suffix, cleanedSuffix):
			remove = append(remove, name)
			if minCleaned < 0 || base < minCleaned {
				minCleaned = base
			}
		case strings.HasSuffix(suffix, swapSuffix):
			swaps = append(swaps, name)
		}
	}
	valid := swaps[:0]
	var undone []string
	for _, name := range swaps {
		if base, _, _ := parseName(name); minCleaned >= 0 && base >= minCleaned {
			undone = append(undone, name)
		} else {
			valid = append(valid, name)
		}
	}
	if len(undone) > 0 {
		// Durably before the *.cleaned, without which they would be completed.
		if err := c.removeFiles(undone); err != nil {
			return false, err
		}
		if err := c.o.FS.SyncDir(c.o.Dir); err != nil {
			return false, err
		}
	}
	if len(valid) > 0 {
		if err := c.completeSwap(valid, entries); err != nil {
			return false, err
		}
	}
	if err := c.removeFiles(remove); err != nil {
		return false, err
	}
	return len(remove)+len(valid)+len(undone) > 0, nil
}

func (c *Chain) removeFiles(names []string) error {
	for _, name := range names {
		err := c.o.FS.Remove(path.Join(c.o.Dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// endOfFile is the offset after the last whole batch of a log file.
func (c *Chain) endOfFile(name string, base int64) (int64, error) {
	f, err := c.o.FS.OpenFile(path.Join(c.o.Dir, name), os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	next := base
	r := reader{f: f, limit: size}
	for {
		b, _, err := r.next()
		if err != nil {
			return next, r.err
		}
		next = b.NextOffset()
	}
}

var errTooLong = errors.New("longer than 2 GiB - 1")
