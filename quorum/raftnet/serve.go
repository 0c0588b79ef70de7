package raftnet

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// requestRoom is where requests are read to; those with much data get memory of their own.
	requestRoom = 8 << 10
	// acceptRetry is the pause after a caller could not be accepted.
	acceptRetry = 100 * time.Millisecond
)

// accept takes callers until the transport is closed.
func (t *Transport) accept() {
	for {
		conn, err := t.o.Network.Accept()
		switch {
		case err == nil:
			t.tasks.Go(func() { t.serve(conn) })
		case t.isOver():
			return
		default:
			t.o.Log.Warn("a server that called could not be accepted", "error", err)
			if !t.pause(acceptRetry) {
				return
			}
		}
	}
}

func (t *Transport) isOver() bool {
	select {
	case <-t.over:
		return true
	default:
		return false
	}
}

// pause waits. False: the transport was closed.
func (t *Transport) pause(d time.Duration) bool {
	due := make(chan struct{})
	timer := t.o.Clock.AfterFunc(d, func() { close(due) })
	defer timer.Stop()
	select {
	case <-due:
		return true
	case <-t.over:
		return false
	}
}

// serve answers one caller until the connection ends.
func (t *Transport) serve(conn Conn) {
	defer conn.Close()
	err := t.o.Network.Greet(conn)
	if err == nil {
		s := server{t: t, conn: conn, in: newReader(conn, requestRoom, t.o.MaxMessageBytes), answers: make(chan raft.RPCResponse, 1)}
		for err == nil {
			err = s.one()
		}
	}
	switch {
	case err == io.EOF, errors.Is(err, net.ErrClosed), errors.Is(err, raft.ErrTransportShutdown):
	case errors.Is(err, ErrMalformed):
		t.o.Log.Warn("a server that called is not understood", "from", conn.RemoteAddr(), "error", err)
	default:
		t.o.Log.Debug("a server that called is gone", "from", conn.RemoteAddr(), "error", err)
	}
}

// server is a connection from another server.
type server struct {
	t       *Transport
	conn    Conn
	in      *reader
	names   names
	out     []byte
	answers chan raft.RPCResponse // of the request that Raft is at
}

// one reads a request and answers it.
func (s *server) one() error {
	k, body, own, err := s.in.next()
	if err != nil {
		return err
	}
	command, err := readRequest(k, body, own, &s.names)
	if err != nil {
		return err
	}
	if k == kindNews {
		// Nobody hears what Raft answers, so nobody waits for it.
		return s.t.hand(raft.RPC{Command: command, RespChan: make(chan raft.RPCResponse, 1)})
	}
	rpc := raft.RPC{Command: command, RespChan: s.answers}
	var stream *io.LimitedReader
	if r, ok := command.(*raft.InstallSnapshotRequest); ok {
		stream = &io.LimitedReader{R: s.in, N: r.Size}
		rpc.Reader = stream
	}
	answer, err := s.ask(rpc)
	if err != nil {
		return err
	}
	w := writer{b: s.out[:0]}
	if writeAnswer(&w, k, answer) != nil {
		w = writer{b: w.b[:0]}
		w.refusal("there is no answer to that")
	}
	s.out = w.b
	if _, err := s.conn.Write(w.b); err != nil {
		return err
	}
	if stream != nil && stream.N > 0 {
		return io.EOF // what Raft has left of a snapshot is no message
	}
	return nil
}

// ask has Raft answer. A heartbeat does not wait for what Raft is at, which may be its disk.
func (s *server) ask(rpc raft.RPC) (raft.RPCResponse, error) {
	if r, ok := rpc.Command.(*raft.AppendEntriesRequest); !ok || !isHeartbeat(r) || !s.t.beat(rpc) {
		if err := s.t.hand(rpc); err != nil {
			return raft.RPCResponse{}, err
		}
	}
	select { // a Raft that ends answers nothing
	case answer := <-s.answers:
		return answer, nil
	case <-s.t.over:
		return raft.RPCResponse{}, raft.ErrTransportShutdown
	}
}

// beat has the handler of heartbeats answer, if there is one.
func (t *Transport) beat(rpc raft.RPC) bool {
	t.mu.Lock()
	handler := t.heartbeat
	t.mu.Unlock()
	if handler != nil {
		handler(rpc)
	}
	return handler != nil
}

// hand gives a request to Raft.
func (t *Transport) hand(rpc raft.RPC) error {
	select {
	case t.inbox <- rpc:
		return nil
	case <-t.over:
		return raft.ErrTransportShutdown
	}
}
