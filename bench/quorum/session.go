package quorum

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/millrace/millrace/quorum/jute"
)

// session is a connection for what is done before and after a load: one call at a time, or
// many whose replies are read later.
type session struct {
	c   net.Conn
	buf []byte
	xid int32
}

// callTimeout bounds one call.
const callTimeout = 30 * time.Second

// openSession connects and opens a session.
func openSession(ctx context.Context, address string) (*session, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &session{c: c}
	deadline := time.Now().Add(callTimeout)
	if by, ok := ctx.Deadline(); ok && by.Before(deadline) {
		deadline = by
	}
	_ = c.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	var answer jute.ConnectResponse
	if _, err = c.Write(connectPacket()); err == nil {
		err = s.read(&answer)
	}
	if err == nil && answer.TimeoutMs == 0 {
		err = errors.New("the server refused a session")
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return s, nil
}

// close ends the session and the connection.
func (s *session) close() {
	_ = s.send(jute.OpCloseSession, nil)
	_ = s.answer(nil)
	_ = s.c.Close()
}

func (s *session) read(record jute.Record) error {
	b, err := jute.ReadFrame(s.c, s.buf, 64<<20)
	if err != nil {
		return err
	}
	s.buf = b[:0]
	return record.Decode(jute.NewReader(b))
}

func (s *session) send(op jute.OpCode, record jute.Record) error {
	s.xid++
	_ = s.c.SetDeadline(time.Now().Add(callTimeout))
	_, err := s.c.Write(packet(&jute.RequestHeader{Xid: s.xid, Op: op}, record))
	return err
}

// answer reads one reply; a code that is not OK is the error.
func (s *session) answer(record jute.Record) error {
	b, err := jute.ReadFrame(s.c, s.buf, 64<<20)
	if err != nil {
		return err
	}
	s.buf = b[:0]
	r := jute.NewReader(b)
	var h jute.ReplyHeader
	if err := h.Decode(r); err != nil {
		return err
	}
	if h.Err != jute.OK {
		return h.Err
	}
	if record == nil {
		return nil
	}
	return record.Decode(r)
}

func (s *session) call(op jute.OpCode, request, response jute.Record) error {
	if err := s.send(op, request); err != nil {
		return err
	}
	return s.answer(response)
}

// ensure makes a node, or is content with one that is there.
func (s *session) ensure(path string, data []byte) error {
	err := s.call(jute.OpCreate, &jute.CreateRequest{Path: path, Data: data, ACL: jute.OpenACL()}, nil)
	if errors.Is(err, jute.NodeExists) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return nil
}

// deleteWindow is how many deletes are on their way at once.
const deleteWindow = 256

// deleteAll removes a node and all below it.
func (s *session) deleteAll(path string) error {
	var children jute.StringsResponse
	err := s.call(jute.OpGetChildren, &jute.GetChildrenRequest{Path: path}, &children)
	if errors.Is(err, jute.NoNode) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", path, err)
	}
	var again []string
	for from := 0; from < len(children.Strings); from += deleteWindow {
		names := children.Strings[from:min(from+deleteWindow, len(children.Strings))]
		for _, name := range names {
			if err := s.send(jute.OpDelete, &jute.DeleteRequest{Path: path + "/" + name, Version: -1}); err != nil {
				return err
			}
		}
		for _, name := range names {
			switch err := s.answer(nil); {
			case errors.Is(err, jute.NotEmpty):
				again = append(again, path+"/"+name)
			case err != nil && !errors.Is(err, jute.NoNode):
				return fmt.Errorf("delete %s/%s: %w", path, name, err)
			}
		}
	}
	for _, below := range again {
		if err := s.deleteAll(below); err != nil {
			return err
		}
	}
	if err := s.call(jute.OpDelete, &jute.DeleteRequest{Path: path, Version: -1}, nil); err != nil && !errors.Is(err, jute.NoNode) {
		return fmt.Errorf("delete %s: %w", path, err)
	}
	return nil
}

// sync waits until this server has seen what any has acknowledged.
func (s *session) sync(path string) error {
	return s.call(jute.OpSync, &jute.SyncRequest{Path: path}, nil)
}

func (s *session) set(path string, data []byte) error {
	return s.call(jute.OpSetData, &jute.SetDataRequest{Path: path, Data: data, Version: -1}, nil)
}

func (s *session) get(path string) error {
	return s.call(jute.OpGetData, &jute.GetDataRequest{Path: path}, nil)
}
