package server

import (
	"encoding/binary"
	"strings"
	"unsafe"

	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/server/watch"
	"github.com/millrace/millrace/quorum/tree"
)

// execute does a read and queues its reply. It is called with the state's lock held, for
// reading by the connection's reader, for writing by the goroutine that applies.
func (c *conn) execute(s *tree.State, q *request) {
	switch q.op {
	case jute.OpGetData:
		c.getData(s, q)
	case jute.OpExists:
		c.exists(s, q)
	case jute.OpGetChildren, jute.OpGetChildren2:
		c.getChildren(s, q)
	case jute.OpPing:
		c.answer(s, q, jute.OK)
	case jute.OpGetACL:
		c.getACL(s, q)
	case jute.OpSetWatches, jute.OpSetWatches2:
		c.setWatches(s, q)
	case jute.OpAddWatch, jute.OpCheckWatches, jute.OpRemoveWatches:
		c.watches(s, q)
	case jute.OpMultiRead:
		c.multiRead(s, q)
	case opRefused:
		var r jute.Reader
		r.Reset(q.body)
		c.answer(s, q, jute.Code(r.Int32()))
	default:
		c.readOther(s, q)
	}
}

// answer queues a reply that has no record.
func (c *conn) answer(s *tree.State, q *request, code jute.Code) {
	c.mu.Lock()
	c.replyCodeLocked(q, s.Zxid(), code)
	c.mu.Unlock()
}

