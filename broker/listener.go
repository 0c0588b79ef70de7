package broker

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// listener is one open listener.
type listener struct {
	net.Listener
	b              *Broker
	name, protocol string
}

// authenticates tells whether connections begin with a handshake. PLAINTEXT does not.
func (l *listener) authenticates() bool { return l.protocol != "PLAINTEXT" }

// accept runs until the listener is closed.
func (l *listener) accept() {
	delay := 5 * time.Millisecond
	for {
		nc, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Out of descriptors, or a peer that is gone already: the listener goes on.
			l.b.log.Error("accept failed", "listener", l.name, "err", err, "retry_in", delay)
			if !l.b.pause(delay) {
				return
			}
			delay = min(2*delay, time.Second)
			continue
		}
		delay = 5 * time.Millisecond
		if d := l.b.limits.Connect(l.b.config().Broker.MaxConnectionCreationRate); d > 0 && !l.b.pause(d) {
			_ = nc.Close() // nothing was read from it
			return
		}
		l.b.admit(l, nc)
	}
}

// pause waits, and reports false when the broker was closed meanwhile.
func (b *Broker) pause(d time.Duration) bool {
	over := make(chan struct{})
	var t clock.Timer = b.clock.AfterFunc(d, func() { close(over) })
	defer t.Stop()
	select {
	case <-over:
		return true
	case <-b.ctx.Done():
		return false
	}
}

// admit begins a connection, unless there are too many.
func (b *Broker) admit(l *listener, nc net.Conn) {
	s := newSession(b, l, nc)
	ip := s.caller.Address.Addr().String()
	if d := b.limits.Admit(s.caller.Address.Addr()); d > 0 {
		b.metrics.rejected.Inc()
		b.log.Debug("connection refused", "remote", s.caller.Address.String(), "listener", l.name, "reason", metadata.ConnectionCreationRate, "close_in", d)
		b.closeLater(nc, d)
		return
	}
	c := &b.config().Broker
	limit := c.MaxConnectionsPerIP
	if n, ok := c.MaxConnectionsPerIPExcept[ip]; ok {
		limit = n
	}
	b.mu.Lock()
	var reason string
	switch {
	case b.closing:
		reason = "the broker shuts down"
	case c.MaxConnections > 0 && len(b.open) >= c.MaxConnections:
		reason = "max.connections=" + strconv.Itoa(c.MaxConnections)
	case limit >= 0 && b.perIP[ip] >= limit:
		reason = "max.connections.per.ip=" + strconv.Itoa(limit)
	}
	if reason != "" {
		b.mu.Unlock()
		b.metrics.rejected.Inc()
		b.log.Warn("connection refused", "remote", s.caller.Address.String(), "listener", l.name, "reason", reason)
		_ = nc.Close() // nothing was read from it
		return
	}
	b.open[s] = struct{}{}
	b.perIP[ip]++
	b.wg.Add(1)
	b.mu.Unlock()
	b.metrics.accepted.Inc()
	go func() {
		defer b.wg.Done()
		s.c.Run(s)
	}()
}

// forget is the end of admit.
func (b *Broker) forget(s *session) {
	ip := s.caller.Address.Addr().String()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, s)
	if b.perIP[ip]--; b.perIP[ip] <= 0 {
		delete(b.perIP, ip)
	}
}

// endpoint is the address of a broker for the clients of a session's listener. This broker,
// when nothing is advertised for that listener, is where the client found it: the local
// address of the very connection, which is never a wildcard.
func (s *session) endpoint(of *metadata.Broker) (host string, port int32, ok bool) {
	if of.ID == s.b.id {
		for _, a := range s.b.config().Broker.Advertised {
			if a.Name == s.listener.name {
				return a.Host, a.Port, true
			}
		}
		if local := addrPort(s.c.LocalAddr()); local.IsValid() {
			return hostOf(local), int32(local.Port()), true
		}
	}
	e, ok := of.Endpoint(s.listener.name)
	return e.Host, e.Port, ok
}

// hostOf leaves the zone of a link-local address out: it means nothing to the peer.
func hostOf(a netip.AddrPort) string { return a.Addr().WithZone("").String() }

func (r *request) appendProduceNode(to []protocol.ProduceResponseNodeEndpoint, id int32) []protocol.ProduceResponseNodeEndpoint {
	for i := range to {
		if to[i].NodeID == id {
			return to
		}
	}
	of, ok := r.b.loader.Image().Broker(id)
	if !ok {
		return to
	}
	host, port, ok := r.s.endpoint(of)
	if !ok {
		return to
	}
	return append(to, protocol.ProduceResponseNodeEndpoint{NodeID: id, Host: host, Port: port, Rack: protocol.StrOrNull(of.Rack)})
}

func (r *request) appendFetchNode(to []protocol.FetchResponseNodeEndpoint, id int32) []protocol.FetchResponseNodeEndpoint {
	for i := range to {
		if to[i].NodeID == id {
			return to
		}
	}
	of, ok := r.b.loader.Image().Broker(id)
	if !ok {
		return to
	}
	host, port, ok := r.s.endpoint(of)
	if !ok {
		return to
	}
	return append(to, protocol.FetchResponseNodeEndpoint{NodeID: id, Host: host, Port: port, Rack: protocol.StrOrNull(of.Rack)})
}
