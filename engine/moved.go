package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// This file is what a start does with the moves that the last stop interrupted.

// noteFuture tells whether a folder is the copy of a move. It is removed; whoever wants may
// begin the move anew.
func (d *logDir) noteFuture(name string) bool {
	if !hasID(name, futureDirSuffix) {
		return false
	}
	d.deleteLater(filepath.Join(d.host.dir, name), 0)
	rest := strings.TrimSuffix(name, futureDirSuffix)
	if tp, ok := parseDir(rest[:strings.LastIndexByte(rest, '.')]); ok { // else the name was too long for it
		s := d.store
		s.mu.Lock()
		s.interrupted = append(s.interrupted, InterruptedMove{TopicPartition: tp, Dir: d.host.dir})
		s.mu.Unlock()
	}
	return true
}

// settleTwins decides which of two folders of a partition stays, where a move was interrupted
// between their renames. Both were loaded. That of the later leader epoch was written to last,
// else the longer one; where nothing was written since, the new one.
func (s *Store) settleTwins() error {
	var errs []error
	for _, twin := range s.twins {
		other := s.logs[twin.tp]
		if !twin.wasMoved() && !other.wasMoved() {
			errs = append(errs, &SetupError{Dir: twin.host.dir, Err: fmt.Errorf("partition %s lies in %s too: remove one of the two folders", twin.tp, other.Dir())})
			continue
		}
		keep, drop := twin, other
		if later(other, twin) || !later(twin, other) && other.wasMoved() {
			keep, drop = other, twin
		}
		s.o.Log.Warn("a move between log directories was interrupted: one of two folders stays", "partition", twin.tp.String(), "stays", keep.Dir(), "goes", drop.Dir())
		s.logs[twin.tp] = keep
		if keep == twin {
			s.dirOf(other).count--
			s.dirOf(twin).count++
		}
		d := s.dirOf(drop)
		if err := d.renameDeleted(drop); err != nil {
			d.fail(err)
		}
	}
	s.twins = nil
	return errors.Join(errs...)
}

// later tells whether a was written to after b.
func later(a, b *Log) bool {
	x, _ := a.LatestEpoch()
	y, _ := b.LatestEpoch()
	return cmp.Or(cmp.Compare(x, y), cmp.Compare(a.LogEndOffset(), b.LogEndOffset())) > 0
}

// wasMoved tells whether the log's folder came from another directory, and that was not seen
// to be gone.
func (l *Log) wasMoved() bool { return l.moved }

// forgetMoves removes the marks of moves. While a directory is missing the folder that a log
// came from may lie there.
func (s *Store) forgetMoves() {
	for _, d := range s.dirs {
		if d.failure() != nil {
			return
		}
	}
	for l := range s.Logs() {
		if !l.moved {
			continue
		}
		l.moved = false
		err := l.host.fs.Remove(filepath.Join(l.Dir(), movedFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.o.Log.Warn("mark of a moved log not removed", "partition", l.tp.String(), "error", err)
		}
	}
}

func sortedPartitions[V any](m map[TopicPartition]V) []TopicPartition {
	return slices.SortedFunc(maps.Keys(m), compareTP)
}
