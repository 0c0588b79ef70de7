package vfs

import (
	"errors"
	"syscall"
)

// ErrNoMapping is wrapped by Map's error when the process has as many mappings as the
// system allows (vm.max_map_count), or no address space for another.
var ErrNoMapping = errors.New("no memory mapping is left (vm.max_map_count)")

// OutOfFiles tells whether err says only that a descriptor or a mapping could not be had:
// the process or the machine has too many. Nothing was read, written or synced by the call,
// and it may be made again. Of joined errors, all must say so: beside a failed sync, a
// failed open is no excuse.
func OutOfFiles(err error) bool {
	switch x := err.(type) {
	case interface{ Unwrap() []error }:
		all := x.Unwrap()
		for _, e := range all {
			if !OutOfFiles(e) {
				return false
			}
		}
		return len(all) > 0
	case interface{ Unwrap() error }:
		return OutOfFiles(x.Unwrap())
	}
	return err == ErrNoMapping || err == syscall.EMFILE || err == syscall.ENFILE
}
