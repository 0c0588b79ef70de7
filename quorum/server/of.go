package server

import (
	"context"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

// Of makes a Member of a node. reconfig changes the ensemble as a client asks (see
// Member.Reconfig); nil: this server stands alone and answers Unimplemented, as ZooKeeper does.
func Of(n *node.Node, reconfig func(ctx context.Context, r *jute.ReconfigRequest) error) Member {
	return member{n, reconfig}
}

type member struct {
	node     *node.Node
	reconfig func(context.Context, *jute.ReconfigRequest) error
}

func (m member) Attach(s node.Sink) Handle       { return m.node.Attach(s) }
func (m member) Read(f func(*tree.State))        { m.node.Read(f) }
func (m member) NewSessionID() int64             { return m.node.NewSessionID() }
func (m member) ResetCounts()                    { m.node.ResetCounts() }
func (m member) Password(session int64) [16]byte { return m.node.Password(session) }

func (m member) Reconfig(ctx context.Context, r *jute.ReconfigRequest) error {
	if m.reconfig == nil {
		return jute.Unimplemented
	}
	return m.reconfig(ctx, r)
}

func (m member) Status() Status {
	st := m.node.Status()
	out := Status{Mode: st.Mode, ID: st.ID, LeaderID: st.LeaderID, Term: st.Term, Reign: st.Reign, Counts: st.Counts}
	for _, p := range st.Peers {
		follows := st.Mode == node.Leader && p.Follows && p.ID != st.ID
		if !p.Voter {
			out.Observers++
			if follows {
				out.SyncedObservers++
			}
			continue
		}
		out.Voters++
		if follows {
			out.SyncedFollowers++
		}
		out.Voter = out.Voter || p.ID == st.ID
	}
	return out
}
