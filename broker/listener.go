package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// listener is one open listener.
type listener struct {
	net.Listener
	b              *Broker
	name, protocol string
	of             config.Listener // as configured
}

// openListener opens a listener that accepts nothing yet. remote is the congestion control of
// connections from other machines, see setCongestion.
func (b *Broker) openListener(ctx context.Context, of config.Listener) (l *listener, remote string, err error) {
	opened, err := b.listen(ctx, "tcp", of.Address())
	if err != nil {
		return nil, "", fmt.Errorf("listener %s: %w", of, err)
	}
	if remote, err = setCongestion(opened, b.config().Broker.SocketCongestionControl); err != nil {
		_ = opened.Close() // nothing was accepted
		return nil, "", fmt.Errorf("listener %s: %w", of, err)
	}
	return &listener{b: b, name: of.Name, protocol: of.Protocol, of: of, Listener: opened}, remote, nil
}

// Relisten makes the open listeners those of the settings in force. New ones are opened
// first; of those that are no longer wanted the connections are closed too. A listener that
// cannot be opened is logged; the last one that is open stays while there is no other.
func (b *Broker) Relisten() {
	b.relisten.Lock()
	defer b.relisten.Unlock()
	want := b.config().Broker.Listeners
	b.mu.Lock()
	have := slices.Clone(b.listeners)
	closing := b.closing
	b.mu.Unlock()
	wanted := func(l *listener) bool { return slices.Contains(want, l.of) }
	if closing || len(have) == len(want) && !slices.ContainsFunc(have, func(l *listener) bool { return !wanted(l) }) {
		return
	}
	next, missing := b.openMissing(want, have)
	gone := slices.DeleteFunc(slices.Clone(have), wanted)
	for _, l := range gone {
		_ = l.Close() // its accept loop ends by it
	}
	// An address may have been held by one that has gone now.
	again, failed := b.openMissing(missing, nil)
	if next = append(next, again...); len(next) == 0 {
		for _, l := range gone {
			if old, _, err := b.openListener(b.ctx, l.of); err == nil {
				next = append(next, old)
			}
		}
	}
	for _, of := range failed {
		b.log.Error("a listener cannot be opened", "listener", of.String())
	}
	b.useListeners(next, have, gone)
}

// openMissing opens what is wanted and not there, and returns the listeners that are wanted
// and open, in order, with those that could not be opened.
func (b *Broker) openMissing(want []config.Listener, have []*listener) (open []*listener, missing []config.Listener) {
	for _, of := range want {
		if at := slices.IndexFunc(have, func(l *listener) bool { return l.of == of }); at >= 0 {
			open = append(open, have[at])
			continue
		}
		l, _, err := b.openListener(b.ctx, of)
		if err != nil {
			b.log.Warn("a listener is not open yet", "listener", of.String(), "err", err)
			missing = append(missing, of)
			continue
		}
		open = append(open, l)
	}
	return open, missing
}

var errListenerGone = errors.New("the listener was removed from the settings")

// useListeners lets the new ones accept, and cuts the connections of those that have gone.
func (b *Broker) useListeners(next, before, gone []*listener) {
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		for _, l := range next {
			_ = l.Close() // what was there before was closed already
		}
		return
	}
	b.listeners = next
	for _, l := range next {
		if !slices.Contains(before, l) {
			b.wg.Go(l.accept)
			b.log.Info("listening", "listener", l.name, "address", l.Addr().String())
		}
	}
	var cut []*session
	for s := range b.open {
		if slices.Contains(gone, s.listener) {
			cut = append(cut, s)
		}
	}
	b.mu.Unlock()
	for _, s := range cut {
		s.c.Close(errListenerGone)
	}
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
