package raftnet

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/netx"
)

// entryBytes is what an entry takes without its data.
const entryBytes = 8 + 8 + 1 + 8 + 4 + 4 + 4

// fitting is how many of the entries a message of about limit bytes takes: one at least, if there
// is any.
func fitting(entries []*raft.Log, limit int) int {
	bytes := 0
	for i, e := range entries {
		bytes += entryBytes + len(e.Data) + len(e.Extensions)
		if i > 0 && bytes > limit {
			return i
		}
	}
	return len(entries)
}

// writeAppend writes an append or news. What it leaves in w is the frame up to the data of the
// entries; the data is added to pieces, or to w if there is little of it.
func writeAppend(w *writer, k kind, req *raft.AppendEntriesRequest, pieces netx.Pieces) (netx.Pieces, error) {
	w.b = begin(w.b, k)
	w.header(&req.RPCHeader)
	w.uint64(req.Term)
	w.uint64(req.PrevLogEntry)
	w.uint64(req.PrevLogTerm)
	w.uint64(req.LeaderCommitIndex)
	w.name(req.Leader)
	w.uint32(uint32(len(req.Entries)))
	total := 0
	for _, e := range req.Entries {
		w.entry(e)
		total += len(e.Data) + len(e.Extensions)
	}
	if len(w.b)+total > math.MaxInt32 {
		return pieces, ErrUnencodable
	}
	if err := w.err(); err != nil {
		return pieces, err
	}
	end(w.b, total)
	together := total <= togetherBytes
	if !together {
		pieces = append(pieces, w.b)
	}
	for _, e := range req.Entries {
		for _, part := range [...][]byte{e.Data, e.Extensions} {
			switch {
			case len(part) == 0:
			case together:
				w.b = append(w.b, part...)
			default:
				pieces = append(pieces, part)
			}
		}
	}
	if together {
		pieces = append(pieces, w.b)
	}
	return pieces, nil
}

func (w *writer) entry(e *raft.Log) {
	if len(e.Data) > math.MaxInt32 || len(e.Extensions) > math.MaxInt32 {
		w.bad = true
		return
	}
	var b [entryBytes]byte
	binary.BigEndian.PutUint64(b[0:], e.Index)
	binary.BigEndian.PutUint64(b[8:], e.Term)
	b[16] = byte(e.Type)
	binary.BigEndian.PutUint64(b[17:], uint64(e.AppendedAt.Unix()))
	binary.BigEndian.PutUint32(b[25:], uint32(e.AppendedAt.Nanosecond()))
	binary.BigEndian.PutUint32(b[29:], uint32(len(e.Data)))
	binary.BigEndian.PutUint32(b[33:], uint32(len(e.Extensions)))
	w.b = append(w.b, b[:]...)
}

// readAppend reads what writeAppend wrote. The entries share body if that is theirs to keep, else
// one copy of its end.
func readAppend(body []byte, own bool, n *names) (*raft.AppendEntriesRequest, error) {
	p := parts{b: body}
	req := &raft.AppendEntriesRequest{RPCHeader: n.header(&p)}
	req.Term, req.PrevLogEntry, req.PrevLogTerm, req.LeaderCommitIndex = p.uint64(), p.uint64(), p.uint64(), p.uint64()
	req.Leader = keep(&n.leader, p.name())
	count := int64(p.uint32())
	if count == 0 || p.bad {
		return req, p.err()
	}
	if count > int64(len(p.b)/entryBytes) {
		return nil, ErrMalformed
	}
	heads, data := p.take(int(count)*entryBytes), p.b
	if !own {
		data = bytes.Clone(data)
	}
	logs, entries := make([]raft.Log, count), make([]*raft.Log, count)
	for i := range logs {
		ok := false
		if data, ok = readEntry(&logs[i], heads[i*entryBytes:], data); !ok {
			return nil, ErrMalformed
		}
		entries[i] = &logs[i]
	}
	if len(data) > 0 {
		return nil, ErrMalformed
	}
	req.Entries = entries
	return req, nil
}

// readEntry reads one entry, whose parts stand at the front of data, and returns what follows.
func readEntry(l *raft.Log, b, data []byte) (rest []byte, ok bool) {
	nanos := binary.BigEndian.Uint32(b[25:])
	size, extensions := int64(binary.BigEndian.Uint32(b[29:])), int64(binary.BigEndian.Uint32(b[33:]))
	if size+extensions > int64(len(data)) || nanos >= uint32(time.Second) {
		return nil, false
	}
	l.Index, l.Term, l.Type = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), raft.LogType(b[16])
	l.AppendedAt = time.Unix(int64(binary.BigEndian.Uint64(b[17:])), int64(nanos))
	if size > 0 {
		l.Data = data[:size:size]
	}
	if extensions > 0 {
		l.Extensions = data[size : size+extensions : size+extensions]
	}
	return data[size+extensions:], true
}

// isHeartbeat tells whether a message only says that there is a leader: it does not wait for what
// Raft is at.
func isHeartbeat(r *raft.AppendEntriesRequest) bool {
	return r.Term != 0 && (len(r.Addr) > 0 || len(r.Leader) > 0) && r.PrevLogEntry == 0 && r.PrevLogTerm == 0 &&
		len(r.Entries) == 0 && r.LeaderCommitIndex == 0
}
