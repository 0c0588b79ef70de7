package raw

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/wire"
	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// Versions of Produce: 3 is the first with v2 batches (Apache Kafka 0.11), 7 the first with
// zstd, 8 the last without compact lengths.
const (
	produceLow  = 3
	produceZstd = 7
	produceHigh = 8
)

// Produce runs a produce load. What was measured comes also with an error, which is ctx's
// cause, a *SpecError, *VersionError, *ReplyError, *AllFailedError, or wire's.
func Produce(ctx context.Context, t *Target, s ProduceSpec) (Stats, error) {
	p, err := newProducer(t, &s)
	if err != nil {
		return Stats{Stats: wire.NoStats()}, err
	}
	l := s.load(p.seats)
	l.Frame, l.NoReply, l.Keep = p.frame, s.Acks == 0, true
	l.MaxReplyBytes = 16 << 20
	perRequest := float64(p.records) / float64(len(s.Batches)) * float64(s.PartitionsPerRequest)
	if s.Records > 0 {
		l.MaxRequests = int64(math.Ceil(float64(s.Records)/perRequest - 1e-9))
	}
	l.Rate = s.Rate / perRequest
	p.tally.hook(&l, &s.Common)
	if !l.NoReply {
		l.OnReply = p.reply
		st, err := wire.Run(ctx, l)
		return p.tally.stats(st, err)
	}
	// Without replies, what was sent is what there is to count.
	perRequestBytes := float64(p.bytes) / float64(len(s.Batches)) * float64(s.PartitionsPerRequest)
	l.OnInterval = func(pt result.Point) {
		requests := pt.RecordsPerS
		pt.RecordsPerS, pt.MBPerS = requests*perRequest, requests*perRequestBytes/1e6
		p.tally.series = append(p.tally.series, pt)
		if s.OnInterval != nil {
			s.OnInterval(pt)
		}
	}
	w, err := wire.Run(ctx, l)
	st, err := p.tally.stats(w, err)
	st.Records, st.Bytes = int64(float64(w.Requests)*perRequest+0.5), int64(float64(w.Requests)*perRequestBytes+0.5)
	return st, err
}

// producer makes requests and reads their replies. Its maps and slices do not change in a
// run, but for what belongs to a connection.
type producer struct {
	s       *ProduceSpec
	version int16
	tally   *tally
	seats   []seat
	windows map[*leaderGroup][][]int
	conns   []produceConn

	records, bytes int64 // of all batches together, bytes before compression
}

// produceConn is a connection's room for a request. It belongs to the connection's thread.
type produceConn struct {
	windows [][]int
	first   int // window of its first request
	head    []byte
	cuts    []int
	parts   [][]byte
}

func newProducer(t *Target, s *ProduceSpec) (*producer, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &producer{s: s, tally: newTally("Produce", s.Threads), windows: map[*leaderGroup][][]int{}}
	low := int16(produceLow)
	for _, b := range s.Batches {
		p.records += int64(b.Records)
		p.bytes += int64(b.UncompressedBytes)
		if record.Batch(b.Bytes).Codec() == compress.Zstd {
			low = produceZstd
		}
	}
	var err error
	if p.version, err = t.version(protocol.KeyProduce, "Produce", low, produceHigh); err != nil {
		return nil, err
	}
	if s.ClientID == "" {
		s.ClientID = t.clientID
	}
	p.seats = seats(s.Partitions, s.Connections)
	s.Connections = len(p.seats)
	least := s.PartitionsPerRequest
	for _, seat := range p.seats {
		least = min(least, len(seat.group.parts))
	}
	s.PartitionsPerRequest = least
	p.conns = make([]produceConn, s.Connections)
	for i, seat := range p.seats {
		w, ok := p.windows[seat.group]
		if !ok {
			w = seat.group.windows(s.PartitionsPerRequest)
			p.windows[seat.group] = w
		}
		p.conns[i] = produceConn{windows: w, first: seat.first / s.PartitionsPerRequest}
	}
	return p, nil
}

// window is the partitions of request seq of a connection.
func (p *producer) window(conn int, seq int64) []int {
	c := &p.conns[conn]
	return c.windows[(int64(c.first)+seq)%int64(len(c.windows))]
}

// batch is what goes to place k of that request: connections begin at different batches.
func (p *producer) batch(conn int, seq int64, k int) *workload.Batch {
	i := uint64(conn)*7919 + uint64(seq)*uint64(p.s.PartitionsPerRequest) + uint64(k)
	return &p.s.Batches[i%uint64(len(p.s.Batches))]
}

