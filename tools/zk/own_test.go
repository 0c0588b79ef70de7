package zk

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/server"
)

// ownServer starts a quorum of one of ours, and returns its address.
func ownServer(t *testing.T) string {
	t.Helper()
	store := raft.NewInmemStore()
	n, err := node.Start(context.Background(), node.Options{Stores: node.Stores{Log: store, Stable: store, Snapshots: raft.NewInmemSnapshotStore()}, Log: testkit.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(server.Options{Member: server.Of(n, nil), Listeners: []net.Listener{l}, Log: testkit.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	// It refuses connections until it serves.
	a := &arguments{server: l.Addr().String(), timeout: 10 * time.Second, config: &clientConfig{}}
	zk, err := a.open(patience(t), a.server, newShell(io.Discard, io.Discard, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer zk.Close(patience(t))
	if err := zk.WaitConnected(patience(t)); err != nil {
		t.Fatal(err)
	}
	return a.server
}
