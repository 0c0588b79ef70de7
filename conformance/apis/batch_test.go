package apis

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch describes a record batch of magic 2; the zero value has no records. It is made by
// kmsg and not by the code under test.
type batch struct {
	values     [][]byte
	times      []int64 // of each record in ms; nil: now
	attributes int16
	idempotent bool // the next three count
	id         int64
	epoch      int16
	sequence   int32
	baseOffset int64 // brokers ignore it
}

func values(vs ...string) batch {
	b := batch{}
	for _, v := range vs {
		b.values = append(b.values, []byte(v))
	}
	return b
}

// sized is a batch of one record with a value of n bytes.
func sized(n int) batch { return batch{values: [][]byte{bytes.Repeat([]byte{'m'}, n)}} }

func (b batch) by(id int64, epoch int16, sequence int32) batch {
	b.idempotent, b.id, b.epoch, b.sequence = true, id, epoch, sequence
	return b
}

func (b batch) at(times ...int64) batch {
	b.times = times
	return b
}

// Codecs, as in the attributes of a batch.
const (
	gzipped = 1
	zstded  = 4
)

func (b batch) packed(codec int16) batch {
	b.attributes |= codec
	return b
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Offsets of fields in a batch.
const (
	atMagic, atCRC, atAttributes, atMaxTime, atCount, atRecords = 16, 17, 21, 35, 57, 61
)

func (b batch) bytes() []byte {
	now := time.Now().UnixMilli()
	var records []byte
	first, last := now, now
	for i, v := range b.values {
		ts := now
		if b.times != nil {
			ts = b.times[i]
		}
		if i == 0 {
			first, last = ts, ts
		}
		last = max(last, ts)
		r := kmsg.Record{TimestampDelta64: ts - first, OffsetDelta: int32(i), Value: v}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // a length of 0 takes one byte
		records = r.AppendTo(records)
	}
	out := kmsg.RecordBatch{
		FirstOffset: b.baseOffset, PartitionLeaderEpoch: -1, Magic: 2, Attributes: b.attributes, LastOffsetDelta: int32(len(b.values) - 1),
		FirstTimestamp: first, MaxTimestamp: last, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(b.values)),
	}
	if b.idempotent {
		out.ProducerID, out.ProducerEpoch, out.FirstSequence = b.id, b.epoch, b.sequence
	}
	out.Records = compressed(records, b.attributes&7)
	out.Length = int32(atRecords - 12 + len(out.Records))
	return signed(out.AppendTo(nil))
}

// signed puts the right CRC into a batch.
func signed(b []byte) []byte {
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
	return b
}

func compressed(b []byte, codec int16) []byte {
	var out bytes.Buffer
	switch codec {
	case 0:
		return b
	case gzipped:
		w := gzip.NewWriter(&out)
		w.Write(b)
		w.Close()
	case zstded:
		w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err)
		}
		w.Write(b)
		w.Close()
	default:
		panic("no such codec here")
	}
	return out.Bytes()
}

// stored is a batch as it was fetched.
type stored struct {
	kmsg.RecordBatch
	raw []byte
}

func (s stored) lastOffset() int64 { return s.FirstOffset + int64(s.LastOffsetDelta) }

// split cuts fetched records into batches and checks the CRC of each. A last one that is
// cut off, which Kafka allows, is left out.
func split(t testing.TB, records []byte) []stored {
	t.Helper()
	var out []stored
	for len(records) >= atRecords {
		n := 12 + int(binary.BigEndian.Uint32(records[8:]))
		if n > len(records) {
			break
		}
		s := stored{raw: records[:n]}
		if err := s.ReadFrom(s.raw); err != nil {
			t.Fatalf("a batch that was fetched does not decode: %v", err)
		}
		if got := crc32.Checksum(s.raw[atAttributes:], castagnoli); got != uint32(s.CRC) {
			t.Fatalf("a batch at offset %d has CRC %x, its bytes have %x", s.FirstOffset, uint32(s.CRC), got)
		}
		out = append(out, s)
		records = records[n:]
	}
	return out
}
