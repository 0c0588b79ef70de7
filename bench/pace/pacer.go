package pace

import "runtime"

// Spin is how long before the time Until stops sleeping, in nanoseconds: what a wake-up
// takes on a machine that is not busy.
const Spin = 60_000

// Pacer waits for points in time. It belongs to one goroutine.
type Pacer struct {
	sleeper sleeper
	locked  bool
}

// NewPacer returns a Pacer for the calling goroutine.
func NewPacer() *Pacer { return &Pacer{sleeper: newSleeper()} }

// Lock ties the calling goroutine to its thread until Unlock, and asks the kernel to wake
// that thread without the slack of 50 us that it otherwise adds. A goroutine that is tied
// needs no hand-over between threads to go on, but costs two of them to wait on a channel:
// for loops that wait only here.
func (p *Pacer) Lock() {
	if p.locked {
		return
	}
	runtime.LockOSThread()
	p.locked = true
	p.sleeper.tight()
}

// Unlock undoes Lock.
func (p *Pacer) Unlock() {
	if !p.locked {
		return
	}
	p.locked = false
	p.sleeper.loose()
	runtime.UnlockOSThread()
}

// Until waits until ns, as Now has it, and returns how late it is then, in nanoseconds: at
// once when the time has passed. A short rest is spun away, a longer one slept.
func (p *Pacer) Until(ns int64) (lateNs int64) {
	now := Now()
	if ns-now > Spin {
		p.sleeper.until(ns - Spin)
		now = Now()
	}
	for now < ns {
		now = Now()
	}
	return now - ns
}
