package proxy

import (
	"net"
	"sync"
	"time"
)

// Rule is what happens to the bytes that go one way. The zero value lets them pass.
type Rule struct {
	// Hold keeps all bytes, and the end of a connection too, until the rule is gone. Nothing
	// is read meanwhile, so the sender comes to wait.
	Hold bool
	// Refuse resets connections that are opened this way.
	Refuse bool
	// Delay keeps each piece for so long.
	Delay time.Duration
	// Piece is the most bytes that are passed on at once; 0 means many.
	Piece int
}

type way struct{ from, to int }

// Net is proxies and the rules that they go by. All methods may be called at any time.
type Net struct {
	mu        sync.Mutex
	rules     map[way]Rule
	changed   chan struct{} // closed at the next change of the rules
	links     map[*link]struct{}
	listeners []net.Listener
	closed    bool
	running   sync.WaitGroup
}

// New makes a network without proxies.
func New() *Net {
	return &Net{rules: map[way]Rule{}, changed: make(chan struct{}), links: map[*link]struct{}{}}
}

// Listen opens a proxy on loopback through which host from reaches host to, at target, and
// returns where it listens.
func (n *Net) Listen(from, to int, target string) (*net.TCPAddr, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, l.Close()
	}
	n.listeners = append(n.listeners, l)
	n.running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			n.serve(&link{net: n, from: from, to: to, near: near.(*net.TCPConn), done: make(chan struct{})}, target)
		}
	})
	return l.Addr().(*net.TCPAddr), nil
}

// Set gives the bytes that go from one host to another a rule.
func (n *Net) Set(from, to int, r Rule) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules[way{from, to}] = r
	n.tellLocked()
}

// SetBoth gives both ways between two hosts a rule.
func (n *Net) SetBoth(a, b int, r Rule) {
	n.Set(a, b, r)
	n.Set(b, a, r)
}

// Heal takes all rules away: what was held goes on.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.rules)
	n.tellLocked()
}

func (n *Net) tellLocked() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// Reset breaks all connections between two hosts, whoever dialed, and tells how many.
func (n *Net) Reset(a, b int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for l := range n.links {
		if l.from == a && l.to == b || l.from == b && l.to == a {
			l.resetLocked()
			count++
		}
	}
	return count
}

// Close ends all proxies and connections and waits for their goroutines.
func (n *Net) Close() {
	n.mu.Lock()
	n.closed = true
	for _, l := range n.listeners {
		_ = l.Close()
	}
	for l := range n.links {
		l.resetLocked()
	}
	n.mu.Unlock()
	n.running.Wait()
}

// await returns the rule of a way once it lets bytes pass, or false when the link is over.
func (n *Net) await(w way, over <-chan struct{}) (Rule, bool) {
	for {
		n.mu.Lock()
		r, changed := n.rules[w], n.changed
		n.mu.Unlock()
		if !r.Hold {
			return r, true
		}
		select {
		case <-changed:
		case <-over:
			return r, false
		}
	}
}

// link is one connection with both of its ends.
type link struct {
	net      *Net
	from, to int
	near     *net.TCPConn
	far      *net.TCPConn // nil until it is dialed
	done     chan struct{}
	over     bool
}

// serve carries a connection that was accepted, in goroutines of its own.
func (n *Net) serve(l *link, target string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.rules[way{l.from, l.to}].Refuse {
		l.resetLocked()
		return
	}
	n.links[l] = struct{}{}
	n.running.Go(func() {
		defer l.finish()
		if l.dial(target) {
			var back sync.WaitGroup
			back.Go(func() { l.pump(l.near, l.far, way{l.to, l.from}) })
			l.pump(l.far, l.near, way{l.from, l.to})
			back.Wait()
		}
	})
}

// dial opens the far end, once bytes may go there.
func (l *link) dial(target string) bool {
	if _, ok := l.net.await(way{l.from, l.to}, l.done); !ok {
		return false
	}
	far, err := net.DialTimeout("tcp", target, 5*time.Second)
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if err != nil || l.over {
		l.resetLocked()
		if err == nil {
			_ = far.Close()
		}
		return false
	}
	l.far = far.(*net.TCPConn)
	return true
}

// pump carries bytes one way until an end breaks, and the end of the connection too.
func (l *link) pump(dst, src *net.TCPConn, w way) {
	buf := make([]byte, 32<<10)
	for {
		r, ok := l.net.await(w, l.done)
		if !ok {
			return
		}
		part := buf
		if r.Piece > 0 {
			part = buf[:min(r.Piece, len(buf))]
		}
		k, err := src.Read(part)
		if r, ok = l.net.await(w, l.done); !ok || !l.wait(r.Delay) {
			return
		}
		if k > 0 {
			if _, err := dst.Write(part[:k]); err != nil {
				return // the other pump carries this news
			}
		}
		if err != nil {
			_ = dst.CloseWrite()
			return
		}
	}
}

// wait lets time pass, or returns false when the link is over.
func (l *link) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}

// resetLocked breaks the link at once, as a host that crashed and came back does.
func (l *link) resetLocked() {
	if l.over {
		return
	}
	l.over = true
	close(l.done)
	for _, c := range []*net.TCPConn{l.near, l.far} {
		if c != nil {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
}

func (l *link) finish() {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	delete(l.net.links, l)
	if !l.over {
		l.over = true
		close(l.done)
		_ = l.near.Close()
		_ = l.far.Close()
	}
}
