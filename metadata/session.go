package metadata

import (
	"context"
	"sync"
)

// session owns ephemerals of a FileStore. Its fields are guarded by the store's mutex.
type session struct {
	sessionID int64
	done      chan struct{}
	ended     bool
}

func (o *session) id() int64 {
	if o == nil {
		return 0
	}
	return o.sessionID
}

func (o *session) end() {
	if !o.ended {
		o.ended = true
		close(o.done)
	}
}

func (s *FileStore) newSession() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &session{sessionID: s.nextID, done: make(chan struct{})}
	s.nextID++
	if s.closing {
		o.end()
	}
	s.open[o.sessionID] = o
	return o
}

// Session implements Store.
func (s *FileStore) Session() Session {
	return Session{ID: s.own.sessionID, Done: s.own.done}
}

// NewSession returns a Store on the same tree with a session of its own; closing it ends
// only that session. Several brokers of one process share a tree by it.
func (s *FileStore) NewSession() Store { return &sessionStore{FileStore: s, session: s.newSession()} }

// sessionStore is another session on a FileStore's tree.
type sessionStore struct {
	*FileStore
	session *session

	mu   sync.Mutex
	subs []func()
}

func (s *sessionStore) Session() Session {
	return Session{ID: s.session.sessionID, Done: s.session.done}
}

func (s *sessionStore) Multi(ctx context.Context, ops ...Op) (Result, error) {
	return s.multi(ctx, s.session, ops)
}

func (s *sessionStore) Subscribe(fromZxid int64, f func(Txn)) (cancel func(), snapshotZxid int64) {
	cancel, snapshotZxid = s.FileStore.Subscribe(fromZxid, f)
	cancel = sync.OnceFunc(cancel)
	s.mu.Lock()
	s.subs = append(s.subs, cancel)
	s.mu.Unlock()
	return cancel, snapshotZxid
}

// Close ends the session: its ephemerals go in one transaction.
func (s *sessionStore) Close() error {
	s.mu.Lock()
	subs := s.subs
	s.subs = nil
	s.mu.Unlock()
	for _, cancel := range subs {
		cancel()
	}
	store := s.FileStore
	store.mu.Lock()
	if s.session.ended {
		store.mu.Unlock()
		return nil
	}
	s.session.end()
	delete(store.open, s.session.sessionID)
	store.mu.Unlock()
	// A Multi of this session that was queued before may still create an ephemeral; the
	// removal is queued after it and looks for ephemerals when its turn comes.
	c := &commit{endOf: s.session.sessionID, done: make(chan struct{})}
	if err := store.enqueue(c); err != nil {
		return err
	}
	<-c.done
	return c.err
}

// subscription hands transactions to a function from a goroutine of its own. Its queue is
// unbounded, so that a slow subscriber never holds up a commit.
type subscription struct {
	f       func(Txn)
	mu      sync.Mutex
	changed sync.Cond
	queue   []Txn
	stopped bool
	ended   chan struct{}
}

func newSubscription(f func(Txn)) *subscription {
	s := &subscription{f: f, ended: make(chan struct{})}
	s.changed.L = &s.mu
	return s
}

func (s *subscription) push(txns ...Txn) {
	s.mu.Lock()
	s.queue = append(s.queue, txns...)
	s.mu.Unlock()
	s.changed.Signal()
}

func (s *subscription) run() {
	defer close(s.ended)
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.stopped {
			s.changed.Wait()
		}
		if s.stopped {
			s.mu.Unlock()
			return
		}
		queue := s.queue
		s.queue = nil
		s.mu.Unlock()
		for _, txn := range queue {
			if s.isStopped() {
				return
			}
			s.f(txn)
		}
	}
}

func (s *subscription) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// stop waits for a call of f that is under way.
func (s *subscription) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.changed.Signal()
	<-s.ended
}
