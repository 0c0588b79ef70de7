//go:build !linux

package suite

import "errors"

// dropCache needs posix_fadvise.
func dropCache(string) error {
	return errors.New("only Linux lets a program do that (posix_fadvise)")
}

// freeBytes says that it cannot be told.
func freeBytes(string) int64 { return -1 }
