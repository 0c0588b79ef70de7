// Package clock is the seam for time. Code that decides by time takes a Clock; only the
// real one below reads the machine's.
package clock

import "time"

// Clock tells the time and wakes its caller later.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in its own goroutine after d.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a pending AfterFunc.
type Timer interface {
	// Stop prevents the call and reports whether it did.
	Stop() bool
	// Reset arms the timer again for d from now.
	Reset(d time.Duration) bool
}

// UnixMs is a clock's time in milliseconds since 1970, Kafka's timestamp.
func UnixMs(c Clock) int64 { return c.Now().UnixMilli() }

// Since is the time that passed on c since t, which Now returned. It costs half of a Now where
// only the monotonic clock has to be read.
func Since(c Clock, t time.Time) time.Duration {
	if _, ok := c.(Real); ok {
		return time.Since(t)
	}
	return c.Now().Sub(t)
}

// Real is the machine's clock. Its readings carry the monotonic clock, so that a
// difference of two readings is immune to steps.
type Real struct{}

// Now implements Clock.
func (Real) Now() time.Time { return time.Now() }

// AfterFunc implements Clock.
func (Real) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
