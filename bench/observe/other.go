//go:build !linux

package observe

import (
	"time"

	"github.com/millrace/millrace/bench/result"
)

// CPU needs Linux's clocks of processes.
func CPU(int) (time.Duration, error) { return 0, &UnsupportedError{"the CPU time of a process"} }

// FindListener needs Linux's /proc.
func FindListener(string) (int, error) {
	return 0, &UnsupportedError{"which process listens on a port"}
}

func memory(int) (anon, file int64, err error) { return 0, 0, &UnsupportedError{"resident memory"} }

func switches(int) (int64, error) { return 0, &UnsupportedError{"the number of context switches"} }

func readWriteCalls(int) (int64, error) { return 0, &UnsupportedError{"the number of system calls"} }

func describe(*result.Machine, string) {}

type tracer struct{}

func newTracer(int) *tracer { return nil }

func (*tracer) count() (int64, error) { return 0, &UnsupportedError{"the number of system calls"} }

func (*tracer) close() {}
