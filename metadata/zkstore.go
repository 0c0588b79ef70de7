package metadata

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
)

// ZKOptions is what a ZKStore works with.
type ZKOptions struct {
	// Connect names the servers and the chroot: a:2181,b:2181,c:2181/kafka.
	Connect        string
	SessionTimeout time.Duration // 0 means DefaultSessionTimeout; the servers keep it within their limits
	MaxBuffer      int           // jute.maxbuffer; 0: ZooKeeper's default
	InFlight       int           // writes that may be under way; 0: 10
	Dial           func(ctx context.Context, address string) (net.Conn, error)
	Clock          clock.Clock
	Rand           *rand.Rand // of this store alone
	Log            *slog.Logger
}

// ZKStore is a Store kept by an ensemble elsewhere, over ZooKeeper's client protocol: one of
// Millrace, or Apache ZooKeeper from 3.6 on, since it follows the tree by one persistent
// recursive watch.
//
// Reads and writes wait for a server until their context ends. A write whose connection broke
// before the answer is looked for in the tree afterwards: one that did not happen is made
// again, one that did is answered. ErrUnknownOutcome is left for what the tree cannot tell: a
// write without versions, or one over which others wrote since.
//
// What a subscriber may rely on: it is told everything up to a transaction's Zxid, and each
// node's newest state at last. What happened close together comes as one Txn, in which each
// node stands once with its newest data, which may already be that of a later transaction:
// first what went, children before parents, then the rest, parents first. A multi may be seen
// in two parts. After a connection broke, what changed meanwhile comes as one Txn too, as a
// Snapshot if the tree is another cluster's.
//
// When the ensemble ended the session (nobody heard of this process for its timeout), another
// one is opened, as TreeStore does.
type ZKStore struct {
	o      ZKOptions
	slots  chan struct{}
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	opened sync.WaitGroup

	mu      sync.Mutex
	client  *client.Client
	changed chan struct{} // closed when client is another one, or ready or fatal changes
	session Session
	done    chan struct{}
	mirror  *mirror
	feed    feed
	round   int   // grows with each connection: answers of an older one are void
	ready   bool  // the tree was read once
	fatal   error // the ensemble is of no use
	closed  bool
}

// TooOldError is an ensemble that has no persistent watches, by one of its servers.
type TooOldError struct{ Connect, Server string }

func (e *TooOldError) Error() string {
	return "zookeeper.connect " + e.Connect + ": the server " + e.Server + " is a ZooKeeper before 3.6: it has no persistent watches (addWatch), by which the broker follows the cluster's state. " +
		"Upgrade the ensemble to 3.6 or later, or leave the key out: then the quorum is inside the broker"
}

// OpenZKStore connects to the ensemble, makes the chroot where it is missing, and reads the
// tree. It gives up when ctx ends.
func OpenZKStore(ctx context.Context, o ZKOptions) (*ZKStore, error) {
	if o.SessionTimeout <= 0 {
		o.SessionTimeout = DefaultSessionTimeout
	}
	if o.InFlight <= 0 {
		o.InFlight = 10
	}
	s := &ZKStore{o: o, slots: make(chan struct{}, o.InFlight), changed: make(chan struct{}), mirror: newMirror(), feed: newFeed(), done: make(chan struct{})}
	close(s.done)
	s.session = Session{Done: s.done}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.makeChroot(ctx); err != nil {
		s.cancel()
		return nil, s.notReached(err)
	}
	if err := s.connect(); err != nil {
		s.cancel()
		return nil, err
	}
	if err := s.await(ctx); err != nil {
		_ = s.Close()
		return nil, s.notReached(err)
	}
	return s, nil
}

// notReached explains why the start fails.
func (s *ZKStore) notReached(err error) error {
	var old *TooOldError
	if errors.As(err, &old) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("zookeeper.connect %s: no server answered in time (zookeeper.connection.timeout.ms). Start the ensemble (millrace quorum zoo.cfg, or ZooKeeper), or leave the key out: then the quorum is inside the broker: %w", s.o.Connect, err)
	}
	return fmt.Errorf("zookeeper.connect %s: %w", s.o.Connect, err)
}

