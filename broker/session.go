package broker

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/millrace/millrace/broker/conn"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/protocol"
)

// session is the broker's side of one connection: it parses headers, knows who is
// speaking, and calls handlers. All its methods run on the connection's reader goroutine.
type session struct {
	b         *Broker
	c         *conn.Conn
	listener  *listener
	state     state
	caller    *Caller // never changed: another client id makes another Caller
	req       request // the one that is being served
	parser    protocol.HeaderParser
	names     protocol.Names
	heartbeat heartbeatOp
	// software is what the client says of itself in ApiVersions 3 and later.
	software, softwareVersion string
}

// state is where a connection stands. In stateHandshake only what belongs to
// authentication is served; a listener without it starts in stateServing.
type state uint8

const (
	stateHandshake state = iota
	stateServing
)

// handshakeBytes bounds requests of a peer that has not said who it is.
const handshakeBytes = 64 << 10

func newSession(b *Broker, l *listener, nc net.Conn) *session {
	s := &session{b: b, listener: l, c: conn.New(nc, &b.connOptions)}
	s.caller = &Caller{Listener: l.name, SecurityProtocol: l.protocol, Address: addrPort(nc.RemoteAddr())}
	if l.authenticates() {
		return s
	}
	s.caller.Principal = anonymous
	s.state = stateServing
	return s
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// MaxRequestBytes implements conn.Session.
func (s *session) MaxRequestBytes(key, _ int16) int {
	if s.b.endpoints.of(key) == nil {
		return 0
	}
	limit := protocol.RequestLimit(key, int(s.b.config().Broker.SocketRequestMaxBytes))
	if s.state == stateHandshake {
		limit = min(limit, handshakeBytes)
	}
	return limit
}

// Swift implements conn.Session: what a Produce or a Fetch waits for it is parked for, but for files
// (conn.Reply.FromFile), and a Heartbeat waits for a lock that is held over an append at most.
func (s *session) Swift(key int16) bool {
	return key == protocol.KeyProduce || key == protocol.KeyFetch || key == protocol.KeyHeartbeat
}

// Serve implements conn.Session.
func (s *session) Serve(frame []byte) {
	h, body, err := s.parser.Parse(frame)
	if err != nil {
		if unsupported, ok := errors.AsType[*protocol.UnsupportedError](err); ok {
			unsupported.Known = unsupported.Known && s.b.endpoints.of(h.Key) != nil
			s.unsupported(h, unsupported)
			return
		}
		s.c.Abort(fmt.Errorf("bad request header: %w", err))
		return
	}
	e := s.b.endpoints.of(h.Key)
	if e == nil {
		s.unsupported(h, &protocol.UnsupportedError{Key: h.Key, Version: h.Version})
		return
	}
	if s.state == stateHandshake && !e.handshake {
		s.c.Abort(fmt.Errorf("%s before authentication", e.name))
		return
	}
	if s.caller.ClientID != h.ClientID {
		c := s.caller
		s.caller = &Caller{Principal: c.Principal, Listener: c.Listener, SecurityProtocol: c.SecurityProtocol, ClientID: h.ClientID, Address: c.Address}
	}
	s.req = request{s: s, b: s.b, h: h, body: body, caller: s.caller, received: s.c.ReceivedAt()}
	if e.slow {
		s.c.Flush() // the handler may take long: what is ready does not wait for it
	}
	// Not from s.req.received on: a request waits in the buffer while those before it are served.
	var began time.Time
	metered := s.b.quota.Metered()
	if metered {
		began = s.b.clock.Now()
	}
	if err := e.serve(&s.req); err != nil {
		s.b.metrics.failed(h.Key)
		s.c.Abort(fmt.Errorf("%s version %d: %w", e.name, h.Version, err))
	}
	if metered {
		s.b.quota.Spent(s.caller, clock.Since(s.b.clock, began))
	}
}

// unsupported answers a version that is not served. Only ApiVersions gets an answer, in
// version 0, from which the client learns what to ask (KIP-511); anything else closes the
// connection as Apache Kafka does, and says why in the log.
func (s *session) unsupported(h protocol.RequestHeader, err *protocol.UnsupportedError) {
	if h.Key != protocol.KeyApiVersions {
		s.b.log.Warn("connection closed: a request of a version that is not served", "err", err,
			"client", h.ClientID, "remote", s.caller.Address.String(), "listener", s.listener.name)
		s.c.Abort(err)
		return
	}
	r := request{s: s, b: s.b, h: h, caller: s.caller, received: s.c.ReceivedAt()}
	r.h.Version = 0
	r.open()
	r.respondIn(protocol.UnsupportedApiVersions(), 0)
}

// Closed implements conn.Session.
func (s *session) Closed(err error) {
	s.b.forget(s)
	if err == nil || ordinary(err) {
		s.b.log.Debug("connection closed", "remote", s.caller.Address.String(), "client", s.caller.ClientID, "err", err)
		return
	}
	s.b.metrics.abnormal.Inc()
	s.b.log.Warn("connection closed", "remote", s.caller.Address.String(), "client", s.caller.ClientID,
		"software", s.software, "listener", s.listener.name, slog.Any("err", err))
}

// ordinary tells the ways in which peers go away that nobody needs to look into.
func ordinary(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, conn.ErrIdle) || errors.Is(err, conn.ErrClosed)
}
