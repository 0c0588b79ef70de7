package raftnet

import (
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/netx"
)

const (
	// togetherBytes is how much data of entries is copied behind the rest of its message, so that
	// a small message is one write to any connection. No border from 0 to 64 KiB shows in BenchmarkAppend.
	togetherBytes = 4 << 10

	// keptBytes is how much of the memory for a message is kept for the next one.
	keptBytes = 64 << 10
	// answerRoom is where answers are read to, which are short.
	answerRoom = 512
	// copyBytes is how much of a snapshot is written at a time.
	copyBytes = 64 << 10
)

// caller is a connection to another server, used by one call at a time.
type caller struct {
	conn   Conn
	in     *reader
	out    []byte
	pieces netx.Pieces
	names  names
	until  time.Time // the connection's deadline
}

func newCaller(conn Conn, limit int) *caller {
	return &caller{conn: conn, in: newReader(conn, answerRoom, limit)}
}

// allow gives a call its time. A deadline costs the runtime's poller more than a look at the
// clock, so it is set with a quarter to spare and left as it is while that lasts.
func (c *caller) allow(t *Transport, timeout time.Duration) {
	now := t.o.Clock.Now()
	if left := c.until.Sub(now); left >= timeout && left <= 2*timeout {
		return
	}
	c.until = now.Add(timeout + timeout/4)
	_ = c.conn.SetDeadline(c.until)
}

func (c *caller) sendAppend(k kind, req *raft.AppendEntriesRequest) error {
	w := writer{b: c.out[:0]}
	pieces, err := writeAppend(&w, k, req, c.pieces[:0])
	if err == nil {
		err = c.conn.WritePieces(pieces)
	}
	clear(pieces[:cap(pieces)]) // the entries must not stay alive by it
	c.pieces = pieces[:0]
	c.keep(w.b)
	return err
}

func (c *caller) keep(b []byte) {
	if cap(b) > keptBytes {
		b = nil
	}
	c.out = b
}

func (c *caller) send(command any) error {
	w := writer{b: c.out[:0]}
	if err := writeRequest(&w, command); err != nil {
		return err
	}
	_, err := c.conn.Write(w.b)
	c.keep(w.b)
	return err
}

func (c *caller) sendSnapshot(req *raft.InstallSnapshotRequest, data io.Reader) error {
	if err := c.send(req); err != nil {
		return err
	}
	n, err := io.CopyBuffer(onlyWriter{c.conn}, io.LimitReader(data, req.Size), make([]byte, copyBytes))
	if err == nil && n < req.Size {
		err = fmt.Errorf("a snapshot of %d bytes ends after %d: %w", req.Size, n, io.ErrUnexpectedEOF)
	}
	return err
}

// onlyWriter hides what a connection can besides.
type onlyWriter struct{ io.Writer }

// receive waits for an answer.
func (c *caller) receive(resp any) error {
	k, body, _, err := c.in.next()
	if err != nil {
		return unexpected(err)
	}
	return readAnswer(k, body, resp, &c.names)
}
