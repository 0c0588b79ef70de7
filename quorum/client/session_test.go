package client

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/quorum/jute"
)

// The order after a reconnect: the session, identities, watches, OnState, then what waited.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		s := &fakeServer{}
		var armed jute.SetWatches2
		s.on = func(c *fakeConn, h jute.RequestHeader, r *jute.Reader) {
			switch h.Op {
			case jute.OpExists:
				code := jute.OK
				if r.String() == "/root/missing" {
					code = jute.NoNode
				}
				c.reply(h, code, nil)
			case jute.OpSetWatches2:
				if err := armed.Decode(r); err != nil {
					t.Error(err)
				}
				c.event(jute.EventDataChanged, "/root/data")
				c.reply(h, jute.OK, nil)
			default:
				c.reply(h, jute.OK, nil)
			}
		}
		c, n := start(t, func(cfg *Config) {
			cfg.Servers += "/root"
			cfg.Auth = []Auth{{"digest", []byte("u:p")}}
			cfg.OnState = func(s State) { log = append(log, s.String()) }
		}, s)
		note := func(name string) func(Event) {
			return func(e Event) { log = append(log, name+" "+e.Type.String()+" "+e.Path) }
		}
		for _, q := range []*Request{
			{Op: jute.OpGetData, Path: "/data", Watch: note("data")},
			{Op: jute.OpExists, Path: "/missing", Watch: note("exist")},
			{Op: jute.OpExists, Path: "/there", Watch: note("exist")},
			{Op: jute.OpGetChildren2, Path: "/", Watch: note("child")},
			{Op: jute.OpAddWatch, Path: "/p", Watch: note("persistent")},
			{Op: jute.OpAddWatch, Path: "/r", AddMode: jute.WatchPersistentRecursive, Watch: note("recursive")},
		} {
			if _, err := c.Do(ctx, q); err != nil && !errors.Is(err, jute.NoNode) {
				t.Fatal(err)
			}
		}
		if err := c.AddAuth(ctx, "digest", []byte("v:q")); err != nil {
			t.Fatal(err)
		}
		first := c.Session()
		last := c.LastZxid()
		n.mu.Lock()
		n.ports = nil
		n.mu.Unlock()
		s.cut()
		synctest.Wait()
		_ = c.Send(&Request{Op: jute.OpGetData, Path: "/waiting"}, func(_ *Reply, err error) { log = append(log, fmt.Sprint("waited: ", err)) })
		n.mu.Lock()
		n.ports = map[string]*fakeServer{"a:2181": s}
		n.mu.Unlock()
		s.mu.Lock()
		s.seen = nil
		s.mu.Unlock()
		if err := c.WaitConnected(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ops, _ := s.requests()
		if want := []jute.OpCode{jute.OpAuth, jute.OpAuth, jute.OpSetWatches2, jute.OpGetData}; !slices.Equal(ops, want) {
			t.Errorf("the server saw %v, want %v", ops, want)
		}
		want := jute.SetWatches2{
			SetWatches: jute.SetWatches{RelativeZxid: last, Data: []string{"/root/data", "/root/there"}, Exist: []string{"/root/missing"}, Child: []string{"/root"}},
			Persistent: []string{"/root/p"}, PersistentRecursive: []string{"/root/r"},
		}
		if !reflect.DeepEqual(armed, want) {
			t.Errorf("armed %+v, want %+v", armed, want)
		}
		if h := s.hellos[1]; h.SessionID != first.ID || !bytes.Equal(h.Password, first.Password) || h.LastZxidSeen != last || s.hellos[0].SessionID != 0 {
			t.Errorf("greeted with %+v", s.hellos)
		}
		if want := "SyncConnected|Disconnected|SyncConnected|data NodeDataChanged /data|waited: <nil>"; strings.Join(log, "|") != want {
			t.Errorf("got  %s\nwant %s", strings.Join(log, "|"), want)
		}
	})
}

func TestRearmIsSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		paths := map[string]bool{}
		s := &fakeServer{on: func(c *fakeConn, h jute.RequestHeader, r *jute.Reader) {
			if h.Op == jute.OpSetWatches {
				sizes = append(sizes, r.Len())
				var m jute.SetWatches
				if m.Decode(r) != nil || m.RelativeZxid != 3000 {
					t.Errorf("%v, relative to %d", r.Err(), m.RelativeZxid)
				}
				for _, p := range slices.Concat(m.Data, m.Child) {
					paths[p] = true
				}
			}
			c.reply(h, jute.OK, nil)
		}}
		c, _ := start(t, nil, s)
		name := strings.Repeat("n", 100)
		for i := range 3000 {
			op := jute.OpGetData
			if i%2 == 0 {
				op = jute.OpGetChildren
			}
			_ = c.Send(&Request{Op: op, Path: fmt.Sprintf("/%s%d", name, i), Watch: func(Event) {}}, func(_ *Reply, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		s.cut()
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(paths) != 3000 || len(sizes) != 3 {
			t.Errorf("%d watches were armed, in packets of %v bytes", len(paths), sizes)
		}
		for _, n := range sizes {
			if n > setWatchesLimit+200 {
				t.Errorf("a packet of %d bytes", n)
			}
		}
	})
}

// A server that does not arm the watches is left: nothing would tell of what they wait for.
func TestServerThatArmsNoWatchesIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusals, armed := 0, 0
		s := &fakeServer{}
		s.on = func(c *fakeConn, h jute.RequestHeader, r *jute.Reader) {
			switch {
			case h.Op != jute.OpSetWatches:
				c.reply(h, jute.OK, nil)
			case refusals < 3:
				refusals++
				c.reply(h, jute.Unimplemented, nil)
			default:
				armed++
				c.reply(h, jute.OK, nil)
				c.event(jute.EventDataChanged, "/a")
			}
		}
		c, _ := start(t, nil, s)
		var told []Event
		if _, err := c.Do(ctx, &Request{Op: jute.OpGetData, Path: "/a", Watch: func(e Event) { told = append(told, e) }}); err != nil {
			t.Fatal(err)
		}
		s.cut()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if refusals != 3 || armed != 1 || len(told) != 1 || told[0].Type != jute.EventDataChanged || c.State() != Connected {
			t.Errorf("refused %d times, armed %d times, told %v, state %v", refusals, armed, told, c.State())
		}
	})
}

// A break tells of each call whether it had left.
func TestLostCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{}
		s.on = func(*fakeConn, jute.RequestHeader, *jute.Reader) {} // never answers
		c, n := start(t, nil, s, nil)
		var log []string
		send := func(path string) {
			_ = c.Send(&Request{Op: jute.OpSetData, Path: path}, func(_ *Reply, err error) {
				var e *Error
				if !errors.As(err, &e) || e.Code != jute.ConnectionLoss || e.Path != path || e.Cause == nil {
					t.Errorf("%s: %v", path, err)
				}
				log = append(log, fmt.Sprint(path, " ", e.Sent))
			})
		}
		if err := c.WaitConnected(ctx); err != nil {
			t.Fatal(err)
		}
		send("/left")
		synctest.Wait()
		n.mu.Lock()
		n.ports = nil
		n.dials = nil
		n.mu.Unlock()
		s.cut()
		synctest.Wait()
		send("/waits")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Join(log, "|"); got != "/left true|/waits false" {
			t.Errorf("got %s", got)
		}
		// Both servers in turn, with pauses that grow to a second.
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.dials) < 100 || len(n.dials) > 260 {
			t.Errorf("%d attempts in a minute", len(n.dials))
		}
		for i := 2; i < len(n.dials); i++ {
			if n.dials[i] != n.dials[i-2] || n.dials[i] == n.dials[i-1] {
				t.Fatalf("attempts %v", n.dials[:i+1])
			}
		}
	})
}

