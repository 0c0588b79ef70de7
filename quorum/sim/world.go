package sim

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/memnet"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// Options are the size and the pace of a world.
type Options struct {
	Servers         int
	Observers       int // besides them
	Clients         int
	Tick            time.Duration
	SyncLimit       int
	SessionTimeout  time.Duration
	SnapshotEntries uint64
	TrailingLogs    uint64
	ContainerCheck  time.Duration // 0: the default
	MaxDelay        time.Duration // of a message
	Log             *slog.Logger  // nil: silent
}

// DefaultOptions is an ensemble of three that snapshots often.
func DefaultOptions() Options {
	tick := 200 * time.Millisecond
	return Options{
		Servers: 3, Clients: 4, Tick: tick, SyncLimit: 5, SessionTimeout: 20 * tick,
		SnapshotEntries: 150, TrailingLogs: 40, MaxDelay: 3 * time.Millisecond,
	}
}

// SomeOptions are those of three servers, of three and an observer, or of five.
func SomeOptions(rng *rand.Rand) Options {
	o := DefaultOptions()
	switch rng.IntN(4) {
	case 0:
		o.Observers = 1
	case 1:
		o.Servers = 5
	}
	return o
}

// World is an ensemble, its network and what is known of it.
type World struct {
	t       testing.TB
	o       Options
	net     *memnet.Network
	m       []*Machine // the members, in the world's own goroutine only
	nextID  int
	clocks  []*hostClock // of all servers that there ever were
	truth   *truth
	clients []*Client
	tasks   sync.WaitGroup // goroutines that end with the world

	rngMu sync.Mutex
	rng   *rand.Rand

	mu      sync.Mutex
	clock   int64 // orders calls and returns; guarded by mu
	ends    []error
	notes   []string
	workers []*worker
	silent  bool // nothing new is to be begun
}

// New makes a world. It must be called within synctest.Test.
func New(t testing.TB, seed uint64, o Options) *World {
	w := &World{t: t, o: o, net: memnet.New(), rng: testkit.NewRand(seed)}
	w.truth = newTruth(t)
	if o.Log == nil {
		w.o.Log = slog.New(slog.DiscardHandler)
	}
	w.net.SetDelay(func(_, _ string) time.Duration {
		return time.Duration(w.intN(int(o.MaxDelay) + 1))
	})
	var servers []zoocfg.Server
	for id := 1; id <= o.Servers+o.Observers; id++ {
		m := w.machine(id)
		m.line.Observer = id > o.Servers
		w.m, servers = append(w.m, m), append(servers, m.line)
	}
	for _, m := range w.m {
		m.servers = servers
	}
	w.nextID = len(w.m) + 1
	return w
}

// machine makes a server's host.
func (w *World) machine(id int) *Machine {
	host, clock := hostOf(id), newHostClock()
	w.clocks = append(w.clocks, clock)
	if w.intN(2) == 0 {
		clock.jump(w.someStep())
	}
	return &Machine{
		w: w, id: id, host: host, disk: memfs.New(), log: w.o.Log.With("server", id), clock: clock,
		line: zoocfg.Server{ID: int64(id), Host: host, PeerPort: 2888, ElectionPort: 3888, ClientPort: 2181},
	}
}

func hostOf(id int) string { return fmt.Sprintf("10.0.0.%d", id) }

// rand is a generator of its own, so that goroutines do not share one.
func (w *World) rand() *rand.Rand {
	w.rngMu.Lock()
	defer w.rngMu.Unlock()
	return testkit.NewRand(w.rng.Uint64())
}

func (w *World) intN(n int) int {
	w.rngMu.Lock()
	defer w.rngMu.Unlock()
	return w.rng.IntN(n)
}

func (w *World) random() io.Reader { return &source{rng: w.rand()} }

// now is a time that orders events which happen at the same time of the clock.
func (w *World) now() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock++
	return w.clock
}

// ended notes that a server ended by itself.
func (w *World) ended(m *Machine, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, fmt.Errorf("server %d: %w", m.id, err))
	w.notes = append(w.notes, w.ends[len(w.ends)-1].Error())
}

// Ends are the reasons for which servers ended by themselves.
func (w *World) Ends() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]error(nil), w.ends...)
}

// isQuiet tells whether nothing new is to be begun.
func (w *World) isQuiet() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.silent
}

// log keeps a line for the end.
func (w *World) log(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

// Summary tells what the run was.
func (w *World) Summary() string {
	s := fmt.Sprintf("%d transactions, all known: %v", len(w.truth.all()), w.truth.whole())
	requests, unknown, sessions, expired, events, breaks := 0, 0, 0, 0, 0, 0
	for _, c := range w.clients {
		for _, l := range c.lives {
			sessions++
			breaks += l.breaks
			if l.expired {
				expired++
			}
			for _, o := range l.ops {
				requests++
				if o.unknown {
					unknown++
				}
			}
			for _, e := range l.events {
				if e.kind == gotEvent {
					events++
				}
			}
		}
	}
	s += fmt.Sprintf("; %d requests, %d with unknown outcome; %d sessions, %d expired, %d breaks; %d events", requests, unknown, sessions, expired, breaks, events)
	tasks, again := 0, 0
	for _, k := range w.workers {
		for _, t := range k.tasks {
			tasks++
			again += t.sends - 1
		}
	}
	s += fmt.Sprintf("; %d workers, %d tasks, %d sent again", len(w.workers), tasks, again)
	if all := w.truth.all(); len(all) > 0 {
		s += fmt.Sprintf("; terms to %d", all[len(all)-1].zxid>>32)
	}
	for _, note := range w.notes {
		s += "\n  " + note
	}
	return s
}

// StartAll starts all servers.
func (w *World) StartAll() {
	for _, m := range w.m {
		if err := m.Start(); err != nil {
			w.t.Errorf("start: %v", err)
		}
	}
}

// maxServers is how many there are at most in the life of a world.
const maxServers = 8

// connectString names all servers that there may ever be.
func connectString() string {
	var s []string
	for id := range maxServers {
		s = append(s, hostOf(id+1)+":2181")
	}
	return strings.Join(s, ",")
}

// Leader is the index of the machine that leads, or -1.
func (w *World) Leader() int {
	for i, m := range w.m {
		if m.Leads() {
			return i
		}
	}
	return -1
}

// WaitFor waits on the world's clock until cond holds.
func (w *World) WaitFor(what string, within time.Duration, cond func() bool) bool {
	for end := time.Now().Add(within); !cond(); time.Sleep(w.o.Tick / 20) {
		if time.Now().After(end) {
			w.t.Errorf("waited %v in vain: %s", within, what)
			return false
		}
	}
	return true
}

// Close ends everything.
func (w *World) Close() {
	for _, c := range w.clients {
		c.abandon()
	}
	for _, m := range w.m {
		m.Kill()
	}
	w.net.HealAll()
	w.tasks.Wait()
}
