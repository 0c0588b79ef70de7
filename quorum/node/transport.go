package node

import (
	"github.com/hashicorp/raft"
)

// transport is Raft's network. A server's address in Raft's configuration is its id: where it
// is found is looked up when it is dialed.
type transport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
	// sever breaks all connections and lets no new ones come up.
	sever()
}

// loneTransport is that of a server which stands alone: it reaches itself only.
type loneTransport struct{ *raft.InmemTransport }

func newLoneTransport(id raft.ServerID) transport {
	addr, t := raft.NewInmemTransport(raft.ServerAddress(id))
	t.Connect(addr, t)
	return loneTransport{t}
}

func (loneTransport) sever() {}
