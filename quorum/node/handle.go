package node

import (
	"slices"

	"github.com/millrace/millrace/quorum/tree"
)

// Handle is the way of one sink to the quorum. Its methods may be called from several
// goroutines at once, and from within the sink's own methods, Reattach and Close apart.
type Handle struct {
	node   *Node
	sink   Sink
	origin uint64
}

// Attach adds a sink: it is given the state by Reset and told by Serving how things are before
// Attach returns.
func (n *Node) Attach(sink Sink) *Handle {
	h := &Handle{node: n, sink: sink, origin: n.randomUint64()}
	n.sinkMu.Lock()
	defer n.sinkMu.Unlock()
	n.mu.Lock()
	sink.Reset(n.state)
	n.mu.Unlock()
	n.handles = append(n.handles, h)
	sink.Serving(n.serving.Load())
	return h
}

// Origin stands in the transactions of this handle, so that the sink knows them again.
func (h *Handle) Origin() uint64 { return h.origin }

// Submit sends a transaction to the leader, behind those of earlier calls. It does not wait:
// the outcome comes to Sink.Applied, or WritesLost says that it may never come. An error means
// that the transaction was not sent and will not be.
func (h *Handle) Submit(t tree.Txn) error {
	t.Origin = h.origin
	return h.node.submit(t)
}

// Touch tells that a session's client is there.
func (h *Handle) Touch(session int64) { h.node.touches.add(session) }

// Close detaches the sink: after it returns none of its methods is called any more. It must
// not be called from them.
func (h *Handle) Close() {
	n := h.node
	n.sinkMu.Lock()
	defer n.sinkMu.Unlock()
	n.handles = slices.DeleteFunc(n.handles, func(o *Handle) bool { return o == h })
}

// Read calls f with the state, which does not change meanwhile. f must not call Read again.
func (n *Node) Read(f func(*tree.State)) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	f(n.state)
}

// setServing tells the sinks when the gate opens or shuts. When it shuts, what waits for a
// leader is given up.
func (n *Node) setServing(on bool) {
	n.sinkMu.Lock()
	defer n.sinkMu.Unlock()
	if n.serving.Load() == on || on && n.isStopped() {
		return
	}
	n.serving.Store(on)
	if !on {
		n.dropWaiting()
		n.writesLostLocked()
		n.office.set(func(*leadership) {}) // who looks for a leader gives up
	}
	n.log.Info("quorum", "serving", on, "mode", n.modeNow().String())
	for _, h := range n.handles {
		h.sink.Serving(on)
	}
}

// writesLost tells the sinks that the way to the leader broke.
func (n *Node) writesLost() {
	n.sinkMu.Lock()
	defer n.sinkMu.Unlock()
	n.writesLostLocked()
}

func (n *Node) writesLostLocked() {
	for _, h := range n.handles {
		h.sink.WritesLost()
	}
}
