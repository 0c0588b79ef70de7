package metadata

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
)

// This file is a ZKStore's connection: what the client's goroutine tells, in the order of the
// wire. It takes the store's lock, sends, and waits for nothing.

// link is one client of the store, and what it watches.
type link struct {
	s       *ZKStore
	client  *client.Client
	watched bool
}

// connect makes a client with a new session.
func (s *ZKStore) connect() error {
	l := &link{s: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.newClient(s.o.Connect, l.state)
	if err != nil {
		return err
	}
	l.client, s.client = c, c
	s.notify()
	return nil
}

// reconnectPause is between attempts to open another session.
const reconnectPause = time.Second

// reopen replaces a session that ended.
func (s *ZKStore) reopen() {
	defer s.opened.Done()
	for {
		err := s.connect()
		if err == nil || s.ctx.Err() != nil {
			return
		}
		s.o.Log.Error("another session at the ensemble could not be opened; trying again", "err", err)
		over := make(chan struct{})
		t := s.o.Clock.AfterFunc(reconnectPause, func() { close(over) })
		select {
		case <-over:
		case <-s.ctx.Done():
			t.Stop()
			return
		}
	}
}

// state is told of each change of the client's state.
func (l *link) state(now client.State) {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != l.client {
		return
	}
	s.round++
	s.mirror.stop()
	switch {
	case now == client.Connected:
		s.begin(l)
	case now == client.Expired || now == client.AuthFailed:
		s.endSession()
		if s.closed {
			return
		}
		if now == client.AuthFailed {
			s.fatal = errors.New("the ensemble refused this client's authentication")
			s.notify()
			return
		}
		s.o.Log.Warn("the ensemble ended the session of this process; another one is opened", "session", fmt.Sprintf("0x%x", s.session.ID))
		s.opened.Add(1)
		go s.reopen()
	}
}

// begin reads the tree on a new connection.
func (s *ZKStore) begin(l *link) {
	if id := l.client.Session().ID; id != s.session.ID || isClosed(s.done) {
		s.done = make(chan struct{})
		s.session = Session{ID: id, Done: s.done}
		s.notify()
	}
	if !l.watched {
		l.watched = true
		q := &client.Request{Op: jute.OpAddWatch, Path: "/", AddMode: jute.WatchPersistentRecursive, Watch: l.event}
		if err := l.client.Send(q, l.watching); err != nil {
			s.o.Log.Error("the ensemble cannot be watched", "err", err)
			return
		}
	}
	s.mirror.reset()
	s.flow(l)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// watching is the answer to the request for the watch.
func (l *link) watching(_ *client.Reply, err error) {
	s := l.s
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if lostConnection(err) {
		l.watched = false // with the next connection
		return
	}
	s.fatal = fmt.Errorf("watch the tree: %w", err)
	if errors.Is(err, jute.Unimplemented) {
		s.fatal = &TooOldError{Connect: s.o.Connect, Server: l.client.Server()}
	}
	s.notify()
}

// event is the watch.
func (l *link) event(e client.Event) {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.client != l.client || len(e.Path) == 0:
		return
	case e.Type == jute.EventCreated || e.Type == jute.EventDataChanged || e.Type == jute.EventDeleted:
	default:
		return
	}
	if isOwn(e.Path) {
		return
	}
	s.mirror.changed(e.Path)
	s.flow(l)
}

// flow sends the reads that may go. The caller holds mu.
func (s *ZKStore) flow(l *link) {
	for {
		reads := s.mirror.next()
		if len(reads) == 0 {
			return
		}
		for _, r := range reads {
			op, round := jute.OpGetData, s.round
			if r.children {
				op = jute.OpGetChildren2
			}
			err := l.client.Send(&client.Request{Op: op, Path: r.path}, func(reply *client.Reply, err error) { l.answered(round, r, reply, err) })
			if err != nil {
				s.o.Log.Debug("a read was not sent", "path", r.path, "err", err)
				return // the connection is gone: the next one reads all
			}
		}
	}
}

// answered is the answer to one read.
func (l *link) answered(round int, r *read, reply *client.Reply, err error) {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if round != s.round || err != nil && !errors.Is(err, jute.NoNode) {
		if err != nil && !lostConnection(err) {
			s.o.Log.Error("a node of the ensemble cannot be read", "path", r.path, "err", err)
			if round == s.round { // as if it were not there
				s.publish(s.mirror.answered(r, nil, 0))
			}
		}
		return
	}
	zxid := l.client.LastZxid() // that of this answer
	switch {
	case r.children:
		var names []string
		if err == nil {
			names = slices.DeleteFunc(sorted(reply.Children), func(name string) bool { return isOwn(join(r.path, name)) })
		}
		s.publish(s.mirror.listed(r, names, zxid))
	case err != nil:
		s.publish(s.mirror.answered(r, nil, zxid))
	default:
		s.publish(s.mirror.answered(r, &mirrored{data: reply.Data, stat: statOf(reply.Stat)}, zxid))
	}
	s.flow(l)
}

// publish tells the subscribers. The caller holds mu.
func (s *ZKStore) publish(txns []Txn) {
	for _, txn := range txns {
		if txn.Snapshot {
			s.feed.restart(txn.Zxid, func() Txn { return txn })
			s.ready = true
			s.notify()
			continue
		}
		s.feed.add(txn)
	}
}

// saw notes how far the ensemble was when it answered a write.
func (s *ZKStore) saw(l *client.Client, zxid int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == l && s.ready {
		s.publish(s.mirror.saw(zxid))
	}
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
