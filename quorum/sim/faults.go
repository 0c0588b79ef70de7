package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/raftlog"
)

// Fault breaks something and returns what mends it.
type Fault func(w *World) (heal func())

// victim is a server by chance, the leader more often than not.
func (w *World) victim() *Machine {
	if i := w.Leader(); i >= 0 && w.intN(2) == 0 {
		return w.m[i]
	}
	return w.m[w.intN(len(w.m))]
}

// revive starts a server. Where the disk is damaged on purpose and says so, it gets an empty
// one.
func (m *Machine) revive() {
	err := m.Start()
	if errors.Is(err, raftlog.ErrCorrupt) && m.damaged {
		m.w.log("%v", err)
		m.wipe()
		err = m.Start()
	}
	if err != nil {
		m.w.t.Errorf("start again: %v", err)
	}
}

// wipe gives a server that is down an empty disk, and a zoo.cfg that names who is there.
func (m *Machine) wipe() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disk, m.damaged, m.servers = memfs.New(), false, nil
	for _, member := range m.w.m {
		m.servers = append(m.servers, member.line)
	}
}

// Kill ends a server's process.
func Kill(w *World) func() {
	m := w.victim()
	m.Kill()
	return m.revive
}

// PowerCut takes the power from a server.
func PowerCut(w *World) func() {
	m := w.victim()
	m.PowerCut(w.intN(101))
	return m.revive
}

// PowerCutAll takes it from all.
func PowerCutAll(w *World) func() {
	for _, m := range w.m {
		m.PowerCut(w.intN(101))
	}
	return func() {
		for _, m := range w.m {
			m.revive()
		}
	}
}

// Isolate cuts a server off from the others; its clients still reach it.
func Isolate(w *World) func() {
	m := w.victim()
	for _, other := range w.m {
		if other != m {
			w.net.CutBoth(m.host, other.host)
		}
	}
	return w.net.HealAll
}

// Mute lets nothing that a server says reach the others, who still reach it.
func Mute(w *World) func() {
	m := w.victim()
	for _, other := range w.m {
		if other != m {
			w.net.Cut(m.host, other.host)
		}
	}
	return w.net.HealAll
}

// Deaf lets nothing that the others say reach a server.
func Deaf(w *World) func() {
	m := w.victim()
	for _, other := range w.m {
		if other != m {
			w.net.Cut(other.host, m.host)
		}
	}
	return w.net.HealAll
}

// OneLink cuts one direction between two servers.
func OneLink(w *World) func() {
	a := w.intN(len(w.m))
	b := (a + 1 + w.intN(len(w.m)-1)) % len(w.m)
	w.net.Cut(w.m[a].host, w.m[b].host)
	return w.net.HealAll
}

// Pause stalls all links of a server for longer than a session lasts, as a process does that
// is stopped.
func Pause(w *World) func() {
	m := w.victim()
	for _, other := range w.m {
		if other != m {
			w.net.CutBoth(m.host, other.host)
		}
	}
	for _, c := range w.clients {
		w.net.CutBoth(m.host, c.host)
	}
	time.Sleep(w.o.SessionTimeout + w.o.Tick)
	return w.net.HealAll
}

// ClientCut cuts a client off, for less or more than its session lasts.
func ClientCut(w *World) func() {
	c := w.clients[w.intN(len(w.clients))]
	for _, m := range w.m {
		w.net.CutBoth(c.host, m.host)
	}
	time.Sleep(time.Duration(w.intN(int(2 * w.o.SessionTimeout))))
	return w.net.HealAll
}

// Reset breaks the connections of a server.
func Reset(w *World) func() {
	m := w.victim()
	for _, other := range w.m {
		w.net.Break(m.host, other.host)
	}
	for _, c := range w.clients {
		w.net.Break(m.host, c.host)
	}
	return func() {}
}

// LateStream holds up what a server sends to the leader, and breaks the connections of its
// clients, who go elsewhere with their sessions. Then everything arrives.
func LateStream(w *World) func() {
	leader := w.Leader()
	if leader < 0 {
		return func() {}
	}
	m := w.m[(leader+1+w.intN(len(w.m)-1))%len(w.m)]
	for range 4 {
		w.net.Cut(m.host, w.m[leader].host)
		w.pause(1, 2)
		for _, c := range w.clients {
			w.net.CutBoth(m.host, c.host)
			w.net.Break(m.host, c.host)
		}
		w.pause(1, 2)
		w.net.HealAll()
		w.pause(5, 8)
	}
	return w.net.HealAll
}

