package clients

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/zkserver"
)

// history is what clients were told of the nodes that they appended, and what is there.
type history struct {
	mu     sync.Mutex
	acks   map[string]string // path: what it holds
	maybes map[string]bool   // what may have been written
	nodes  map[string]string
	order  map[string][]string // paths by client, in the order of their acknowledgements
}

func newHistory() *history {
	return &history{acks: map[string]string{}, maybes: map[string]bool{}, nodes: map[string]string{}, order: map[string][]string{}}
}

func (h *history) ack(client, path, number string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acks[path] = client + " " + number
	h.order[client] = append(h.order[client], path)
}

func (h *history) maybe(client, number string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.maybes[client+" "+number] = true
}

func (h *history) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.acks)
}

// check fails the test when an acknowledged node is missing or differs, when a node is there
// that nobody wrote or twice, or when a client's nodes are not numbered in its order.
func (h *history) check(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for path, want := range h.acks {
		if got, ok := h.nodes[path]; !ok || got != want {
			t.Errorf("%s was acknowledged with %q and holds %q (%t)", path, want, got, ok)
		}
	}
	seen := map[string]string{}
	for path, text := range h.nodes {
		if other := seen[text]; other != "" {
			t.Errorf("%q is there twice: %s and %s", text, other, path)
		}
		seen[text] = path
		if h.acks[path] == "" && !h.maybes[text] {
			t.Errorf("%s holds %q, which nobody wrote", path, text)
		}
	}
	for client, paths := range h.order {
		if !slices.IsSorted(paths) {
			t.Errorf("the nodes of client %s are not in its order", client)
		}
	}
	t.Logf("%d acknowledged, %d unknown", len(h.acks), len(h.maybes))
}

// kills kills the leader some times, each time after more was acknowledged.
func kills(t *testing.T, e *zkserver.Ensemble, h *history) {
	t.Helper()
	for range testkit.Rounds(t, "KILL_ROUNDS", 3) {
		n := h.count()
		testkit.WaitFor(t, "more acknowledged writes", func() bool { return h.count() > n+20 })
		if err := killLeader(e); err != nil {
			t.Error(err)
			return
		}
	}
	n := h.count()
	testkit.WaitFor(t, "more acknowledged writes", func() bool { return h.count() > n+20 })
}

// TestKazooThroughLeaderKills has three clients of kazoo write while leaders are killed: their
// sessions and ephemeral nodes last, and what was acknowledged is there, once and in order.
func TestKazooThroughLeaderKills(t *testing.T) {
	t.Parallel()
	needKazoo(t)
	e := launch(t, zkserver.Options{Servers: 3, Config: map[string]string{"maxSessionTimeout": "60000"}})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "testdata/kills.py", e.ConnectString())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h, ready, done := newHistory(), make(chan struct{}), make(chan string)
	go func() {
		var rest strings.Builder
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			w := strings.Fields(lines.Text())
			switch {
			case w[0] == "ready":
				close(ready)
			case w[0] == "ack":
				h.ack(w[1], w[2], w[3])
			case w[0] == "maybe":
				h.maybe(w[1], w[2])
			case w[0] == "node":
				h.mu.Lock()
				h.nodes[w[1]] = w[2] + " " + w[3]
				h.mu.Unlock()
			default:
				rest.WriteString(lines.Text() + "\n")
			}
		}
		done <- rest.String()
	}()
	<-ready
	kills(t, e, h)
	io.WriteString(stdin, "enough\n")
	rest := <-done
	if err := cmd.Wait(); err != nil {
		t.Errorf("kills.py: %v", err)
	}
	results(t, rest, 1)
	h.check(t)
}

// TestGoZookeeperThroughLeaderKills is the same with clients of go-zookeeper/zk.
func TestGoZookeeperThroughLeaderKills(t *testing.T) {
	t.Parallel()
	e := launch(t, zkserver.Options{Servers: 3, Config: map[string]string{"maxSessionTimeout": "60000"}})
	h, stop := newHistory(), make(chan struct{})
	first := goClient(t, e)
	if err := makeNode(first, "/log", 0); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for n := range 3 {
		c := goClient(t, e)
		clients.Go(func() { appendUntil(t, stop, c, fmt.Sprint(n), h) })
	}
	kills(t, e, h)
	close(stop)
	clients.Wait()
	if err := certain(func() error { _, err := first.Sync("/"); return err }); err != nil {
		t.Fatal(err)
	}
	var names []string
	if err := certain(func() (err error) { names, _, err = first.Children("/log"); return err }); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var data []byte
		if err := certain(func() (err error) { data, _, err = first.Get("/log/" + name); return err }); err != nil {
			t.Fatal(err)
		}
		h.nodes["/log/"+name] = string(data)
	}
	h.check(t)
}

func goClient(t *testing.T, e *zkserver.Ensemble) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect(strings.Split(e.ConnectString(), ","), 30*time.Second, zk.WithLogInfo(false), zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for ev := range events {
		if ev.State == zk.StateHasSession {
			break
		}
	}
	go func() {
		for range events { // the client waits for who reads them
		}
	}()
	return c
}

// certain repeats a call until a server answers it.
func certain(call func() error) error {
	for end := time.Now().Add(testkit.Patience); ; {
		if err := call(); !unanswered(err) || time.Now().After(end) {
			return err
		}
	}
}

func unanswered(err error) bool {
	return errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer)
}

// makeNode creates a node, which may be there already when it is asked for again.
func makeNode(c *zk.Conn, path string, flags int32) error {
	tries := 0
	err := certain(func() error {
		tries++
		_, err := c.Create(path, nil, flags, zk.WorldACL(zk.PermAll))
		return err
	})
	if tries > 1 && errors.Is(err, zk.ErrNodeExists) {
		return nil
	}
	return err
}

type silent struct{}

func (silent) Printf(string, ...any) {}

// appendUntil appends nodes to /log, and at the end looks whether its session has lasted.
func appendUntil(t *testing.T, stop chan struct{}, c *zk.Conn, name string, h *history) {
	session := c.SessionID()
	alive := "/alive-" + name
	if err := makeNode(c, alive, zk.FlagEphemeral); err != nil {
		t.Error(err)
		return
	}
	for i := 1; ; i++ {
		select {
		case <-stop:
			var ok bool
			var stat *zk.Stat
			err := certain(func() (err error) { ok, stat, err = c.Exists(alive); return err })
			if err != nil || !ok || stat.EphemeralOwner != session || c.SessionID() != session {
				t.Errorf("the session of client %s did not last: %t, %+v, %v", name, ok, stat, err)
			}
			return
		default:
		}
		number := fmt.Sprint(i)
		path, err := c.Create("/log/"+name+"-", []byte(name+" "+number), zk.FlagSequence, zk.WorldACL(zk.PermAll))
		switch {
		case err == nil:
			h.ack(name, path, number)
		case unanswered(err):
			h.maybe(name, number)
		default:
			t.Errorf("create: %v", err)
			return
		}
	}
}
