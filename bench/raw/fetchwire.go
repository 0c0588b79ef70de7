package raw

import (
	"encoding/binary"

	"github.com/millrace/millrace/protocol"
)

// fetchHeadBytes is how much of a reply stands before its record set, without the topic's
// name; the list of aborted transactions is empty, as nothing asks for committed reads.
const fetchHeadBytes = 4 + 4 + 2 + 4 + // correlation id, throttle time, error, session
	4 + 2 + 4 + // one topic, its name, one partition
	4 + 2 + 8 + 8 + 8 + 4 + 4 + 4 // index, error, three offsets, aborted, preferred replica, size

// request builds a Fetch for one partition.
func (f *fetcher) request(b []byte, corr int32, p Partition, offset int64) []byte {
	s, v := f.s, f.version
	b = appendHead(b, protocol.KeyFetch, v, corr, s.ClientID)
	b = append(b, 0xff, 0xff, 0xff, 0xff) // a consumer, no replica
	b = binary.BigEndian.AppendUint32(b, uint32(s.MaxWaitMs))
	b = binary.BigEndian.AppendUint32(b, uint32(s.MinBytes))
	b = binary.BigEndian.AppendUint32(b, uint32(s.MaxBytes))
	b = append(b, 0) // read uncommitted
	if v >= 7 {
		b = binary.BigEndian.AppendUint32(b, 0)          // no session,
		b = binary.BigEndian.AppendUint32(b, ^uint32(0)) // and none wanted
	}
	b = binary.BigEndian.AppendUint32(b, 1)
	b = appendStr(b, p.Topic)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Index))
	if v >= 9 {
		b = binary.BigEndian.AppendUint32(b, ^uint32(0)) // whatever the leader epoch is
	}
	b = binary.BigEndian.AppendUint64(b, uint64(offset))
	if v >= 5 {
		b = binary.BigEndian.AppendUint64(b, ^uint64(0)) // log start offset: for replicas
	}
	b = binary.BigEndian.AppendUint32(b, uint32(s.PartitionMaxBytes))
	if v >= 7 {
		b = binary.BigEndian.AppendUint32(b, 0) // no forgotten topics
	}
	if v >= 11 {
		b = appendStr(b, "") // no rack
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// fetchHead is a reply without its records.
type fetchHead struct {
	corr          int32
	code          int16 // of the reply, else of the partition
	highWatermark int64
	setBytes      int32
	set           []byte // what there is of the record set and what follows it
}

// parse reads a reply, or the beginning of one, that answers for one partition. A whole
// reply that claims more records than it has is not ok.
func (f *fetcher) parse(b []byte) (fetchHead, bool) {
	c := cursor{b: b}
	h := fetchHead{corr: c.i32()}
	c.i32() // throttle time
	if f.version >= 7 {
		h.code = c.i16()
		c.i32() // session
	}
	topics := c.i32()
	if h.code != 0 || topics == 0 {
		return h, !c.bad
	}
	c.str()
	partitions := c.i32()
	c.i32()
	h.code = c.i16()
	h.highWatermark = c.i64()
	c.i64() // last stable offset
	if f.version >= 5 {
		c.i64() // log start offset
	}
	c.take(16 * c.count(16)) // aborted transactions
	if f.version >= 11 {
		c.i32() // preferred replica
	}
	h.setBytes = max(c.i32(), 0)
	h.set = c.b
	return h, !c.bad && topics == 1 && partitions == 1
}
