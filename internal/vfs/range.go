package vfs

import (
	"errors"
	"fmt"
	"io"
)

// ErrLocked is wrapped by Lock's error when the lock is held elsewhere.
var ErrLocked = errors.New("locked by another process")

// Pin keeps a file open, and on disk, while somebody sends from it.
type Pin interface {
	// Unpin gives the pin back. It is called exactly once.
	Unpin()
}

// Range is a pinned slice of one file: what a fetch returns instead of bytes. The zero
// Range is empty and needs no Release.
type Range struct {
	File     File
	Pos      int64
	LenBytes int
	Pin      Pin
	// Mem is the same bytes in a mapping that the pin keeps, or nil. It is for system calls alone,
	// to which a page that cannot be read is an error; a load from it would be a signal.
	Mem []byte
}

// Release gives the pin back; the range must not be used after it.
func (r *Range) Release() {
	if r.Pin != nil {
		r.Pin.Unpin()
	}
	*r = Range{}
}

// CopyTo fills dst with the range's first bytes; len(dst) must not exceed LenBytes. A
// file that ends early is an error: it was truncated underneath.
func (r Range) CopyTo(dst []byte) error {
	if len(dst) > r.LenBytes {
		return fmt.Errorf("copy of %d bytes from a range of %d", len(dst), r.LenBytes)
	}
	n, err := r.File.ReadAt(dst, r.Pos)
	if n == len(dst) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %s at %d: got %d of %d bytes: %w", r.File.Name(), r.Pos, n, len(dst), err)
}
