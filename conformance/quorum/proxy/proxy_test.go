package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/certs"
	"github.com/millrace/millrace/internal/testkit/zkserver"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const (
	// guestTimeout is the shortest session that the servers give.
	guestTimeout = 2 * time.Second
	// steadyTimeout is that of sessions that outlive everything that happens.
	steadyTimeout = 40 * time.Second
	patience      = testkit.Patience
)

type world struct {
	t     *testing.T
	rng   *rand.Rand
	net   *Net
	e     *zkserver.Ensemble
	addrs []string // where clients find the servers
	book  *book
}

// TestFaultsBetweenServers runs PROXY_ROUNDS ensembles through all faults, in random order.
func TestFaultsBetweenServers(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range testkit.Rounds(t, "PROXY_ROUNDS", 1) {
		t.Run(fmt.Sprintf("seed=%d", seed+uint64(round)), func(t *testing.T) {
			w := newWorld(t, testkit.NewRand(seed+uint64(round)))
			w.live()
		})
		if t.Failed() {
			return
		}
	}
}

func newWorld(t *testing.T, rng *rand.Rand) *world {
	binary, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, rng: rng, net: New(), book: newBook()}
	t.Cleanup(w.net.Close)
	config := map[string]string{"tickTime": "1000", "syncLimit": "2", "maxSessionTimeout": "60000"}
	if rng.IntN(2) == 0 { // what the servers say to each other is encrypted
		a := certs.New(t)
		config["sslQuorum"] = "true"
		config["ssl.quorum.keyStore.location"] = a.Issue("server.pem", "127.0.0.1")
		config["ssl.quorum.trustStore.location"] = a.Trust()
		t.Log("with TLS between the servers")
	}
	w.e = zkserver.Launch(t, zkserver.Options{
		Servers: 3, Argv: []string{binary, "quorum"}, Config: config,
		PeerPorts: func(from, to, quorum, election int) (int, int, error) {
			q, err := w.net.Listen(from, to, fmt.Sprintf("127.0.0.1:%d", quorum))
			if err != nil {
				return 0, 0, err
			}
			r, err := w.net.Listen(from, to, fmt.Sprintf("127.0.0.1:%d", election))
			if err != nil {
				return 0, 0, err
			}
			return q.Port, r.Port, nil
		},
	})
	for _, s := range w.e.Servers {
		addr, err := w.net.Listen(clients, s.ID, s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		w.addrs = append(w.addrs, addr.String())
	}
	return w
}

// steady is a client whose session must not end.
type steady struct {
	*client
	id int64
}

// live lets the clients work while everything happens, and then compares.
func (w *world) live() {
	ctx, cancel := context.WithCancel(w.t.Context())
	var workers sync.WaitGroup
	guests := make([]*guest, 2)
	w.t.Cleanup(func() {
		cancel()
		workers.Wait()
		for _, g := range guests {
			if g != nil {
				g.close()
			}
		}
	})
	first := w.connect("first", w.addrs, steadyTimeout)
	w.create(first, "/reg", "/pair", "/log", "/guests", "/alive")
	w.create(first, append(registers(), pairA, pairB)...)
	var steadies []steady
	work := func(name string, timeout time.Duration, do func(*client)) {
		c := w.connect(name, w.addrs, timeout)
		if timeout == steadyTimeout {
			w.make(c, "/alive/"+name, zk.FlagEphemeral)
			steadies = append(steadies, steady{c, c.SessionID()})
		}
		workers.Go(func() { do(c) })
	}
	for i := range 3 {
		r := rand.New(rand.NewPCG(w.rng.Uint64(), 0))
		work(fmt.Sprintf("writer%d", i), steadyTimeout, func(c *client) { w.overwrite(ctx, c, r) })
	}
	for i := range 2 {
		work(fmt.Sprintf("log%d", i), steadyTimeout, func(c *client) { w.appendLog(ctx, c) })
	}
	work("pair", steadyTimeout, func(c *client) { w.pair(ctx, c) })
	for i := range 3 {
		timeout := []time.Duration{steadyTimeout, 2 * guestTimeout, guestTimeout}[i]
		r := rand.New(rand.NewPCG(w.rng.Uint64(), 1))
		work(fmt.Sprintf("reader%d", i), timeout, func(c *client) { w.read(ctx, c, r) })
	}
	for i := range guests {
		r := rand.New(rand.NewPCG(w.rng.Uint64(), 2))
		workers.Go(func() { guests[i] = w.visit(ctx, fmt.Sprintf("guest%d", i), r) })
	}
	w.happen(ctx)
	cancel()
	workers.Wait()
	w.compare(first, steadies, slices.DeleteFunc(slices.Clone(guests), func(g *guest) bool { return g == nil }))
}

