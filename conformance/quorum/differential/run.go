package differential

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/conformance/quorum/wire"
)

// Target is a server or an ensemble that scripts run on.
type Target struct {
	Name  string
	Addrs []string
	// Oracle says that it is what the other one is compared with.
	Oracle bool
}

// Script is what is replayed.
type Script struct {
	Clients int
	Steps   []Step
}

// Record is what one step got to see: answer and events in their order.
type Record struct {
	Step   int // in the script; len(Steps) and above: what the tree looks like afterwards
	What   string
	Fields []Field
	// Before and After are the events that came before and behind the answer. Loose says
	// that their order is not promised: a session ended, and took several nodes with it.
	Before, After []string
	Loose         bool
}

// Xids of the requests that lead and end a step.
const (
	xidLead int32 = 1<<31 - 2
	xidEnd  int32 = 1<<31 - 1
)

// Codes behind which the server hangs up.
const (
	unimplemented  int32 = -6
	sessionExpired int32 = -112
	authFailed     int32 = -115
)

// sessionTimeout is longer than any script runs.
const sessionTimeout = 40 * time.Second

// client is one client of a script.
type client struct {
	index    int
	conn     *wire.Conn
	server   int
	session  int64
	password []byte
	last     int64 // the last zxid it saw
	answered int64 // the last zxid that an answer to a step of its own showed
	xid      int32
	closes   int // how many sessions had ended when it last did something
}

// runner runs one script on one target.
type runner struct {
	target  Target
	prefix  string
	clients []*client
	names   map[int64]string // sessions by whose they are
	closes  int
	records []Record
}

// Run runs a script below the folder prefix, which it makes first and removes at the end.
func Run(t Target, prefix string, s Script) ([]Record, map[int64]string, error) {
	r := &runner{target: t, prefix: prefix, names: map[int64]string{}}
	defer r.hangUp()
	admin, _, err := wire.New(t.Addrs[0], sessionTimeout)
	if err != nil {
		return nil, nil, err
	}
	defer admin.Close()
	if err := r.prepare(admin); err != nil {
		return nil, nil, err
	}
	for i := range s.Clients {
		r.clients = append(r.clients, &client{index: i, server: i % len(t.Addrs)})
	}
	for i := range s.Steps {
		if err := r.step(i, &s.Steps[i]); err != nil {
			return r.records, r.names, fmt.Errorf("%s: step %d: %s: %w", t.Name, i, s.Steps[i].String(), err)
		}
	}
	for _, c := range r.clients {
		end := Step{Client: c.index, Op: opCloseSession}
		if err := r.step(len(s.Steps), &end); err != nil {
			return r.records, r.names, fmt.Errorf("%s: end of client %d: %w", t.Name, c.index, err)
		}
	}
	if err := r.cleanUp(admin, len(s.Steps)+1); err != nil {
		return r.records, r.names, fmt.Errorf("%s: %w", t.Name, err)
	}
	return r.records, r.names, nil
}

func (r *runner) hangUp() {
	for _, c := range r.clients {
		if c.conn != nil {
			c.conn.Close()
		}
	}
}

// prepare makes the script's folder, as an administrator.
func (r *runner) prepare(admin *wire.Conn) error {
	auth := new(wire.Enc).Int(0).String("digest").Buffer([]byte("super:test"))
	if err := admin.SendXid(-4, opAuth, auth.B); err != nil {
		return err
	}
	if reply, err := admin.Recv(); err != nil || reply.Err != 0 {
		return fmt.Errorf("authentication as super: code %d, %v", reply.Err, err)
	}
	// With a child of its own the folder lasts as long as the script.
	for _, path := range []string{"", "/kept"} {
		create := Step{Op: opCreate, Path: path, ACL: []wire.ACL{{Perms: 31, Scheme: "world", ID: "anyone"}}}
		if reply, err := admin.Call(opCreate, create.encode(r.prefix, 0)); err != nil || reply.Err != 0 {
			return fmt.Errorf("create %s%s: code %d, %v", r.prefix, path, reply.Err, err)
		}
	}
	return nil
}

