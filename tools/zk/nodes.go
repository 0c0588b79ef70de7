package zk

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
)

func (s *shell) deprecated(old, now string) {
	fmt.Fprintf(s.errs, "'%s' has been deprecated. Please use '%s' instead.\n", old, now)
}

// number reads the argument of an option that takes a number of so many bits; def without it.
func (p *parsed) number(name string, bits int, def int64) (int64, error) {
	text, ok := p.values[name]
	if !ok {
		return def, nil
	}
	n, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		return 0, failure(fmt.Sprintf("-%s takes a number, not %q", name, text))
	}
	return n, nil
}

// watcher is the watch that -w asks for.
func (p *parsed) watcher() func(client.Event) {
	if p.has("w") {
		return unwatched
	}
	return nil
}

func ls(ctx context.Context, s *shell, p *parsed) error {
	if p.has("?") {
		fmt.Fprint(s.out, "usage: ls [options] path\n -?   help\n -R   recurse\n -s   stat\n -w   watch\n")
	}
	oldWatch(s, p, "ls path [watch]", "ls [-w] path")
	if len(p.words) < 2 {
		return failure(find("ls").usage())
	}
	path := p.words[1]
	if p.has("R") {
		return explain(visit(ctx, s.zk, path, p.watcher(), func(node string) { fmt.Fprintln(s.out, node) }))
	}
	reply, err := s.zk.Do(ctx, &client.Request{Op: jute.OpGetChildren2, Path: path, Watch: p.watcher()})
	if err != nil {
		return explain(err)
	}
	slices.Sort(reply.Children)
	fmt.Fprintln(s.out, list(reply.Children))
	if p.has("s") {
		printStat(s.out, &reply.Stat)
	}
	return nil
}

// visit calls f for a node and all below it: a node's children, and then what is below each
// of them.
func visit(ctx context.Context, zk *client.Client, path string, watch func(client.Event), f func(string)) error {
	if _, err := zk.Do(ctx, &client.Request{Op: jute.OpGetData, Path: path, Watch: watch}); err != nil {
		return err
	}
	f(path)
	return visitBelow(ctx, zk, path, watch, f)
}

func visitBelow(ctx context.Context, zk *client.Client, path string, watch func(client.Event), f func(string)) error {
	reply, err := zk.Do(ctx, &client.Request{Op: jute.OpGetChildren2, Path: path, Watch: watch})
	if errors.Is(err, jute.NoNode) {
		return nil // it went while we looked
	}
	if err != nil {
		return err
	}
	slices.Sort(reply.Children)
	for _, name := range reply.Children {
		f(join(path, name))
	}
	for _, name := range reply.Children {
		if err := visitBelow(ctx, zk, join(path, name), watch, f); err != nil {
			return err
		}
	}
	return nil
}

func join(path, name string) string {
	if path == "/" {
		return path + name
	}
	return path + "/" + name
}

func get(ctx context.Context, s *shell, p *parsed) error {
	oldWatch(s, p, "get path [watch]", "get [-s] [-w] path")
	reply, err := s.zk.Do(ctx, &client.Request{Op: jute.OpGetData, Path: p.words[1], Watch: p.watcher()})
	if err != nil {
		return explain(err)
	}
	switch {
	case reply.Data == nil:
		fmt.Fprintln(s.out, "null")
	case p.has("b"):
		fmt.Fprintln(s.out, base64.StdEncoding.EncodeToString(reply.Data))
	case p.has("x"):
		fmt.Fprintln(s.out, hexDump(reply.Data))
	default:
		fmt.Fprintln(s.out, text(reply.Data))
	}
	if p.has("s") {
		printStat(s.out, &reply.Stat)
	}
	return nil
}

func set(ctx context.Context, s *shell, p *parsed) error {
	version, err := p.number("v", 32, -1)
	if err != nil {
		return err
	}
	st, err := s.zk.Set(ctx, p.words[1], []byte(p.words[2]), int32(version))
	if err != nil {
		return explain(err)
	}
	if p.has("s") {
		printStat(s.out, &st)
	}
	return nil
}

// maxTTLMs is the longest that fits where ZooKeeper keeps it.
const maxTTLMs = 1<<40 - 1

