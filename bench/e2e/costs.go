package e2e

import (
	"strings"
	"time"

	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/result"
)

// costs is what the broker and this process spend in the steady phase. A broker that cannot
// be seen (another machine, another user) is no error: why says so.
type costs struct {
	broker, self *observe.Watcher // nil: not seen
	why          string
	from, to     [2]observe.Sample
	lastCPU      time.Duration
	lastAt       time.Time
}

func openCosts(o *options) *costs {
	c := &costs{}
	first, _, _ := strings.Cut(o.bootstrap, ",")
	if _, rest, ok := strings.Cut(first, "://"); ok {
		first = rest
	}
	broker, err := observe.Open(observe.Options{PID: o.pid, Address: strings.TrimSpace(first), Admin: o.flame.Admin})
	if err != nil {
		c.why = err.Error()
	} else {
		c.broker = broker
	}
	if self, err := observe.Self(); err == nil {
		c.self = self
	}
	return c
}

// each calls f for the processes that are seen.
func (c *costs) each(f func(i int, w *observe.Watcher)) {
	for i, w := range []*observe.Watcher{c.broker, c.self} {
		if w != nil {
			f(i, w)
		}
	}
}

// A process that is gone leaves a zero Sample: the loop itself fails then, and says more.
func (c *costs) begin() {
	c.each(func(i int, w *observe.Watcher) { c.from[i], _ = w.Sample() })
}

func (c *costs) end() {
	c.each(func(i int, w *observe.Watcher) { c.to[i], _ = w.Sample() })
}

// cores is what the broker used since the last call, in cores; 0 when it is not seen.
func (c *costs) cores(now time.Time) float64 {
	if c.broker == nil {
		return 0
	}
	cpu, err := c.broker.CPU()
	if err != nil {
		return 0
	}
	used, since := cpu-c.lastCPU, now.Sub(c.lastAt)
	first := c.lastAt.IsZero()
	c.lastCPU, c.lastAt = cpu, now
	if first || since <= 0 {
		return 0
	}
	return used.Seconds() / since.Seconds()
}

// fill puts what was spent into run.
func (c *costs) fill(run *result.Run) {
	if run.SteadyS <= 0 {
		return
	}
	units := observe.Units{Records: run.Records, Bytes: run.Bytes, Seconds: run.SteadyS}
	c.each(func(i int, w *observe.Watcher) {
		if c.from[i].Ended.IsZero() || c.to[i].Ended.IsZero() {
			return
		}
		cost := w.Cost(c.from[i], c.to[i], units)
		if i == 0 {
			run.Broker = cost
		} else {
			run.Generator = cost
		}
	})
}

func (c *costs) close() {
	c.each(func(_ int, w *observe.Watcher) { w.Close() })
}
