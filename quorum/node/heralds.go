package node

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
)

// heralds bring the followers the news that an entry is committed. Raft itself tells them with
// the next entries only, or when it was quiet for CommitTimeout; a write that came through a
// follower is answered when that follower has applied it, so it would wait for that.
//
// A follower whose own writes are in the entry is told at once. The others have time: they are
// told after heraldDelay, if no entry has told them before.
//
// What a herald brings is an ordinary AppendEntries without entries, as Raft sends it when
// CommitTimeout is over: in this term entry (index, term) is committed, and you have it. It is
// true whenever it arrives, so it needs no order with what Raft sends. Nobody answers it: one that
// is lost, or comes to a server that cannot use it, is made good by Raft after CommitTimeout.
type heralds struct {
	n     *Node
	trans *netTransport

	mu      sync.Mutex
	at      appliedAt // the newest entry that is committed, of this server's term
	peers   map[raft.ServerID]*herald
	origins map[uint64]raft.ServerID // where the writes of an origin come from
	timer   clock.Timer              // nil until there was something to wait for
	waits   uint64                   // the index that the timer waits for; 0: none
}

// heraldDelay is how long those followers are left without the news that do not wait for it.
const heraldDelay = 2 * time.Millisecond

// herald is the messenger to one follower.
type herald struct {
	h    *heralds
	to   raft.ServerID
	wake chan struct{}

	// Under heralds.mu.
	owed  uint64 // the newest entry with writes of the follower
	last  uint64 // what the follower's log holds for sure
	known uint64 // what it knows to be committed
	deaf  bool   // it could not be told; Raft's own messages will tell when it can
}

func newHeralds(n *Node, t *netTransport) *heralds {
	h := &heralds{n: n, trans: t, peers: map[raft.ServerID]*herald{}, origins: map[uint64]raft.ServerID{}}
	t.appended = h.appended
	return h
}

// originOf notes which server the writes of an origin come from.
func (h *heralds) originOf(origin uint64, from raft.ServerID) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.origins) > maxOrigins {
		clear(h.origins) // servers came and went: those that are there will be noted again
	}
	h.origins[origin] = from
}

// maxOrigins bounds the origins that are remembered.
const maxOrigins = 4096

// committed is told of an entry that this server proposed and that is applied here, and of the
// origins of what is in it.
func (h *heralds) committed(at appliedAt, origins []uint64) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if at.term < h.at.term || at.index <= h.at.index {
		return
	}
	h.at = at
	for _, o := range origins {
		if p := h.peers[h.origins[o]]; p != nil {
			p.owed = at.index
		}
	}
	for _, p := range h.peers {
		h.tell(p)
	}
}

// tell sends a follower the news if it waits for it, and else sees to it that it is sent in time.
func (h *heralds) tell(p *herald) {
	switch {
	case !p.due():
	case p.owed > p.known:
		signal(p.wake)
	case h.waits == 0:
		h.wait()
	}
}

// wait makes the timer look after what is news now.
func (h *heralds) wait() {
	h.waits = h.at.index
	if h.timer == nil {
		h.timer = h.n.clock.AfterFunc(heraldDelay, h.late)
	} else {
		h.timer.Reset(heraldDelay)
	}
}

// late is called when the timer's time is over. Whoever knows of what it waited for was told by
// an entry, and will be told of the rest so.
func (h *heralds) late() {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.waits
	h.waits = 0
	for _, p := range h.peers {
		switch {
		case !p.due():
		case p.known < was:
			signal(p.wake)
		case h.waits == 0:
			h.wait()
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
	h.tell(p)
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
	err := h.trans.News(raft.ServerAddress(p.to), &req)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		p.deaf = true
		return
	}
	p.known = max(p.known, at.index)
	h.tell(p)
}