// pathOf reads the path of a request without copying it: it is good for this call only, and
// who keeps it copies it.
func pathOf(r *jute.Reader) string {
	b := r.Buffer()
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// pathWatch reads the request of exists, getData and getChildren.
func pathWatch(q *request) (path string, wanted, ok bool) {
	var r jute.Reader
	r.Reset(q.body)
	path, wanted = pathOf(&r), r.Bool()
	return path, wanted, r.Err() == nil
}

// arm leaves a watch. False: the client holds too many and is parted with.
func (c *conn) arm(path string, kind watch.Kind) bool {
	if c.srv.watches.Add(c.watcher, path, kind) {
		return true
	}
	c.srv.stats.overwatched.Add(1)
	c.kill("its watches take too much memory")
	return false
}

func (c *conn) getData(s *tree.State, q *request) {
	path, wanted, ok := pathWatch(q)
	if !ok {
		c.answer(s, q, jute.MarshallingError)
		return
	}
	if err := s.Allowed(path, jute.PermRead, q.auth); err != nil {
		c.answer(s, q, codeOf(err))
		return
	}
	data, st, err := s.Get(path)
	if err != nil {
		c.answer(s, q, codeOf(err))
		return
	}
	if wanted && !seededbug.On(seededbug.WatchAfterRead) && !c.arm(path, watch.Data) {
		return
	}
	zxid := s.Zxid()
	c.mu.Lock()
	if b := c.beginLocked(q, zxid, jute.OK); b != nil {
		c.endLocked(st.AppendTo(jute.AppendBuffer(b, data)), q, zxid)
	}
	c.mu.Unlock()
}

// exists leaves its watch also where there is no node. No ACL guards it.
func (c *conn) exists(s *tree.State, q *request) {
	path, wanted, ok := pathWatch(q)
	switch {
	case !ok:
		c.answer(s, q, jute.MarshallingError)
		return
	case strings.IndexByte(path, 0) >= 0:
		c.answer(s, q, jute.BadArguments)
		return
	}
	st, err := s.Stat(path)
	if wanted && !c.arm(path, watch.Data) {
		return
	}
	if err != nil {
		c.answer(s, q, codeOf(err))
		return
	}
	zxid := s.Zxid()
	c.mu.Lock()
	if b := c.beginLocked(q, zxid, jute.OK); b != nil {
		c.endLocked(st.AppendTo(b), q, zxid)
	}
	c.mu.Unlock()
}

func (c *conn) getChildren(s *tree.State, q *request) {
	path, wanted, ok := pathWatch(q)
	if !ok {
		c.answer(s, q, jute.MarshallingError)
		return
	}
	err := s.Allowed(path, jute.PermRead, q.auth)
	var names []string
	var st jute.Stat
	if err == nil {
		names, st, err = s.Children(path)
	}
	if err != nil {
		c.answer(s, q, codeOf(err))
		return
	}
	if wanted && !c.arm(path, watch.Children) {
		return
	}
	zxid := s.Zxid()
	c.mu.Lock()
	if b := c.beginLocked(q, zxid, jute.OK); b != nil {
		b = jute.AppendStrings(b, names)
		if q.op == jute.OpGetChildren2 {
			b = st.AppendTo(b)
		}
		c.endLocked(b, q, zxid)
	}
	c.mu.Unlock()
}

// getACL is for who may read or administer; only the latter see the digests.
func (c *conn) getACL(s *tree.State, q *request) {
	var r jute.Reader
	r.Reset(q.body)
	path := pathOf(&r)
	if r.Err() != nil {
		c.answer(s, q, jute.MarshallingError)
		return
	}
	err := s.Allowed(path, jute.PermRead|jute.PermAdmin, q.auth)
	var m jute.GetACLResponse
	if err == nil {
		m.ACL, m.Stat, err = s.ACL(path)
	}
	if err != nil {
		c.answer(s, q, codeOf(err))
		return
	}
	if s.Allowed(path, jute.PermAdmin, q.auth) != nil {
		m.ACL = tree.MaskDigests(m.ACL)
	}
	c.reply(s, q, &m)
}

// reply queues a reply with a record.
func (c *conn) reply(s *tree.State, q *request, m jute.Record) {
	zxid := s.Zxid()
	c.mu.Lock()
	if b := c.beginLocked(q, zxid, jute.OK); b != nil {
		c.endLocked(m.AppendTo(b), q, zxid)
	}
	c.mu.Unlock()
}

// readOther is what has no hurry.
func (c *conn) readOther(s *tree.State, q *request) {
	var r jute.Reader
	r.Reset(q.body)
	switch q.op {
	case jute.OpWhoAmI:
		c.reply(s, q, whoAmI(q.auth))
		return
	case jute.OpGetEphemerals:
		prefix := pathOf(&r)
		if r.Err() == nil {
			c.reply(s, q, ephemerals(s.Ephemerals(c.session.Load()), prefix))
			return
		}
	case jute.OpGetAllChildrenNumber:
		path := pathOf(&r)
		if r.Err() == nil {
			err := s.Allowed(path, jute.PermRead, q.auth)
			n := 0
			if err == nil {
				n, err = s.CountDescendants(path)
			}
			if err != nil {
				c.answer(s, q, codeOf(err))
				return
			}
			c.reply(s, q, &jute.GetAllChildrenNumberResponse{TotalNumber: int32(n)})
			return
		}
	}
	c.answer(s, q, jute.MarshallingError)
}

// ephemerals are those below a prefix, which is one of the text, not of names.
func ephemerals(all []string, prefix string) *jute.GetEphemeralsResponse {
	if p := strings.TrimSpace(prefix); p == "" || p == "/" {
		return &jute.GetEphemeralsResponse{Strings: all}
	}
	m := &jute.GetEphemeralsResponse{}
	for _, p := range all {
		if strings.HasPrefix(p, prefix) {
			m.Strings = append(m.Strings, p)
		}
	}
	return m
}

// multiRead answers each of its reads for itself. None leaves a watch.
func (c *conn) multiRead(s *tree.State, q *request) {
	var r jute.Reader
	r.Reset(q.body)
	var m jute.MultiRequest
	if m.Decode(&r) != nil {
		c.answer(s, q, jute.MarshallingError)
		return
	}
	zxid := s.Zxid()
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.beginLocked(q, zxid, jute.OK)
	if b == nil {
		return
	}
	// One result at a time, so that thousands of reads of a large node stop at the limit.
	for i := range m.Ops {
		o := &m.Ops[i]
		if !o.IsRead() {
			// ZooKeeper has begun the list of results by then, and sends it along.
			code := jute.MarshallingError
			binary.BigEndian.PutUint32(b[c.replyAt+replyCodeAt:], uint32(code))
			break
		}
		b = appendResult(b, readOne(s, o, q.auth))
		if len(b)-c.replyAt > c.srv.cfg.OutputBytes {
			c.srv.stats.overflows.Add(1)
			c.killLocked("one multi read asks for too much at once")
			return
		}
	}
	end := jute.MultiHeader{Type: jute.OpError, Done: true, Err: -1}
	c.endLocked(end.AppendTo(b), q, zxid)
}

// replyCodeAt is where the code of a reply stands in its packet: behind length, xid and zxid.
const replyCodeAt = 4 + 4 + 8

func readOne(s *tree.State, o *jute.MultiOp, auth []jute.ID) *jute.MultiResult {
	res := &jute.MultiResult{Type: o.Type}
	err := s.Allowed(o.Path, jute.PermRead, auth)
	switch {
	case err != nil:
	case o.Type == jute.OpGetData:
		res.Data, res.Stat, err = s.Get(o.Path)
	default:
		res.Children, _, err = s.Children(o.Path)
	}
	if err != nil {
		return &jute.MultiResult{Type: jute.OpError, Err: codeOf(err)}
	}
	return res
}

// appendResult appends one result without the end of the list.
func appendResult(b []byte, res *jute.MultiResult) []byte {
	m := jute.MultiResponse{Results: []jute.MultiResult{*res}}
	b = m.AppendTo(b)
	return b[:len(b)-multiEndBytes]
}

// multiEndBytes is the size of the header that ends a list of results.
const multiEndBytes = 9
