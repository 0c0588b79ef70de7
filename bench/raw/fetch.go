package raw

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/bench/wire"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record"
)

// Versions of Fetch: 4 is the first with v2 batches (Apache Kafka 0.11), 11 the last
// without compact lengths; zstd needs 10, and a broker answers older ones with an error.
const (
	fetchLow  = 4
	fetchHigh = 11
)

// Fetch runs a fetch load. What was measured comes also with an error, which is ctx's
// cause, a *SpecError, *VersionError, *ReplyError, *AllFailedError, or wire's.
func Fetch(ctx context.Context, t *Target, s FetchSpec) (Stats, error) {
	f, err := newFetcher(ctx, t, &s)
	if err != nil {
		return Stats{Stats: wire.NoStats()}, err
	}
	l := s.load(f.seats)
	l.Frame, l.OnReply, l.Want = f.frame, f.reply, f.want
	l.HeadBytes, l.Rate = f.headBytes, s.Rate
	l.MaxReplyBytes = max(int(min(int64(s.MaxBytes)+64<<20, math.MaxInt32)), wire.DefaultMaxReplyBytes)
	f.tally.hook(&l, &s.Common)
	steady := l.OnSteady
	l.OnSteady = func() { steady(); f.goal.Store(f.tally.from.records + s.Records) }
	st, err := wire.Run(ctx, l)
	return f.tally.stats(st, err)
}

// fetcher makes fetches and reads their replies.
type fetcher struct {
	s         *FetchSpec
	version   int16
	tally     *tally
	seats     []seat
	conns     []fetchConn
	chains    []*chain // by partition, as in s.Partitions
	once      bool
	headBytes int
	goal      atomic.Int64 // sum of records at which the run ends; MaxInt64 in a warm-up
}

// fetchConn is what one connection reads. It belongs to the connection's thread.
type fetchConn struct {
	parts   []readPart
	turn    int // part to ask for next
	left    int // parts that have not ended
	asked   []asked
	first   int // asked is a ring: the oldest
	n       int
	request []byte
	frame   [1][]byte
}

// readPart is a connection's place in a partition.
type readPart struct {
	partition int   // index into Partitions and chains
	offset    int64 // Same and Tail: what to fetch next
	step      int   // Replay: number of the next step in the chain
	unknown   int   // requests under way whose reply says what follows
	ended     bool
}

// asked is a request under way.
type asked struct {
	part   int
	step   int
	offset int64
	known  bool // what comes is known: the head will do
}

func newFetcher(ctx context.Context, t *Target, s *FetchSpec) (*fetcher, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	f := &fetcher{s: s, tally: newTally("Fetch", s.Threads), once: s.Once}
	f.goal.Store(math.MaxInt64)
	var err error
	if f.version, err = t.version(protocol.KeyFetch, "Fetch", fetchLow, fetchHigh); err != nil {
		return nil, err
	}
	if s.ClientID == "" {
		s.ClientID = t.clientID
	}
	start, err := f.begin(ctx, t)
	if err != nil {
		return nil, err
	}
	f.chains = make([]*chain, len(s.Partitions))
	for i, p := range s.Partitions {
		f.chains[i] = &chain{start: start[i]}
		f.headBytes = max(f.headBytes, fetchHeadBytes+len(p.Topic))
	}
	f.seats = seats(s.Partitions, s.Connections)
	s.Connections = len(f.seats)
	f.conns = make([]fetchConn, s.Connections)
	for i, seat := range f.seats {
		c := &f.conns[i]
		for _, p := range seat.share(s.Every) {
			c.parts = append(c.parts, readPart{partition: p, offset: start[p]})
		}
		c.left = len(c.parts)
		c.asked = make([]asked, s.Depth)
	}
	return f, nil
}

