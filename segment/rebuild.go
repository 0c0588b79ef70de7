package segment

import (
	"encoding/binary"
	"errors"
	"os"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/vfs"
)

// indexBuilder makes the entries of both indexes while a log is scanned, by the rule of
// Kafka's LogSegment.recover: an entry for the batch that starts more than an interval
// behind the last entry's.
type indexBuilder struct {
	base     int64
	interval int64
	maxBytes int
	last     int64 // position of the last entry
	end      int64
	lastTime int64 // timestamp of the last time entry
	off, tim []byte
}

func (b *indexBuilder) add(pos, size, lastOffset, maxTimestamp, maxTimestampAt int64) {
	b.end = pos + size
	if pos-b.last <= b.interval || len(b.off)+index.OffsetEntryBytes > b.maxBytes {
		return
	}
	b.last = pos
	b.off = binary.BigEndian.AppendUint32(b.off, uint32(lastOffset-b.base))
	b.off = binary.BigEndian.AppendUint32(b.off, uint32(pos))
	if len(b.tim)+2*index.TimeEntryBytes <= b.maxBytes {
		b.addTime(maxTimestamp, maxTimestampAt)
	}
}

func (b *indexBuilder) addTime(timestamp, offset int64) {
	if timestamp < 0 || len(b.tim) > 0 && timestamp <= b.lastTime {
		return
	}
	b.tim = binary.BigEndian.AppendUint64(b.tim, uint64(timestamp))
	b.tim = binary.BigEndian.AppendUint32(b.tim, uint32(offset-b.base))
	b.lastTime = timestamp
}

// finish adds the largest timestamp, which a time index ends with.
func (b *indexBuilder) finish(maxTimestamp, maxTimestampAt int64) {
	b.addTime(maxTimestamp, maxTimestampAt)
}

// store replaces the index files of s.
func (b *indexBuilder) store(s *segment) error {
	if err := s.c.replaceFile(s.name(indexSuffix), b.off); err != nil {
		return err
	}
	return s.c.replaceFile(s.name(timeSuffix), b.tim)
}

// storeIndexes replaces the index files of a scanned segment. On a full disk it only removes
// them, for the broker must start: the active segment then has an empty index, a sealed
// one's is made in memory when it is needed.
func (s *segment) storeIndexes(b *indexBuilder) error {
	err := b.store(s)
	if IsDiskFull(err) {
		b.off, b.tim = nil, nil
		b.last = 0
		err = s.removeIndexes()
	}
	if err != nil {
		return err
	}
	s.offCount = len(b.off) / index.OffsetEntryBytes
	s.timCount = len(b.tim) / index.TimeEntryBytes
	s.sinceIndex = b.end - b.last
	return nil
}

func (s *segment) removeIndexes() error {
	for _, suffix := range []string{indexSuffix, timeSuffix} {
		if err := s.c.o.FS.Remove(s.name(suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// rebuildIndexes makes the indexes of a sealed segment anew from its log and stores them,
// unless the disk is full.
func (s *segment) rebuildIndexes(f vfs.File) (*indexBuilder, error) {
	_, limit := s.end()
	cfg := s.c.conf.Load()
	b := indexBuilder{base: s.base, interval: int64(cfg.IndexIntervalBytes), maxBytes: cfg.IndexMaxBytes}
	shadow := &segment{base: s.base, maxTimestamp: -1, maxTimestampAt: s.base}
	sc := scanner{s: shadow, r: reader{f: f, limit: limit}, next: s.base, build: &b}
	for sc.step() {
	}
	if sc.err != nil {
		return nil, sc.err
	}
	b.finish(shadow.maxTimestamp, shadow.maxTimestampAt)
	if err := b.store(s); err != nil && !IsDiskFull(err) {
		return nil, err
	}
	return &b, nil
}

// replaceFile writes a file whole: readers of the name see the old one or the new one.
func (c *Chain) replaceFile(name string, data []byte) error {
	tmp := name + rebuildSuffix
	f, err := c.o.FS.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if len(data) > 0 {
		_, err = f.WriteAt(data, 0)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, c.o.FS.Remove(tmp))
	}
	return c.o.FS.Rename(tmp, name)
}
