package node

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// reign is the time in which this server leads: from the moment at which everything of its
// predecessors is applied here to the loss of the office. What only a leader knows lives and
// dies with it.
type reign struct {
	n    *Node
	term uint64
	over chan struct{}
	from time.Time // when it began, by Node.steady

	mu      sync.Mutex // a leaf: taken under the state's lock
	tracker *tracker   // nil until the sessions were read

	entries int // applied since the last DigestCheck; under the state's lock

	changing chan struct{} // holds something while the ensemble is changed
	// retired are servers that left and are not removed yet, since when; by changing.
	retired map[raft.ServerID]time.Time
}

const (
	// digestInterval is the entries after which the leader lets all compare their states.
	digestInterval = 1024
	barrierRetry   = 5 * time.Millisecond
)

// observe follows what is applied, under the state's lock.
func (r *reign) observe(o *tree.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tracker == nil {
		return
	}
	if o.Closed != 0 {
		r.tracker.remove(o.Closed)
		r.n.proposer.forget(o.Closed)
	}
	if op := &o.Txn.Op; op.Kind == tree.CreateSession && o.Result.Code == 0 && !o.Result.Duplicate {
		r.tracker.add(o.Txn.Session, time.Duration(op.TimeoutMs)*time.Millisecond, r.n.steady())
	}
}

// touch renews sessions.
func (r *reign) touch(ids []int64) {
	now := r.n.steady()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tracker == nil {
		return
	}
	for _, id := range ids {
		r.tracker.touch(id, now)
	}
}

// takeOver reads the sessions: each has its whole timeout from now on.
func (r *reign) takeOver() {
	r.n.mu.RLock()
	defer r.n.mu.RUnlock()
	now := r.n.steady()
	t := newTracker(r.n.opt.TickTime, now)
	for id, s := range r.n.state.Sessions {
		t.add(id, time.Duration(s.TimeoutMs)*time.Millisecond, now)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tracker = t
}

// lead is called when Raft made this server the leader. It returns when the office is lost.
func (n *Node) lead(over chan struct{}) {
	r := &reign{n: n, term: n.raft.CurrentTerm(), over: over, changing: make(chan struct{}, 1), retired: map[raft.ServerID]time.Time{}}
	for {
		// Only after this has everything of earlier leaders been applied here.
		if err := n.raft.Barrier(0).Error(); err == nil {
			break
		}
		if r.isOver() || !n.pause(barrierRetry, over) {
			return
		}
	}
	if r.isOver() {
		return
	}
	n.tally.begin()
	r.from = n.steady()
	n.proposer.setOpen(true)
	n.reign.Store(r)
	defer n.abdicate(r)
	r.takeOver()
	if !n.settleState(r) {
		return
	}
	n.office.set(func(o *leadership) { o.reign = r }) // from now on others find it
	n.log.Info("this server leads the quorum", "term", r.term)
	n.route.setLocal(n.proposer, true)
	n.gateChange(func(g *gate, _ time.Time) { g.lead() })
	r.run()
}

// abdicate ends a reign: the streams of other servers break, and all transactions of this one
// that were not applied are in doubt.
func (n *Node) abdicate(r *reign) {
	n.reign.Store(nil)
	n.office.set(func(o *leadership) { o.reign = nil })
	n.route.setLocal(nil, false)
	n.proposer.setOpen(false)
	n.streams.closeAll()
	n.linkBroke()
	n.gateChange(func(g *gate, now time.Time) { g.resign(now) })
	n.log.Info("this server leads no more", "term", r.term)
}

func (r *reign) isOver() bool {
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

// settleState writes what has to stand in the state before anybody is served: once in an
// ensemble's life its secret and its first configuration, and the flags when they changed.
func (n *Node) settleState(r *reign) bool {
	if n.secret.Load() == nil {
		secret := make([]byte, 32)
		n.readRandom(secret)
		n.proposer.push(tree.Txn{Op: tree.Op{Kind: tree.InitCluster, Data: secret}})
	}
	if n.agreed.Load() == nil && len(n.opt.Servers) > 0 {
		text := zoocfg.FormatServers(n.opt.Servers) + "version=0"
		n.proposer.push(tree.Txn{Op: tree.Op{Kind: tree.SetConfig, Data: []byte(text)}})
	}
	if n.flagsDiffer() {
		n.proposer.push(tree.Txn{Op: tree.Op{Kind: tree.SetFlags, Flags: n.opt.Flags}})
	}
	return n.proposer.flush() && !r.isOver()
}

// flagsDiffer tells whether the ensemble goes by other flags than this server is set to.
func (n *Node) flagsDiffer() bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.state.Flags() != n.opt.Flags
}

// run does the leader's work by the clock until the reign is over.
func (r *reign) run() {
	n := r.n
	var tasks sync.WaitGroup
	defer tasks.Wait()
	if n.opt.ContainerCheckInterval > 0 {
		tasks.Go(func() {
			if n.pause(n.opt.ContainerCheckInterval, r.over) {
				n.every(r.over, r.reap)
			}
		})
	}
	tasks.Go(func() { n.every(r.over, r.touchOwn) })
	if len(n.opt.Servers) > 0 {
		tasks.Go(func() {
			// The others need a moment to call a new leader: who is not there yet may well live.
			if n.pause(n.opt.reportInterval(), r.over) {
				n.every(r.over, r.tend)
			}
		})
	}
	n.every(r.over, r.expire)
}

// touchOwn renews the sessions whose clients are on this server.
func (r *reign) touchOwn() time.Duration {
	r.touch(r.n.touches.take(nil))
	return r.n.opt.reportInterval()
}

// tend brings Raft's configuration to what was agreed on, step by step.
func (r *reign) tend() time.Duration {
	select {
	case r.changing <- struct{}{}:
		defer func() { <-r.changing }()
		for !r.isOver() && r.reconcile() {
		}
		r.dismiss()
	default: // somebody else is at it
	}
	return r.n.opt.reportInterval()
}

// expire proposes the end of the sessions that are due and returns when to look again.
func (r *reign) expire() time.Duration {
	n := r.n
	r.touchOwn() // whoever was heard of is not due
	now := n.steady()
	r.mu.Lock()
	ids := r.tracker.due(now)
	next := r.tracker.next(now)
	r.mu.Unlock()
	if len(ids) > 0 {
		txns := make([]tree.Txn, len(ids))
		for i, id := range ids {
			txns[i] = closeSession(id)
		}
		n.proposer.push(txns...)
		n.log.Info("sessions expired", "count", len(ids))
	}
	return next
}

// reap proposes the end of containers and TTL nodes that are due.
func (r *reign) reap() time.Duration {
	n := r.n
	interval := n.opt.ContainerCheckInterval
	most := max(1, int(int64(n.opt.ContainersPerMinute)*int64(interval)/int64(time.Minute)))
	var due []tree.Op
	n.Read(func(s *tree.State) {
		due = s.Reapable(n.clock.Now().UnixMilli(), n.opt.ContainerMaxNeverUsed.Milliseconds())
	})
	txns := make([]tree.Txn, 0, min(most, len(due)))
	for _, op := range due[:cap(txns)] {
		txns = append(txns, tree.Txn{Op: op})
	}
	n.proposer.push(txns...)
	return interval
}

// countEntries proposes a DigestCheck now and then, under the state's lock.
func (r *reign) countEntries(count int) {
	r.entries += count
	if r.entries < digestInterval {
		return
	}
	r.entries = 0
	s := r.n.state
	r.n.proposer.push(tree.Txn{Op: tree.Op{Kind: tree.DigestCheck, Zxid: s.Zxid(), Digest: s.Digest()}})
}
