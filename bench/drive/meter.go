package drive

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/result"
)

// pollEvery is how often the memory of the broker is looked at.
const pollEvery = 100 * time.Millisecond

// profileFor is how long profiles are taken when only the number of records is known.
const profileFor = 5 * time.Second

// meter reads what broker and generator spend, and passes the intervals of a run on. The
// engines call steady, end and point from one goroutine each at a time.
type meter struct {
	ctx      context.Context
	spec     *Spec
	progress Progress
	broker   *observe.Watcher // nil: cannot be seen
	self     *observe.Watcher // nil: not on this system

	mu       sync.Mutex
	from, to edges
	isSteady bool
	ended    bool
	lost     error // the broker's process ended
	lastCPU  time.Duration
	lastAt   time.Time
	series   []result.Point
	stopPoll func()
	notes    []string

	profiles chan struct{} // closed when the profiles are taken; nil: none were asked for
	files    []string
	fileErr  error
}

// edges are the samples at one end of the steady phase.
type edges struct{ broker, self observe.Sample }

func newMeter(ctx context.Context, s *Spec, address string, p Progress) *meter {
	m := &meter{ctx: ctx, spec: s, progress: p, stopPoll: func() {}}
	m.watch(address)
	if self, err := observe.Self(); err == nil {
		m.self = self
	}
	if m.broker == nil {
		return m
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.broker.Poll(ctx, pollEvery)
	}()
	m.stopPoll = func() {
		cancel()
		<-done
	}
	m.lastAt = time.Now()
	m.lastCPU, _ = m.broker.CPU()
	return m
}

// watch finds the broker's process. Without its admin port less is known, not nothing.
func (m *meter) watch(address string) {
	o := observe.Options{PID: m.spec.BrokerPID, Address: address, Admin: m.spec.Admin, Trace: m.spec.Trace}
	w, err := observe.Open(o)
	var admin *observe.AdminError
	if errors.As(err, &admin) {
		m.notes = append(m.notes, err.Error())
		o.Admin = ""
		w, err = observe.Open(o)
	}
	if err != nil {
		m.notes = append(m.notes, "broker: "+err.Error())
		return
	}
	m.broker = w
}

// steady marks the end of the warm-up. It takes milliseconds when there is an admin port:
// the steady phase begins when it returns.
func (m *meter) steady() {
	m.progress.Phase(m.spec.Name, "steady")
	m.mu.Lock()
	defer m.mu.Unlock()
	m.from, m.isSteady = m.sample(), true
	m.lastCPU, m.lastAt = m.from.broker.CPUEnded, m.from.broker.Ended
	m.profile()
}

// profile takes the profiles beside the steady phase.
func (m *meter) profile() {
	if !m.spec.Flame.Enabled() {
		return
	}
	seconds := m.spec.Duration
	if seconds <= 0 {
		seconds = profileFor
	}
	flags := *m.spec.Flame
	if flags.Admin == "" {
		flags.Admin = m.spec.Admin
	}
	m.profiles = make(chan struct{})
	go func() {
		defer close(m.profiles)
		m.files, m.fileErr = flags.Take(m.ctx, seconds, m.spec.Name)
	}()
}

// end marks the end of the steady phase; only the first call counts.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isSteady && !m.ended {
		m.to, m.ended = m.sample(), true
	}
}

func (m *meter) sample() (e edges) {
	if m.self != nil {
		e.self, _ = m.self.Sample() // its own clock cannot fail once it was read
	}
	if m.broker != nil {
		var err error
		if e.broker, err = m.broker.Sample(); err != nil {
			m.lost = err
		}
	}
	return e
}

// point completes an interval with the broker's CPU and passes it on.
func (m *meter) point(p result.Point) {
	m.mu.Lock()
	p.Warmup = !m.isSteady
	if m.broker != nil {
		now := time.Now()
		if cpu, err := m.broker.CPU(); err == nil && now.After(m.lastAt) {
			p.BrokerCores = (cpu - m.lastCPU).Seconds() / now.Sub(m.lastAt).Seconds()
			m.lastCPU, m.lastAt = cpu, now
		}
	}
	m.series = append(m.series, p)
	m.mu.Unlock()
	m.progress.Point(m.spec.Name, p)
}

// fill writes costs and intervals into the run, whose counts are there.
func (m *meter) fill(run *result.Run) {
	m.mu.Lock()
	defer m.mu.Unlock()
	run.Series = m.series
	m.note(run)
	if !m.ended {
		return
	}
	units := observe.Units{Records: run.Records, Requests: run.Requests, Bytes: run.Bytes, Seconds: run.SteadyS}
	if m.self != nil {
		run.Generator = m.self.Cost(m.from.self, m.to.self, units)
	}
	if m.broker != nil && m.lost == nil {
		run.Broker = m.broker.Cost(m.from.broker, m.to.broker, units)
	}
}

func (m *meter) note(run *result.Run) {
	if m.lost != nil {
		m.notes = append(m.notes, "broker: "+m.lost.Error())
	}
	if m.profiles != nil {
		<-m.profiles
		if len(m.files) > 0 {
			m.notes = append(m.notes, "a profile was taken meanwhile: "+strings.Join(m.files, ", "))
		}
		if m.fileErr != nil {
			m.notes = append(m.notes, m.fileErr.Error())
		}
	}
	if run.Note != "" {
		m.notes = append([]string{run.Note}, m.notes...)
	}
	run.Note = strings.Join(m.notes, "; ")
}

func (m *meter) close() {
	m.stopPoll()
	if m.broker != nil {
		m.broker.Close()
	}
	if m.self != nil {
		m.self.Close()
	}
}
