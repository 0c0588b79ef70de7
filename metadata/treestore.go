package metadata

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// DefaultSessionTimeout is that of a TreeStore's session.
const DefaultSessionTimeout = 18 * time.Second

// TreeOptions is what a TreeStore works with.
type TreeOptions struct {
	Quorum Quorum
	Clock  clock.Clock
	Log    *slog.Logger
	// SessionTimeout is how long the ensemble goes without a sign of life before it ends
	// the session; 0 means DefaultSessionTimeout.
	SessionTimeout time.Duration
	// EndFormer ends the sessions that TreeStores of an earlier process left on this server.
	// It must not be set while another TreeStore uses the server.
	EndFormer bool
}

// TreeStore is a Store in the process of one of the ensemble's servers: it reads the
// server's own tree and submits its writes without a socket.
//
// A write that may have been lost with a leader is sent again with the number that it had,
// which the tree applies once. So a Multi never has an unknown outcome, except when its
// context ends first, the process does, or the server took over a snapshot while several
// writes were under way. Without a quorum writes wait, and reads show what this server knows.
//
// A session that the ensemble ended is replaced by a new one: Session tells the new one
// soon after Done of the old one is closed, and its owner makes its ephemerals again.
type TreeStore struct {
	o      TreeOptions
	handle Handle
	origin uint64
	wake   chan struct{} // the worker has something to do
	worked sync.WaitGroup
	stop   chan struct{}

	mu      sync.Mutex
	feed    feed
	serving bool
	queue   []*call // not sent yet
	sent    []*call // in the order of sending; not known to be applied
	resend  bool    // what is in sent may be lost
	req     uint64
	session Session
	done    chan struct{} // that of session
	alive   bool          // the session
	gen     uint32
	seq     uint32
	opening *call
	closing bool
	closed  bool
	touch   clock.Timer
	retry   clock.Timer
}

// call is one transaction under way.
type call struct {
	ops       []Op // of a Multi
	txn       tree.Txn
	sequenced bool // it gets the session and its next number when it is sent
	result    Result
	err       error
	done      chan struct{}
}

// window is how many writes may be under way at a time.
const window = 64

// OpenTreeStore opens a session on the server; it waits until ctx ends for a quorum.
func OpenTreeStore(ctx context.Context, o TreeOptions) (*TreeStore, error) {
	if o.SessionTimeout <= 0 {
		o.SessionTimeout = DefaultSessionTimeout
	}
	s := &TreeStore{o: o, feed: newFeed(), wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	close(s.done)
	s.session = Session{Done: s.done}
	s.handle = o.Quorum.Attach(s)
	s.mu.Lock()
	s.origin = s.handle.Origin()
	s.mu.Unlock()
	s.worked.Add(1)
	go s.work()
	s.signal()
	// The first transaction of a session proves that it is open.
	_, err := s.Multi(ctx, Check("/", AnyVersion))
	if err == nil && o.EndFormer {
		err = s.endFormer(ctx)
	}
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open a session on this server's tree: %w", err)
	}
	s.mu.Lock()
	s.touch = o.Clock.AfterFunc(o.SessionTimeout/3, s.touchSession)
	s.mu.Unlock()
	return s, nil
}

