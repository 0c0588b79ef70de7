package server

import "github.com/millrace/millrace/quorum/jute"

// A reply is made under the connection's lock: beginLocked appends its start to the queue,
// the caller the record, endLocked fills in the length. The queue is one run of packets, so
// the start of the last is what was its end before.

// beginLocked returns the queue with the start of a reply, nil when there is nobody to send
// it to.
func (c *conn) beginLocked(q *request, zxid int64, code jute.Code) []byte {
	b := c.roomLocked()
	if b == nil {
		return nil
	}
	c.replyAt = len(b)
	return appendReplyHeader(jute.BeginFrame(b), q.xid, zxid, code)
}

// endLocked ends the reply that beginLocked began.
func (c *conn) endLocked(b []byte, q *request, zxid int64) {
	jute.EndFrame(b, c.replyAt)
	c.countLocked(q, zxid, len(b)-c.replyAt)
	c.queuedLocked(b)
}

// replyCodeLocked is a reply without a record.
func (c *conn) replyCodeLocked(q *request, zxid int64, code jute.Code) {
	if b := c.beginLocked(q, zxid, code); b != nil {
		c.endLocked(b, q, zxid)
	}
}

// countLocked keeps the books of a reply.
func (c *conn) countLocked(q *request, zxid int64, bytes int) {
	now := c.srv.now()
	ns := now - q.start
	c.sent++
	if q.xid >= 0 {
		c.lastXid = int64(q.xid)
	}
	c.lastZxid = zxid
	c.lastOp = opName(q.op)
	c.lastResponse, c.lastNs = now, ns
	if c.minNs < 0 || ns < c.minNs {
		c.minNs = ns
	}
	c.maxNs = max(c.maxNs, ns)
	c.totalNs += ns
	c.measurements++
	c.srv.stats.replied(q.op, ns, bytes)
}

// opName is what the word cons calls an operation.
func opName(op jute.OpCode) string {
	switch op {
	case jute.OpCreateSession:
		return "SESS"
	case jute.OpPing:
		return "PING"
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateTTL, jute.OpCreateContainer:
		return "CREA"
	case jute.OpDelete:
		return "DELE"
	case jute.OpSetData:
		return "SETD"
	case jute.OpSetACL:
		return "SETA"
	case jute.OpGetACL:
		return "GETA"
	case jute.OpExists:
		return "EXIS"
	case jute.OpGetData:
		return "GETD"
	case jute.OpGetChildren, jute.OpGetChildren2:
		return "GETC"
	case jute.OpGetAllChildrenNumber:
		return "GETACN"
	case jute.OpGetEphemerals:
		return "GETE"
	case jute.OpSync:
		return "SYNC"
	case jute.OpCheck:
		return "CHEC"
	case jute.OpMulti:
		return "MULT"
	case jute.OpMultiRead:
		return "MLTR"
	case jute.OpReconfig:
		return "RECO"
	case jute.OpCloseSession:
		return "CLOS"
	case jute.OpSetWatches:
		return "SETW"
	case jute.OpSetWatches2:
		return "STW2"
	case jute.OpAddWatch:
		return "ADDW"
	case jute.OpCheckWatches:
		return "CHKW"
	case jute.OpRemoveWatches:
		return "REMW"
	case jute.OpWhoAmI:
		return "HOMI"
	}
	return "NA"
}

// isWrite tells whether an operation passes through the log.
func isWrite(op jute.OpCode) bool {
	switch op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateTTL, jute.OpCreateContainer, jute.OpDelete, jute.OpSetData, jute.OpSetACL,
		jute.OpSync, jute.OpCheck, jute.OpMulti, jute.OpReconfig, jute.OpCreateSession, jute.OpCloseSession:
		return true
	}
	return false
}
