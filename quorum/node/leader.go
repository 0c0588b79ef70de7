package node

import (
	"context"
	"sync"
)

// leadership is where this server finds the leader: itself, or at the end of a link.
type leadership struct {
	mu      sync.Mutex
	link    *link
	reign   *reign
	changed chan struct{} // closed when one of them changes
}

// setLink says which link leads to the leader, nil for none.
func (n *Node) setLink(l *link) { n.office.set(func(o *leadership) { o.link = l }) }

func (o *leadership) set(f func(*leadership)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o)
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

// look returns what is known, and a channel that is closed when that changes.
func (o *leadership) look() (*reign, *link, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.reign, o.link, o.changed
}

// find waits for a leader, for as long as this server serves without one: one of the results is
// set unless there is an error.
func (n *Node) find(ctx context.Context) (*reign, *link, error) {
	for {
		r, l, changed := n.office.look()
		if r != nil || l != nil {
			return r, l, nil
		}
		if !n.serving.Load() {
			return nil, nil, ErrNotServing
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-n.stop:
			return nil, nil, ErrClosed
		}
	}
}

// awaitReign waits until this server leads, for no longer than Raft needs to settle who does.
func (n *Node) awaitReign() *reign {
	late := make(chan struct{})
	timer := n.clock.AfterFunc(openTimeout/2, func() { close(late) })
	defer timer.Stop()
	for {
		r, _, changed := n.office.look()
		if r != nil {
			return r
		}
		select {
		case <-changed:
		case <-late:
			return nil
		case <-n.stop:
			return nil
		}
	}
}