// connect gives a client a connection: the session that it has, or a new one.
func (r *runner) connect(c *client, rec *Record, wrong bool) error {
	req := wire.ConnectRequest{TimeoutMs: int32(sessionTimeout / time.Millisecond), Session: c.session, Password: c.password, LastZxidSeen: c.last, WithReadOnly: c.index%2 == 0}
	if c.session == 0 {
		req.Password = make([]byte, 16)
	}
	if wrong {
		req.Password = slices.Clone(req.Password)
		req.Password[3] ^= 1
	}
	deadline := time.Now().Add(wire.Timeout)
	for {
		conn, resp, err := wire.Open(r.target.Addrs[c.server], req)
		if err != nil {
			// A server that is behind what the client saw refuses it; it catches up.
			if time.Now().After(deadline) {
				return fmt.Errorf("connect: %w", err)
			}
			time.Sleep(5 * time.Millisecond)
			continue
		}
		kept := "new"
		switch {
		case resp.Session == 0:
			kept = "refused"
		case resp.Session == c.session:
			kept = "the same"
		}
		rec.Fields = append(rec.Fields, Field{Name: "connect", Text: fmt.Sprintf("protocol %d, timeout %d, session %s, %d bytes of password (zero %t), readOnly sent %t: %t",
			resp.Protocol, resp.TimeoutMs, kept, len(resp.Password), strings.Trim(string(resp.Password), "\x00") == "", resp.WithReadOnly, resp.ReadOnly)})
		if resp.Session == 0 {
			// The server hangs up; the next attempt makes a new session.
			conn.Close()
			if !wrong {
				c.session, c.password = 0, nil
			}
			return nil
		}
		if resp.Session != c.session {
			r.names[resp.Session] = fmt.Sprintf("session of client %d", c.index)
		}
		c.conn, c.session, c.password = conn, resp.Session, resp.Password
		return nil
	}
}

// step does one step and records it.
func (r *runner) step(i int, s *Step) error {
	c := r.clients[s.Client]
	rec := Record{Step: i, What: s.String(), Loose: c.closes != r.closes}
	defer func() {
		c.closes = r.closes
		r.records = append(r.records, rec)
	}()
	if s.Op == stepReconnect || s.Op == stepWrongPassword {
		if c.conn != nil {
			c.conn.Close()
			c.conn = nil
		}
		if s.Op == stepReconnect {
			c.server = (c.server + 1) % len(r.target.Addrs)
		}
		if c.session == 0 {
			return nil
		}
		return r.connect(c, &rec, s.Op == stepWrongPassword)
	}
	for c.conn == nil {
		if err := r.connect(c, &rec, false); err != nil {
			return err
		}
	}
	if s.Op == opCloseSession {
		r.closes++
		rec.Loose = true
	}
	return r.exchange(c, s, &rec)
}

// catchUp brings the client's server up to date.
func (r *runner) catchUp(c *client, rec *Record) error {
	if err := c.conn.SendXid(xidLead, opSync, new(wire.Enc).String("/").B); err != nil {
		return err
	}
	for {
		reply, err := c.conn.Recv()
		switch {
		case isTimeout(err):
			return fmt.Errorf("no answer to sync in %v", wire.Timeout)
		case err != nil:
			rec.Fields = append(rec.Fields, Field{Name: "connection", Text: "closed before the request"})
			c.conn.Close()
			c.conn = nil
			return nil
		case reply.Xid == -1:
			rec.Before = append(rec.Before, decodeEvent(r.prefix, reply))
			continue
		case reply.Xid != xidLead || reply.Err != 0:
			rec.Fields = append(rec.Fields, Field{Name: "sync", Text: fmt.Sprintf("xid %d, err %d", reply.Xid, reply.Err)})
		}
		c.last = max(c.last, reply.Zxid)
		return nil
	}
}

