package suite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/bench/drive"
	"github.com/millrace/millrace/bench/launch"
	"github.com/millrace/millrace/bench/limits"
	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

// rig is what the suite measures with; tests have one that measures nothing.
type rig interface {
	// Broker returns a broker with these settings (a running one keeps its own), to be
	// given back with its Stop.
	Broker(ctx context.Context, settings map[string]string) (*Target, error)
	Drive(ctx context.Context, s drive.Spec, p drive.Progress) (result.Run, error)
	Floor(ctx context.Context, s limits.Spec) (result.Floor, error)
}

// Target is a broker that is measured.
type Target struct {
	Bootstrap string
	Props     cli.Props
	PID       int    // 0: looked for by its address
	Admin     string // HOST:PORT, "": none
	DataDir   string // its log directory on this machine, "": unknown
	Stop      func(ctx context.Context) error
}

// aim points s at the broker.
func (t *Target) aim(s drive.Spec) drive.Spec {
	s.Bootstrap, s.Props, s.BrokerPID, s.Admin = t.Bootstrap, t.Props, t.PID, t.Admin
	return s
}

// Aim is the scenario's load on the broker t.
func (s Scenario) Aim(t *Target) drive.Spec {
	load := t.aim(s.Load)
	load.Name, load.Group = s.Name, s.Group
	if s.Cold {
		load.Cold = t.emptyCache()
	}
	return load
}

// Machine measures brokers for real: Running when it is set, else ones that it starts. Close
// it.
type Machine struct {
	Running    *Target           // a broker that runs already; nil: start one for each scenario
	Binary     string            // of brokers that are started; "": this executable
	TempDir    string            // where they and the floors keep their data; "": the system's
	Settings   map[string]string // of brokers that are started, over those of this package
	Congestion string            // TCP congestion control of the generator and the floors
	SampleTime time.Duration     // of one sample of a floor
	AllWays    bool              // try each way of a floor's work, and take the cheapest
	// HoldBytes of memory are held between runs and lent to each, so that neither a broker nor
	// a floor meets memory that a host has to back first, which costs up to 20 times more.
	// 0: a quarter of the machine's, at most 6 GiB.
	HoldBytes int64

	floors *limits.Bench
	ways   map[limits.Spec]limits.Spec // the way that was the cheapest
}

// Broker implements rig.
func (m *Machine) Broker(ctx context.Context, settings map[string]string) (*Target, error) {
	if m.Running != nil {
		t := *m.Running
		t.Stop = func(context.Context) error { return nil }
		return &t, nil
	}
	// What a run deletes must be gone from disk and page cache when the next one begins.
	config := map[string]string{"log.segment.delete.delay.ms": deleteDelayMs}
	for _, more := range []map[string]string{settings, m.Settings} {
		for k, v := range more {
			config[k] = v
		}
	}
	b, err := launch.Start(ctx, launch.Options{Binary: m.Binary, TempDir: m.TempDir, Config: config})
	if err != nil {
		return nil, err
	}
	return &Target{Bootstrap: b.Address(), PID: b.PID(), Admin: b.Admin(), DataDir: filepath.Join(b.Dir(), "data"), Stop: b.Stop}, nil
}

// Drive implements rig.
func (m *Machine) Drive(ctx context.Context, s drive.Spec, p drive.Progress) (result.Run, error) {
	s.Congestion = m.Congestion
	if writes := s.Kind != drive.Consume && s.Kind != drive.Idle && (s.Kind != drive.FanOut || s.Producers > 0); !writes {
		return drive.Run(ctx, s, p)
	}
	// Without memory to lend (not on Linux) a run is a run all the same.
	if err := m.open(); err != nil || m.floors.Lend() != nil {
		return drive.Run(ctx, s, p)
	}
	run, err := drive.Run(ctx, s, p)
	if s.Floor != "" {
		return run, err // its floor follows, and holds the memory again when it is done
	}
	select {
	case <-time.After(deleteTime):
		_ = m.floors.Return() // what cannot be taken is not held
	case <-ctx.Done():
	}
	return run, err
}

// deleteTime is how long a broker takes to delete the log of a topic that is gone, with
// deleteDelayMs: only then its memory is free to be held again.
const (
	deleteDelayMs = "100"
	deleteTime    = 250 * time.Millisecond
)

// open prepares the floors and holds memory, once.
func (m *Machine) open() error {
	if m.floors != nil {
		return nil
	}
	hold := m.HoldBytes
	if hold == 0 {
		hold = min(observe.Machine(m.TempDir).MemoryBytes/4, 6*gib)
	}
	b, err := limits.Open(limits.Options{Dir: m.TempDir, SampleTime: m.SampleTime, HoldBytes: hold})
	if err == nil {
		m.floors, m.ways = b, map[limits.Spec]limits.Spec{}
	}
	return err
}

// Floor implements rig. A sample that met memory which the host had not given to this
// machine yet says more about the host than about the system calls: it is taken again.
func (m *Machine) Floor(ctx context.Context, s limits.Spec) (result.Floor, error) {
	s.Congestion = m.Congestion
	way, err := m.way(ctx, s)
	if err != nil {
		return result.Floor{}, err
	}
	var sample limits.Sample
	for range floorAttempts {
		if sample, err = m.floors.Sample(ctx, way); err != nil {
			return result.Floor{}, err
		}
		if sample.SlowShare <= mostSlow {
			break
		}
	}
	f := limits.Summarize([]limits.Sample{sample})
	f.Name = s.Name()
	if way.Way != "" {
		f.Title += " (" + way.Way + ")"
	}
	return f, nil
}

const (
	floorAttempts = 3
	mostSlow      = 0.25 // of a sample's time
)

// way returns s with the way of doing its work that is the cheapest here.
func (m *Machine) way(ctx context.Context, s limits.Spec) (limits.Spec, error) {
	if err := m.open(); err != nil {
		return s, err
	}
	way, known := m.ways[s]
	if known || !m.AllWays {
		if !known {
			s.Way = limits.Ways(s)[0] // usually the cheapest
			return s, nil
		}
		return way, nil
	}
	way, err := m.floors.Cheapest(ctx, s, 1)
	if err == nil {
		m.ways[s] = way
	}
	return way, err
}

// Close removes what floors were measured with.
func (m *Machine) Close() error {
	if m.floors == nil {
		return nil
	}
	return m.floors.Close()
}

// stopTimeout bounds the clean stop of a broker between two scenarios.
const stopTimeout = time.Minute

// End stops a broker that was started for the purpose, also after an interrupt.
func (t *Target) End(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return t.Stop(ctx)
}

// ColdError says that the page cache of a broker cannot be emptied.
type ColdError struct{ Err error }

func (e *ColdError) Error() string {
	if e.Err == nil {
		return "the broker's data folder is not known, so its page cache cannot be emptied: give --data-dir"
	}
	return fmt.Sprintf("empty the page cache of the broker's data: %v", e.Err)
}

// Unwrap gives the cause, nil when the folder is not known.
func (e *ColdError) Unwrap() error { return e.Err }

// emptyCache returns what drops the pages of the broker's log files.
func (t *Target) emptyCache() func() error {
	return func() error {
		if t.DataDir == "" {
			return &ColdError{}
		}
		if err := dropCache(t.DataDir); err != nil {
			return &ColdError{Err: err}
		}
		return nil
	}
}

// interrupted says whether the end of ctx is why err came.
func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Cause(ctx)))
}