// someStep is how far a wall clock may be ahead: seconds, a session's time, hours, days, or as far
// back as one that starts in 1970.
func (w *World) someStep() time.Duration {
	const year = 365 * 24 * time.Hour
	most := []time.Duration{3 * time.Second, 2 * w.o.SessionTimeout, 5 * time.Hour, 48 * time.Hour, 30 * year}[w.intN(5)]
	d := most/2 + time.Duration(w.intN(1000))*most/2000
	if w.intN(2) == 0 {
		return -d
	}
	return d
}

// Jump sets the wall clock of a server, or now and then of a client, once or in some steps, and
// perhaps sets it right at the end.
func Jump(w *World) func() {
	clock := w.victim().clock
	if w.intN(4) == 0 {
		clock = w.clients[w.intN(len(w.clients))].clock
	}
	for range w.intN(4) {
		clock.jump(w.someStep())
		w.pause(1, 6)
	}
	clock.jump(w.someStep())
	return func() {
		if w.intN(2) == 0 {
			clock.jump(0)
		}
	}
}

// FullDisk leaves a server no room.
func FullDisk(w *World) func() {
	m := w.victim()
	m.Faults(errorfs.From(0, errorfs.Fault{Err: syscall.ENOSPC}, errorfs.Kinds(errorfs.Create, errorfs.Allocate)))
	return func() { m.Faults(nil); m.revive() }
}

// FailingSync fails one sync of a server, which has to end with it, and to come back without
// what was not durable.
func FailingSync(w *World) func() {
	m := w.victim()
	m.Faults(errorfs.Once(0, errorfs.Fault{Err: syscall.EIO}, errorfs.Syncs()))
	return func() { m.Faults(nil); m.PowerCut(w.intN(101)); m.revive() }
}

// SlowDisk lets each sync of a server take long.
func SlowDisk(w *World) func() {
	m := w.victim()
	syncs := errorfs.Syncs()
	m.Faults(func(op errorfs.Op) errorfs.Fault {
		if syncs(op) {
			time.Sleep(w.o.Tick / 2)
		}
		return errorfs.Fault{}
	})
	return func() { m.Faults(nil) }
}

// InDoubt takes the power from a leader while its disk is behind the log of just enough followers,
// and brings it back to those who have not seen what is gone, without those who have.
func InDoubt(w *World) func() {
	i := w.Leader()
	if i < 0 {
		return func() {}
	}
	leader := w.m[i]
	others := slices.Delete(slices.Clone(w.m), i, i+1)
	for k := range others {
		j := k + w.intN(len(others)-k)
		others[k], others[j] = others[j], others[k]
	}
	near, far := others[:len(w.m)/2], others[len(w.m)/2:]
	between := func(some, others []*Machine) {
		for _, a := range some {
			for _, b := range others {
				w.net.CutBoth(a.host, b.host)
			}
		}
	}
	between(far, append([]*Machine{leader}, near...))
	syncs := errorfs.Syncs()
	leader.Faults(func(op errorfs.Op) errorfs.Fault {
		if syncs(op) {
			time.Sleep(2 * w.o.Tick)
		}
		return errorfs.Fault{}
	})
	w.pause(1, 2)
	leader.PowerCut(0)
	leader.Faults(nil)
	w.net.HealAll()
	between(near, append([]*Machine{leader}, far...))
	leader.revive()
	w.pause(10, 20)
	return w.net.HealAll
}

// Wipe takes a server its disk.
func Wipe(w *World) func() {
	m := w.victim()
	m.Kill()
	m.wipe()
	return m.revive
}

// DamagedSnapshot flips a bit in the newest snapshot of a server that is down.
func DamagedSnapshot(w *World) func() {
	m := w.victim()
	m.Kill()
	m.flip(dataDir+"/snapshots", ".snapshot")
	return m.revive
}

// DamagedLog flips a bit in the log of a server that is down.
func DamagedLog(w *World) func() {
	m := w.victim()
	m.Kill()
	m.flip(dataDir+"/log", ".log")
	return m.revive
}

