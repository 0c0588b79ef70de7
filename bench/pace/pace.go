// Package pace says when the events of an open-loop load are due, and waits for them.
//
// An open loop sends at the times of a Schedule whether or not the server keeps up; latency
// is taken from the intended time, so that a stall counts for every event that it held up
// and not for one (coordinated omission). How late the generator itself was is what Until
// returns, and is reported apart.
//
// Invariants:
//   - Times are nanoseconds of the monotonic clock, as Now has them; they mean nothing
//     outside this process.
//   - At(i) is computed from i, never summed up: there is no drift, however long it runs.
//   - A Pacer sleeps in the kernel until shortly before the time and spins for the rest:
//     the runtime's timers are up to 1 ms late.
//
// The drivers of bench call it from each sending goroutine.
package pace

import (
	"math"
	"math/big"
	"math/bits"
	"time"
)

// epoch is where Now counts from: a reading of the monotonic clock, never changed.
var epoch = time.Now()

// Now is the monotonic time in nanoseconds, for comparison within this process.
func Now() int64 { return int64(time.Since(epoch)) }

// Schedule is a steady rate: event i is due at start + i/rate.
type Schedule struct {
	start int64
	whole uint64 // ns between events,
	part  uint64 // and its fraction in 1/2^64 ns, rounded up
}

// Every is the schedule of perS events a second from startNs (as Now has it) on. A rate
// that is no positive number means no pacing: every event is due at the start. Rates that are
// whole numbers are exact to the nanosecond, rounded down; others are within 1 ns, for any i
// up to 2^63.
func Every(startNs int64, perS float64) Schedule {
	s := Schedule{start: startNs}
	if !(perS > 0) || math.IsInf(perS, 0) {
		return s
	}
	// interval * 2^64, rounded up, so that no multiple that is a whole number falls below it.
	x := new(big.Rat).SetFloat64(perS)
	x.Inv(x).Mul(x, new(big.Rat).SetInt64(int64(time.Second)))
	n := new(big.Int).Lsh(x.Num(), 64)
	n.Add(n, new(big.Int).Sub(x.Denom(), big.NewInt(1)))
	n.Div(n, x.Denom())
	if n.BitLen() > 127 { // once in 292 years: never
		s.whole = math.MaxInt64
		return s
	}
	s.part = new(big.Int).And(n, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
	s.whole = n.Rsh(n, 64).Uint64()
	return s
}

// Paced says whether events are spread at all.
func (s Schedule) Paced() bool { return s.whole|s.part != 0 }

// Start is when event 0 is due.
func (s Schedule) Start() int64 { return s.start }

// At is when event i (from 0) is due; a time beyond the clock's range is its end.
func (s Schedule) At(i int64) int64 {
	if i <= 0 {
		return s.start
	}
	over, ns := bits.Mul64(s.whole, uint64(i))
	carry, _ := bits.Mul64(s.part, uint64(i))
	ns, c := bits.Add64(ns, carry, 0)
	if over != 0 || c != 0 || ns > uint64(math.MaxInt64-max(s.start, 0)) {
		return math.MaxInt64
	}
	return s.start + int64(ns)
}

// Due is how many events are due at ns or before: a generator that wakes up late sends that
// many less what it has sent. Without pacing that is all of them.
func (s Schedule) Due(ns int64) int64 {
	if ns < s.start {
		return 0
	}
	if !s.Paced() {
		return math.MaxInt64
	}
	per := float64(s.whole) + float64(s.part)/(1<<64)
	guess := float64(ns-s.start) / per
	if guess >= 1<<62 {
		return 1 << 62
	}
	// The division is a few units off at most; At decides.
	i := int64(guess)
	for s.At(i) > ns {
		i--
	}
	for s.At(i+1) <= ns {
		i++
	}
	return i + 1
}
