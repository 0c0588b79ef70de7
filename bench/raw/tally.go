package raw

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/bench/pace"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/wire"
)

// tally counts what replies say. Each generator thread adds to a cell of its own; others
// read the sums.
type tally struct {
	api     string
	cells   []cell
	failure *wire.Failure

	// Error codes, and how many answers in a row failed since when.
	mu        sync.Mutex
	codes     map[int16]int64
	failing   atomic.Int64
	sinceNs   int64
	from, to  sums // at the ends of the steady phase
	codesFrom map[int16]int64
	last      sums // at the last point
	series    []result.Point
}

type cell struct {
	records, bytes, answers, errors atomic.Int64
	_                               [96]byte // cells of two threads share no cache line
}

// sums are records, their bytes, answers (requests replied to) and error codes in them.
type sums struct{ records, bytes, answers, errors int64 }

// A run ends when this many answers in a row failed, and for this long: a leader that is
// just being elected is given time.
const (
	failingAnswers = 1000
	failingFor     = 3 * time.Second
)

func newTally(api string, threads int) *tally {
	return &tally{api: api, cells: make([]cell, max(threads, 1)), failure: new(wire.Failure), codes: map[int16]int64{}}
}

// cell is where the thread of a connection counts.
func (t *tally) cell(conn int) *cell { return &t.cells[conn%len(t.cells)] }

func (t *tally) sums() sums {
	var s sums
	for i := range t.cells {
		c := &t.cells[i]
		s.records += c.records.Load()
		s.bytes += c.bytes.Load()
		s.answers += c.answers.Load()
		s.errors += c.errors.Load()
	}
	return s
}

// good notes an answer without an error.
func (t *tally) good() {
	if t.failing.Load() != 0 {
		t.failing.Store(0)
	}
}

// bad notes an error code and ends a run in which nothing else comes.
func (t *tally) bad(c *cell, code int16) {
	c.errors.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.codes[code]++
	now := pace.Now()
	if n := t.failing.Add(1); n == 1 {
		t.sinceNs = now
	} else if n >= failingAnswers && now-t.sinceNs >= int64(failingFor) {
		t.failure.Fail(&AllFailedError{API: t.api, Codes: maps.Clone(t.codes)})
	}
}

// broken ends the run: a reply makes no sense.
func (t *tally) broken(reason string) { t.failure.Fail(&ReplyError{API: t.api, Reason: reason}) }

// hook puts the tally between the load and whoever watches it.
func (t *tally) hook(l *wire.Load, c *Common) {
	l.Failure = t.failure
	l.OnSteady = func() {
		if c.OnSteady != nil {
			c.OnSteady()
		}
		t.from = t.sums()
		t.last = t.from
		t.mu.Lock()
		t.codesFrom = maps.Clone(t.codes)
		t.mu.Unlock()
	}
	l.OnEnd = func() {
		t.to = t.sums()
		if c.OnEnd != nil {
			c.OnEnd()
		}
	}
	l.OnInterval = func(p result.Point) {
		p = t.point(p)
		t.series = append(t.series, p)
		if c.OnInterval != nil {
			c.OnInterval(p)
		}
	}
}

// point turns wire's requests into records.
func (t *tally) point(p result.Point) result.Point {
	now := t.sums()
	if p.IntervalS > 0 {
		p.RecordsPerS = float64(now.records-t.last.records) / p.IntervalS
		p.MBPerS = float64(now.bytes-t.last.bytes) / 1e6 / p.IntervalS
	}
	t.last = now
	return p
}

// stats joins what wire and the replies say, after the run.
func (t *tally) stats(w wire.Stats, err error) (Stats, error) {
	st := Stats{Stats: w}
	st.Series = t.series
	if w.SteadyS > 0 {
		st.Records, st.Bytes = t.to.records-t.from.records, t.to.bytes-t.from.bytes
		st.Errors = t.to.errors - t.from.errors
		// With a limit of requests wire leaves out those that were under way when the warm-up
		// ended; so do we, in proportion.
		if n := t.to.answers - t.from.answers; n > w.Requests && w.Requests > 0 {
			st.Records = int64(float64(st.Records)*float64(w.Requests)/float64(n) + 0.5)
			st.Bytes = int64(float64(st.Bytes)*float64(w.Requests)/float64(n) + 0.5)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for code, n := range t.codes {
		if n -= t.codesFrom[code]; n > 0 {
			if st.ErrorCodes == nil {
				st.ErrorCodes = map[int16]int64{}
			}
			st.ErrorCodes[code] = n
		}
	}
	if err == nil && t.failing.Load() > 0 && t.sums().records == 0 {
		err = &AllFailedError{API: t.api, Codes: maps.Clone(t.codes)}
	}
	return st, err
}
