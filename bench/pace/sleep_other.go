//go:build !linux

package pace

import "time"

// sleeper makes do with the runtime's timers where there is no clock_nanosleep: they may be
// 1 ms late, which lateness shows.
type sleeper struct{}

func newSleeper() sleeper { return sleeper{} }

func (sleeper) until(ns int64) { time.Sleep(time.Duration(ns - Now())) }
func (sleeper) tight()         {}
func (sleeper) loose()         {}
