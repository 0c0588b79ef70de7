//go:build !race

package server

import (
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// The client comes back to its session with its watches. It has a data race of its own there
// (lastZxid, in sendSetWatches and recvLoop).
func TestGoZookeeperReconnects(t *testing.T) {
	p := startPort(t, nil)
	c := goClient(t, p)
	if _, err := c.Create("/lock", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	id := c.SessionID()
	_, _, watched, err := c.ExistsW("/later")
	if err != nil {
		t.Fatal(err)
	}
	p.s.find(id).kill("a test breaks it")
	for {
		if _, _, err := c.Exists("/lock"); err == nil {
			break
		}
	}
	if c.SessionID() != id {
		t.Error("another session")
	}
	p.e.do(tree.Op{Kind: tree.Create, Path: "/later", ACL: jute.OpenACL()})
	await(t, watched, zk.EventNodeCreated, "/later")
}
