package sim

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

// worker is a client inside of a server's process, as an embedded broker is: it has no
// connection that breaks, and sends again what may be lost, with the same numbers, until it
// knows the outcome. It fills a queue of sequential nodes.
type worker struct {
	w  *World
	id int
	h  *node.Handle

	mu      sync.Mutex
	wake    chan struct{} // of cap 1
	session int64
	started bool // the session is there
	ended   bool // it expired, or the process is gone
	lost    bool // something has to be sent again
	serving bool
	req     uint64
	seq     uint32
	out     []*task // in order, without an outcome
	tasks   []*task // all
}

// task is one node of the queue.
type task struct {
	value string
	seq   uint32 // 0: the session's begin
	req   uint64 // of the last time that it was sent
	sends int

	done bool
	code jute.Code
	path string // "" in the answer to one that was sent again, unless it was the last
	zxid int64
}

const (
	queue     = "/q"
	maxTasks  = 3 // without an outcome
	taskTicks = 2 // between two of them, at most
)

var _ node.Sink = (*worker)(nil)

// addWorker lets a worker live as long as p.
func (w *World) addWorker(p *process) {
	w.mu.Lock()
	k := &worker{w: w, id: len(w.workers) + 1, wake: make(chan struct{}, 1)}
	w.workers = append(w.workers, k)
	w.mu.Unlock()
	k.mu.Lock() // the sink waits until h is there
	k.session = p.node.NewSessionID()
	k.mu.Unlock()
	h := p.node.Attach(k)
	k.mu.Lock()
	k.h = h
	k.mu.Unlock()
	w.tasks.Go(func() {
		defer h.Close()
		k.run(p)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.ended = true
	})
}

// run works until the process ends, or the world is quiet.
func (k *worker) run(p *process) {
	rng := k.w.rand()
	k.mu.Lock()
	k.add(&task{})
	k.mu.Unlock()
	for {
		pause := time.NewTimer(time.Duration(rng.IntN(taskTicks * int(k.w.o.Tick))))
		due := false
		select {
		case <-p.done:
			return
		case <-k.wake:
		case <-pause.C:
			due = true
		}
		pause.Stop()
		k.mu.Lock()
		if k.ended {
			k.mu.Unlock()
			return
		}
		if k.started {
			k.h.Touch(k.session)
		}
		if k.lost && k.serving {
			k.again()
		}
		if due && k.started && k.serving && !k.lost && len(k.out) < maxTasks && !k.w.isQuiet() {
			k.seq++
			k.add(&task{value: fmt.Sprintf("w%d.%d", k.id, k.seq), seq: k.seq})
		}
		k.mu.Unlock()
	}
}

// add sends a new task. mu is held.
func (k *worker) add(t *task) {
	k.tasks, k.out = append(k.tasks, t), append(k.out, t)
	if !k.lost {
		k.send(t)
	}
}

// again sends everything again, in order. mu is held.
func (k *worker) again() {
	k.lost = false
	for _, t := range k.out {
		if k.send(t); k.lost {
			return
		}
	}
}

func (k *worker) send(t *task) {
	k.req++
	t.req = k.req
	t.sends++
	txn := tree.Txn{Req: t.req, Session: k.session}
	if t.seq == 0 {
		txn.Op = tree.Op{Kind: tree.CreateSession, TimeoutMs: int32(k.w.o.SessionTimeout / time.Millisecond), KeepResult: true}
	} else {
		txn.ConnGen, txn.Seq = 1, t.seq
		txn.Op = tree.Op{Kind: tree.Create, Path: queue + "/n-", Data: []byte(t.value), ACL: jute.OpenACL(), Mode: jute.PersistentSequential}
	}
	if err := k.h.Submit(txn); err != nil {
		k.lost = true
		if !errors.Is(err, node.ErrNotServing) && !errors.Is(err, node.ErrClosed) {
			k.w.t.Errorf("worker %d: submit: %v", k.id, err)
		}
	}
}

// Applied implements node.Sink.
func (k *worker) Applied(_ *tree.State, o *tree.Outcome) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if o.Closed != 0 && o.Closed == k.session {
		k.ended = true
	}
	if k.h == nil || o.Txn.Origin != k.h.Origin() || len(k.out) == 0 {
		return
	}
	for i, t := range k.out {
		if t.req != o.Txn.Req || t.seq != o.Txn.Seq {
			continue
		}
		if o.Result.Code == jute.SessionMoved {
			// It overtook one that was lost. It is refused for good only if nothing was.
			k.lost = true
			return
		}
		// While something is lost, an older one may have a new number that was not sent, so that the
		// outcome of what was sent before goes unseen. The judge looks at the order in the tree.
		if i > 0 && !k.lost && o.Result.Code != jute.SessionExpired {
			k.w.t.Errorf("worker %d: %q has an outcome before %q", k.id, t.value, k.out[0].value)
		}
		t.done, t.code, t.path, t.zxid = true, o.Result.Code, o.Result.Op.Path, o.Result.Zxid
		k.out = append(k.out[:i:i], k.out[i+1:]...)
		k.started = k.started || t.seq == 0 && t.code == jute.OK
		if t.code == jute.SessionExpired {
			k.ended = true
		}
		break
	}
}

// Published implements node.Sink.
func (k *worker) Published() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost {
		k.signal()
	}
}

// Reset implements node.Sink: outcomes may have been left out.
func (k *worker) Reset(s *tree.State) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lost = k.lost || len(k.out) > 0
	if _, alive := s.Session(k.session); k.started && !alive {
		k.ended = true
	}
	k.signal()
}

// Serving implements node.Sink.
func (k *worker) Serving(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.serving = on
	k.signal()
}

// WritesLost implements node.Sink.
func (k *worker) WritesLost() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lost = k.lost || len(k.out) > 0
	k.signal()
}

func (k *worker) signal() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// workers: what was acknowledged is in the queue once and where the answer says, everything
// else at most once, and in the order in which it was sent.
func (j *judge) workers() {
	type place struct {
		path string
		zxid int64
	}
	found := make(map[string][]place)
	for path, list := range j.hist {
		for _, v := range list {
			if v.there && v.kind == tree.NodeCreated {
				found[v.data] = append(found[v.data], place{path, v.zxid})
			}
		}
	}
	for _, k := range j.w.workers {
		last := int64(0)
		for _, t := range k.tasks {
			if t.seq == 0 {
				continue
			}
			at := found[t.value]
			switch {
			case len(at) > 1:
				j.fail("worker %d: %q, sent %d times, is there %d times: %v", k.id, t.value, t.sends, len(at), at)
			case t.done && t.code == jute.OK && len(at) == 0 && j.whole:
				j.fail("worker %d: %q is lost", k.id, t.value)
			case t.done && t.code == jute.OK && t.path != "" && len(at) == 1 && (at[0].path != t.path || at[0].zxid != t.zxid):
				j.fail("worker %d: %q is %v, but the answer was %s at %#x", k.id, t.value, at[0], t.path, t.zxid)
			case t.done && t.code != jute.OK && len(at) > 0:
				j.fail("worker %d: %q was refused with %v and is there: %v", k.id, t.value, t.code, at)
			}
			if len(at) == 1 {
				if at[0].zxid <= last {
					j.fail("worker %d: %q is there before the one that was sent before it", k.id, t.value)
				}
				last = at[0].zxid
			}
		}
	}
}
