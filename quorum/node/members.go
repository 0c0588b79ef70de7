package node

import (
	"slices"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// agreed is the ensemble as the servers agreed on it: the text of /zookeeper/config. Raft's own
// configuration follows it, step by step. Version 0 is what the first leader read in its file;
// then each server finds the others where its own file says.
type agreed struct {
	servers []zoocfg.Server
	version int64
}

// noteConfig reads the state's configuration, under the write lock.
func (n *Node) noteConfig() {
	text, _, err := n.state.Get(tree.ConfigPath)
	if err != nil || len(text) == 0 {
		return
	}
	servers, version, err := zoocfg.ParseServers(string(text))
	if err != nil {
		n.log.Error("the ensemble's configuration cannot be read", "error", err)
		return
	}
	n.agreed.Store(&agreed{servers, version})
	if n.isUp() && n.isWanted() {
		n.wasWanted.Store(true)
	}
}

// wanted is the ensemble as it should be.
func (n *Node) wanted() []zoocfg.Server {
	if a := n.agreed.Load(); a != nil {
		return a.servers
	}
	return n.opt.Servers
}

// addressOf tells where a server is, by the number in its name.
func (n *Node) addressOf(id int) (zoocfg.Server, bool) {
	lists := [][]zoocfg.Server{n.opt.Servers, nil}
	if a := n.agreed.Load(); a != nil {
		lists[1] = a.servers
		if a.version != 0 {
			lists[0], lists[1] = lists[1], lists[0]
		}
	}
	for _, list := range lists {
		if i := slices.IndexFunc(list, func(s zoocfg.Server) bool { return s.ID == int64(id) }); i >= 0 {
			return list[i], true
		}
	}
	if s, ok := n.strangers.Load(id); ok {
		return s.(zoocfg.Server), true
	}
	return zoocfg.Server{}, false
}

// isMember tells whether a name stands in Raft's configuration.
func (n *Node) isMember(id raft.ServerID) bool {
	return slices.ContainsFunc(n.configuration().Servers, func(s raft.Server) bool { return s.ID == id })
}

// stepKind is one change of Raft's configuration.
type stepKind uint8

const (
	addVoter stepKind = iota + 1
	demoteVoter
	removeServer
	retire   // it is to leave and lives: it loses its vote, and is removed a little later, see dismiss
	handOver // this server is to lose its vote: another one has to lead first
)

type step struct {
	kind stepKind
	id   raft.ServerID
}

// nextStep is the next change that brings Raft's configuration nearer to the wanted one, if there
// is one that is safe now. It is pure. ready tells who has a stream and has caught up, self
// is the leader.
//
// Nobody becomes a voter who is not ready: a vote that cannot be cast counts against the
// quorum. A server that lost its data has a new name; its old one loses its vote before the
// new one gets it, so that one server never counts twice.
func nextStep(have []raft.Server, want []zoocfg.Server, ready func(raft.ServerID) bool, self raft.ServerID) (step, bool) {
	for _, w := range want {
		if w.Observer {
			continue
		}
		if s, ok := stepForVoter(have, int(w.ID), ready, self); ok {
			return s, true
		}
	}
	for _, h := range have {
		i := slices.IndexFunc(want, func(w zoocfg.Server) bool { return w.ID == int64(myIDOf(h.ID)) })
		if h.Suffrage != raft.Voter || i >= 0 && !want[i].Observer {
			continue
		}
		switch {
		case h.ID == self:
			if others := slices.ContainsFunc(have, func(o raft.Server) bool {
				return o.ID != self && o.Suffrage == raft.Voter && ready(o.ID)
			}); !others {
				continue // nobody could lead instead
			}
			return step{handOver, self}, true
		case i >= 0:
			return step{demoteVoter, h.ID}, true
		case ready(h.ID):
			return step{retire, h.ID}, true
		}
		return step{removeServer, h.ID}, true
	}
	return staleObserver(have, ready, self)
}

// stepForVoter brings a server to its vote.
func stepForVoter(have []raft.Server, id int, ready func(raft.ServerID) bool, self raft.ServerID) (step, bool) {
	var voter, candidate raft.ServerID
	for _, h := range have {
		switch {
		case myIDOf(h.ID) != id:
		case h.Suffrage == raft.Voter:
			voter = h.ID
		case ready(h.ID):
			candidate = h.ID
		}
	}
	switch {
	case candidate == "" || voter == self || voter != "" && ready(voter):
		return step{}, false // nothing to do, or the old one lives still
	case voter == "":
		return step{addVoter, candidate}, true
	}
	return step{removeServer, voter}, true
}

// staleObserver finds a name without a vote whose server has come back under another.
func staleObserver(have []raft.Server, ready func(raft.ServerID) bool, self raft.ServerID) (step, bool) {
	for _, h := range have {
		if h.Suffrage == raft.Voter || ready(h.ID) {
			continue
		}
		for _, o := range have {
			if o.ID != h.ID && myIDOf(o.ID) == myIDOf(h.ID) && (o.ID == self || ready(o.ID)) {
				return step{removeServer, h.ID}, true
			}
		}
	}
	return step{}, false
}

// caughtUp is how many entries a server may lack and still be given a vote.
const caughtUp = 1000

// ready tells whether a server has a stream and nearly all entries.
func (r *reign) ready(id raft.ServerID) bool {
	if id == r.n.me() {
		return true
	}
	applied, ok := r.n.streams.applied(id)
	return ok && applied+caughtUp >= r.n.applied.Load()
}

// reconcile takes one step towards the wanted ensemble and tells whether there was one.
func (r *reign) reconcile() bool {
	n := r.n
	if !n.ask() {
		return false
	}
	defer n.asking.Done()
	s, ok := nextStep(n.configuration().Servers, n.wanted(), r.ready, n.me())
	if !ok {
		return false
	}
	var err error
	switch s.kind {
	case addVoter:
		n.log.Info("a server gets its vote", "server", s.id)
		err = n.raft.AddVoter(s.id, raft.ServerAddress(s.id), 0, 0).Error()
	case demoteVoter:
		n.log.Info("a server becomes an observer", "server", s.id)
		err = n.raft.DemoteVoter(s.id, 0, 0).Error()
	case retire:
		n.log.Info("a server that leaves loses its vote", "server", s.id)
		if err = n.raft.DemoteVoter(s.id, 0, 0).Error(); err == nil {
			r.retired[s.id] = n.steady()
		}
	case removeServer:
		n.log.Info("a server leaves the ensemble", "server", s.id)
		if err = n.raft.RemoveServer(s.id, 0, 0).Error(); err == nil {
			n.streams.drop(s.id)
		}
	case handOver:
		n.log.Info("this server hands over: it is to lose its vote")
		err = n.transfer()
	}
	if err != nil {
		n.log.Warn("the ensemble could not be changed", "server", s.id, "error", err)
		return false
	}
	return true
}

// dismiss removes those who left, once they had the time to hear that they did: their clients
// get the answer to what made them leave.
func (r *reign) dismiss() {
	n := r.n
	for id, since := range r.retired {
		if n.steady().Sub(since) < n.opt.reportInterval() {
			continue
		}
		delete(r.retired, id)
		wanted := slices.ContainsFunc(n.wanted(), func(w zoocfg.Server) bool { return w.ID == int64(myIDOf(id)) })
		if wanted || !n.isMember(id) {
			continue // it was called back, or is gone
		}
		if !n.ask() {
			return
		}
		n.log.Info("a server leaves the ensemble", "server", id)
		if err := n.raft.RemoveServer(id, 0, 0).Error(); err != nil {
			n.log.Warn("the ensemble could not be changed", "server", id, "error", err)
		} else {
			n.streams.drop(id)
		}
		n.asking.Done()
	}
}

// transfer makes another voter lead. It returns when that was asked of it.
func (n *Node) transfer() error {
	if !n.ask() {
		return ErrClosed
	}
	defer n.asking.Done()
	return n.raft.LeadershipTransfer().Error()
}
