package metadata

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// Publisher is told of each new image, in order, from the Loader's goroutine. It must not
// block and must not write to the Store before it returns: the image that it waits for
// could only come after it.
type Publisher interface {
	Publish(old, new *Image)
}

// PublisherFunc makes a function a Publisher.
type PublisherFunc func(old, new *Image)

// Publish implements Publisher.
func (f PublisherFunc) Publish(old, new *Image) { f(old, new) }

// Loader keeps the image of a Store. A publisher that is added late first gets the whole
// state, as a change from an empty image. Changes that came close together may be told as
// one.
type Loader struct {
	log    *slog.Logger
	image  atomic.Pointer[Image]
	cancel func()

	mu         sync.Mutex
	publishers []Publisher
	moved      chan struct{} // closed when the published image moves
	published  int64
	closed     bool
	lost       func(error)
}

// NewLoader follows a store; the image is loaded when it returns.
func NewLoader(s Store, log *slog.Logger) *Loader {
	l := &Loader{log: log, moved: make(chan struct{})}
	l.image.Store(emptyImage())
	loaded := make(chan struct{})
	first := sync.OnceFunc(func() { close(loaded) })
	l.cancel, _ = s.Subscribe(0, func(txn Txn) {
		l.apply(txn)
		first()
	})
	<-loaded
	return l
}

// Image returns the latest image. It is never nil.
func (l *Loader) Image() *Image { return l.image.Load() }

// Add tells p the whole state and from then on every change.
func (l *Loader) Add(p Publisher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.publishers = append(l.publishers, p)
	p.Publish(emptyImage(), l.Image())
}

func (l *Loader) apply(txn Txn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.image.Load()
	next := applyTxn(old, txn, func(path string, err error) {
		l.log.Error("a metadata node cannot be read and counts as unchanged", "path", path, "zxid", txn.Zxid, "err", err)
	})
	if txn.Snapshot && old.clusterID != "" && next.clusterID != old.clusterID {
		// Following it would delete every log.
		err := &OtherClusterError{Was: old.clusterID, Is: next.clusterID}
		l.log.Error("the metadata is not followed any more", "err", err)
		if l.lost != nil {
			l.lost(err)
		}
		return
	}
	l.image.Store(next)
	for _, p := range l.publishers {
		p.Publish(old, next)
	}
	l.published = next.zxid
	close(l.moved)
	l.moved = make(chan struct{})
}

// OnLost has f called, from the Loader's goroutine, when the store turns out to hold another
// cluster's tree, or an empty one. The image stays what it was. Set it before that may be.
func (l *Loader) OnLost(f func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = f
}

// OtherClusterError is a store whose tree became that of another cluster.
type OtherClusterError struct{ Was, Is string }

func (e *OtherClusterError) Error() string {
	if e.Is == "" {
		return "the metadata of cluster " + e.Was + " is gone: the ensemble has an empty tree, or lost its data"
	}
	return "the metadata of cluster " + e.Was + " is gone: the ensemble now has that of cluster " + e.Is
}

// Wait returns once the image holds transaction zxid and all publishers were told.
func (l *Loader) Wait(ctx context.Context, zxid int64) error {
	for {
		l.mu.Lock()
		published, moved, closed := l.published, l.moved, l.closed
		l.mu.Unlock()
		if published >= zxid {
			return nil
		}
		if closed {
			return ErrClosed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the subscription. The last image stays readable. It must not be called by a
// publisher.
func (l *Loader) Close() {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.moved)
		l.moved = make(chan struct{})
	}
}
