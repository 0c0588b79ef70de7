package raftnet

import (
	"math"

	"github.com/hashicorp/raft"
)

// writeRequest appends the frame of a request; an append with entries has writeAppend.
func writeRequest(w *writer, command any) error {
	switch r := command.(type) {
	case *raft.RequestVoteRequest:
		w.b = begin(w.b, kindVote)
		w.header(&r.RPCHeader)
		w.uint64(r.Term)
		w.uint64(r.LastLogIndex)
		w.uint64(r.LastLogTerm)
		w.bool(r.LeadershipTransfer)
		w.name(r.Candidate)
	case *raft.RequestPreVoteRequest:
		w.b = begin(w.b, kindPreVote)
		w.header(&r.RPCHeader)
		w.uint64(r.Term)
		w.uint64(r.LastLogIndex)
		w.uint64(r.LastLogTerm)
	case *raft.TimeoutNowRequest:
		w.b = begin(w.b, kindTimeout)
		w.header(&r.RPCHeader)
	case *raft.InstallSnapshotRequest:
		w.snapshot(r)
	default:
		return ErrUnencodable
	}
	if len(w.b) > math.MaxInt32 {
		return ErrUnencodable
	}
	end(w.b, 0)
	return w.err()
}

func (w *writer) snapshot(r *raft.InstallSnapshotRequest) {
	w.b = begin(w.b, kindSnapshot)
	w.header(&r.RPCHeader)
	if r.SnapshotVersion < 0 || r.SnapshotVersion > math.MaxUint8 || r.Size < 0 {
		w.bad = true
	}
	w.uint8(uint8(r.SnapshotVersion))
	w.uint64(r.Term)
	w.uint64(r.LastLogIndex)
	w.uint64(r.LastLogTerm)
	w.uint64(r.ConfigurationIndex)
	w.uint64(uint64(r.Size))
	w.name(r.Leader)
	w.blob(r.Peers)
	w.blob(r.Configuration)
}

// readRequest reads the body of a request. own tells whether the entries of an append may share it.
func readRequest(k kind, body []byte, own bool, n *names) (command any, err error) {
	if k == kindAppend || k == kindNews {
		req, err := readAppend(body, own, n)
		return req, err
	}
	p := parts{b: body}
	h := n.header(&p)
	switch k {
	case kindVote:
		command = &raft.RequestVoteRequest{
			RPCHeader: h, Term: p.uint64(), LastLogIndex: p.uint64(), LastLogTerm: p.uint64(),
			LeadershipTransfer: p.bool(), Candidate: keep(&n.leader, p.name()),
		}
	case kindPreVote:
		command = &raft.RequestPreVoteRequest{RPCHeader: h, Term: p.uint64(), LastLogIndex: p.uint64(), LastLogTerm: p.uint64()}
	case kindTimeout:
		command = &raft.TimeoutNowRequest{RPCHeader: h}
	case kindSnapshot:
		r := &raft.InstallSnapshotRequest{
			RPCHeader: h, SnapshotVersion: raft.SnapshotVersion(p.uint8()), Term: p.uint64(), LastLogIndex: p.uint64(),
			LastLogTerm: p.uint64(), ConfigurationIndex: p.uint64(), Size: int64(p.uint64()),
			Leader: keep(&n.leader, p.name()), Peers: p.blob(), Configuration: p.blob(),
		}
		p.bad = p.bad || r.Size < 0
		command = r
	default:
		return nil, ErrMalformed
	}
	return command, p.err()
}

// writeAnswer appends the frame of an answer to a request of kind k.
func writeAnswer(w *writer, k kind, answer raft.RPCResponse) error {
	if answer.Error != nil {
		w.refusal(answer.Error.Error())
		return nil
	}
	from := len(w.b)
	w.b = begin(w.b, answerTo+k)
	switch r := answer.Response.(type) {
	case *raft.AppendEntriesResponse:
		w.header(&r.RPCHeader)
		w.uint64(r.Term)
		w.uint64(r.LastLog)
		w.bool(r.Success)
		w.bool(r.NoRetryBackoff)
	case *raft.RequestVoteResponse:
		w.header(&r.RPCHeader)
		w.uint64(r.Term)
		w.bool(r.Granted)
		w.blob(r.Peers)
	case *raft.RequestPreVoteResponse:
		w.header(&r.RPCHeader)
		w.uint64(r.Term)
		w.bool(r.Granted)
	case *raft.TimeoutNowResponse:
		w.header(&r.RPCHeader)
	case *raft.InstallSnapshotResponse:
		w.header(&r.RPCHeader)
		w.uint64(r.Term)
		w.bool(r.Success)
	default:
		w.bad = true
	}
	end(w.b[from:], 0)
	return w.err()
}

// maxTextBytes bounds the text of a refusal.
const maxTextBytes = 256

func (w *writer) refusal(text string) {
	from := len(w.b)
	w.b = append(begin(w.b, kindRefused), text[:min(len(text), maxTextBytes)]...)
	end(w.b[from:], 0)
}

// readAnswer reads an answer of kind k into response. A *RefusedError leaves the connection good.
func readAnswer(k kind, body []byte, response any, n *names) error {
	if k == kindRefused {
		return &RefusedError{Text: string(body)}
	}
	p := parts{b: body}
	h := n.header(&p)
	want := answerTo
	switch r := response.(type) {
	case *raft.AppendEntriesResponse:
		want += kindAppend
		*r = raft.AppendEntriesResponse{RPCHeader: h, Term: p.uint64(), LastLog: p.uint64(), Success: p.bool(), NoRetryBackoff: p.bool()}
	case *raft.RequestVoteResponse:
		want += kindVote
		*r = raft.RequestVoteResponse{RPCHeader: h, Term: p.uint64(), Granted: p.bool(), Peers: p.blob()}
	case *raft.RequestPreVoteResponse:
		want += kindPreVote
		*r = raft.RequestPreVoteResponse{RPCHeader: h, Term: p.uint64(), Granted: p.bool()}
	case *raft.TimeoutNowResponse:
		want += kindTimeout
		*r = raft.TimeoutNowResponse{RPCHeader: h}
	case *raft.InstallSnapshotResponse:
		want += kindSnapshot
		*r = raft.InstallSnapshotResponse{RPCHeader: h, Term: p.uint64(), Success: p.bool()}
	}
	if k != want {
		return ErrMalformed
	}
	return p.err()
}
