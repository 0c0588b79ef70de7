//go:build !linux

package limits

import (
	"bufio"
	"runtime"
)

// serve is what this package cannot do here.
func serve(job, *bufio.Scanner, *reporter) error { return &UnsupportedError{OS: runtime.GOOS} }

func touch(int64) error { return nil }

func availableBytes() int64 { return 0 }
