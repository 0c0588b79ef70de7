package engine

import (
	"fmt"
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
		bySize := excess >= 0 && excess-s.SizeBytes >= 0
		byStart := !last && s.Next <= start
		if !bySize && !byStart && !l.tooOld(s, cfg, nowMs) {
			break
		}
		if excess >= 0 {
			excess -= s.SizeBytes
		}
		due++
	}
	return due
}

// tooOld tells whether all of a segment is older than retention.ms. Records without
// timestamps age with their file.
func (l *Log) tooOld(s segment.Info, cfg *Config, nowMs int64) bool {
	if !cfg.CleanupDelete || cfg.RetentionMs < 0 {
		return false
	}
	largest := s.MaxTimestamp
	if largest < 0 {
		info, err := l.host.fs.Stat(filepath.Join(l.Dir(), fmt.Sprintf("%020d.log", s.Base)))
		if err != nil {
			return false // not on disk yet, or gone already
		}
		largest = info.ModTime().UnixMilli()
	}
	return nowMs-largest > cfg.RetentionMs
}
