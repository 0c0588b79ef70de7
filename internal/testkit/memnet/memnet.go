// Package memnet is a network in memory for tests: hosts that listen on names, connections that
// behave as TCP's do, and links between hosts that can be cut in one direction or both. It has
// no sockets and waits by package time and sync only, so it works inside testing/synctest.
package memnet

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// Network is all hosts. Its methods may be called from several goroutines at once.
type Network struct {
	mu        sync.Mutex
	changed   *sync.Cond // a cut was made or healed, a context ended
	listeners map[string]*listener
	cuts      map[[2]string]bool // from, to
	conns     map[*conn]struct{}
	port      int
	delay     func(from, to string) time.Duration
	lives     map[string]int     // how often a host was killed
	orphans   map[string][]*conn // the other ends of what a host had when its power went
}

// New makes a network without hosts.
func New() *Network {
	n := &Network{listeners: map[string]*listener{}, cuts: map[[2]string]bool{}, conns: map[*conn]struct{}{}, lives: map[string]int{}, orphans: map[string][]*conn{}}
	n.changed = sync.NewCond(&n.mu)
	return n
}

// Host is what a program on one host uses. The host in an address is the host's name. After
// Kill or PowerOff it is of no use any more: what is started again takes another.
type Host struct {
	net  *Network
	name string
	life int
}

// Host returns a host by its name. If it had no power, it has from now on: connections from
// before are reset.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.orphans[name] {
		c.in.reset()
		c.out.reset()
	}
	delete(n.orphans, name)
	return &Host{n, name, n.lives[name]}
}

// SetDelay lets everything take a time from one host to another. delay is called with the
// network's lock held.
func (n *Network) SetDelay(delay func(from, to string) time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = delay
}

// Cut loses everything that from sends to to, as if by a firewall: what is under way is held and
// arrives when the link is healed, new connections do not come up.
func (n *Network) Cut(from, to string) { n.set(from, to, true) }

// CutBoth cuts both directions.
func (n *Network) CutBoth(a, b string) {
	n.set(a, b, true)
	n.set(b, a, true)
}

// Isolate cuts a host off from others.
func (n *Network) Isolate(host string, others ...string) {
	for _, other := range others {
		n.CutBoth(host, other)
	}
}

// Heal mends both directions between two hosts.
func (n *Network) Heal(a, b string) {
	n.set(a, b, false)
	n.set(b, a, false)
}

// HealAll mends everything.
func (n *Network) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cuts)
	n.tellAll()
}

// tellAll wakes everybody. The caller holds mu.
func (n *Network) tellAll() {
	n.changed.Broadcast()
	for c := range n.conns {
		c.in.changed.Broadcast()
		c.out.changed.Broadcast()
	}
}

func (n *Network) set(from, to string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]string{from, to}] = cut
	n.tellAll()
}

// Break ends all connections between two hosts, as a reset does.
func (n *Network) Break(a, b string) {
	n.end(func(from, to string) bool { return from == a && to == b || from == b && to == a })
}

// Kill ends all connections of a host and closes its listeners, as the death of its programs does.
func (n *Network) Kill(host string) {
	n.closeListeners(host)
	n.end(func(from, to string) bool { return from == host || to == host })
}

// PowerOff is Kill without a word to the others: what they send is lost, and they learn of it
// when Host is called again.
func (n *Network) PowerOff(host string) {
	n.closeListeners(host)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.orphans[host] == nil {
		n.orphans[host] = []*conn{}
	}
	for c := range n.conns {
		switch host {
		case c.out.from:
			c.err = syscall.ECONNRESET
		case c.out.to:
			n.orphans[host] = append(n.orphans[host], c)
		}
	}
	n.tellAll()
}

// closeListeners closes those of a host, whose programs can do nothing any more.
func (n *Network) closeListeners(host string) {
	n.mu.Lock()
	n.lives[host]++
	n.changed.Broadcast()
	var dead []*listener
	for _, l := range n.listeners {
		if l.host == host {
			dead = append(dead, l)
		}
	}
	n.mu.Unlock()
	for _, l := range dead {
		_ = l.Close()
	}
}

func (n *Network) end(which func(from, to string) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if which(c.in.from, c.in.to) {
			c.in.reset()
			c.out.reset()
		}
	}
}

// Listen opens a port. Port 0 takes one that is free.
func (h *Host) Listen(_ context.Context, addr string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == "0" {
		n.port++
		port = fmt.Sprint(50_000 + n.port)
	}
	if h.life != n.lives[h.name] {
		return nil, errDead
	}
	name := net.JoinHostPort(h.name, port)
	if n.listeners[name] != nil {
		return nil, &net.OpError{Op: "listen", Net: "mem", Addr: address(name), Err: syscall.EADDRINUSE}
	}
	l := &listener{net: n, host: h.name, addr: address(name), changed: sync.NewCond(&n.mu)}
	n.listeners[name] = l
	return l, nil
}

// Dial connects to a port of some host. Over a cut link it waits until ctx is over.
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n := h.net
	stop := context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.changed.Broadcast()
	})
	defer stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	for h.life == n.lives[h.name] && (n.cuts[[2]string{h.name, to}] || n.cuts[[2]string{to, h.name}] || n.orphans[to] != nil) {
		if ctx.Err() != nil {
			return nil, &net.OpError{Op: "dial", Net: "mem", Addr: address(addr), Err: ctx.Err()}
		}
		n.changed.Wait()
	}
	if h.life != n.lives[h.name] {
		return nil, errDead
	}
	l := n.listeners[addr]
	if ctx.Err() != nil || l == nil {
		err := ctx.Err()
		if err == nil {
			err = syscall.ECONNREFUSED
		}
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: address(addr), Err: err}
	}
	n.port++
	local := address(net.JoinHostPort(h.name, fmt.Sprint(50_000+n.port)))
	there := &half{from: h.name, to: to, changed: sync.NewCond(&n.mu)}
	back := &half{from: to, to: h.name, changed: sync.NewCond(&n.mu)}
	mine := &conn{net: n, in: back, out: there, local: local, remote: address(addr)}
	theirs := &conn{net: n, in: there, out: back, local: address(addr), remote: local}
	n.conns[mine], n.conns[theirs] = struct{}{}, struct{}{}
	l.waiting = append(l.waiting, theirs)
	l.changed.Broadcast()
	return mine, nil
}

var errDead = &net.OpError{Op: "use", Net: "mem", Err: net.ErrClosed}

type address string

func (address) Network() string  { return "mem" }
func (a address) String() string { return string(a) }

type listener struct {
	net     *Network
	host    string
	addr    address
	waiting []*conn
	closed  bool
	changed *sync.Cond
}

func (l *listener) Accept() (net.Conn, error) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	for len(l.waiting) == 0 {
		if l.closed {
			return nil, &net.OpError{Op: "accept", Net: "mem", Addr: l.addr, Err: net.ErrClosed}
		}
		l.changed.Wait()
	}
	c := l.waiting[0]
	l.waiting = l.waiting[1:]
	return c, nil
}

func (l *listener) Close() error {
	l.net.mu.Lock()
	waiting := l.waiting
	l.waiting, l.closed = nil, true
	if l.net.listeners[string(l.addr)] == l {
		delete(l.net.listeners, string(l.addr))
	}
	l.changed.Broadcast()
	l.net.mu.Unlock()
	for _, c := range waiting {
		_ = c.Close()
	}
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }
