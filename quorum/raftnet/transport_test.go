package raftnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// Each request arrives as it was sent, and each answer comes back.
func TestEveryCall(t *testing.T) {
	got, answers := make(chan any, 1), make(chan any, 1)
	a, _ := pair(t, func(rpc raft.RPC) {
		got <- rpc.Command
		rpc.Respond(<-answers, nil)
	})
	h := raft.RPCHeader{ProtocolVersion: 3, ID: []byte("b"), Addr: []byte("b")}
	for _, c := range []struct {
		request, answer, response any
		call                      func(request, response any) error
	}{
		{appendRequest(3, 0, 70_000), &raft.AppendEntriesResponse{RPCHeader: h, Term: 8, LastLog: 9, Success: true}, &raft.AppendEntriesResponse{},
			func(q, r any) error {
				return a.AppendEntries("b", "b", q.(*raft.AppendEntriesRequest), r.(*raft.AppendEntriesResponse))
			}},
		{&raft.RequestVoteRequest{RPCHeader: header, Term: 2, Candidate: []byte("c"), LastLogIndex: 3, LastLogTerm: 4, LeadershipTransfer: true},
			&raft.RequestVoteResponse{RPCHeader: h, Term: 8, Granted: true, Peers: []byte("p")}, &raft.RequestVoteResponse{},
			func(q, r any) error {
				return a.RequestVote("b", "b", q.(*raft.RequestVoteRequest), r.(*raft.RequestVoteResponse))
			}},
		{&raft.RequestPreVoteRequest{RPCHeader: header, Term: 2, LastLogIndex: 3, LastLogTerm: 4},
			&raft.RequestPreVoteResponse{RPCHeader: h, Term: 8, Granted: true}, &raft.RequestPreVoteResponse{},
			func(q, r any) error {
				return a.RequestPreVote("b", "b", q.(*raft.RequestPreVoteRequest), r.(*raft.RequestPreVoteResponse))
			}},
		{&raft.TimeoutNowRequest{RPCHeader: header}, &raft.TimeoutNowResponse{RPCHeader: h}, &raft.TimeoutNowResponse{},
			func(q, r any) error {
				return a.TimeoutNow("b", "b", q.(*raft.TimeoutNowRequest), r.(*raft.TimeoutNowResponse))
			}},
	} {
		for range 2 { // the second time on the same connection
			answers <- c.answer
			if err := c.call(c.request, c.response); err != nil {
				t.Fatalf("%T: %v", c.request, err)
			}
			if show(c.response) != show(c.answer) {
				t.Errorf("the answer became %s", show(c.response))
			}
			if request := <-got; show(request) != show(c.request) {
				t.Errorf("the request became %.300s", show(request))
			}
		}
	}
	if a.wire.dials != 1 {
		t.Errorf("it took %d connections", a.wire.dials)
	}
}

// What Raft refuses comes back as an error, and the connection stays.
func TestARefusal(t *testing.T) {
	a, _ := pair(t, func(rpc raft.RPC) { rpc.Respond(nil, errors.New("not me")) })
	var resp raft.RequestVoteResponse
	for range 3 {
		err := a.RequestVote("b", "b", &raft.RequestVoteRequest{RPCHeader: header}, &resp)
		if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Text != "not me" {
			t.Fatal(err)
		}
	}
	if a.wire.dials != 1 {
		t.Errorf("it took %d connections", a.wire.dials)
	}
}

