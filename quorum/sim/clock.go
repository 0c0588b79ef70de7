package sim

import (
	"context"
	"net"
	"sync"
	"time"
	"unsafe"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit/memnet"
)

// hostClock is a host's clock: its wall jumps when it is told to, its monotonic part never
// does. The times of a bubble have none of the latter, so it is put in here. Timers go by the
// bubble's clock, as they go by the monotonic one on a machine.
type hostClock struct {
	clock.Real

	mu    sync.Mutex
	base  time.Time // the bubble's, when the host was made: zero of its monotonic clock
	steps []step    // oldest first
}

// step is a jump of the wall clock: from then on it is ahead of the bubble's by so much.
type step struct {
	from  time.Time
	ahead time.Duration
}

func newHostClock() *hostClock {
	now := time.Now()
	return &hostClock{base: now, steps: []step{{from: now}}}
}

// Now implements clock.Clock.
func (c *hostClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	return withMonotonic(now.Add(c.steps[len(c.steps)-1].ahead), now.Sub(c.base)+1)
}

// jump sets how far the wall clock is ahead.
func (c *hostClock) jump(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps = append(c.steps, step{time.Now(), ahead})
}

// showed tells whether the wall clock showed t at some time between from and to, give or take
// a millisecond.
func (c *hostClock) showed(t, from, to time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.steps {
		at := t.Add(-s.ahead)
		late := to
		if i+1 < len(c.steps) && c.steps[i+1].from.Before(late) {
			late = c.steps[i+1].from
		}
		early := from
		if s.from.After(early) {
			early = s.from
		}
		if !at.Before(early.Add(-time.Millisecond)) && !at.After(late.Add(time.Millisecond)) {
			return true
		}
	}
	return false
}

// bubble is the bubble's time for one that may come from Now. Deadlines are such, and on a
// machine it is their monotonic part that counts.
func (c *hostClock) bubble(t time.Time) time.Time {
	if t.IsZero() || t == t.Round(0) {
		return t
	}
	return time.Now().Add(t.Sub(c.Now()))
}

// goTime is package time's Time: with the highest bit of wall set, the seconds since 1885 lie
// above 30 bits of nanoseconds there, and ext is the monotonic clock.
type goTime struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

// withMonotonic is t with a reading of the monotonic clock. Package time offers no way to make
// one that is of another clock than its wall; TestHostClock sees to it that this one works.
func withMonotonic(t time.Time, mono time.Duration) time.Time {
	seconds := t.Unix() - time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	g := goTime{wall: 1<<63 | uint64(seconds)<<30 | uint64(t.Nanosecond()), ext: int64(mono), loc: t.Location()}
	return *(*time.Time)(unsafe.Pointer(&g))
}

// hostNet is the network as a server on a host sees it: deadlines are those of its clock.
type hostNet struct {
	*memnet.Host
	clock *hostClock
}

func (h hostNet) Listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := h.Host.Listen(ctx, address)
	if err != nil {
		return nil, err
	}
	return hostListener{l, h.clock}, nil
}

func (h hostNet) Dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := h.Host.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return hostConn{c, h.clock}, nil
}

type hostListener struct {
	net.Listener
	clock *hostClock
}

func (l hostListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return hostConn{c, l.clock}, nil
}

type hostConn struct {
	net.Conn
	clock *hostClock
}

func (c hostConn) SetDeadline(t time.Time) error { return c.Conn.SetDeadline(c.clock.bubble(t)) }
func (c hostConn) SetReadDeadline(t time.Time) error {
	return c.Conn.SetReadDeadline(c.clock.bubble(t))
}
func (c hostConn) SetWriteDeadline(t time.Time) error {
	return c.Conn.SetWriteDeadline(c.clock.bubble(t))
}
