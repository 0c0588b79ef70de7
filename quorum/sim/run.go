package sim

import (
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// Run lets clients work on the ensemble while faults come and go, then heals everything and
// waits until it is quiet.
func (w *World) Run(faults ...Fault) {
	w.StartAll()
	patience := 60 * w.o.Tick
	w.WaitFor("a leader", patience, func() bool { return w.Leader() >= 0 })
	w.WaitFor("the queue to be made", patience, w.makeQueue)
	for range w.o.Clients {
		w.addClient()
	}
	w.pause(5, 15)
	for _, f := range faults {
		heal := f(w)
		w.pause(3, 12)
		heal()
		w.pause(8, 25)
	}
	w.Heal()
	w.pause(10, 20)
	w.quiet()
}

// makeQueue makes the workers' parent node.
func (w *World) makeQueue() bool {
	there := false
	for _, m := range w.m {
		p := m.Running()
		if p == nil {
			continue
		}
		p.node.Read(func(s *tree.State) {
			_, err := s.Stat(queue)
			there = err == nil
		})
		if !there {
			_ = p.sink.h.Submit(tree.Txn{Op: tree.Op{Kind: tree.Create, Path: queue, ACL: jute.OpenACL()}})
		}
	}
	return there
}

// pause lets between least and most ticks pass.
func (w *World) pause(least, most int) {
	time.Sleep(w.o.Tick*time.Duration(least) + time.Duration(w.intN(int(w.o.Tick)*(most-least))))
}

// Heal ends all faults and starts what is down.
func (w *World) Heal() {
	w.net.HealAll()
	for _, m := range w.m {
		m.Faults(nil)
		m.revive()
	}
}

// quiet waits until all servers serve and have the same state, stops the clients' work, and
// lets those sessions expire that nobody holds.
func (w *World) quiet() {
	patience := 200 * w.o.Tick
	if !w.WaitFor("all servers serve", patience, w.allServe) {
		for _, m := range w.m {
			if p := m.Running(); p != nil {
				w.t.Logf("server %d: %+v", m.id, p.node.Status())
			} else {
				w.t.Logf("server %d is down", m.id)
			}
		}
		return
	}
	w.mu.Lock()
	w.silent = true
	w.mu.Unlock()
	for _, c := range w.clients {
		c.halt()
	}
	w.WaitFor("calls to be answered", patience, func() bool {
		for _, c := range w.clients {
			c.mu.Lock()
			open := c.open
			c.mu.Unlock()
			if open > 0 && !c.c.State().Final() {
				return false
			}
		}
		return true
	})
	time.Sleep(w.o.SessionTimeout + 4*w.o.Tick)
	w.WaitFor("equal states", patience, w.equal)
	w.checkSessions()
}

func (w *World) allServe() bool {
	for _, m := range w.m {
		p := m.Running()
		if p == nil || !p.node.Status().Serving {
			return false
		}
	}
	return w.Leader() >= 0
}

// equal tells whether all states are the same.
func (w *World) equal() bool {
	var zxid []int64
	var digests []uint64
	for _, m := range w.m {
		p := m.Running()
		if p == nil {
			return false
		}
		p.node.Read(func(s *tree.State) {
			zxid = append(zxid, s.Zxid())
			digests = append(digests, s.Digest())
		})
	}
	for i := range zxid {
		if zxid[i] != zxid[0] {
			return false
		}
		if digests[i] != digests[0] {
			w.t.Errorf("at %#x the states differ: %#x", zxid[0], digests)
		}
	}
	return true
}

// checkSessions looks at who is left when all faults are over: those that hold their session,
// and nobody else; and each ephemeral has its session.
func (w *World) checkSessions() {
	p := w.m[0].Running()
	if p == nil {
		return
	}
	live := make(map[int64]bool)
	var ephemerals []int64
	p.node.Read(func(s *tree.State) {
		for id := range s.Sessions {
			live[id] = true
		}
		for _, c := range w.clients {
			for _, l := range c.lives {
				if len(s.Ephemerals(l.session)) > 0 {
					ephemerals = append(ephemerals, l.session)
				}
			}
		}
	})
	for _, id := range ephemerals {
		if !live[id] {
			w.t.Errorf("session %#x is gone, but has ephemerals", id)
		}
	}
	for _, k := range w.workers {
		k.mu.Lock()
		if len(k.out) > 0 && !k.ended && k.started && k.serving {
			w.t.Errorf("worker %d has no outcome of %d tasks (session %#x, alive %v, lost %v): %+v", k.id, len(k.out), k.session, live[k.session], k.lost, *k.out[0])
		}
		delete(live, k.session) // one whose process is gone goes in its time
		k.mu.Unlock()
	}
	for _, c := range w.clients {
		c.mu.Lock()
		for i, l := range c.lives {
			holds := i == len(c.lives)-1 && !l.abandoned && !l.closing && !l.expired
			if l.session != 0 && l.next == nil && live[l.session] != holds {
				w.t.Errorf("%v: lives %v, want %v (abandoned %v, closed %v, expired %v)", l, live[l.session], holds, l.abandoned, l.closing, l.expired)
			}
			if l.next == nil {
				delete(live, l.session)
			}
		}
		c.mu.Unlock()
	}
	for id := range live {
		// Made for a client that never learned of it: gone by now as well.
		w.t.Errorf("session %#x is nobody's", id)
	}
}