// exchange sends the request and one that ends it, and reads until the second one's answer
// or the end of the connection.
func (r *runner) exchange(c *client, s *Step, rec *Record) error {
	xid := r.xid(c, s.Op)
	if len(r.target.Addrs) > 1 {
		if err := r.catchUp(c, rec); err != nil || c.conn == nil {
			return err
		}
	}
	var e wire.Enc
	frame(&e, xid, s.Op, s.encode(r.prefix, c.answered))
	frame(&e, xidEnd, opExists, new(wire.Enc).String("/").Bool(false).B)
	_ = c.conn.SetWriteDeadline(time.Now().Add(wire.Timeout))
	_, _ = c.conn.Write(e.B) // a server may hang up in the middle of it
	answered, hangsUp := false, false
	for {
		reply, err := c.conn.Recv()
		if err != nil {
			if isTimeout(err) && hangsUp {
				rec.Fields = append(rec.Fields, Field{Name: "connection", Text: "stays open"})
				return nil
			}
			if isTimeout(err) {
				return fmt.Errorf("no answer in %v", wire.Timeout)
			}
			rec.Fields = append(rec.Fields, Field{Name: "connection", Text: "closed"})
			c.conn.Close()
			c.conn = nil
			if s.Op == opCloseSession {
				c.session, c.password = 0, nil
			}
			return nil
		}
		if reply.Zxid > 0 && reply.Zxid < c.last {
			rec.Fields = append(rec.Fields, Field{Name: "time", Text: fmt.Sprintf("went back from %x to %x", c.last, reply.Zxid)})
		}
		c.last = max(c.last, reply.Zxid)
		switch {
		case reply.Xid == xidEnd && (s.Op == opCloseSession || reply.Err == sessionExpired):
			// The session ended, and the server is about to hang up.
		case reply.Xid == xidEnd && reply.Err == 0:
			c.answered = max(c.answered, reply.Zxid)
			if !answered {
				rec.Fields = append(rec.Fields, Field{Name: "answer", Text: "none"})
			}
			if hangsUp {
				continue // it was quicker than the end
			}
			return nil
		case reply.Xid == -1 && answered:
			rec.After = append(rec.After, decodeEvent(r.prefix, reply))
		case reply.Xid == -1:
			rec.Before = append(rec.Before, decodeEvent(r.prefix, reply))
		case reply.Xid == xid:
			answered = true
			hangsUp = reply.Err == authFailed || reply.Err == unimplemented && opNames[s.Op] == ""
			rec.Fields = append(rec.Fields, decodeAnswer(r.prefix, s.Op, reply)...)
		default:
			rec.Fields = append(rec.Fields, Field{Name: "a stranger", Text: fmt.Sprintf("xid %d, err %d", reply.Xid, reply.Err)})
		}
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

func frame(e *wire.Enc, xid, op int32, body []byte) {
	e.Int(int32(8 + len(body))).Int(xid).Int(op)
	e.B = append(e.B, body...)
}

// xid is the one that a client uses for an operation.
func (r *runner) xid(c *client, op int32) int32 {
	switch op {
	case opPing:
		return -2
	case opAuth:
		return -4
	case opSetWatches, opSetWatches2:
		return -8
	}
	c.xid++
	return c.xid
}

// cleanUp records what is left of the tree, and removes it.
func (r *runner) cleanUp(admin *wire.Conn, step int) error {
	if _, err := admin.Call(opSync, new(wire.Enc).String("/").B); err != nil {
		return err
	}
	if err := r.remove(admin, step, ""); err != nil {
		return err
	}
	_, err := admin.Call(opCloseSession, nil)
	return err
}

func (r *runner) remove(admin *wire.Conn, step int, path string) error {
	call := func(op int32, s Step) (wire.Reply, error) {
		s.Op, s.Path = op, path
		return admin.Call(op, s.encode(r.prefix, 0))
	}
	rec := Record{Step: step, What: "what is left at " + path}
	reply, err := call(opGetChildren, Step{})
	if err != nil {
		return err
	}
	d := wire.Dec{B: reply.Body}
	children := d.Strings()
	slices.Sort(children)
	rec.Fields = append(rec.Fields, decodeAnswer(r.prefix, opGetChildren, reply)...)
	for _, op := range []int32{opGetData, opGetACL} {
		if reply, err = call(op, Step{}); err != nil {
			return err
		}
		rec.Fields = append(rec.Fields, decodeAnswer(r.prefix, op, reply)...)
	}
	r.records = append(r.records, rec)
	for _, name := range children {
		if err := r.remove(admin, step, path+"/"+name); err != nil {
			return err
		}
	}
	if reply, err = call(opDelete, Step{Version: -1}); err == nil && reply.Err != 0 {
		err = fmt.Errorf("delete %s%s: code %d", r.prefix, path, reply.Err)
	}
	return err
}