// begin finds the offsets at which the partitions are read first.
func (f *fetcher) begin(ctx context.Context, t *Target) ([]int64, error) {
	s := f.s
	if s.Mode == Tail {
		return t.offsets(ctx, s.Partitions, logEnd)
	}
	start, err := t.offsets(ctx, s.Partitions, logStart)
	if err != nil {
		return nil, err
	}
	end, err := t.offsets(ctx, s.Partitions, logEnd)
	if err != nil {
		return nil, err
	}
	there := int64(0)
	for i, p := range s.Partitions {
		if s.Offset >= 0 {
			start[i] = min(max(s.Offset, start[i]), max(end[i]-1, start[i]))
		}
		if end[i] <= start[i] && s.Mode == Same {
			return nil, &EmptyError{Partition: p}
		}
		there += end[i] - start[i]
	}
	if there == 0 {
		return nil, &EmptyError{Partition: s.Partitions[0]}
	}
	// A limit that the log can meet is met without reading anything twice.
	if s.Records > 0 && s.Records <= there && !s.Every && s.Connections <= len(s.Partitions) && s.Warmup == 0 {
		f.once = true
	}
	return start, nil
}

// frame is the next request of a connection, nil when it has read enough, or Later.
func (f *fetcher) frame(conn int, seq int64) [][]byte {
	c := &f.conns[conn]
	if f.s.Records > 0 && f.tally.sums().records >= f.goal.Load() {
		return nil
	}
	for range c.parts {
		i := c.turn
		c.turn = (c.turn + 1) % len(c.parts)
		if a, ok := f.ask(c, i); ok {
			c.asked[(c.first+c.n)%len(c.asked)] = a
			c.n++
			p := f.s.Partitions[c.parts[i].partition]
			c.request = f.request(c.request[:0], int32(seq), p, a.offset)
			c.frame[0] = c.request
			return c.frame[:]
		}
	}
	if c.left == 0 {
		return nil
	}
	return wire.Later()
}

// ask says what part i of c is asked for next; false when that is not known before a reply
// has come, or never.
func (f *fetcher) ask(c *fetchConn, i int) (asked, bool) {
	p := &c.parts[i]
	if p.ended {
		return asked{}, false
	}
	ch := f.chains[p.partition]
	switch f.s.Mode {
	case Tail:
		if p.unknown > 0 {
			return asked{}, false
		}
		p.unknown++
		return asked{part: i, offset: p.offset}, true
	case Same:
		first := 0
		_, known := ch.at(&first)
		if !known {
			p.unknown++
		}
		return asked{part: i, offset: p.offset, known: known}, true
	}
	if ch.end(p.step) {
		if f.once || p.step == 0 {
			p.ended = true
			c.left--
			return asked{}, false
		}
		p.step = 0
	}
	if _, known := ch.known(p.step); !known && p.unknown > 0 {
		return asked{}, false
	}
	s, known := ch.at(&p.step)
	a := asked{part: i, step: p.step, offset: s.offset, known: known}
	if !known {
		p.unknown++
	}
	p.step++
	return a, true
}

// want says whether all of a reply is needed: when it is not known yet, or not what is
// known.
func (f *fetcher) want(conn int, _ int64, _ int, head []byte) bool {
	c := &f.conns[conn]
	a := c.asked[c.first]
	if !a.known || f.s.Mode == Tail {
		return true
	}
	h, ok := f.parse(head)
	if !ok || h.code != 0 {
		return true
	}
	s, known := f.chains[c.parts[a.part].partition].known(a.step)
	return !known || s.setBytes != h.setBytes
}

