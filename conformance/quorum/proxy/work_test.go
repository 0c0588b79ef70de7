package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	logPath   = "/log/"
	guestPath = "/guests/"
	pairA     = "/pair/a"
	pairB     = "/pair/b"
	// pace is the pause between two requests of a client, so that what is to be compared in
	// the end does not depend on the machine's speed.
	pace = 3 * time.Millisecond
)

// registers are the nodes that everybody overwrites and reads.
func registers() []string { return []string{"/reg/0", "/reg/1", "/reg/2"} }

// each calls do in the client's pace until ctx is over.
func each(ctx context.Context, do func(number int)) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for number := 1; ; number++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do(number)
		}
	}
}

// session names what a client is told in one session.
func (c *client) session() string { return fmt.Sprintf("%s %#x", c.name, c.SessionID()) }

// allowed fails the test for an error that a server should not give.
func (w *world) allowed(c *client, what string, err error) {
	if err != nil && !unknown(err) {
		w.t.Errorf("client %s: %s: %v", c.name, what, err)
	}
}

// overwrite sets registers, and now and then reads its own write.
func (w *world) overwrite(ctx context.Context, c *client, r *rand.Rand) {
	paths := registers()
	each(ctx, func(number int) {
		path := paths[r.IntN(len(paths))]
		value := w.book.try(c.name, number, path)
		session := c.session()
		stat, err := c.Set(path, []byte(value), -1)
		if w.allowed(c, "set", err); err != nil {
			return
		}
		if c.session() != session {
			session = ""
		}
		w.book.ack(value, session, fact{path, stat.Version, stat.Mzxid, value})
		if number%4 == 0 {
			w.look(c, path, false)
		}
	})
}

// look reads a register. After a sync it must see all that was acknowledged before.
func (w *world) look(c *client, path string, sync bool) {
	session, least := c.session(), int32(0)
	if sync {
		least = w.book.least(path)
		_, err := c.Sync(path)
		if w.allowed(c, "sync", err); err != nil {
			return
		}
	}
	data, stat, err := c.Get(path)
	if w.allowed(c, "get", err); err != nil || c.session() != session {
		return
	}
	w.book.see(session, fact{path, stat.Version, stat.Mzxid, string(data)})
	if stat.Version < least {
		w.t.Errorf("session %s read version %d of %s after a sync: version %d had been acknowledged before it", session, stat.Version, path, least)
	}
}

// read reads registers, every third time after a sync.
func (w *world) read(ctx context.Context, c *client, r *rand.Rand) {
	paths := registers()
	each(ctx, func(number int) { w.look(c, paths[r.IntN(len(paths))], number%3 == 0) })
}

// appendLog creates sequential nodes.
func (w *world) appendLog(ctx context.Context, c *client) {
	each(ctx, func(number int) {
		value := w.book.try(c.name, number, logPath)
		path, err := c.Create(logPath+c.name+"-", []byte(value), zk.FlagSequence, zk.WorldACL(zk.PermAll))
		if w.allowed(c, "create", err); err == nil {
			w.book.append(value, path)
		}
	})
}

// pair overwrites two nodes in one transaction.
func (w *world) pair(ctx context.Context, c *client) {
	each(ctx, func(number int) {
		value := w.book.try(c.name, number, pairA)
		answers, err := c.Multi(&zk.SetDataRequest{Path: pairA, Data: []byte(value), Version: -1}, &zk.SetDataRequest{Path: pairB, Data: []byte(value), Version: -1})
		if w.allowed(c, "multi", err); err == nil {
			w.book.ack(value, c.session(), fact{pairA, answers[0].Stat.Version, answers[0].Stat.Mzxid, value})
		}
	})
}

// guest is a session that ends early, or has not ended yet, and its ephemeral nodes.
type guest struct {
	*client
	id    int64
	paths []string
}

// visit opens short sessions with ephemeral nodes, one after the other. Each is closed or
// vanishes, but the last one, which is returned.
func (w *world) visit(ctx context.Context, name string, r *rand.Rand) *guest {
	for number := 1; ; number++ {
		c := connect(ctx, w.t, fmt.Sprintf("%s-%d", name, number), w.addrs, guestTimeout)
		if c == nil {
			return nil
		}
		g := &guest{client: c, id: c.SessionID()}
		for range 3 {
			path, err := c.Create(guestPath+c.name+"-", []byte(c.name), zk.FlagEphemeral|zk.FlagSequence, zk.WorldACL(zk.PermAll))
			if w.allowed(c, "create", err); err == nil && c.SessionID() == g.id {
				g.paths = append(g.paths, path)
			}
		}
		if !w.last(ctx, 300*time.Millisecond+time.Duration(r.IntN(1200))*time.Millisecond) {
			return g
		}
		if r.IntN(2) == 0 {
			c.close()
		} else {
			c.vanish()
		}
	}
}

// last lets time pass, and returns false when ctx is over before.
func (w *world) last(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// node is one node as a server shows it.
type node struct {
	data   string
	stat   zk.Stat
	path   string
	number int
}

// tree reads everything below a path, after a sync.
func tree(ctx context.Context, c *client, root string) (map[string]node, error) {
	if err := certain(ctx, func() error { _, err := c.Sync("/"); return err }); err != nil {
		return nil, err
	}
	nodes := map[string]node{}
	for open := []string{root}; len(open) > 0; open = open[1:] {
		var n node
		var names []string
		err := certain(ctx, func() error {
			data, stat, err := c.Get(open[0])
			if err != nil {
				return err
			}
			n = node{data: string(data), stat: *stat}
			if stat.NumChildren == 0 {
				return nil
			}
			names, _, err = c.Children(open[0])
			return err
		})
		if errors.Is(err, zk.ErrNoNode) && open[0] != root {
			continue // an ephemeral node that went
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", open[0], err)
		}
		nodes[open[0]] = n
		for _, name := range names {
			if open[0] == "/" {
				name = "/" + name
			} else {
				name = open[0] + "/" + name
			}
			open = append(open, name)
		}
	}
	return nodes, nil
}