// Heartbeats are answered while Raft is at something else, and News does not wait for Raft.
func TestABusyRaftHoldsUpNoHeartbeat(t *testing.T) {
	a, b := pair(t, nil)
	b.SetHeartbeatHandler(func(rpc raft.RPC) { rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil) })
	for range 10 {
		if err := a.News("b", appendRequest()); err != nil {
			t.Fatal(err)
		}
	}
	var resp raft.AppendEntriesResponse
	if err := a.AppendEntries("b", "b", &raft.AppendEntriesRequest{RPCHeader: header, Term: 7}, &resp); err != nil || !resp.Success {
		t.Fatal(resp, err)
	}
	for range 10 {
		rpc := <-b.Consumer()
		if show(rpc.Command) != show(appendRequest()) {
			t.Errorf("the news became %s", show(rpc.Command))
		}
		rpc.Respond(&raft.AppendEntriesResponse{}, nil)
	}
	b.SetHeartbeatHandler(nil)
	b.raft(t, func(rpc raft.RPC) { rpc.Respond(&raft.AppendEntriesResponse{Term: 3}, nil) })
	if err := a.AppendEntries("b", "b", &raft.AppendEntriesRequest{RPCHeader: header, Term: 7}, &resp); err != nil || resp.Term != 3 {
		t.Error("without a handler:", resp, err)
	}
}

// Entries that do not fit are left to the next message, and Raft sees which.
func TestALongMessageIsCut(t *testing.T) {
	arrived := make(chan int, 1)
	a, _ := pair(t, func(rpc raft.RPC) {
		arrived <- len(rpc.Command.(*raft.AppendEntriesRequest).Entries)
		rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
	})
	for _, c := range []struct{ size, count, sent int }{{1 << 20, 6, 3}, {5 << 20, 3, 1}, {100, 64, 64}} {
		req := appendRequest(slices.Repeat([]int{c.size}, c.count)...)
		if err := a.AppendEntries("b", "b", req, &raft.AppendEntriesResponse{}); err != nil {
			t.Fatal(err)
		}
		if n := <-arrived; len(req.Entries) != c.sent || n != c.sent {
			t.Errorf("of %d entries of %d bytes %d were sent and %d arrived", c.count, c.size, len(req.Entries), n)
		}
	}
	if err := a.AppendEntries("b", "b", appendRequest(9<<20), &raft.AppendEntriesResponse{}); err == nil {
		t.Error("more was taken than may be")
	}
}

// A snapshot is a stream; what Raft leaves of it ends the connection, as does one that is short.
func TestSnapshots(t *testing.T) {
	content := strings.Repeat("snapshot ", 200_000)
	req := &raft.InstallSnapshotRequest{
		RPCHeader: header, SnapshotVersion: 1, Term: 7, Leader: []byte("a"), LastLogIndex: 9, LastLogTerm: 6,
		Peers: []byte("peers"), Configuration: bytes.Repeat([]byte("c"), 9000), ConfigurationIndex: 5, Size: int64(len(content)),
	}
	var takes atomic.Int64
	takes.Store(req.Size)
	a, _ := pair(t, func(rpc raft.RPC) {
		if show(rpc.Command) != show(req) {
			t.Errorf("the request became %s", show(rpc.Command))
		}
		n := takes.Load()
		b, err := io.ReadAll(io.LimitReader(rpc.Reader, n))
		if err == nil && string(b) != content[:n] {
			err = errors.New("the content changed")
		}
		rpc.Respond(&raft.InstallSnapshotResponse{Term: 7, Success: err == nil}, nil)
	})
	var resp raft.InstallSnapshotResponse
	for range 2 {
		if err := a.InstallSnapshot("b", "b", req, &resp, strings.NewReader(content+"and more")); err != nil || !resp.Success {
			t.Fatal(resp, err)
		}
	}
	if a.wire.dials != 2 {
		t.Errorf("two snapshots took %d connections", a.wire.dials)
	}
	if err := a.InstallSnapshot("b", "b", req, &resp, strings.NewReader(content[1:])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a short snapshot: %v", err)
	}
	takes.Store(10)
	_ = a.InstallSnapshot("b", "b", req, &resp, strings.NewReader(content)) // sent or not, it must not hang
}

