package node

import (
	"sync"

	"github.com/hashicorp/raft"
)

// heralds bring the followers the news that an entry is committed. Raft itself tells them with
// the next entries only, or when it was quiet for CommitTimeout; a write that came through a
// follower is answered when that follower has applied it, so it would wait for that.
//
// What a herald brings is an ordinary AppendEntries without entries, as Raft sends it when
// CommitTimeout is over: in this term entry (index, term) is committed, and you have it. It is
// true whenever it arrives, so it needs no order with what Raft sends.
type heralds struct {
	n     *Node
	trans *netTransport

	mu    sync.Mutex
	at    appliedAt // the newest entry that is committed, of this server's term
	peers map[raft.ServerID]*herald
}

// herald is the messenger to one follower.
type herald struct {
	h    *heralds
	to   raft.ServerID
	wake chan struct{}

	// Under heralds.mu.
	last  uint64 // what the follower's log holds for sure
	known uint64 // what it knows to be committed
	deaf  bool   // it did not answer; Raft's own messages will tell when it does
}

func newHeralds(n *Node, t *netTransport) *heralds {
	h := &heralds{n: n, trans: t, peers: map[raft.ServerID]*herald{}}
	t.appended = h.appended
	return h
}

// committed is told of an entry that this server proposed and that is applied here.
func (h *heralds) committed(at appliedAt) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if at.term < h.at.term || at.index <= h.at.index {
		return
	}
	h.at = at
	for _, p := range h.peers {
		if p.due() {
			signal(p.wake)
		}
	}
}

// appended is told what a follower has answered to Raft.
func (h *heralds) appended(id raft.ServerID, last, commit uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.peers[id]
	if p == nil {
		p = &herald{h: h, to: id, wake: make(chan struct{}, 1)}
		h.peers[id] = p
		h.n.run(p.run)
	}
	// Not the maximum: a server that lost its tail, or is new under its name, holds less.
	p.last, p.deaf = last, false
	p.known = max(p.known, commit)
	if p.due() {
		signal(p.wake)
	}
}

// due tells whether there is news for the follower that it can use.
func (p *herald) due() bool {
	at := p.h.at
	return !p.deaf && at.index > p.known && at.index <= p.last
}

func (p *herald) run() {
	for p.h.n.pause(0, p.wake) {
		p.h.mu.Lock()
		at, due := p.h.at, p.due()
		p.h.mu.Unlock()
		if due {
			p.bring(at)
		}
	}
}

func (p *herald) bring(at appliedAt) {
	h := p.h
	self := raft.ServerAddress(h.n.me())
	req := raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(h.n.me()), Addr: h.trans.EncodePeer(h.n.me(), self),
		},
		Term: at.term, Leader: h.trans.EncodePeer(h.n.me(), self),
		PrevLogEntry: at.index, PrevLogTerm: at.term, LeaderCommitIndex: at.index,
	}
	var resp raft.AppendEntriesResponse
	err := h.trans.NetworkTransport.AppendEntries(p.to, raft.ServerAddress(p.to), &req, &resp)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || !resp.Success {
		p.deaf = true
		return
	}
	p.known = max(p.known, at.index)
	if p.due() {
		signal(p.wake)
	}
}
