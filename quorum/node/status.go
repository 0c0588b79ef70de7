package node

import (
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Status is what a server tells of itself.
type Status struct {
	Mode     Mode
	ID       int // myid
	LeaderID int // myid of the leader, 0: none known
	Zxid     int64
	Term     uint64
	Serving  bool
	Applied  uint64        // index of the last entry in the tree
	Reign    time.Duration // how long it leads, 0: it does not
	Counts   Counts
	Peers    []Peer // the whole ensemble, this server included, as Raft has it
}

// Peer is one server of the ensemble.
type Peer struct {
	ID    int
	Name  string // its name in Raft: the id, and the incarnation if it lost its data once
	Voter bool
	// Follows tells, on the leader, whether the server has its stream to it.
	Follows bool
}

// Status tells how things are.
func (n *Node) Status() Status {
	s := Status{Mode: n.modeNow(), ID: n.opt.MyID, Zxid: n.zxid.Load(), Serving: n.serving.Load(), Applied: n.applied.Load(), Counts: n.tally.counts()}
	if r := n.reign.Load(); r != nil {
		s.Reign = n.steady().Sub(r.from)
	}
	if !n.isUp() {
		return s
	}
	s.Term = n.raft.CurrentTerm()
	_, leader := n.raft.LeaderWithID()
	s.LeaderID = myIDOf(leader)
	for _, peer := range n.configuration().Servers {
		_, follows := n.streams.applied(peer.ID)
		s.Peers = append(s.Peers, Peer{ID: myIDOf(peer.ID), Name: string(peer.ID), Voter: peer.Suffrage == raft.Voter, Follows: follows})
	}
	return s
}

// configuration is the latest that Raft has, committed or not. It belongs to the caller.
func (n *Node) configuration() raft.Configuration {
	if !n.isUp() {
		return raft.Configuration{}
	}
	return n.raft.GetConfiguration().Configuration()
}

// modeNow is the part that this server plays just now.
func (n *Node) modeNow() Mode {
	leads := n.reign.Load() != nil
	switch {
	case len(n.opt.Servers) == 0 && (leads || n.serving.Load()):
		return Standalone
	case leads:
		return Leader
	case !n.serving.Load():
		return Looking
	}
	for _, peer := range n.configuration().Servers {
		if peer.ID == n.me() && peer.Suffrage == raft.Voter {
			return Follower
		}
	}
	return Observer
}

// myIDOf is the number in a Raft id, "3" or "3.0a1b2c3d"; 0 if there is none.
func myIDOf(id raft.ServerID) int {
	number, _, _ := strings.Cut(string(id), ".")
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return n
}
