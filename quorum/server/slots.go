package server

import "github.com/millrace/millrace/quorum/jute"

// request is what a client asks for, decoded as far as all requests are alike.
type request struct {
	xid   int32
	op    jute.OpCode
	body  []byte // after the header
	auth  []jute.ID
	start int64 // when it came, by Server.now
}

// slot is a request that waits for its turn: a write for its outcome (number is not 0), a read
// for the writes before it.
type slot struct {
	request
	number uint64 // Txn.Req
	bytes  int    // what counts for outstandingBytes
	path   string // sync: what is answered
	ops    []jute.OpCode
}

// slots is a connection's queue of them, in the order of the requests.
type slots struct {
	list   []slot
	first  int
	reads  int // how many of them are reads
	weight int // of the reads, see weightOf
}

func (q *slots) len() int { return len(q.list) - q.first }

func (q *slots) push(s slot) {
	if s.number == 0 {
		q.reads++
		q.weight += weightOf(&s.request)
	}
	q.list = append(q.list, s)
}

// front is the oldest slot, nil if there is none. It stays where it is until pop.
func (q *slots) front() *slot {
	if q.len() == 0 {
		return nil
	}
	return &q.list[q.first]
}

func (q *slots) pop() {
	s := &q.list[q.first]
	if s.number == 0 {
		q.reads--
		q.weight -= weightOf(&s.request)
	}
	*s = slot{}
	q.first++
	if q.first == len(q.list) {
		q.first = 0
		q.list = q.list[:0]
		if cap(q.list) > 16 {
			q.list = nil
		}
	} else if q.first >= 64 && q.first > len(q.list)/2 {
		n := copy(q.list, q.list[q.first:])
		clear(q.list[n:])
		q.list, q.first = q.list[:n], 0
	}
}

// drop empties the queue and tells how many were there, with their bytes.
func (q *slots) drop() (n, bytes int) {
	for i := q.first; i < len(q.list); i++ {
		n++
		bytes += q.list[i].bytes
	}
	*q = slots{}
	return n, bytes
}

// maxWeight is how much the goroutine that applies may be given to read in one go: reads that
// wait behind a write are executed by it. A connection with more is not read until it has.
const maxWeight = 256

// weightOf is the share of maxWeight that a read takes: those that may look at many nodes
// take more, and those that name many take more with each page of names.
func weightOf(q *request) int {
	switch q.op {
	case jute.OpGetAllChildrenNumber:
		return 64
	case jute.OpGetChildren, jute.OpGetChildren2, jute.OpGetEphemerals, jute.OpMultiRead, jute.OpSetWatches, jute.OpSetWatches2:
		return 16 + len(q.body)/4096
	}
	return 1
}
