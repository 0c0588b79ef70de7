package pace

import (
	"math"
	"math/big"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const hour = int64(3_600_000_000_000)

// exact is floor(start + i/perS) by rational arithmetic.
func exact(start, i int64, perS float64) int64 {
	x := new(big.Rat).SetFloat64(perS)
	x.Inv(x)
	x.Mul(x, new(big.Rat).SetInt64(i))
	x.Mul(x, new(big.Rat).SetInt64(1e9))
	q := new(big.Int).Div(x.Num(), x.Denom())
	return start + q.Int64()
}

func TestScheduleIsExactOverHours(t *testing.T) {
	rng := testkit.Rand(t)
	for _, perS := range []float64{1, 3, 7, 2000, 44_100, 150_000, 999_983, 1e6, 3e6, 0.25, 0.1, 333.3, 12_345.678, 1e-3} {
		s := Every(hour, perS)
		last := int64(100 * 3600 * perS) // hundred hours
		slack := int64(0)
		if perS != math.Trunc(perS) {
			slack = 1
		}
		for n := range int64(2000) {
			i := n
			if n >= 1000 {
				i = rng.Int64N(last + 1)
			}
			if got, want := s.At(i), exact(hour, i, perS); got < want || got > want+slack {
				t.Fatalf("%v a second: event %d at %d, want %d (+%d)", perS, i, got, want, slack)
			}
		}
	}
	if got := Every(0, 2000).At(2000 * 3600 * 24); got != 24*hour {
		t.Errorf("event 2000*86400 of 2000 a second is at %d ns, want a day", got)
	}
}

func TestDueIsTheInverseOfAt(t *testing.T) {
	rng := testkit.Rand(t)
	for range 20_000 {
		perS := math.Exp(rng.Float64()*20 - 4) // 0.02 to 9 million
		s := Every(rng.Int64N(hour), perS)
		ns := s.Start() + rng.Int64N(10*hour)
		n := s.Due(ns)
		if n < 1 || s.At(n-1) > ns || s.At(n) <= ns {
			t.Fatalf("%v a second from %d: %d due at %d, but event %d is at %d and %d at %d",
				perS, s.Start(), n, ns, n-1, s.At(n-1), n, s.At(n))
		}
	}
	if got := Every(100, 1000).Due(99); got != 0 {
		t.Errorf("%d events are due before the start, want 0", got)
	}
}

func TestScheduleWithoutPacing(t *testing.T) {
	for _, perS := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		s := Every(42, perS)
		if s.Paced() || s.At(0) != 42 || s.At(math.MaxInt64) != 42 || s.Due(42) != math.MaxInt64 {
			t.Errorf("rate %v: paced %v, At %d, Due %d; want all due at the start", perS, s.Paced(), s.At(7), s.Due(42))
		}
	}
}

func TestScheduleEndsAtTheEndOfTime(t *testing.T) {
	for _, s := range []Schedule{Every(5, 1e-300), Every(5, 1), Every(math.MaxInt64-3, 1e9)} {
		if got := s.At(math.MaxInt64); got != math.MaxInt64 {
			t.Errorf("the last event is at %d, want the end of the clock", got)
		}
		if s.At(0) > s.At(1) {
			t.Error("event 1 is before event 0")
		}
	}
}

func TestUntilIsNeverEarly(t *testing.T) {
	p := NewPacer()
	for _, locked := range []bool{false, true} {
		if locked {
			p.Lock()
			p.Lock() // a second time changes nothing
			defer p.Unlock()
		}
		s := Every(Now(), 3000)
		for i := range int64(60) {
			late := p.Until(s.At(i))
			if now := Now(); late < 0 || now < s.At(i) || now-s.At(i) < late {
				t.Fatalf("event %d: due %d, now %d, late %d", i, s.At(i), now, late)
			}
		}
		if late := p.Until(Now() - 1000); late < 1000 {
			t.Errorf("a time that passed 1000 ns ago: late %d", late)
		}
	}
}

func TestUntilTakesNoMemory(t *testing.T) {
	p := NewPacer()
	if n := testing.AllocsPerRun(20, func() { p.Until(Now() + 2*Spin) }); n != 0 {
		t.Errorf("%v allocations per wait, want 0", n)
	}
}

// A server that answers in 1 us, but does nothing from second 1 to 1.5, gets 1000 requests a
// second from one connection that sends one at a time. In virtual time, so all of it is exact:
// of 10 s of requests 5 % were due in the stall, though only one of them was under way.
// HdrHistogram's own correction, which knows only the interval, is the oracle.
func TestStallCountsForAllThatItHeldUp(t *testing.T) {
	const perS, seconds, service = 1000, 10, int64(1000)
	stallFrom, stallTo := int64(1e9), int64(15e8)
	serve := func(ns int64) int64 { // when a request sent at ns is answered
		if ns+service > stallFrom && ns < stallTo {
			return stallTo + service
		}
		return ns + service
	}
	corrected, uncorrected, lateness := hist.New(), hist.New(), hist.New()
	oracle := hdrhistogram.New(1, hist.Highest, 3)
	s, free := Every(0, perS), int64(0)
	for i := range int64(perS * seconds) {
		sent := max(s.At(i), free)
		free = serve(sent)
		corrected.Record(free - s.At(i))
		uncorrected.Record(free - sent)
		lateness.Record(sent - s.At(i))
		if sent > s.At(i) {
			continue // the correction makes up for those that were held up
		}
		if err := oracle.RecordCorrectedValue(free-sent, 1e9/perS); err != nil {
			t.Fatal(err)
		}
	}
	if got := uncorrected.Percentile(99.9); got > 2*1e3 {
		t.Errorf("uncorrected p99.9 is %v: one request of 10000 saw the stall", got)
	}
	// 5 % were held up, evenly from 500 ms down to nothing: at 97.5 % half the stall is left.
	for _, p := range []float64{50, 96, 97.5, 99, 99.9} {
		got, want := float64(corrected.Percentile(p)), float64(oracle.ValueAtQuantile(p))
		if math.Abs(got-want) > 0.02*want {
			t.Errorf("p%v: corrected %.0f us, HdrHistogram's correction %.0f us", p, got/1e3, want/1e3)
		}
	}
	if got := lateness.Percentile(99); got < 300e6 {
		t.Errorf("lateness p99 is %v: a closed sender must be late by most of the stall", got)
	}
}

func BenchmarkAt(b *testing.B) {
	s := Every(0, 150_000)
	var sum int64
	for i := range b.N {
		sum += s.At(int64(i))
	}
	if sum < 0 {
		b.Log(sum) // so that it is not left out
	}
}

func BenchmarkNow(b *testing.B) {
	for range b.N {
		Now()
	}
}

// BenchmarkUntil waits for 1 ms at a time and reports how late it was, in microseconds.
func BenchmarkUntil(b *testing.B) {
	for _, locked := range []bool{false, true} {
		name := "unlocked"
		if locked {
			name = "locked"
		}
		b.Run(name, func(b *testing.B) {
			p, h := NewPacer(), hist.New()
			if locked {
				p.Lock()
				defer p.Unlock()
			}
			s := Every(Now(), 1000)
			for i := range b.N {
				h.Record(p.Until(s.At(int64(i))))
			}
			b.ReportMetric(float64(h.Percentile(50))/1e3, "late-p50-us")
			b.ReportMetric(float64(h.Percentile(99))/1e3, "late-p99-us")
			b.ReportMetric(float64(h.Percentile(99.9))/1e3, "late-p99.9-us")
		})
	}
}
