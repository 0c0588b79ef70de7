package node

import (
	"sync"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/company"
	"github.com/millrace/millrace/quorum/tree"
)

// route is where the transactions of this server go: to the proposer while it leads itself,
// else to the stream to the leader; between leaders they wait.
//
// Those for the stream wait for company, too: each frame costs both servers some system calls,
// and the leader waits for the clients of this server in any case (see pacer).
type route struct {
	clock clock.Clock
	wake  chan struct{} // something may go to the stream

	mu      sync.Mutex
	local   bool // this server leads and takes transactions
	waiting []tree.Txn
	bytes   int
	onWay   int // were sent and are not applied here; about, see applied
	company company.Company
	timer   clock.Timer // calls late; nil until it was needed
}

const (
	// maxRouteBytes bounds what may wait for a leader.
	maxRouteBytes = 64 << 20
	// framePatience is how long the first transaction waits for others.
	framePatience = 500 * time.Microsecond
)

// submit sends one transaction on its way.
func (n *Node) submit(t tree.Txn) error {
	if n.isStopped() {
		return ErrClosed
	}
	if !n.serving.Load() {
		return ErrNotServing
	}
	if err := t.Valid(); err != nil {
		return err // an entry that holds it would end every server
	}
	size := txnBytes(&t)
	if size > n.opt.MaxTxnBytes {
		return ErrTooLarge // the leader would hang up on all clients of this server
	}
	r := &n.route
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.local && n.proposer.push(t) {
		return nil
	}
	if r.bytes+size > maxRouteBytes {
		return ErrOverloaded
	}
	r.waiting = append(r.waiting, t)
	r.bytes += size
	r.tell()
	return nil
}

// tell wakes the stream if what waits may go: most of those who are about are on their way, or
// an entry is full.
func (r *route) tell() {
	if len(r.waiting) > 0 && (r.bytes >= maxEntryBytes || r.company.Enough(r.onWay+len(r.waiting))) {
		signal(r.wake)
	}
}

// applied is told how many transactions of this server an apply held. Some that were sent may
// never be told of (a snapshot holds them, or they are lost with the stream), so it counts about.
func (r *route) applied(count int) {
	if count == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.local {
		return
	}
	r.company.Answered(r.onWay + len(r.waiting))
	r.onWay = max(0, r.onWay-count)
	switch {
	case !r.company.Waits():
	case r.timer == nil:
		r.timer = r.clock.AfterFunc(framePatience, r.late)
	default:
		r.timer.Reset(framePatience)
	}
	r.tell()
}

func (r *route) late() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.company.Late(len(r.waiting))
	r.tell()
}

// setLocal turns the route to this server's own proposer, or away from it. What waited for a
// leader was never sent anywhere, so it goes to the new one.
func (r *route) setLocal(p *proposer, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.local = on
	r.onWay, r.company = 0, company.Company{}
	if on && len(r.waiting) > 0 && p.push(r.waiting...) {
		r.waiting, r.bytes = nil, 0
	}
}

// take removes what waits for the stream.
func (r *route) take() []tree.Txn {
	r.mu.Lock()
	defer r.mu.Unlock()
	txns := r.waiting
	if len(txns) > 0 {
		r.company.Went(r.onWay + len(txns))
	}
	r.onWay += len(txns)
	r.waiting, r.bytes = nil, 0
	return txns
}

// begin makes ready for a new stream, or another state: nothing is known to be on its way.
func (r *route) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onWay, r.company = 0, company.Company{}
	r.tell()
}

// drop gives up what was not sent, and counts nothing that was.
func (r *route) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting, r.bytes = nil, 0
	r.onWay, r.company = 0, company.Company{}
}

// dropWaiting gives up what was not sent.
func (n *Node) dropWaiting() { n.route.drop() }
