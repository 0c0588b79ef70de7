package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/quorum/jute"
)

var ctx = context.Background()

func TestParseServers(t *testing.T) {
	for _, c := range []struct {
		in, addresses, chroot, problem string
	}{
		{"a", "a:2181", "", ""},
		{"a:1,b:2,c:3/x/y", "a:1 b:2 c:3", "/x/y", ""},
		{"a:1, b:2 ,/", "a:1 b:2", "", ""},
		{"[::1]:5,[fe80::1]", "[::1]:5 [fe80::1]:2181", "", ""},
		{"a:", "a:2181", "", ""},
		{"", "", "", "names no server"},
		{"/x", "", "", "names no server"},
		{"a:x", "", "", "port \"x\""},
		{"a:0", "", "", "port \"0\""},
		{"a:65536", "", "", "port"},
		{":5", "", "", "has no host"},
		{"[::1", "", "", "bracket"},
		{"[::1]5", "", "", "bracket"},
		{"a/x/", "", "", "must not end with /"},
		{"a//x", "", "", "empty node name"},
	} {
		a, chroot, err := ParseServers(c.in)
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%q: %v, want %q", c.in, err, c.problem)
			}
			continue
		}
		if err != nil || strings.Join(a, " ") != c.addresses || chroot != c.chroot {
			t.Errorf("%q: %v, %q, %v", c.in, a, chroot, err)
		}
	}
	if _, err := New(Config{Servers: "a"}); err == nil {
		t.Error("a client without a network was made")
	}
}

func TestCallsArePipelinedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held []jute.RequestHeader
		var paths []string
		s := &fakeServer{on: func(c *fakeConn, h jute.RequestHeader, r *jute.Reader) {
			// Nothing is answered before all of it is here.
			held, paths = append(held, h), append(paths, r.String())
			if len(held) == 100 {
				for i, h := range held {
					c.reply(h, jute.OK, &jute.CreateResponse{Path: paths[i] + "x"})
				}
			}
		}}
		c, _ := start(t, nil, s)
		var got []string
		for i := range 100 {
			if err := c.Send(&Request{Op: jute.OpCreate, Path: fmt.Sprintf("/n%d", i)}, func(p *Reply, err error) {
				if err != nil {
					t.Error(err)
					return
				}
				got = append(got, p.Path)
			}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for i := range 100 {
			if want := fmt.Sprintf("/n%dx", i); len(got) != 100 || got[i] != want {
				t.Fatalf("%d answers, %d is not %s: %v", len(got), i, want, got)
			}
		}
		if c.LastZxid() != 100 {
			t.Errorf("last zxid %d", c.LastZxid())
		}
	})
}

// The event comes before the answer that shows what it tells of, also to a channel.
func TestEventBeforeReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{}
		s.on = func(c *fakeConn, h jute.RequestHeader, r *jute.Reader) {
			if h.Op == jute.OpSetData {
				c.event(jute.EventDataChanged, "/x")
			}
			c.reply(h, jute.OK, nil)
		}
		c, _ := start(t, nil, s)
		for range 100 {
			_, _, ch, err := c.GetW(ctx, "/x")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Set(ctx, "/x", nil, -1); err != nil {
				t.Fatal(err)
			}
			select {
			case e := <-ch:
				if e.Type != jute.EventDataChanged || e.Path != "/x" {
					t.Errorf("got %+v", e)
				}
			default:
				t.Fatal("the answer came before the event")
			}
		}
	})
}

func TestMaxBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{}
		s.on = func(c *fakeConn, h jute.RequestHeader, r *jute.Reader) {
			c.reply(h, jute.OK, &jute.GetDataResponse{Data: make([]byte, 2000)})
		}
		c, _ := start(t, func(cfg *Config) { cfg.MaxBuffer = 1000 }, s)
		var size *jute.FrameSizeError
		_, err := c.Set(ctx, "/x", make([]byte, 1000), -1)
		if !errors.As(err, &size) || !errors.Is(err, jute.MarshallingError) || !strings.Contains(err.Error(), "setData /x") {
			t.Errorf("got %v", err)
		}
		if _, _, err := c.Get(ctx, "/x"); !errors.As(err, &size) || !errors.Is(err, jute.ConnectionLoss) {
			t.Errorf("got %v", err)
		}
	})
}

func TestServerThatIsOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{}
		s.on = func(c *fakeConn, h jute.RequestHeader, r *jute.Reader) {
			h.Xid++
			c.reply(h, jute.OK, nil)
		}
		c, _ := start(t, nil, s)
		if _, _, err := c.Get(ctx, "/x"); !errors.Is(err, errOrder) || !errors.Is(err, jute.ConnectionLoss) {
			t.Errorf("got %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{}
		c, _ := start(t, nil, s)
		_, _, ch, err := c.ChildrenW(ctx, "/")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
		if e := <-ch; e.Type != jute.EventNone || e.State != Closed {
			t.Errorf("got %+v", e)
		}
		if ops, _ := s.requests(); ops[len(ops)-1] != jute.OpCloseSession {
			t.Errorf("the server saw %v", ops)
		}
		if err := c.Send(&Request{Op: jute.OpGetData, Path: "/"}, nil); !errors.Is(err, ErrClosed) || !errors.Is(err, jute.SessionExpired) {
			t.Errorf("got %v", err)
		}
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseWithoutServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, nil, nil)
		if err := c.Close(ctx); err != nil {
			t.Errorf("no session was opened, and yet: %v", err)
		}
		s := &fakeServer{on: func(*fakeConn, jute.RequestHeader, *jute.Reader) {}}
		c, _ = start(t, nil, s)
		if err := c.WaitConnected(ctx); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := c.Close(short); !errors.Is(err, jute.ConnectionLoss) {
			t.Errorf("the server said nothing, and yet: %v", err)
		}
	})
}

func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{on: func(*fakeConn, jute.RequestHeader, *jute.Reader) {}}
		c, _ := start(t, nil, s)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, _, err := c.Get(short, "/x")
		var e *Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || !e.Sent {
			t.Errorf("got %v", err)
		}
		if _, _, err := c.Get(short, "/x"); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.Sent {
			t.Errorf("got %v", err)
		}
	})
}

func TestRequestsAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, nil, &fakeServer{})
		for _, q := range []*Request{
			{Op: jute.OpGetData, Path: "x"},
			{Op: jute.OpCreate, Path: "/x/"},
			{Op: jute.OpMulti, Ops: []jute.MultiOp{{Type: jute.OpDelete, Path: "/a//b"}}},
			{Op: jute.OpMulti, Ops: []jute.MultiOp{{Type: jute.OpGetData, Path: "/a"}}},
			{Op: jute.OpMultiRead, Ops: []jute.MultiOp{{Type: jute.OpCheck, Path: "/a"}}},
		} {
			if err := c.Send(q, nil); !errors.Is(err, jute.BadArguments) {
				t.Errorf("%+v: %v", q, err)
			}
		}
		for _, op := range []jute.OpCode{jute.OpPing, jute.OpAuth, jute.OpCreateSession, 4711} {
			if err := c.Send(&Request{Op: op, Path: "/"}, nil); !errors.Is(err, jute.Unimplemented) {
				t.Errorf("%v: %v", op, err)
			}
		}
		if _, err := c.Do(ctx, &Request{Op: jute.OpCreate, Path: "/x/", Mode: jute.PersistentSequential}); err != nil {
			t.Error(err)
		}
	})
}