func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		s := &fakeServer{}
		var expired atomic.Bool
		s.hello = func(q *jute.ConnectRequest) *jute.ConnectResponse {
			if expired.Load() {
				return &jute.ConnectResponse{Password: make([]byte, 16)}
			}
			return &jute.ConnectResponse{TimeoutMs: 4000, SessionID: 5, Password: []byte("pw")}
		}
		c, _ := start(t, func(cfg *Config) { cfg.OnState = func(s State) { log = append(log, s.String()) } }, s)
		_, _, ch, err := c.GetW(ctx, "/x")
		if err != nil || c.SessionTimeout() != 4*time.Second || c.Session().ID != 5 || c.Server() != "a:2181" {
			t.Fatal(err, c.SessionTimeout(), c.Session(), c.Server())
		}
		expired.Store(true)
		s.cut()
		if e := <-ch; e.Type != jute.EventNone || e.State != Expired {
			t.Errorf("watch: %+v", e)
		}
		synctest.Wait()
		if _, _, err := c.Get(ctx, "/x"); !errors.Is(err, jute.SessionExpired) {
			t.Errorf("got %v", err)
		}
		if err := c.WaitConnected(ctx); !errors.Is(err, jute.SessionExpired) {
			t.Errorf("got %v", err)
		}
		if got := strings.Join(log, "|"); got != "SyncConnected|Disconnected|Expired" {
			t.Errorf("got %s", got)
		}
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mute atomic.Bool
		s := &fakeServer{}
		s.on = func(c *fakeConn, h jute.RequestHeader, r *jute.Reader) {
			if !mute.Load() {
				c.reply(h, jute.OK, nil)
			}
		}
		var states []State
		c, n := start(t, func(cfg *Config) { cfg.OnState = func(s State) { states = append(states, s) } }, s)
		if err := c.WaitConnected(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if _, pings := s.requests(); pings != 30 {
			t.Errorf("%d pings in a minute at a timeout of 6 s", pings)
		}
		// Calls stand for pings.
		for range 60 {
			if _, _, err := c.Get(ctx, "/"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if _, pings := s.requests(); pings != 30 {
			t.Errorf("%d pings while there were calls", pings)
		}
		// A server that says nothing is left after two thirds of the timeout.
		mute.Store(true)
		begin := time.Now()
		_, _, err := c.Get(ctx, "/")
		if took := time.Since(begin); !errors.Is(err, jute.ConnectionLoss) || !errors.Is(err, errSilent) || took < 3*time.Second || took > 4*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		mute.Store(false)
		synctest.Wait()
		if err := c.WaitConnected(ctx); err != nil || len(n.dials) < 2 {
			t.Error(err)
		}
		if len(states) != 3 || states[2] != Connected {
			t.Errorf("states %v", states)
		}
	})
}

func TestDeafServerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		c, n := start(t, nil, &fakeServer{deaf: true}, &fakeServer{deaf: true}, &fakeServer{hello: func(*jute.ConnectRequest) *jute.ConnectResponse { return nil }}, &fakeServer{})
		if err := c.WaitConnected(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 3*time.Second+100*time.Millisecond || c.Server() != "d:2181" {
			t.Errorf("took %v to %s: %v", took, c.Server(), n.dials)
		}
	})
}

func TestAuthFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{}
		s.on = func(c *fakeConn, h jute.RequestHeader, r *jute.Reader) {
			if h.Op == jute.OpAuth {
				c.packet(&jute.ReplyHeader{Xid: jute.XidAuth, Err: jute.AuthFailed})
				c.Close()
				return
			}
		}
		var states []State
		c, _ := start(t, func(cfg *Config) { cfg.OnState = func(s State) { states = append(states, s) } }, s)
		var lost error
		_ = c.Send(&Request{Op: jute.OpGetData, Path: "/"}, func(_ *Reply, err error) { lost = err })
		if err := c.AddAuth(ctx, "nonsense", []byte("x")); !errors.Is(err, jute.AuthFailed) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if !errors.Is(lost, jute.AuthFailed) || c.State() != AuthFailed {
			t.Errorf("%v, %v", lost, c.State())
		}
		if err := c.AddAuth(ctx, "digest", nil); !errors.Is(err, jute.AuthFailed) {
			t.Errorf("got %v", err)
		}
		if want := []State{Connected, AuthFailed}; !slices.Equal(states, want) {
			t.Errorf("got %v", states)
		}
	})
}

func TestSessionIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{}
		c, _ := start(t, nil, s)
		if err := c.WaitConnected(ctx); err != nil {
			t.Fatal(err)
		}
		c.Abandon()
		session := c.Session()
		c2, _ := start(t, func(cfg *Config) { cfg.Session = &session }, s)
		if err := c2.WaitConnected(ctx); err != nil || c2.Session().ID != session.ID {
			t.Error(err)
		}
		if ops, _ := s.requests(); len(ops) != 0 || s.hellos[1].SessionID != session.ID || !bytes.Equal(s.hellos[1].Password, session.Password) {
			t.Errorf("saw %v and %+v", ops, s.hellos)
		}
	})
}
