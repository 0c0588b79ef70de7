package node

import (
	"errors"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// loneTransport is the network of a server that stands alone: it reaches itself only, and that
// only to be told to lead at once.
type loneTransport struct {
	id     raft.ServerID
	inbox  chan raft.RPC
	over   chan struct{}
	closed sync.Once
}

var errAlone = errors.New("this server stands alone")

func newLoneTransport(id raft.ServerID) transport {
	return &loneTransport{id: id, inbox: make(chan raft.RPC), over: make(chan struct{})}
}

func (t *loneTransport) sever() { t.closed.Do(func() { close(t.over) }) }

// Close implements raft.WithClose.
func (t *loneTransport) Close() error {
	t.sever()
	return nil
}

// TimeoutNow implements raft.Transport.
func (t *loneTransport) TimeoutNow(_ raft.ServerID, _ raft.ServerAddress, args *raft.TimeoutNowRequest, _ *raft.TimeoutNowResponse) error {
	answer := make(chan raft.RPCResponse, 1)
	select {
	case t.inbox <- raft.RPC{Command: args, RespChan: answer}:
	case <-t.over:
		return raft.ErrTransportShutdown
	}
	select {
	case a := <-answer:
		return a.Error
	case <-t.over:
		return raft.ErrTransportShutdown
	}
}

func (t *loneTransport) Consumer() <-chan raft.RPC     { return t.inbox }
func (t *loneTransport) LocalAddr() raft.ServerAddress { return raft.ServerAddress(t.id) }
func (t *loneTransport) EncodePeer(_ raft.ServerID, addr raft.ServerAddress) []byte {
	return []byte(addr)
}
func (t *loneTransport) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }
func (t *loneTransport) SetHeartbeatHandler(func(raft.RPC))     {}

func (t *loneTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

func (t *loneTransport) AppendEntries(raft.ServerID, raft.ServerAddress, *raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error {
	return errAlone
}

func (t *loneTransport) RequestVote(raft.ServerID, raft.ServerAddress, *raft.RequestVoteRequest, *raft.RequestVoteResponse) error {
	return errAlone
}

func (t *loneTransport) RequestPreVote(raft.ServerID, raft.ServerAddress, *raft.RequestPreVoteRequest, *raft.RequestPreVoteResponse) error {
	return errAlone
}

func (t *loneTransport) InstallSnapshot(raft.ServerID, raft.ServerAddress, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse, io.Reader) error {
	return errAlone
}