// reply counts what came and learns where to go on.
func (f *fetcher) reply(conn int, seq int64, size int, reply []byte) {
	c := &f.conns[conn]
	if c.n == 0 {
		f.tally.broken("it answers nothing")
		return
	}
	a := c.asked[c.first]
	c.first, c.n = (c.first+1)%len(c.asked), c.n-1
	p := &c.parts[a.part]
	if !a.known && p.unknown > 0 {
		p.unknown--
	}
	h, ok := f.parse(reply)
	if !ok || h.corr != int32(seq) {
		f.tally.broken(fmt.Sprintf("%d bytes for correlation id %d are no answer for one partition in version %d", size, int32(seq), f.version))
		return
	}
	cell := f.tally.cell(conn)
	if h.code != 0 {
		f.tally.bad(cell, h.code)
		// A place that retention took is passed over; anything else is tried again.
		gone := a.known && protocol.ErrorCode(h.code) == protocol.CodeOffsetOutOfRange
		if f.s.Mode == Replay && !gone {
			p.step = min(p.step, a.step)
		}
		cell.answers.Add(1)
		return
	}
	s := step{offset: a.offset, setBytes: h.setBytes}
	if len(reply) == size { // all of it is here
		s.next, s.records = walk(h.set, a.offset)
		if s.next < 0 || len(h.set) != int(h.setBytes) {
			f.tally.broken(fmt.Sprintf("the record set of %d bytes at offset %d of %s holds no whole batch",
				h.setBytes, a.offset, f.name(p)))
			return
		}
		f.learn(p, a, s, h)
	} else if known, ok := f.chains[p.partition].known(a.step); ok {
		s = known
	}
	f.tally.good()
	cell.records.Add(s.records)
	cell.bytes.Add(int64(h.setBytes))
	cell.answers.Add(1)
}

func (f *fetcher) name(p *readPart) string {
	q := f.s.Partitions[p.partition]
	return fmt.Sprintf("%s-%d", q.Topic, q.Index)
}

// learn takes in a record set that was walked.
func (f *fetcher) learn(p *readPart, a asked, s step, h fetchHead) {
	ch := f.chains[p.partition]
	switch {
	case f.s.Mode == Tail:
		p.offset = s.next
	case f.s.Mode == Same:
		s.offset = p.offset
		ch.learn(0, s, false)
	case h.setBytes == 0:
		ch.close(a.step)
		p.step = min(p.step, a.step)
	default:
		ch.learn(a.step, s, s.next >= h.highWatermark)
	}
}

// walk counts the records of a set from an offset on and finds what comes after its last
// whole batch. next is -1 when there are bytes but no whole batch.
func walk(set []byte, from int64) (next, records int64) {
	if len(set) == 0 {
		return from, 0
	}
	next = -1
	for len(set) > 0 {
		b, rest, err := record.Next(set)
		if err != nil {
			break // the last batch of a set may be cut short
		}
		n := int64(b.Count())
		if b.IsControl() {
			n = 0
		}
		if before := from - b.BaseOffset(); before > 0 {
			n = max(n-before, 0)
		}
		records += n
		next, set = b.NextOffset(), rest
	}
	return next, records
}

// check fills in defaults and refuses what makes no sense.
func (s *FetchSpec) check() error {
	if err := s.Common.check(); err != nil {
		return err
	}
	switch s.Mode {
	case "":
		s.Mode = Replay
	case Replay, Same, Tail:
	default:
		return &SpecError{"fetch mode", fmt.Sprintf("%q", s.Mode), "replay, same or tail"}
	}
	for _, v := range []struct {
		name string
		p    *int32
		def  int32
	}{
		{"max bytes", &s.MaxBytes, 50 << 20}, {"max partition bytes", &s.PartitionMaxBytes, 1 << 20},
		{"min bytes", &s.MinBytes, 1}, {"max wait (ms)", &s.MaxWaitMs, 500},
	} {
		if *v.p < 0 {
			return &SpecError{v.name, fmt.Sprint(*v.p), "0 (the default) or more"}
		}
		if *v.p == 0 {
			*v.p = v.def
		}
	}
	if s.Rate < 0 || math.IsNaN(s.Rate) {
		return &SpecError{"rate", fmt.Sprint(s.Rate), "requests/s, or 0 for a closed loop"}
	}
	s.ReplyTimeout = max(s.ReplyTimeout, time.Duration(s.MaxWaitMs)*time.Millisecond+slack)
	return nil
}
