package metadata

import (
	"errors"
	"os"
	"syscall"
)

// The reserve is a file that only takes space, <file>.reserve: as much as two trees of the
// size that was written last, and at least minReserveBytes. On a full disk a commit removes
// it, and so finds room for the tree that it writes aside; the space of the tree that it
// replaced then makes the next reserve. Its fields belong to the writer's goroutine.

const (
	reserveSuffix   = ".reserve"
	minReserveBytes = 256 << 10
)

// takeReserve sees to a reserve that is large enough. Where there is no room for it nothing
// happens: the next commit tries again.
func (s *FileStore) takeReserve() {
	want := int64(max(2*len(s.buf), minReserveBytes))
	if s.reserved >= want {
		return
	}
	want += want / 2 // not again for each topic
	f, err := s.fs.OpenFile(s.file+reserveSuffix, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return
	}
	if size, err := f.Size(); err == nil && size >= want {
		s.reserved = size
	} else if f.Allocate(0, want) == nil {
		s.reserved = want
	}
	_ = f.Close() // nothing was written to it
}

// useReserve gives the reserve back to the disk, and tells whether there was one.
func (s *FileStore) useReserve() bool {
	had := s.reserved > 0
	s.reserved = 0
	return s.fs.Remove(s.file+reserveSuffix) == nil && had
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
