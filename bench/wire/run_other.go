//go:build !linux

package wire

import (
	"context"
	"runtime"
)

func run(context.Context, *Load) (Stats, error) {
	return emptyStats(), &UnsupportedError{OS: runtime.GOOS}
}
