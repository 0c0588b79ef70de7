package engine

import (
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/segment"
)

// EnforceRetention removes the segments that the topic's policy lets go, as Kafka's
// UnifiedLog.deleteOldSegments: those below the log start always; with cleanup.policy
// delete also the oldest ones while the log is larger than retention.bytes, and those
// whose largest timestamp is older than retention.ms. Segments go from the oldest on and
// only below the high watermark; the active one is rolled when it is due too, unless it is
// empty. Files are renamed at once and removed after file.delete.delay.ms. It returns the
// number of segments removed.
func (l *Log) EnforceRetention(now time.Time) (deleted int, err error) {
	if err := l.Failure(); err != nil {
		return 0, err
	}
	cfg := l.cfg.Load()
	if err := l.chain.RemoveDeleted(now.Add(-flushDelay(cfg.FileDeleteDelayMs))); err != nil {
		return 0, l.truncateError(err)
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.Failure(); err != nil {
		return 0, err
	}
	segments := l.chain.Segments()
	due := l.dueSegments(segments, cfg, now.UnixMilli())
	if due == 0 {
		return 0, nil
	}
	if due == len(segments) {
		if err := l.chain.Roll(); err != nil {
			return 0, l.appendError(err)
		}
	}
	start := segments[due-1].Next
	l.raiseLogStartLocked(start)
	dropped, err := l.chain.DropHead(start)
	if err != nil {
		return len(dropped), l.appendError(err)
	}
	return len(dropped), l.dropSnapshotsOf(dropped)
}

func (l *Log) dropSnapshotsOf(dropped []segment.Info) error {
	bases := make(map[int64]bool, len(dropped))
	for _, s := range dropped {
		bases[s.Base] = true
	}
	if err := l.dropSnapshots(func(offset int64) bool { return bases[offset] }); err != nil {
		return l.truncateError(err)
	}
	return nil
}

// dueSegments counts how many of the oldest segments may go.
func (l *Log) dueSegments(segments []segment.Info, cfg *Config, nowMs int64) int {
	var size int64
	for _, s := range segments {
		size += s.SizeBytes
	}
	excess := int64(-1)
	if cfg.CleanupDelete && cfg.RetentionBytes >= 0 {
		excess = size - cfg.RetentionBytes
	}
	hw, start := l.hw.Load(), l.logStart.Load()
	due := 0
	for i, s := range segments {
		last := i == len(segments)-1
		if last && s.SizeBytes == 0 || s.Next > hw {
			break
		}
		byStart := !last && s.Next <= start
		if s.SizeBytes == 0 {
			// Compaction left nothing of it: it goes with what follows, and holds up nothing.
			if byStart {
				due = i + 1
			}
			continue
		}
		bySize := excess >= 0 && excess-s.SizeBytes >= 0
		if !bySize && !byStart && !l.tooOld(s, cfg, nowMs) {
			break
		}
		if excess >= 0 {
			excess -= s.SizeBytes
		}
		due = i + 1
	}
	return due
}

// tooOld tells whether all of a segment is older than retention.ms, by its largest timestamp.
// Records without timestamps age with their file, and so do those from the future: Kafka
// keeps a segment until its largest timestamp has passed, so that one record of a client
// whose clock is wrong stops retention (KAFKA-6482).
func (l *Log) tooOld(s segment.Info, cfg *Config, nowMs int64) bool {
	if !cfg.CleanupDelete || cfg.RetentionMs < 0 || s.MaxTimestamp == math.MaxInt64 {
		return false
	}
	if s.MaxTimestamp >= 0 && s.MaxTimestamp <= nowMs {
		return nowMs-s.MaxTimestamp > cfg.RetentionMs
	}
	info, err := l.host.fs.Stat(filepath.Join(l.Dir(), fmt.Sprintf("%020d.log", s.Base)))
	if err != nil {
		return false // not on disk yet, or gone already
	}
	age := nowMs - info.ModTime().UnixMilli()
	if s.Active {
		age -= mappedLag.Milliseconds()
	}
	if age <= cfg.RetentionMs {
		return false
	}
	if s.MaxTimestamp >= 0 {
		l.host.log.Info("segment has timestamps in the future: it is removed by the age of its file", "partition", l.tp.String(),
			"base_offset", s.Base, "largest_timestamp_ms", s.MaxTimestamp, "file_age_ms", age, "retention.ms", cfg.RetentionMs)
	}
	return true
}

// mappedLag is how far the modification time of a file may lie behind what was stored through
// its mapping: it moves when the system writes the pages back, which it does within a minute.
const mappedLag = 5 * time.Minute
