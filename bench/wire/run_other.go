//go:build !linux

package wire

import (
	"context"
	"runtime"
)

func run(context.Context, *Load) (Stats, error) {
	return NoStats(), &UnsupportedError{OS: runtime.GOOS}
}
