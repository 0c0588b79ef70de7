package node

import (
	"github.com/hashicorp/raft"
)

// watch follows Raft: it starts and ends reigns, and notices when Raft stops by itself. It
// never waits for anything else, since Raft waits for it.
func (n *Node) watch(notify <-chan bool) {
	events := make(chan raft.Observation, 16)
	observer := raft.NewObserver(events, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.RaftState, raft.LeaderObservation:
			return true
		}
		return false
	})
	n.raft.RegisterObserver(observer)
	defer n.raft.DeregisterObserver(observer)
	signal(n.leaderWake) // what was before nobody has observed
	var over chan struct{}
	last := make(chan struct{}) // closed when the last reign has ended
	close(last)
	end := func() {
		if over != nil {
			close(over)
			over = nil
		}
	}
	defer end()
	for {
		select {
		case leads := <-notify:
			signal(n.leaderWake)
			end()
			if leads {
				over = make(chan struct{})
				mine, before, after := over, last, make(chan struct{})
				last = after
				n.runAsking(func() {
					defer close(after)
					<-before
					n.lead(mine)
				})
			}
		case <-events:
			signal(n.leaderWake)
			if n.raft.State() == raft.Shutdown {
				n.fail(ErrRemoved) // changes nothing if the node was told to end
			}
		case <-n.stop:
			return
		}
	}
}

// electSelf spares the only voter the wait for a leader that cannot come.
func (n *Node) electSelf() {
	self := raft.ServerAddress(n.me())
	voters, mine := 0, false
	for _, s := range n.configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters++
			mine = mine || s.ID == n.me()
		}
	}
	if voters != 1 || !mine {
		return
	}
	request := raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.me()), Addr: n.trans.EncodePeer(n.me(), self),
	}}
	var response raft.TimeoutNowResponse
	if err := n.trans.TimeoutNow(n.me(), self, &request, &response); err != nil {
		n.log.Debug("the election waits for its timer", "error", err)
	}
}
