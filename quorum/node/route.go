package node

import (
	"sync"

	"github.com/millrace/millrace/quorum/tree"
)

// route is where the transactions of this server go: to the proposer while it leads itself,
// else to the stream to the leader; between leaders they wait.
type route struct {
	mu      sync.Mutex
	local   bool // this server leads and takes transactions
	waiting []tree.Txn
	bytes   int
	wake    chan struct{} // something waits for the stream
}

// maxRouteBytes bounds what may wait for a leader.
const maxRouteBytes = 64 << 20

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
	signal(r.wake)
	return nil
}

// setLocal turns the route to this server's own proposer, or away from it. What waited for a
// leader was never sent anywhere, so it goes to the new one.
func (r *route) setLocal(p *proposer, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.local = on
	if on && len(r.waiting) > 0 && p.push(r.waiting...) {
		r.waiting, r.bytes = nil, 0
	}
}

// take removes what waits for the stream.
func (r *route) take() []tree.Txn {
	r.mu.Lock()
	defer r.mu.Unlock()
	txns := r.waiting
	r.waiting, r.bytes = nil, 0
	return txns
}

// dropWaiting gives up what was not sent.
func (n *Node) dropWaiting() { n.route.take() }
