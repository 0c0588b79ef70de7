package pace

import (
	"math"

	"golang.org/x/sys/unix"
)

// sleeper sleeps by clock_nanosleep with an absolute time: a signal in between, which the
// runtime sends to preempt, costs nothing but another call.
type sleeper struct {
	offset int64 // CLOCK_MONOTONIC less Now: a constant, as both are the same clock
}

func newSleeper() sleeper {
	// Of a few readings the one between the closest two of Now is right to some 50 ns.
	best, offset := int64(math.MaxInt64), int64(0)
	for range 5 {
		var ts unix.Timespec
		before := Now()
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
			continue
		}
		after := Now()
		if after-before < best {
			best = after - before
			offset = ts.Nano() - (before + (after-before)/2)
		}
	}
	return sleeper{offset: offset}
}

func (s sleeper) until(ns int64) {
	ts := unix.NsecToTimespec(ns + s.offset)
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
	}
}

// tight and loose set the calling thread's timer slack: 1 ns, and the default again. Where
// the kernel refuses, wake-ups are up to 50 us later, which Until's spin covers.
func (s sleeper) tight() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }
func (s sleeper) loose() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) }
