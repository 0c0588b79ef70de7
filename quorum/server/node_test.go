package server

import (
	"context"
	"net"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
)

// The port on a real member: a quorum of one.
func TestOnANode(t *testing.T) {
	store := raft.NewInmemStore()
	n, err := node.Start(context.Background(), node.Options{Stores: node.Stores{Log: store, Stable: store, Snapshots: raft.NewInmemSnapshotStore()}, Log: testkit.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(Options{Member: Of(n, nil), Listeners: []net.Listener{l}, Log: testkit.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := &testPort{t: t, s: s, addr: l.Addr().String()}
	testkit.WaitFor(t, "a quorum", s.serving.Load)
	first, watcher := p.client(), p.client()
	watcher.call(jute.OpExists, &jute.ExistsRequest{Path: "/a", Watch: true}, nil)
	first.create("/a", "1")
	first.must(jute.OpCreate, &jute.CreateRequest{Path: "/e", ACL: jute.OpenACL(), Mode: jute.Ephemeral}, nil)
	if m := watcher.next(); m.event == nil || m.event.Path != "/a" {
		t.Errorf("%v came", m)
	}
	again := p.dial()
	if r := again.connect(jute.ConnectRequest{TimeoutMs: 9999, SessionID: first.session, Password: first.passwd}); r.SessionID != first.session {
		t.Fatalf("%+v", r)
	}
	first.closed()
	for range 100 {
		again.send(jute.OpSetData, &jute.SetDataRequest{Path: "/a", Data: []byte("2"), Version: -1})
	}
	for i := range int32(100) {
		if h := again.reply(i+1, nil); h.Err != jute.OK {
			t.Fatal(h.Err)
		}
	}
	if _, st, _ := watcher.get("/e", true); st.EphemeralOwner != first.session {
		t.Errorf("%+v", st)
	}
	again.must(jute.OpCloseSession, nil, nil)
	if m := watcher.next(); m.event == nil || m.event.Type != jute.EventDeleted || m.event.Path != "/e" {
		t.Errorf("%v came", m)
	}
	if st := Of(n, nil).Status(); st.Mode != node.Standalone || st.Voters != 1 || !st.Voter {
		t.Errorf("%+v", st)
	}
}