// flip changes a byte in the last of the files with a suffix.
func (m *Machine) flip(dir, suffix string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entries, err := m.disk.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range slices.Backward(entries) {
		info, err := e.Info()
		if err != nil || !strings.HasSuffix(e.Name(), suffix) || info.Size() == 0 {
			continue
		}
		f, err := m.disk.OpenFile(path.Join(dir, e.Name()), os.O_RDWR, 0)
		if err != nil {
			return
		}
		at := int64(m.w.intN(int(min(info.Size(), 20_000))))
		var b [1]byte
		_, _ = f.ReadAt(b[:], at)
		b[0] ^= 1 << m.w.intN(8)
		_, err = f.WriteAt(b[:], at)
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			m.w.t.Errorf("flip: %v", err)
		}
		m.damaged = true
		return
	}
}

// LyingSync lets a server believe that its disk is durable, and takes it the power. It comes
// back when the others have gone on without it: more than a minority that forgets is more than
// any quorum bears.
func LyingSync(w *World) func() {
	m := w.victim()
	m.Faults(errorfs.From(0, errorfs.Fault{Lie: true}, errorfs.Syncs()))
	w.pause(2, 6)
	m.PowerCut(w.intN(50))
	m.damaged = true
	return func() {
		w.WaitFor("a leader without the liar", 100*w.o.Tick, func() bool { return w.Leader() >= 0 })
		w.pause(5, 6)
		m.revive()
	}
}

// Replace lets a new server join the ensemble, and then another one leave.
func Replace(w *World) func() {
	if w.nextID > maxServers {
		return func() {}
	}
	m := w.machine(w.nextID)
	w.nextID++
	for _, member := range w.m {
		m.servers = append(m.servers, member.line)
	}
	m.servers = append(m.servers, m.line)
	if err := m.Start(); err != nil {
		w.t.Errorf("start a new server: %v", err)
		return func() {}
	}
	if !w.reconfig(node.Change{Joining: m.line.String(), FromVersion: -1}) {
		m.Kill()
		return func() {}
	}
	w.WaitFor("the new server to vote", 100*w.o.Tick, func() bool { return w.votes(m.id) })
	w.m = append(w.m, m)
	return func() {
		i := w.intN(len(w.m) - 1)
		gone := w.m[i]
		if !w.reconfig(node.Change{Leaving: fmt.Sprint(gone.id), FromVersion: -1}) {
			return
		}
		w.pause(5, 10)
		gone.Kill()
		w.m = slices.Delete(slices.Clone(w.m), i, i+1)
	}
}

// Transfer makes the leader give its office to another.
func Transfer(w *World) func() {
	i := w.Leader()
	if i < 0 {
		return func() {}
	}
	if p := w.m[i].Running(); p != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 20*w.o.Tick)
		defer cancel()
		if err := p.node.TransferLeadership(ctx); err != nil {
			w.log("transfer: %v", err)
		}
	}
	return func() {}
}

// reconfig asks servers for a change until one says that it is done: after an error it may be
// done or not.
func (w *World) reconfig(c node.Change) bool {
	for range 20 {
		p := w.m[w.intN(len(w.m))].Running()
		if p == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*w.o.Tick)
		err := p.node.Reconfig(ctx, c)
		cancel()
		if err == nil {
			return true
		}
		w.log("reconfig %+v: %v", c, err)
		w.pause(3, 5)
	}
	w.t.Errorf("reconfig %+v never succeeded", c)
	return false
}

// votes tells whether the leader counts a server's vote.
func (w *World) votes(id int) bool {
	i := w.Leader()
	if i < 0 {
		return false
	}
	p := w.m[i].Running()
	return p != nil && slices.ContainsFunc(p.node.Status().Peers, func(peer node.Peer) bool { return peer.ID == id && peer.Voter })
}

// All are the faults of one server at a time, and of links and clients.
var All = []Fault{Kill, PowerCut, PowerCutAll, Isolate, Mute, Deaf, OneLink, Pause, ClientCut, ClientCut, Jump, Reset, LateStream, FullDisk, FailingSync, SlowDisk, InDoubt, Wipe, DamagedSnapshot, DamagedLog, LyingSync, Replace, Transfer}

// Some are n of them by chance.
func Some(rng *rand.Rand, n int) []Fault {
	var out []Fault
	for range n {
		out = append(out, All[rng.IntN(len(All))])
	}
	return out
}