// await returns once the tree was read.
func (s *ZKStore) await(ctx context.Context) error {
	for {
		s.mu.Lock()
		ready, fatal, changed := s.ready, s.fatal, s.changed
		s.mu.Unlock()
		if ready || fatal != nil {
			return fatal
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// newClient makes a client for a connect string.
func (s *ZKStore) newClient(connect string, onState func(client.State)) (*client.Client, error) {
	return client.New(client.Config{
		Servers: connect, SessionTimeout: s.o.SessionTimeout, MaxBuffer: s.o.MaxBuffer,
		Dial: s.o.Dial, Clock: s.o.Clock, Rand: rand.New(rand.NewPCG(s.o.Rand.Uint64(), s.o.Rand.Uint64())), Log: s.o.Log, OnState: onState,
	})
}

// makeChroot creates the chroot with its parents.
func (s *ZKStore) makeChroot(ctx context.Context) error {
	servers, chroot, err := client.ParseServers(s.o.Connect)
	if err != nil || chroot == "" {
		return err
	}
	c, err := s.newClient(strings.Join(servers, ","), nil)
	if err != nil {
		return err
	}
	defer func() { s.end(c) }()
	if err := c.WaitConnected(ctx); err != nil {
		return err
	}
	if there, _, err := c.Exists(ctx, chroot); err != nil || there {
		return err
	}
	path := ""
	for name := range strings.SplitSeq(chroot[1:], "/") {
		path += "/" + name
		if _, err := c.Create(ctx, path, nil, nil, jute.Persistent); err != nil && !errors.Is(err, jute.NodeExists) {
			return fmt.Errorf("create the chroot: %w", err)
		}
	}
	s.o.Log.Info("created the chroot", "path", chroot)
	return nil
}

// endTimeout is how long the end of a session may take to reach a server.
const endTimeout = 5 * time.Second

func (s *ZKStore) end(c *client.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	return c.Close(ctx)
}

// Get implements Store.
func (s *ZKStore) Get(ctx context.Context, path string) ([]byte, Stat, error) {
	r, err := s.read(ctx, &client.Request{Op: jute.OpGetData, Path: path})
	if err != nil {
		return nil, Stat{}, err
	}
	return r.Data, statOf(r.Stat), nil
}

// Children implements Store.
func (s *ZKStore) Children(ctx context.Context, path string) ([]string, Stat, error) {
	r, err := s.read(ctx, &client.Request{Op: jute.OpGetChildren2, Path: path})
	if err != nil {
		return nil, Stat{}, err
	}
	return sorted(r.Children), statOf(r.Stat), nil
}

// read asks until a server answers.
func (s *ZKStore) read(ctx context.Context, q *client.Request) (*client.Reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkPath(q.Path); err != nil {
		return nil, err
	}
	for {
		c, err := s.current(ctx)
		if err != nil {
			return nil, err
		}
		r, err := c.Do(ctx, q)
		switch {
		case err == nil:
			return r, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !lostConnection(err):
			return nil, &PathError{Path: q.Path, Err: codeError(err)}
		}
	}
}

// lostConnection tells whether a call failed because there was no server, or no session any
// more.
func lostConnection(err error) bool {
	return errors.Is(err, jute.ConnectionLoss) || errors.Is(err, jute.SessionExpired) || errors.Is(err, jute.SessionMoved)
}

// current is the client of the session that lives.
func (s *ZKStore) current(ctx context.Context) (*client.Client, error) {
	for {
		s.mu.Lock()
		c, changed, closed, fatal := s.client, s.changed, s.closed, s.fatal
		s.mu.Unlock()
		switch {
		case closed:
			return nil, ErrClosed
		case fatal != nil:
			return nil, fatal
		case c != nil && !c.State().Final():
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.ctx.Done():
			return nil, ErrClosed
		}
	}
}

// Subscribe implements Store; the type's comment says what f may rely on.
func (s *ZKStore) Subscribe(fromZxid int64, f func(Txn)) (cancel func(), snapshotZxid int64) {
	sub := newSubscription(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	missed, ok := s.feed.since(fromZxid)
	if !ok {
		missed = []Txn{s.mirror.snapshot()}
	}
	sub.push(missed...)
	if !s.closed {
		s.feed.subs[sub] = struct{}{}
	}
	go sub.run()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		delete(s.feed.subs, sub)
		s.mu.Unlock()
		sub.stop()
	}), s.mirror.zxid
}

// Session implements Store.
func (s *ZKStore) Session() Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// Close ends the session, and with it its ephemerals. Without a connection they stay until
// the ensemble ends the session itself, and the error says so.
func (s *ZKStore) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.notify()
	s.mu.Unlock()
	s.cancel()
	s.opened.Wait()
	s.mu.Lock()
	c := s.client
	s.mu.Unlock()
	var err error
	if c != nil && !c.State().Final() {
		if err = s.end(c); err != nil {
			err = fmt.Errorf("the session was not ended at a server; the ensemble ends it after %v: %w", s.o.SessionTimeout, err)
		}
	}
	s.mu.Lock()
	s.mirror.stop()
	s.endSession()
	subs := s.feed.subs
	s.feed.subs = map[*subscription]struct{}{}
	s.mu.Unlock()
	for sub := range subs {
		sub.stop()
	}
	return err
}

// notify wakes who waits for a change. The caller holds mu.
func (s *ZKStore) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// endSession closes Done. The caller holds mu.
func (s *ZKStore) endSession() {
	select {
	case <-s.done:
	default:
		close(s.done)
	}
}