// happen runs all faults, and after each one heals and waits until writes are acknowledged.
func (w *world) happen(ctx context.Context) {
	all := faults()
	w.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, f := range all {
		began, acks := time.Now(), w.book.count()
		if a, b := w.two(); w.rng.IntN(3) == 0 { // while another link is slow
			w.net.SetBoth(a, b, Rule{Delay: time.Duration(1+w.rng.IntN(20)) * time.Millisecond})
		}
		err := f.run(ctx, w)
		during := w.book.count()
		w.net.Heal()
		if err != nil {
			w.t.Fatalf("%s: %v", f.name, err)
		}
		testkit.WaitFor(w.t, "acknowledged writes after: "+f.name, func() bool { return w.book.count() > during+30 })
		w.t.Logf("%-45s %4d writes in it, all over after %v", f.name, during-acks, time.Since(began).Round(time.Millisecond))
	}
}

func (w *world) connect(name string, servers []string, timeout time.Duration) *client {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := connect(ctx, w.t, name, servers, timeout)
	if c == nil {
		w.t.Fatalf("client %s gets no session", name)
	}
	w.t.Cleanup(c.close)
	return c
}

func (w *world) create(c *client, paths ...string) {
	w.t.Helper()
	for _, path := range paths {
		w.make(c, path, 0)
	}
}

// make creates a node. An election may come in between on a busy machine: then the node may
// be there already when it is asked for again.
func (w *world) make(c *client, path string, flags int32) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tries := 0
	err := certain(ctx, func() error {
		tries++
		_, err := c.Create(path, nil, flags, zk.WorldACL(zk.PermAll))
		return err
	})
	if err != nil && (tries == 1 || !errors.Is(err, zk.ErrNodeExists)) {
		w.t.Fatalf("create %s: %v", path, err)
	}
}

// compare checks everything once nothing happens any more.
func (w *world) compare(first *client, steadies []steady, guests []*guest) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.checkGuests(ctx, guests)
	for _, g := range guests {
		g.close()
	}
	owners := map[int64]string{}
	for _, s := range steadies {
		owners[s.id] = s.name
		var ok bool
		err := certain(ctx, func() (err error) { ok, _, err = s.Exists("/alive/" + s.name); return err })
		if err != nil || !ok || s.SessionID() != s.id {
			w.t.Errorf("the session of client %s did not last: %t, %#x was %#x, %v", s.name, ok, s.SessionID(), s.id, err)
		}
	}
	testkit.WaitFor(w.t, "the end of the nodes of sessions that ended", func() bool {
		left, err := tree(ctx, first, strings.TrimSuffix(guestPath, "/"))
		return err == nil && len(left) == 1
	})
	var one map[string]node
	for _, s := range w.e.Servers {
		nodes, err := tree(ctx, w.connect(fmt.Sprintf("to server %d", s.ID), []string{s.Addr()}, steadyTimeout), "/")
		if err != nil {
			w.t.Fatalf("read server %d: %v", s.ID, err)
		}
		if one == nil {
			one = nodes
		}
		w.checkSame(s.ID, one, nodes)
	}
	w.checkState(one, owners)
}

// checkGuests looks at the sessions that live still: their nodes are there.
func (w *world) checkGuests(ctx context.Context, guests []*guest) {
	for _, g := range guests {
		for _, path := range g.paths {
			var stat *zk.Stat
			var ok bool
			err := certain(ctx, func() (err error) { ok, stat, err = g.Exists(path); return err })
			if err == nil {
				err = certain(ctx, func() error { _, err := g.Sync("/"); return err })
			}
			if err != nil {
				w.t.Errorf("client %s: %v", g.name, err)
			}
			if g.SessionID() == g.id && (!ok || stat.EphemeralOwner != g.id) {
				w.t.Errorf("session %#x of %s lives, and its node %s is not there: %t, %+v", g.id, g.name, path, ok, stat)
			}
		}
	}
}

// checkSame compares two servers.
func (w *world) checkSame(id int, one, other map[string]node) {
	paths := map[string]bool{}
	for path := range one {
		paths[path] = true
	}
	for path := range other {
		paths[path] = true
	}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		a, ok := one[path]
		b, too := other[path]
		if ok != too || a != b {
			w.t.Errorf("%s differs: server 1 has %t %+v, server %d %t %+v", path, ok, a, id, too, b)
		}
	}
}

// checkState compares the tree with what clients were told.
func (w *world) checkState(nodes map[string]node, owners map[int64]string) {
	log := map[string]node{}
	for path, n := range nodes {
		if strings.HasPrefix(path, logPath) {
			log[path] = n
		}
		if o := n.stat.EphemeralOwner; o != 0 && path != "/alive/"+owners[o] {
			w.t.Errorf("%s is there still, and session %#x has ended", path, o)
		}
	}
	w.book.checkLog(w.t, log)
	var last []fact
	for _, path := range append(registers(), pairA) {
		n := nodes[path]
		last = append(last, fact{path, n.stat.Version, n.stat.Mzxid, n.data})
	}
	w.book.checkRegisters(w.t, last)
	if a, b := nodes[pairA], nodes[pairB]; a.data != b.data || a.stat.Version != b.stat.Version || a.stat.Mzxid != b.stat.Mzxid {
		w.t.Errorf("half a transaction: %+v and %+v", a, b)
	}
	w.t.Logf("%d of %d writes acknowledged, %d nodes", w.book.count(), len(w.book.attempts), len(nodes))
}
