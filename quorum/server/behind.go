package server

import (
	"context"
	"sync"
	"sync/atomic"
)

// behind is where connections wait until this server has applied more.
type behind struct {
	waiting atomic.Int32

	mu   sync.Mutex
	news chan struct{} // closed when something was applied; nil: nobody asked since
}

// wait returns true once reached does, which is asked again whenever something was applied,
// and false when ctx ends before.
func (b *behind) wait(ctx context.Context, reached func() bool) bool {
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	for {
		b.mu.Lock()
		if b.news == nil {
			b.news = make(chan struct{})
		}
		news := b.news
		b.mu.Unlock()
		if reached() {
			return true
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false
		}
	}
}

// published tells those who wait that something was applied. Who begins to wait meanwhile
// sees it by itself.
func (b *behind) published() {
	if b.waiting.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.news != nil {
		close(b.news)
		b.news = nil
	}
}
