package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Proxy passes frames between clients and one broker.
type Proxy struct {
	checker  *Checker
	listener net.Listener
	upstream string
	wg       sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	empty  sync.Cond // open has become empty
	closed bool
}

// Listen makes a proxy on a free port of loopback; Forward starts it.
func Listen(c *Checker) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{checker: c, listener: l, open: map[net.Conn]struct{}{}}
	p.empty.L = &p.mu
	return p, nil
}

// Addr is where clients find the proxy.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Forward serves clients until Close. A client that comes while the broker is down is
// turned away.
func (p *Proxy) Forward(upstream string) {
	p.upstream = upstream
	p.wg.Go(func() {
		for {
			client, err := p.listener.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(client) })
		}
	})
}

// Close ends all connections and waits for their goroutines.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for c := range p.open {
		c.Close()
	}
	p.mu.Unlock()
	err := p.listener.Close()
	p.wg.Wait()
	return err
}

// Quiet returns once all that a broker said which is down now has been seen.
func (p *Proxy) Quiet() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.open) > 0 {
		p.empty.Wait()
	}
}

// keep registers a connection for Close; false when the proxy is closed already.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.open[c] = struct{}{}
	}
	return !p.closed
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	delete(p.open, c)
	if len(p.open) == 0 {
		p.empty.Broadcast()
	}
	p.mu.Unlock()
	c.Close()
}

func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	broker, err := net.Dial("tcp", p.upstream)
	if err != nil {
		return
	}
	defer p.drop(broker)
	if !p.keep(client) || !p.keep(broker) {
		return
	}
	t := &tap{checker: p.checker, waiting: map[int32]*Call{}}
	replies := make(chan struct{})
	go func() {
		defer close(replies)
		pass(client, broker, t.reply)
		client.Close()
		broker.Close()
	}()
	pass(broker, client, t.request)
	client.Close()
	broker.Close()
	<-replies
}

// pass copies frames and shows each to see before it is passed on.
func pass(to io.Writer, from io.Reader, see func(frame []byte)) {
	buf := make([]byte, 4, 64<<10)
	for {
		if _, err := io.ReadFull(from, buf[:4]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint32(buf[:4]))
		if size < 0 || size > 256<<20 {
			return
		}
		if cap(buf) < 4+size {
			buf = append(make([]byte, 0, 4+size), buf[:4]...)
		}
		frame := buf[:4+size]
		if _, err := io.ReadFull(from, frame[4:]); err != nil {
			return
		}
		see(frame[4:])
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

// tap reads along on one connection.
type tap struct {
	checker *Checker
	mu      sync.Mutex
	waiting map[int32]*Call
}

// watched are the APIs whose bodies are decoded.
func watched(key int16) bool {
	switch kmsg.Key(key) {
	case kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup, kmsg.ConsumerGroupHeartbeat:
		return true
	}
	return false
}

func (t *tap) request(frame []byte) {
	r := kbin.Reader{Src: frame}
	key, version, id := r.Int16(), r.Int16(), r.Int32()
	if !watched(key) {
		return
	}
	client := r.NullableString()
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	if req.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	err := errors.Join(r.Complete(), req.ReadFrom(r.Src))
	if err != nil {
		t.checker.fail("%s version %d of a client cannot be read: %v", kmsg.NameForKey(key), version, err)
		return
	}
	c := &Call{Request: req}
	if client != nil {
		c.Client = *client
	}
	t.checker.Sent(c)
	t.mu.Lock()
	t.waiting[id] = c
	t.mu.Unlock()
}

func (t *tap) reply(frame []byte) {
	r := kbin.Reader{Src: frame}
	id := r.Int32()
	t.mu.Lock()
	c := t.waiting[id]
	delete(t.waiting, id)
	t.mu.Unlock()
	if c == nil {
		return
	}
	resp := c.Request.ResponseKind()
	resp.SetVersion(c.Request.GetVersion())
	if resp.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if err := errors.Join(r.Complete(), resp.ReadFrom(r.Src)); err != nil {
		t.checker.fail("the reply to %s version %d cannot be read: %v", kmsg.NameForKey(resp.Key()), resp.GetVersion(), err)
		return
	}
	t.checker.Replied(c, resp)
}