// createMode reads the options of create.
func createMode(p *parsed) (mode jute.CreateMode, ttlMs int64, err error) {
	e, seq, c, t := p.has("e"), p.has("s"), p.has("c"), p.has("t")
	if c && (e || seq) {
		return 0, 0, failure("-c cannot be combined with -s or -e. Containers cannot be ephemeral or sequential.")
	}
	if t {
		if ttlMs, err = strconv.ParseInt(p.values["t"], 10, 64); err != nil {
			return 0, 0, failure("-t argument must be a long value")
		}
	}
	switch {
	case t && e:
		return 0, 0, failure("TTLs cannot be used with Ephemeral znodes")
	case t && c:
		return 0, 0, failure("TTLs cannot be used with Container znodes")
	case e && seq:
		mode = jute.EphemeralSequential
	case e:
		mode = jute.Ephemeral
	case t && seq:
		mode = jute.PersistentSequentialTTL
	case t:
		mode = jute.PersistentTTL
	case seq:
		mode = jute.PersistentSequential
	case c:
		mode = jute.Container
	}
	if t && (ttlMs <= 0 || ttlMs > maxTTLMs) {
		return 0, 0, failure(fmt.Sprintf("ttl must be positive and cannot be larger than: %d", int64(maxTTLMs)))
	}
	return mode, ttlMs, nil
}

func create(ctx context.Context, s *shell, p *parsed) error {
	mode, ttlMs, err := createMode(p)
	if err != nil {
		return err
	}
	var data []byte
	if len(p.words) > 2 {
		data = []byte(p.words[2])
	}
	acl := jute.OpenACL()
	if len(p.words) > 3 {
		acl = parseACL(p.words[3], s.errs)
	}
	path := p.words[1]
	switch {
	case len(acl) == 0:
		// ZooKeeper's client refuses it without asking, and without a path.
		err = &client.Error{Op: jute.OpCreate, Code: jute.InvalidACL}
	case mode.IsTTL():
		path, _, err = s.zk.CreateTTL(ctx, path, data, acl, mode, ttlMs)
	default:
		path, err = s.zk.Create(ctx, path, data, acl, mode)
	}
	var e *client.Error
	switch {
	case errors.Is(err, jute.EphemeralOnLocalSession):
		fmt.Fprintln(s.errs, "Unable to create ephemeral node on a local session")
	case errors.Is(err, jute.InvalidACL) && errors.As(err, &e):
		fmt.Fprintln(s.errs, keeperMessage(e))
	}
	if err != nil {
		return explain(err)
	}
	s.ephemeral = s.ephemeral || mode.IsEphemeral()
	fmt.Fprintln(s.errs, "Created "+path)
	return nil
}

func remove(ctx context.Context, s *shell, p *parsed) error {
	if len(p.words) > 2 {
		s.deprecated("delete path [version]", "delete [-v version] path")
	}
	version, err := p.number("v", 32, -1)
	if err != nil {
		return err
	}
	return explain(s.zk.Delete(ctx, p.words[1], int32(version)))
}

func stat(ctx context.Context, s *shell, p *parsed) error {
	oldWatch(s, p, "stat path [watch]", "stat [-w] path")
	reply, err := s.zk.Do(ctx, &client.Request{Op: jute.OpExists, Path: p.words[1], Watch: p.watcher()})
	if err != nil {
		return explain(err)
	}
	printStat(s.out, &reply.Stat)
	return nil
}

func syncPath(ctx context.Context, s *shell, p *parsed) error {
	err := s.zk.Sync(ctx, p.words[1])
	var path *jute.PathError
	switch {
	case err == nil:
		fmt.Fprintln(s.out, "Sync is OK")
	case errors.As(err, &path) || ctx.Err() != nil:
		return explain(err)
	default:
		fmt.Fprintf(s.out, "Sync has failed. rc=%d\n", int(client.CodeOf(err)))
	}
	return nil
}

func getAllChildrenNumber(ctx context.Context, s *shell, p *parsed) error {
	n, err := s.zk.AllChildrenNumber(ctx, p.words[1])
	if err != nil {
		return explain(err)
	}
	fmt.Fprintln(s.out, n)
	return nil
}

func getEphemerals(ctx context.Context, s *shell, p *parsed) error {
	prefix := "/"
	if len(p.words) > 1 {
		prefix = p.words[1]
	}
	paths, err := s.zk.Ephemerals(ctx, prefix)
	if err != nil {
		return explain(err)
	}
	slices.Sort(paths)
	fmt.Fprintln(s.out, list(paths))
	return nil
}
