package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/crew"
	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/quorum/server/watch"
)

// Server is the client port of one member.
type Server struct {
	member Member
	handle Handle
	// origin is 0 until Attach has returned: what is applied before is nobody's here.
	origin atomic.Uint64
	cfg    Config
	facts  Facts
	clock  clock.Clock
	log    *slog.Logger
	start  time.Time
	words  map[string]bool

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	listen  []net.Listener
	secure  []net.Listener

	watches *watch.Table
	sink    *sink
	behind  *behind
	chunks  chunks
	senders *crew.Crew[*conn] // of what the state machine queued
	lanes   *netx.Lanes
	// swiftRun is how many requests bring a connection to a lane.
	swiftRun int
	stats    stats

	serving          atomic.Bool
	spell            atomic.Pointer[spell]
	requests         atomic.Uint64 // numbers of writes
	accepted         atomic.Uint64
	outstanding      atomic.Int64
	outstandingBytes atomic.Int64
	traceMask        atomic.Int64

	mu       sync.RWMutex
	closing  bool
	conns    map[*conn]struct{}
	sessions map[int64]*conn
	perAddr  map[netip.Addr]int
	sweeper  clock.Timer
}

// spell is a time in which this server serves: what waits for the leader ends with it.
type spell struct {
	ctx context.Context
	end context.CancelFunc
}

// setServing begins a spell, or ends it.
func (s *Server) setServing(on bool) {
	was := s.spell.Load()
	if was != nil {
		was.end()
	}
	if on {
		ctx, end := context.WithCancel(s.ctx)
		s.spell.Store(&spell{ctx, end})
	}
	s.serving.Store(on)
}

// Start serves clients on the listeners until Close.
func Start(o Options) (*Server, error) {
	if err := o.withDefaults(); err != nil {
		return nil, err
	}
	s := &Server{
		member: o.Member, cfg: o.Config, facts: o.Facts, clock: o.Clock, log: o.Log, start: o.Clock.Now(),
		listen: o.Listeners, secure: o.SecureListeners, words: allowedWords(o.Config.Words),
		watches: watch.New(watch.Limits{PerWatcherBytes: o.Config.WatchBytes, TotalBytes: o.Config.TotalWatchBytes}),
		senders: crew.New(runtime.GOMAXPROCS(0), (*conn).drainAtOnce),
		lanes:   o.lanes, swiftRun: o.swiftRun,
		behind: newBehind(), conns: map[*conn]struct{}{}, sessions: map[int64]*conn{}, perAddr: map[netip.Addr]int{},
	}
	s.traceMask.Store(defaultTraceMask)
	s.stats.reset()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.sink = &sink{srv: s}
	s.handle = s.member.Attach(s.sink)
	s.origin.Store(s.handle.Origin())
	s.mu.Lock()
	s.sweeper = s.clock.AfterFunc(s.sweepEvery(), s.sweep)
	s.mu.Unlock()
	for _, l := range s.listen {
		s.running.Add(1)
		go s.accept(l, false)
	}
	for _, l := range s.secure {
		s.running.Add(1)
		go s.accept(l, true)
	}
	return s, nil
}