// A server that came back is another one: all connections to the old one are given up.
func TestBrokenConnectionsAreReplaced(t *testing.T) {
	block := make(chan struct{})
	var both sync.WaitGroup
	both.Add(2)
	a, b := pair(t, func(rpc raft.RPC) {
		go func() {
			if _, ok := rpc.Command.(*raft.RequestVoteRequest); ok {
				both.Done()
				<-block
			}
			rpc.Respond(map[bool]any{true: &raft.RequestVoteResponse{}, false: &raft.TimeoutNowResponse{}}[isVote(rpc)], nil)
		}()
	})
	var calls sync.WaitGroup
	for range 2 { // so that two connections are idle afterwards
		calls.Go(func() {
			if err := a.RequestVote("b", "b", &raft.RequestVoteRequest{RPCHeader: header}, &raft.RequestVoteResponse{}); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	close(block)
	calls.Wait()
	b.wire.sever()
	if err := a.TimeoutNow("b", "b", &raft.TimeoutNowRequest{RPCHeader: header}, &raft.TimeoutNowResponse{}); err == nil {
		t.Fatal("a broken connection answered")
	}
	if err := a.TimeoutNow("b", "b", &raft.TimeoutNowRequest{RPCHeader: header}, &raft.TimeoutNowResponse{}); err != nil {
		t.Errorf("the second call: %v", err)
	}
	if a.wire.dials != 3 {
		t.Errorf("it took %d connections", a.wire.dials)
	}
}

func isVote(rpc raft.RPC) bool {
	_, ok := rpc.Command.(*raft.RequestVoteRequest)
	return ok
}

// The end gives up what waits for Raft, here and there.
func TestTheEndGivesUpWhatWaits(t *testing.T) {
	a, b := pair(t, nil)
	failed := make(chan error, 1)
	go func() { failed <- a.AppendEntries("b", "b", appendRequest(1), &raft.AppendEntriesResponse{}) }()
	<-b.Consumer() // and no answer
	b.Stop()
	if err := <-failed; err == nil {
		t.Error("a server that ended answered")
	}
	a.Stop()
	if err := a.AppendEntries("b", "b", appendRequest(1), &raft.AppendEntriesResponse{}); !errors.Is(err, raft.ErrTransportShutdown) {
		t.Errorf("a call after the end: %v", err)
	}
	if _, err := a.AppendEntriesPipeline("b", "b"); !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
		t.Error(err)
	}
}

// A server that does not answer costs its caller Timeout, and a quarter more at most.
func TestACallEndsInTime(t *testing.T) {
	ports := &sync.Map{}
	a := newPeer(t, "a", ports, func(o *Options) { o.Timeout = 50 * time.Millisecond })
	b := newPeer(t, "b", ports, nil)
	began := time.Now()
	err := a.AppendEntries("b", "b", appendRequest(1), &raft.AppendEntriesResponse{})
	if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
		t.Error(err)
	}
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("it was given up after %v", took)
	}
	<-b.Consumer()
}

// A caller that is not who it should be is not heard.
func TestStrangersAreNotHeard(t *testing.T) {
	a, b := pair(t, func(rpc raft.RPC) { t.Error("it was heard"); rpc.Respond(nil, nil) })
	b.wire.mu.Lock()
	b.wire.greet = errors.New("who are you?")
	b.wire.mu.Unlock()
	if err := a.TimeoutNow("b", "b", &raft.TimeoutNowRequest{RPCHeader: header}, &raft.TimeoutNowResponse{}); err == nil {
		t.Error("it was answered")
	}
}

// What is no message ends the connection and nothing else.
func TestNonsenseEndsTheConnection(t *testing.T) {
	_, b := pair(t, func(rpc raft.RPC) { t.Errorf("it was taken for %T", rpc.Command); rpc.Respond(nil, nil) })
	for _, sent := range []string{"GET / HTTP/1.0\r\n\r\n", "\x00\x00\x00\x00\x01", "\x7f\xff\xff\xff\x01", "\x00\x00\x00\x02\x07\x00", "\x00\x00\x00\x01\x01"} {
		c, err := net.Dial("tcp", b.wire.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("%q was answered", sent)
		}
		_ = c.Close()
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{0, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 40 << 10, 250 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			from, _ := pair(b, func(rpc raft.RPC) { rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil) })
			req, resp := appendRequest(size), raft.AppendEntriesResponse{}
			if size == 0 {
				req.Entries = nil
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := from.AppendEntries("b", "b", req, &resp); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
