package quorum

import (
	"context"
	"sync"

	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

// WaitServing returns when this server serves clients: at once for a lone one, when there is a
// quorum for one of an ensemble. It ends with ctx, or with why the server ended.
func (q *Quorum) WaitServing(ctx context.Context) error {
	s := &servingSink{on: make(chan struct{})}
	handle := q.node.Attach(s)
	defer handle.Close()
	select {
	case <-s.on:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-q.node.Done():
		if err := q.node.Wait(); err != nil {
			return err
		}
		return node.ErrClosed
	}
}

// servingSink waits to be told that the server serves.
type servingSink struct {
	once sync.Once
	on   chan struct{}
}

func (*servingSink) Applied(*tree.State, *tree.Outcome) {}
func (*servingSink) Published()                         {}
func (*servingSink) Reset(*tree.State)                  {}
func (*servingSink) WritesLost()                        {}

func (s *servingSink) Serving(on bool) {
	if on {
		s.once.Do(func() { close(s.on) })
	}
}
