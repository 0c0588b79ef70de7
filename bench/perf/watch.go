package perf

import (
	"context"
	"strings"
	"time"

	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/result"
)

// watch takes what the broker and this process spend in the steady phase. A broker that
// cannot be seen (another machine, another user) is no error: why says so.
type watch struct {
	broker, self *observe.Watcher // nil: not seen
	why          string           // broker is nil: because of this
	began, ended [2]observe.Sample
	stop         context.CancelFunc
	stopped      chan struct{}
}

// openWatch finds the broker behind the first address of bootstrap, unless pid is given.
func openWatch(bootstrap string, pid int, admin string) *watch {
	w := &watch{}
	first, _, _ := strings.Cut(bootstrap, ",")
	if _, rest, ok := strings.Cut(first, "://"); ok {
		first = rest
	}
	broker, err := observe.Open(observe.Options{PID: pid, Address: strings.TrimSpace(first), Admin: admin})
	if err != nil {
		w.why = err.Error()
	} else {
		w.broker = broker
	}
	if self, err := observe.Self(); err == nil {
		w.self = self
	}
	return w
}

// both calls f for the watchers that there are.
func (w *watch) both(f func(i int, o *observe.Watcher)) {
	for i, o := range []*observe.Watcher{w.broker, w.self} {
		if o != nil {
			f(i, o)
		}
	}
}

// begin is the start of the steady phase.
func (w *watch) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	w.stop, w.stopped = cancel, make(chan struct{})
	w.both(func(i int, o *observe.Watcher) { w.began[i] = sample(o) })
	go func() {
		defer close(w.stopped)
		if w.broker != nil {
			w.broker.Poll(ctx, 200*time.Millisecond)
		}
	}()
}

// end is the end of the steady phase; it may be called without begin.
func (w *watch) end() {
	if w.stop == nil {
		return
	}
	w.stop()
	<-w.stopped
	w.both(func(i int, o *observe.Watcher) { w.ended[i] = sample(o) })
}

// sample is the zero Sample when the process is gone: that shows as an error of the load.
func sample(o *observe.Watcher) observe.Sample {
	s, err := o.Sample()
	if err != nil {
		return observe.Sample{}
	}
	return s
}

// costs fills in what a run spent.
func (w *watch) costs(run *result.Run) {
	if w.stop == nil {
		return
	}
	units := observe.Units{Records: run.Records, Requests: run.Requests, Bytes: run.Bytes, Seconds: run.SteadyS}
	w.both(func(i int, o *observe.Watcher) {
		if w.ended[i].Began.IsZero() || w.began[i].Began.IsZero() {
			return
		}
		cost := o.Cost(w.began[i], w.ended[i], units)
		if i == 0 {
			run.Broker = cost
		} else {
			run.Generator = cost
		}
	})
}

func (w *watch) close() {
	w.both(func(_ int, o *observe.Watcher) { o.Close() })
}