// endFormer closes the sessions of this server's former processes. Those of clients, who may
// come back, are left alone.
func (s *TreeStore) endFormer(ctx context.Context) error {
	own := s.Session().ID
	var former []int64
	s.o.Quorum.Read(func(st *tree.State) {
		for id, info := range st.Sessions { // sorted
			if id != own && id>>56 == own>>56 && info.KeepResult {
				former = append(former, id)
			}
		}
	})
	var calls []*call
	for _, id := range former {
		c := &call{txn: tree.Txn{Session: id, Op: tree.Op{Kind: tree.CloseSession}}, done: make(chan struct{})}
		if err := s.enqueue(c); err != nil {
			return err
		}
		calls = append(calls, c)
	}
	for _, c := range calls {
		select {
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if c.err != nil {
			return c.err
		}
	}
	return nil
}

// Get implements Store.
func (s *TreeStore) Get(ctx context.Context, path string) (data []byte, stat Stat, err error) {
	if err := ctx.Err(); err != nil {
		return nil, Stat{}, err
	}
	if err := checkPath(path); err != nil {
		return nil, Stat{}, err
	}
	s.o.Quorum.Read(func(st *tree.State) {
		var found jute.Stat
		if data, found, err = st.Get(path); err == nil {
			data, stat = bytes.Clone(data), statOf(found)
		}
	})
	if err != nil {
		return nil, Stat{}, &PathError{Path: path, Err: codeError(err)}
	}
	return data, stat, nil
}

// Children implements Store.
func (s *TreeStore) Children(ctx context.Context, path string) (names []string, stat Stat, err error) {
	if err := ctx.Err(); err != nil {
		return nil, Stat{}, err
	}
	if err := checkPath(path); err != nil {
		return nil, Stat{}, err
	}
	s.o.Quorum.Read(func(st *tree.State) {
		var found jute.Stat
		if names, found, err = st.Children(path); err == nil {
			names, stat = slices.Clone(names), statOf(found)
		}
	})
	if err != nil {
		return nil, Stat{}, &PathError{Path: path, Err: codeError(err)}
	}
	slices.Sort(names)
	return names, stat, nil
}

// Multi implements Store. When ctx ends before the transaction was sent, nothing happened;
// after that the outcome is unknown.
func (s *TreeStore) Multi(ctx context.Context, ops ...Op) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	c := &call{ops: ops, txn: tree.Txn{Op: treeMulti(ops)}, sequenced: true, done: make(chan struct{})}
	if err := s.enqueue(c); err != nil {
		return Result{}, err
	}
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.queue, c); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		return Result{}, ctx.Err()
	}
	select {
	case <-c.done:
		return c.result, c.err
	default:
		return Result{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

func (s *TreeStore) enqueue(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ErrClosed
	}
	s.queue = append(s.queue, c)
	s.signal()
	return nil
}

// Subscribe implements Store. Transactions that changed no node are told, without events.
func (s *TreeStore) Subscribe(fromZxid int64, f func(Txn)) (cancel func(), snapshotZxid int64) {
	sub := newSubscription(f)
	s.o.Quorum.Read(func(st *tree.State) {
		s.mu.Lock()
		defer s.mu.Unlock()
		missed, ok := s.feed.since(fromZxid)
		if !ok {
			missed = []Txn{snapshotOf(st)}
		}
		sub.push(missed...)
		if !s.closed {
			s.feed.subs[sub] = struct{}{}
		}
		snapshotZxid = s.feed.zxid
	})
	go sub.run()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		delete(s.feed.subs, sub)
		s.mu.Unlock()
		sub.stop()
	}), snapshotZxid
}

// Session implements Store.
func (s *TreeStore) Session() Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// Close ends the session, and with it its ephemerals. Without a quorum they stay until the
// ensemble ends the session itself, and the error says so.
func (s *TreeStore) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil
	}
	s.closing = true
	for _, t := range []clock.Timer{s.touch, s.retry} {
		if t != nil {
			t.Stop()
		}
	}
	for _, c := range s.queue {
		c.finish(Result{}, ErrClosed)
	}
	s.queue = nil
	var last *call
	if s.alive {
		last = &call{txn: tree.Txn{Op: tree.Op{Kind: tree.CloseSession}}, sequenced: true, done: make(chan struct{})}
		s.queue = append(s.queue, last)
	}
	s.mu.Unlock()
	s.signal()
	if last != nil {
		<-last.done
	}
	close(s.stop)
	s.worked.Wait()
	s.handle.Close()
	s.mu.Lock()
	s.closed = true
	s.failAll(ErrClosed)
	s.endSession()
	subs := s.feed.subs
	s.feed.subs = map[*subscription]struct{}{}
	s.mu.Unlock()
	for sub := range subs {
		sub.stop()
	}
	if last != nil {
		return last.err
	}
	return nil
}

func (c *call) finish(r Result, err error) {
	c.result, c.err = r, err
	close(c.done)
}
