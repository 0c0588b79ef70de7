package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/memnet"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/server"
	"github.com/millrace/millrace/quorum/zoocfg"
)

func memoryStores() node.Stores {
	store := raft.NewInmemStore()
	return node.Stores{Log: store, Stable: store, Snapshots: raft.NewInmemSnapshotStore()}
}

func TestAgainstOurServer(t *testing.T) {
	n, err := node.Start(context.Background(), node.Options{Stores: memoryStores(), Log: testkit.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(server.Options{Member: server.Of(n, nil), Listeners: []net.Listener{l}, Log: testkit.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	testServer(t, l.Addr().String())
}

// ensemble is three of our servers on hosts of a network in memory, h1 to h3, with client
// port 2181.
type ensemble struct {
	net     *memnet.Network
	nodes   [4]*node.Node // from 1
	servers [4]*server.Server
}

func startEnsemble(t *testing.T) *ensemble {
	t.Helper()
	e := &ensemble{net: memnet.New()}
	var members []zoocfg.Server
	for id := 1; id <= 3; id++ {
		members = append(members, zoocfg.Server{ID: int64(id), Host: fmt.Sprintf("h%d", id), PeerPort: 2888, ElectionPort: 3888, ClientPort: 2181})
	}
	for id := 1; id <= 3; id++ {
		host := e.net.Host(members[id-1].Host)
		n, err := node.Start(context.Background(), node.Options{MyID: id, Servers: members, Stores: memoryStores(), Net: host, Log: testkit.Logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		l, err := host.Listen(context.Background(), members[id-1].Host+":2181")
		if err != nil {
			t.Fatal(err)
		}
		s, err := server.Start(server.Options{Member: server.Of(n, nil), Listeners: []net.Listener{l}, Log: testkit.Logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		e.nodes[id], e.servers[id] = n, s
	}
	return e
}

// kill ends the server on a host, as kill -9 does for everybody else.
func (e *ensemble) kill(id int) {
	e.net.Kill(fmt.Sprintf("h%d", id))
	e.servers[id].Close()
	_ = e.nodes[id].Close()
	e.servers[id] = nil
}

func (e *ensemble) close() {
	for id, s := range e.servers {
		if s != nil {
			s.Close()
			_ = e.nodes[id].Close()
		}
	}
}

// The whole of it in one bubble: a session with an ephemeral node, a watch and a watch that
// stays outlives the server that it is on, and each write is either done or told as unknown.
func TestFailoverOfOurs(t *testing.T) {
	seed := testkit.Seed(t)
	synctest.Test(t, func(t *testing.T) {
		e := startEnsemble(t)
		defer e.close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		again := make(chan State, 1000)
		c, err := New(Config{
			Servers: "h1,h2,h3", SessionTimeout: 20 * time.Second, Dial: e.net.Host("client").Dial, Clock: clock.Real{}, Rand: rand.New(rand.NewPCG(seed, 1)),
			OnState: func(s State) { again <- s },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Abandon()
		for {
			// The ensemble elects; meanwhile it serves nobody.
			if _, err = c.Create(ctx, "/e", []byte("x"), nil, jute.Ephemeral); err == nil {
				break
			}
			if !errors.Is(err, jute.ConnectionLoss) {
				t.Fatal(err)
			}
		}
		session, first := c.Session(), c.Server()
		_, _, ch, err := c.GetW(ctx, "/e")
		if err != nil {
			t.Fatal(err)
		}
		events := 0
		if err := c.AddWatch(ctx, "/e", jute.WatchPersistentRecursive, func(ev Event) {
			if ev.Type == jute.EventDataChanged {
				events++
			}
		}); err != nil {
			t.Fatal(err)
		}
		for len(again) > 0 {
			<-again
		}
		id := int(first[1] - '0')
		if !strings.HasPrefix(first, fmt.Sprintf("h%d:", id)) {
			t.Fatal(first)
		}
		e.kill(id)
		done, unknown, unsent := 0, 0, 0
		for range 200 {
			switch _, err := c.Set(ctx, "/e", nil, -1); {
			case err == nil:
				done++
			case errors.Is(err, jute.ConnectionLoss):
				var e *Error
				if errors.As(err, &e); e.Sent {
					unknown++
				} else {
					unsent++
				}
			default:
				t.Fatal(err)
			}
		}
		if c.Session().ID != session.ID || c.Server() == first || done == 0 {
			t.Errorf("session %x on %s became %x on %s; %d writes were done", session.ID, first, c.Session().ID, c.Server(), done)
		}
		if _, st, err := c.Get(ctx, "/e"); err != nil || int(st.Version) < done || int(st.Version) > done+unknown {
			t.Errorf("version %d (%v) after %d writes, %d whose outcome is unknown and %d that never left", st.Version, err, done, unknown, unsent)
		}
		if ev := <-ch; ev.Type != jute.EventDataChanged {
			t.Errorf("the watch got %+v", ev)
		}
		synctest.Wait()
		if events < done {
			t.Errorf("the watch that stays got %d events for %d writes", events, done)
		}
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}