// frame builds a request: head bytes before, between and after the batches, which are not
// copied.
func (p *producer) frame(conn int, seq int64) [][]byte {
	c, s := &p.conns[conn], p.s
	window := p.window(conn, seq)
	h := appendHead(c.head[:0], protocol.KeyProduce, p.version, int32(seq), s.ClientID)
	h = append(h, 0xff, 0xff) // no transactional id
	h = binary.BigEndian.AppendUint16(h, uint16(s.Acks))
	h = binary.BigEndian.AppendUint32(h, uint32(s.TimeoutMs))
	topicsAt := len(h)
	h = append(h, 0, 0, 0, 0)
	c.cuts = c.cuts[:0]
	topics, size := 0, 0
	for k := 0; k < len(window); {
		topic := s.Partitions[window[k]].Topic
		same := k
		for same < len(window) && s.Partitions[window[same]].Topic == topic {
			same++
		}
		topics++
		h = appendStr(h, topic)
		h = binary.BigEndian.AppendUint32(h, uint32(same-k))
		for ; k < same; k++ {
			b := p.batch(conn, seq, k)
			h = binary.BigEndian.AppendUint32(h, uint32(s.Partitions[window[k]].Index))
			h = binary.BigEndian.AppendUint32(h, uint32(len(b.Bytes)))
			c.cuts = append(c.cuts, len(h))
			size += len(b.Bytes)
		}
	}
	binary.BigEndian.PutUint32(h[topicsAt:], uint32(topics))
	binary.BigEndian.PutUint32(h, uint32(len(h)-4+size))
	if s.Acks == 0 && s.touching() { // no answer will tell
		for _, i := range window {
			s.Touched.Mark(i)
		}
	}
	c.head, c.parts = h, c.parts[:0]
	from := 0
	for k, cut := range c.cuts {
		c.parts = append(c.parts, h[from:cut], p.batch(conn, seq, k).Bytes)
		from = cut
	}
	return c.parts
}

// reply counts what a reply says.
func (p *producer) reply(conn int, seq int64, _ int, reply []byte) {
	c := cursor{b: reply}
	if corr := c.i32(); corr != int32(seq) {
		p.tally.broken(fmt.Sprintf("correlation id %d, want %d", corr, int32(seq)))
		return
	}
	window, cell := p.window(conn, seq), p.tally.cell(conn)
	var records, bytes int64
	for k := range window {
		b := p.batch(conn, seq, k)
		records, bytes = records+int64(b.Records), bytes+int64(b.UncompressedBytes)
	}
	answers := 0
	for range c.count(6) {
		topic := c.str()
		for range c.count(14) {
			index, code := c.partition(p.version)
			answers++
			if c.bad || code == 0 && !p.s.touching() {
				continue
			}
			if code != 0 {
				p.tally.bad(cell, code)
			}
			k := slices.IndexFunc(window, func(i int) bool {
				return p.s.Partitions[i].Index == index && p.s.Partitions[i].Topic == string(topic)
			})
			switch {
			case k < 0:
			case code == 0:
				p.s.Touched.Mark(window[k])
			default:
				b := p.batch(conn, seq, k)
				records, bytes = records-int64(b.Records), bytes-int64(b.UncompressedBytes)
			}
		}
	}
	if c.i32(); c.bad || len(c.b) != 0 || answers != len(window) {
		p.tally.broken(fmt.Sprintf("%d bytes do not hold the answers for %d partitions in version %d", len(reply), len(window), p.version))
		return
	}
	if records > 0 {
		p.tally.good()
		cell.records.Add(records)
		cell.bytes.Add(bytes)
	}
	cell.answers.Add(1)
}

// partition reads one partition's answer.
func (c *cursor) partition(version int16) (index int32, code int16) {
	index, code = c.i32(), c.i16()
	c.i64() // base offset
	c.i64() // log append time
	if version >= 5 {
		c.i64() // log start offset
	}
	if version >= 8 {
		for range c.count(6) { // records at fault
			c.i32()
			c.str()
		}
		c.str() // message
	}
	return index, code
}

// check fills in defaults and refuses what makes no sense.
func (s *ProduceSpec) check() error {
	if err := s.Common.check(); err != nil {
		return err
	}
	switch {
	case s.Acks < -1 || s.Acks > 1:
		return &SpecError{"acks", fmt.Sprint(s.Acks), "0, 1 or -1 (all)"}
	case len(s.Batches) == 0:
		return &SpecError{"the list of batches", "empty", "at least one"}
	case s.Rate < 0 || math.IsNaN(s.Rate):
		return &SpecError{"rate", fmt.Sprint(s.Rate), "records/s, or 0 for a closed loop"}
	}
	for i, b := range s.Batches {
		if len(b.Bytes) < record.HeaderBytes || b.Records < 1 {
			return &SpecError{fmt.Sprintf("batch %d", i), fmt.Sprintf("%d bytes with %d records", len(b.Bytes), b.Records), "a record batch"}
		}
	}
	s.PartitionsPerRequest = max(s.PartitionsPerRequest, 1)
	if s.TimeoutMs <= 0 {
		s.TimeoutMs = 30_000
	}
	return nil
}