// Close ends all connections, and returns when nothing of the server runs any more. Sessions
// stay: they are the ensemble's.
func (s *Server) Close() error {
	s.mu.Lock()
	already := s.closing
	s.closing = true
	s.sweeper.Stop()
	s.mu.Unlock()
	if already {
		return nil
	}
	s.cancel()
	var errs []error
	for _, l := range append(s.listen[:len(s.listen):len(s.listen)], s.secure...) {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	for _, c := range s.all() {
		c.kill("")
	}
	s.running.Wait()
	s.lanes.Close()
	s.handle.Close()
	return errors.Join(errs...)
}

// now is the time since the start, in nanoseconds.
func (s *Server) now() int64 { return int64(clock.Since(s.clock, s.start)) }

// acceptPause is how long an accept is put off after one that failed, as when there are no
// descriptors left.
const acceptPause = 100 * time.Millisecond

func (s *Server) accept(l net.Listener, secure bool) {
	defer s.running.Done()
	for {
		nc, err := l.Accept()
		if err == nil {
			s.admit(nc, secure)
			continue
		}
		if errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil {
			return
		}
		s.log.Warn("a connection was not accepted", "error", err)
		again := make(chan struct{})
		t := s.clock.AfterFunc(acceptPause, func() { close(again) })
		select {
		case <-again:
		case <-s.ctx.Done():
			t.Stop()
			return
		}
	}
}

// admit starts a connection unless its address, or the server, has too many.
func (s *Server) admit(nc net.Conn, secure bool) {
	c := s.newConn(nc, secure)
	addr := c.remote.Addr()
	switch {
	case secure:
	case addr.IsLoopback():
		s.stats.plainLocal.Add(1)
	default:
		s.stats.plainRemote.Add(1)
	}
	s.mu.Lock()
	reason := ""
	switch {
	case s.closing:
		reason = "closing"
	case s.cfg.MaxCnxns > 0 && len(s.conns) >= s.cfg.MaxCnxns:
		reason = "too many connections - max is " + strconv.Itoa(s.cfg.MaxCnxns) + " (maxCnxns)"
	case s.cfg.MaxClientCnxns > 0 && addr.IsValid() && s.perAddr[addr] >= s.cfg.MaxClientCnxns:
		reason = "too many connections from " + addr.String() + " - max is " + strconv.Itoa(s.cfg.MaxClientCnxns) + " (maxClientCnxns)"
	default:
		s.conns[c] = struct{}{}
		s.perAddr[addr]++
		s.running.Add(1)
	}
	s.mu.Unlock()
	if reason != "" {
		_ = c.lower.Close()
		s.stats.rejected.Add(1)
		s.log.Warn("connection refused", "remote", c.remote, "reason", reason)
		return
	}
	go func() {
		defer s.running.Done()
		c.serve()
	}()
}

// forget takes a connection that ended out of the registry.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if id := c.session.Load(); s.sessions[id] == c {
		delete(s.sessions, id)
	}
	addr := c.remote.Addr()
	if s.perAddr[addr]--; s.perAddr[addr] <= 0 {
		delete(s.perAddr, addr)
	}
}

// enter makes c the connection of a session and returns the one that was it before.
func (s *Server) enter(c *conn, id int64) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.sessions[id]
	s.sessions[id] = c
	if old == c {
		return nil
	}
	return old
}

func (s *Server) find(session int64) *conn {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sessions[session]
}

// all is the connections of this moment.
func (s *Server) all() []*conn {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

// expired ends the connection of a session that is no more, after what is queued.
func (s *Server) expired(session int64) {
	if c := s.find(session); c != nil {
		c.mu.Lock()
		c.closing = true
		c.dirtyLocked()
		c.mu.Unlock()
	}
}

// partWithAll ends all connections that have, or are about to have, a session. From its return
// on none of them is sent anything; the sockets are closed meanwhile by another goroutine.
func (s *Server) partWithAll(reason string) {
	var list []*conn
	for _, c := range s.all() {
		if c.session.Load() == 0 && !c.joining.Load() {
			continue
		}
		c.mu.Lock()
		if c.haltLocked(reason) {
			list = append(list, c)
		}
		c.mu.Unlock()
	}
	if len(list) == 0 {
		return
	}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		for _, c := range list {
			_ = c.lower.Close()
		}
	}()
}

// sweepEvery is how often silent connections are looked for.
func (s *Server) sweepEvery() time.Duration {
	return min(max(s.cfg.TickTime/2, 50*time.Millisecond), time.Second)
}

// sweep ends connections that were silent for longer than their session, or that did not open
// one in time. Their sessions are for the leader to judge.
func (s *Server) sweep() {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return
	}
	s.running.Add(1) // Close waits for a sweep that is under way
	s.mu.Unlock()
	defer s.running.Done()
	now := s.now()
	for _, c := range s.all() {
		if now-c.heard.Load() <= int64(c.timeoutMs.Load())*int64(time.Millisecond) {
			continue
		}
		if c.session.Load() == 0 {
			s.stats.sessionless.Add(1)
			c.kill("no session was opened in time")
		} else {
			s.stats.silent.Add(1)
			c.kill("the client is silent for longer than its session timeout")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.sweeper.Reset(s.sweepEvery())
	}
}

func hex(n int64) string { return "0x" + strconv.FormatUint(uint64(n), 16) }
