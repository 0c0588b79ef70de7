package metadata_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	. "github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/quorum/jute"
)

// oldZooKeeper answers as ZooKeeper 3.4 or 3.5 does, as far as a store that opens asks it. An
// operation that it does not know is answered with Unimplemented at once, and the connection
// ends, with what else was sent unread (UnimplementedRequestProcessor).
type oldZooKeeper struct {
	known []jute.OpCode // Request.isValid

	mu    sync.Mutex
	nodes map[string]bool
	asked []jute.OpCode
}

var (
	of34 = []jute.OpCode{
		jute.OpCreate, jute.OpDelete, jute.OpExists, jute.OpGetData, jute.OpCheck, jute.OpMulti, jute.OpSetData, jute.OpSync, jute.OpGetACL, jute.OpSetACL,
		jute.OpGetChildren, jute.OpGetChildren2, jute.OpPing, jute.OpCloseSession, jute.OpSetWatches,
	}
	of35 = append([]jute.OpCode{
		jute.OpCreate2, jute.OpCreateTTL, jute.OpCreateContainer, jute.OpDeleteContainer, jute.OpReconfig, jute.OpCheckWatches, jute.OpRemoveWatches,
	}, of34...)
)

// serve answers until the listener is closed.
func (z *oldZooKeeper) serve(t *testing.T) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				z.talk(c)
			})
		}
	})
	t.Cleanup(func() {
		must(t, l.Close())
		conns.Wait()
	})
	return l.Addr().String()
}

func (z *oldZooKeeper) talk(c net.Conn) {
	r := bufio.NewReader(c)
	send := func(records ...jute.Record) bool {
		b := jute.BeginFrame(nil)
		for _, m := range records {
			b = m.AppendTo(b)
		}
		jute.EndFrame(b, 0)
		_, err := c.Write(b)
		return err == nil
	}
	body, err := jute.ReadFrame(r, nil, jute.DefaultMaxBuffer)
	var hello jute.ConnectRequest
	if err != nil || hello.Decode(jute.NewReader(body)) != nil {
		return
	}
	if !send(&jute.ConnectResponse{TimeoutMs: hello.TimeoutMs, SessionID: 0x100, Password: make([]byte, 16), HasReadOnly: hello.HasReadOnly}) {
		return
	}
	for {
		if body, err = jute.ReadFrame(r, body, jute.DefaultMaxBuffer); err != nil {
			return
		}
		in := jute.NewReader(body)
		var h jute.RequestHeader
		if h.Decode(in) != nil {
			return
		}
		z.mu.Lock()
		z.asked = append(z.asked, h.Op)
		z.mu.Unlock()
		if !slices.Contains(z.known, h.Op) {
			send(&jute.ReplyHeader{Xid: h.Xid, Err: jute.Unimplemented})
			return
		}
		code, answer := z.answer(h.Op, in)
		head := &jute.ReplyHeader{Xid: h.Xid, Zxid: 5, Err: code}
		if answer == nil || code != jute.OK {
			if !send(head) {
				return
			}
		} else if !send(head, answer) {
			return
		}
		if h.Op == jute.OpCloseSession {
			return
		}
	}
}

// answer is what there is of a tree.
func (z *oldZooKeeper) answer(op jute.OpCode, in *jute.Reader) (jute.Code, jute.Record) {
	z.mu.Lock()
	defer z.mu.Unlock()
	switch op {
	case jute.OpExists, jute.OpGetData, jute.OpGetChildren2:
		var m jute.PathWatch
		if m.Decode(in) != nil {
			return jute.MarshallingError, nil
		}
		if m.Path != "/" && !z.nodes[m.Path] {
			return jute.NoNode, nil
		}
	case jute.OpCreate:
		var m jute.CreateRequest
		if m.Decode(in) != nil {
			return jute.MarshallingError, nil
		}
		z.nodes[m.Path] = true
		return jute.OK, &jute.CreateResponse{Path: m.Path}
	}
	return jute.OK, jute.NewResponse(op)
}

// TestZooKeeperThatIsTooOld: an ensemble without persistent watches is refused, and the error
// says what is wrong, where, and the way out.
func TestZooKeeperThatIsTooOld(t *testing.T) {
	for version, known := range map[string][]jute.OpCode{"3.4": of34, "3.5": of35} {
		for _, chroot := range []string{"", "/kafka/a"} {
			t.Run(version+chroot, func(t *testing.T) {
				z := &oldZooKeeper{known: known, nodes: map[string]bool{}}
				address := z.serve(t)
				ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
				defer cancel()
				s, err := OpenZKStore(ctx, zkOptions(address+chroot))
				if err == nil {
					_ = s.Close()
				}
				var old *TooOldError
				if !errors.As(err, &old) || old.Connect != address+chroot || old.Server != address {
					t.Fatalf("OpenZKStore: %#v", err)
				}
				for _, part := range []string{"zookeeper.connect " + address + chroot, "3.6", "addWatch", "inside the broker"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the error does not speak of %q: %v", part, err)
					}
				}
				z.mu.Lock()
				defer z.mu.Unlock()
				if !slices.Contains(z.asked, jute.OpAddWatch) || z.nodes["/kafka/a"] != (chroot != "") {
					t.Errorf("it was asked %v and has %v", z.asked, z.nodes)
				}
			})
		}
	}
}
