package zk

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
)

// deletesInFlight is how many batches deleteall sends ahead of their answers.
const deletesInFlight = 10

func removeAll(ctx context.Context, s *shell, p *parsed) error {
	size := 1000
	if p.has("b") {
		n, err := strconv.ParseInt(p.values["b"], 10, 32)
		if err != nil {
			return failure("-b argument must be an int value")
		}
		size = int(n)
	}
	if err := jute.CheckPath(p.words[1], false); err != nil {
		return explain(err)
	}
	tree, err := subtree(ctx, s.zk, p.words[1])
	if err != nil {
		return explain(err)
	}
	slices.Reverse(tree) // the leaves first
	if !deleteBatches(ctx, s.zk, tree, max(size, 1)) {
		fmt.Fprintln(s.errs, "Failed to delete some node(s) in the subtree!")
	}
	return nil
}

// subtree lists a node and all below it, parents before their children.
func subtree(ctx context.Context, zk *client.Client, path string) ([]string, error) {
	tree := []string{path}
	for i := 0; i < len(tree); i++ {
		names, _, err := zk.Children(ctx, tree[i])
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			tree = append(tree, join(tree[i], name))
		}
	}
	return tree, nil
}

// deleteBatches deletes paths, so many in one transaction, and says whether all are gone.
// After a failure it sends no more.
func deleteBatches(ctx context.Context, zk *client.Client, paths []string, size int) bool {
	outcomes := make(chan error, deletesInFlight)
	ok, flying := true, 0
	await := func() {
		select {
		case err := <-outcomes:
			ok = ok && err == nil
		case <-ctx.Done():
			ok = false
		}
		flying--
	}
	for batch := range slices.Chunk(paths, size) {
		if flying == deletesInFlight {
			await()
		}
		if !ok {
			break
		}
		ops := make([]jute.MultiOp, len(batch))
		for i, path := range batch {
			ops[i] = jute.MultiOp{Type: jute.OpDelete, Path: path, Version: -1}
		}
		if zk.Send(&client.Request{Op: jute.OpMulti, Ops: ops}, func(_ *client.Reply, err error) { outcomes <- err }) != nil {
			ok = false
			break
		}
		flying++
	}
	for flying > 0 && ctx.Err() == nil {
		await()
	}
	return ok
}
