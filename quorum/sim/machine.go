package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"

	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/raftlog"
	"github.com/millrace/millrace/quorum/server"
	"github.com/millrace/millrace/quorum/zoocfg"
)

const dataDir = "data"

// Machine is one server's host: a disk that stays and a process that comes and goes.
type Machine struct {
	w    *World
	id   int
	host string
	line zoocfg.Server
	// servers is what its zoo.cfg says.
	servers []zoocfg.Server
	log     *slog.Logger
	clock   *hostClock

	mu   sync.Mutex
	disk *memfs.FS // what the next process starts on
	proc *process  // nil while none runs
	// damaged: the disk was, on purpose.
	damaged bool
}

// process is one life of a server.
type process struct {
	disk  *memfs.FS
	fs    *errorfs.FS
	store *raftlog.Store
	node  *node.Node
	port  *server.Server
	sink  *observer
	done  chan struct{} // closed when it was killed
}

// Start starts the server, if it does not run.
func (m *Machine) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc != nil {
		return nil
	}
	p := &process{disk: m.disk, fs: errorfs.Wrap(m.disk, nil), done: make(chan struct{})}
	if err := m.start(p); err != nil {
		m.w.net.Kill(m.host)
		p.close()
		return fmt.Errorf("server %d: %w", m.id, err)
	}
	m.proc = p
	m.w.addWorker(p)
	m.w.tasks.Go(func() { m.mourn(p) })
	return nil
}

func (m *Machine) start(p *process) (err error) {
	host := hostNet{m.w.net.Host(m.host), m.clock}
	p.store, err = raftlog.Open(raftlog.Options{
		FS: p.fs, Clock: m.clock, Log: m.log, Dir: dataDir,
		SegmentBytes: 64 << 10, ReserveBytes: 128 << 10, Retain: 2,
	})
	if err != nil {
		return err
	}
	o := m.w.o
	p.node, err = node.Start(context.Background(), node.Options{
		MyID: m.id, Servers: m.servers, Net: host, TickTime: o.Tick, SyncLimit: o.SyncLimit, InitLimit: 20,
		Stores:          node.Stores{Log: p.store.Logs(), Stable: p.store.Stable(), Snapshots: p.store.Snapshots(), Failed: p.store.Failed(), Err: p.store.Err},
		SnapshotEntries: o.SnapshotEntries, TrailingLogs: o.TrailingLogs, Clock: m.clock, Log: m.log,
		Rand: m.w.random(), ContainerCheckInterval: o.ContainerCheck,
	})
	if err != nil {
		return err
	}
	p.sink = m.w.truth.observe(m.id, p.node)
	listener, err := host.Listen(context.Background(), m.clientAddr())
	if err != nil {
		return err
	}
	p.port, err = server.Start(server.Options{
		Member: server.Of(p.node, nil), Listeners: []net.Listener{listener}, Clock: m.clock, Log: m.log,
		Config: server.Config{TickTime: o.Tick, MinSessionTimeout: 2 * o.Tick, MaxSessionTimeout: 100 * o.Tick},
	})
	return err
}

func (m *Machine) clientAddr() string { return m.host + ":2181" }

// mourn notices when a process ends by itself.
func (m *Machine) mourn(p *process) {
	select {
	case <-p.done:
	case <-p.node.Done():
		m.mu.Lock()
		mine := m.proc == p
		m.mu.Unlock()
		if mine {
			err := p.node.Wait()
			m.w.ended(m, err)
			m.crash(p, false, 100)
		}
	}
}

// Kill ends the process as kill -9 does: what it wrote stays in the page cache.
func (m *Machine) Kill() { m.crash(nil, false, 100) }

// PowerCut ends everything: of what was not synced each part stays with the given probability
// in percent, and nobody is told.
func (m *Machine) PowerCut(percent int) { m.crash(nil, true, percent) }

// crash ends process p, or whatever runs.
func (m *Machine) crash(p *process, power bool, percent int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc == nil || p != nil && m.proc != p {
		return
	}
	p, m.proc = m.proc, nil
	if power {
		m.w.net.PowerOff(m.host)
	} else {
		m.w.net.Kill(m.host)
	}
	m.disk = p.disk.CrashClone(m.w.rand(), percent)
	p.disk.PowerOff()
	close(p.done)
	m.w.tasks.Go(p.close)
}

// close ends what is left of a process that can do no harm any more.
func (p *process) close() {
	if p.sink != nil {
		p.sink.detach()
	}
	if p.port != nil {
		_ = p.port.Close()
	}
	if p.node != nil {
		_ = p.node.Close()
	}
	if p.store != nil {
		p.store.Kill()
	}
}

// Running is the process, or nil.
func (m *Machine) Running() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc
}

// Leads tells whether the server leads.
func (m *Machine) Leads() bool {
	p := m.Running()
	return p != nil && p.node.Status().Mode == node.Leader
}

// Faults sets what the disk does wrong from now on; nil: nothing.
func (m *Machine) Faults(rule errorfs.Rule) {
	if p := m.Running(); p != nil {
		p.fs.SetRule(rule)
	}
}

// source is a generator for who wants a reader.
type source struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (s *source) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return len(b), nil
}
