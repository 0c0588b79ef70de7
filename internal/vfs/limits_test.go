package vfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

func TestOutOfFiles(t *testing.T) {
	open := &fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{open, true},
		{fmt.Errorf("append: %w", &fs.PathError{Op: "open", Path: "x", Err: syscall.ENFILE}), true},
		{fmt.Errorf("map: %w", vfs.ErrNoMapping), true},
		{errors.Join(open, nil), true},
		{errors.Join(open, open), true},
		{errors.Join(open, fmt.Errorf("fdatasync: %w", syscall.EIO)), false},
		{fmt.Errorf("%w and %w", syscall.EIO, open), false},
		{syscall.ENOMEM, false},
		{syscall.ENOSPC, false},
		{errors.New("x"), false},
	} {
		if got := vfs.OutOfFiles(c.err); got != c.want {
			t.Errorf("OutOfFiles(%v) = %v", c.err, got)
		}
	}
}
