//go:build !linux

package suite

import "errors"

// dropCache needs posix_fadvise.
func dropCache(string) error {
	return errors.New("only Linux lets a program do that (posix_fadvise)")
}
