package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Timeout is how long a test waits for an answer before it calls the server stuck.
const Timeout = 30 * time.Second

// maxFrameBytes bounds what is read: no server has a reason for more.
const maxFrameBytes = 64 << 20

// Conn is a connection to a client port. It is not for concurrent use, but one goroutine
// may send while another one receives.
type Conn struct {
	net.Conn
	xid int32
}

// Dial connects the socket, without a word.
func Dial(addr string) (*Conn, error) {
	c, err := net.DialTimeout("tcp", addr, Timeout)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c}, nil
}

// ConnectRequest is the first frame of a client.
type ConnectRequest struct {
	Protocol     int32
	LastZxidSeen int64
	TimeoutMs    int32
	Session      int64
	Password     []byte
	// WithReadOnly sends the byte that says whether a read-only server would do.
	WithReadOnly, ReadOnly bool
}

// ConnectResponse is the answer to it.
type ConnectResponse struct {
	Protocol, TimeoutMs    int32
	Session                int64
	Password               []byte
	WithReadOnly, ReadOnly bool
}

// Open connects and makes a session, or takes the one named on.
func Open(addr string, r ConnectRequest) (*Conn, ConnectResponse, error) {
	c, err := Dial(addr)
	if err != nil {
		return nil, ConnectResponse{}, err
	}
	resp, err := c.Connect(r)
	if err != nil {
		c.Close()
		return nil, resp, err
	}
	return c, resp, nil
}

// New opens a new session with a timeout.
func New(addr string, timeout time.Duration) (*Conn, ConnectResponse, error) {
	return Open(addr, ConnectRequest{TimeoutMs: int32(timeout / time.Millisecond), Password: make([]byte, 16), WithReadOnly: true})
}

// Connect does the handshake.
func (c *Conn) Connect(r ConnectRequest) (ConnectResponse, error) {
	var e Enc
	e.Int(r.Protocol).Long(r.LastZxidSeen).Int(r.TimeoutMs).Long(r.Session).Buffer(r.Password)
	if r.WithReadOnly {
		e.Bool(r.ReadOnly)
	}
	if err := c.SendFrame(e.B); err != nil {
		return ConnectResponse{}, err
	}
	body, err := c.RecvFrame()
	if err != nil {
		return ConnectResponse{}, fmt.Errorf("the answer to the handshake: %w", err)
	}
	d := Dec{B: body}
	resp := ConnectResponse{Protocol: d.Int(), TimeoutMs: d.Int(), Session: d.Long(), Password: d.Buffer()}
	if d.Err() == nil && len(d.B) > 0 {
		resp.WithReadOnly, resp.ReadOnly = true, d.Bool()
	}
	if d.Err() == nil && len(d.B) > 0 {
		return resp, fmt.Errorf("%d bytes behind the answer to the handshake", len(d.B))
	}
	return resp, d.Err()
}

// SendFrame sends bytes behind their length.
func (c *Conn) SendFrame(body []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(Timeout)); err != nil {
		return err
	}
	_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

// RecvFrame receives one frame.
func (c *Conn) RecvFrame() ([]byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(Timeout)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrameBytes {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(c, body)
	return body, err
}

// Send sends a request with the next xid, which it returns.
func (c *Conn) Send(op int32, body []byte) (int32, error) {
	c.xid++
	return c.xid, c.SendXid(c.xid, op, body)
}

// SendXid sends a request with the xid given.
func (c *Conn) SendXid(xid, op int32, body []byte) error {
	var e Enc
	e.Int(xid).Int(op)
	return c.SendFrame(append(e.B, body...))
}

// Reply is what a server sends: an answer, or an event (Xid -1).
type Reply struct {
	Xid  int32
	Zxid int64
	Err  int32
	Body []byte
}

// Recv receives an answer or an event.
func (c *Conn) Recv() (Reply, error) {
	body, err := c.RecvFrame()
	if err != nil {
		return Reply{}, err
	}
	d := Dec{B: body}
	r := Reply{Xid: d.Int(), Zxid: d.Long(), Err: d.Int()}
	r.Body = d.B
	return r, d.Err()
}

// Call sends a request and returns its answer; events that come first are left out.
func (c *Conn) Call(op int32, body []byte) (Reply, error) {
	xid, err := c.Send(op, body)
	if err != nil {
		return Reply{}, err
	}
	for {
		r, err := c.Recv()
		if err != nil {
			return r, err
		}
		if r.Xid == xid {
			return r, nil
		}
		if r.Xid >= 0 {
			return r, fmt.Errorf("the answer to call %d carries xid %d", xid, r.Xid)
		}
	}
}
