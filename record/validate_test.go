package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/record/compress"
)

const now = int64(1_700_000_000_000)

func plainBatch(t testing.TB) Batch {
	return build(t, BuilderOptions{}, []sample{
		{ts: now, key: []byte("k0"), value: []byte("v0")},
		{ts: now + 5, key: []byte("k1"), value: []byte("v1"), headers: []Header{{Key: "h", Value: []byte("x")}}},
		{ts: now - 3, key: nil, value: nil},
	})
}

func put16(b Batch, pos int, v int16) { binary.BigEndian.PutUint16(b[pos:], uint16(v)) }
func put32(b Batch, pos int, v int32) { binary.BigEndian.PutUint32(b[pos:], uint32(v)) }
func put64(b Batch, pos int, v int64) { binary.BigEndian.PutUint64(b[pos:], uint64(v)) }

// TestValidateRefuses changes one thing of a good batch at a time; unless a case says that it
// is about the CRC, the CRC is made right again.
func TestValidateRefuses(t *testing.T) {
	const firstRecord = HeaderBytes
	cases := []struct {
		name    string
		change  func(b Batch)
		keepCRC bool
		opts    func(o *ValidateOptions)
		want    error
		says    string
	}{
		{name: "magic 0", change: func(b Batch) { b[posMagic] = 0 }, want: ErrUnsupportedMagic, says: "before Kafka 0.11"},
		{name: "magic 1", change: func(b Batch) { b[posMagic] = 1 }, want: ErrUnsupportedMagic, says: "magic 1"},
		{name: "magic 3", change: func(b Batch) { b[posMagic] = 3 }, want: ErrUnsupportedMagic, says: "not known"},
		{name: "length too long", change: func(b Batch) { put32(b, posLength, int32(len(b)-11)) }, want: ErrShort},
		{name: "length too short", change: func(b Batch) { put32(b, posLength, int32(len(b)-13)) }, want: ErrCorrupt, says: "length"},
		{name: "length below header", change: func(b Batch) { put32(b, posLength, 48) }, want: ErrCorrupt, says: "length is 48"},
		{name: "length negative", change: func(b Batch) { put32(b, posLength, -1) }, want: ErrCorrupt, says: "length is -1"},
		{name: "length zero", change: func(b Batch) { put32(b, posLength, 0) }, want: ErrCorrupt},
		{name: "crc", change: func(b Batch) { b[posCRC] ^= 1 }, keepCRC: true, want: ErrCorrupt, says: "crc"},
		{name: "flipped byte", change: func(b Batch) { b[len(b)-1] ^= 1 }, keepCRC: true, want: ErrCorrupt, says: "crc"},
		{name: "codec 5", change: func(b Batch) { b[posAttributes+1] |= 5 }, want: &compress.UnknownCodecError{Codec: 5}},
		{name: "control", change: func(b Batch) { b[posAttributes+1] |= attrControl }, want: ErrInvalidRecord, says: "control"},
		{name: "delete horizon", change: func(b Batch) { b[posAttributes+1] |= attrDeleteHorizon }, want: ErrInvalidRecord, says: "attributes"},
		{name: "unknown attribute", change: func(b Batch) { b[posAttributes] |= 0x10 }, want: ErrInvalidRecord, says: "attributes"},
		{name: "LogAppendTime", change: func(b Batch) { b[posAttributes+1] |= attrLogAppendTime }, want: ErrInvalidTimestamp, says: "LogAppendTime"},
		{name: "transactional without producer", change: func(b Batch) { b[posAttributes+1] |= attrTransactional }, want: ErrInvalidRecord, says: "transactional"},
		{name: "count high", change: func(b Batch) { put32(b, posCount, 4) }, want: ErrInvalidRecord, says: "count"},
		{name: "count low", change: func(b Batch) { put32(b, posCount, 2) }, want: ErrInvalidRecord, says: "count"},
		{name: "count negative", change: func(b Batch) { put32(b, posCount, -1) }, want: ErrInvalidRecord, says: "count"},
		{name: "count zero", change: func(b Batch) { put32(b, posCount, 0) }, want: ErrInvalidRecord},
		{name: "last delta negative", change: func(b Batch) { put32(b, posLastOffsetDelta, -1) }, want: ErrInvalidRecord},
		{name: "count and delta huge", change: func(b Batch) {
			put32(b, posLastOffsetDelta, math.MaxInt32)
			put32(b, posCount, math.MinInt32)
		}, want: ErrInvalidRecord},
		{name: "more claimed than there", change: func(b Batch) { put32(b, posLastOffsetDelta, 9); put32(b, posCount, 10) }, want: ErrInvalidRecord, says: "record 3"},
		{name: "trailing bytes", change: func(b Batch) { put32(b, posLastOffsetDelta, 1); put32(b, posCount, 2) }, want: ErrInvalidRecord, says: "after the last"},
		{name: "epoch missing", change: func(b Batch) { put64(b, posProducerID, 1) }, want: ErrInvalidRecord, says: "epoch -1"},
		{name: "sequence missing", change: func(b Batch) { put64(b, posProducerID, 1); put16(b, posProducerEpoch, 0) }, want: ErrInvalidRecord, says: "sequence -1"},
		{name: "producer id -2", change: func(b Batch) { put64(b, posProducerID, -2) }, want: ErrInvalidRecord, says: "producer id -2"},
		{name: "record length high", change: func(b Batch) { b[firstRecord] = 0x7e }, want: ErrInvalidRecord},
		{name: "record length negative", change: func(b Batch) { b[firstRecord] = 1 }, want: ErrInvalidRecord, says: "record 0: length"},
		{name: "record length zero", change: func(b Batch) { b[firstRecord] = 0 }, want: ErrInvalidRecord},
		{name: "record length endless", change: func(b Batch) { copy(b[firstRecord:], "\xff\xff\xff\xff\xff\xff") }, want: ErrInvalidRecord},
		{name: "offset delta", change: func(b Batch) { b[firstRecord+3] = 2 }, want: ErrInvalidRecord, says: "record 0: offset delta is 1"},
		{name: "key length", change: func(b Batch) { b[firstRecord+4] = 0x7e }, want: ErrInvalidRecord, says: "key length"},
		{name: "key length -2", change: func(b Batch) { b[firstRecord+4] = 3 }, want: ErrInvalidRecord, says: "key length"},
		{name: "value length", change: func(b Batch) { b[firstRecord+7] = 0x7e }, want: ErrInvalidRecord, says: "value length"},
		{name: "header count", change: func(b Batch) { b[firstRecord+10] = 2 }, want: ErrInvalidRecord, says: "header count"},
		{name: "header count negative", change: func(b Batch) { b[firstRecord+10] = 1 }, want: ErrInvalidRecord, says: "header count"},
		{name: "header key null", change: func(b Batch) { b[firstRecord+11+11] = 1 }, want: ErrInvalidRecord, says: "header key"},
		{name: "header value long", change: func(b Batch) { b[firstRecord+11+13] = 0x10 }, want: ErrInvalidRecord, says: "header value"},
		{name: "no key", opts: func(o *ValidateOptions) { o.RequireKeys = true }, want: ErrNoKey, says: "record 2"},
		{name: "too old", opts: func(o *ValidateOptions) { o.BeforeMaxMs = 2 }, want: ErrInvalidTimestamp, says: "record 2"},
		{name: "too new", opts: func(o *ValidateOptions) { o.AfterMaxMs = 4 }, want: ErrInvalidTimestamp, says: "record 1"},
		{name: "too large", opts: func(o *ValidateOptions) { o.MaxBatchBytes = 90 }, want: ErrTooLarge, says: "exceeds 90"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := plainBatch(t)
			o := forClient()
			o.NowMs = now
			if _, err := Validate(b, o); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			if c.change != nil {
				c.change(b)
				if !c.keepCRC {
					b.putCRC()
				}
			}
			if c.opts != nil {
				c.opts(&o)
			}
			_, err := Validate(b, o)
			if u, ok := c.want.(*compress.UnknownCodecError); ok {
				var got *compress.UnknownCodecError
				if !errors.As(err, &got) || *got != *u {
					t.Fatalf("got %v", err)
				}
				return
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %v saying %q", err, c.want, c.says)
			}
		})
	}
}

// TestValidateAccepts what strict reading of the format might refuse, and clients send.
func TestValidateAccepts(t *testing.T) {
	cases := []struct {
		name   string
		change func(b Batch)
		opts   func(o *ValidateOptions)
	}{
		{"zero epoch and sequence without producer id", func(b Batch) { put16(b, posProducerEpoch, 0); put32(b, posBaseSequence, 0) }, nil},
		{"header states another max timestamp", func(b Batch) { put64(b, posMaxTimestamp, 0) }, nil},
		{"last sequence wraps", func(b Batch) {
			put64(b, posProducerID, 1)
			put16(b, posProducerEpoch, 0)
			put32(b, posBaseSequence, math.MaxInt32)
		}, nil},
		{"bounds are inclusive", nil, func(o *ValidateOptions) { o.BeforeMaxMs, o.AfterMaxMs = 3, 5 }},
		{"LogAppendTime has no bounds", nil, func(o *ValidateOptions) { o.BeforeMaxMs, o.AfterMaxMs, o.TimestampType = 0, 0, LogAppendTime }},
		{"coordinators have no bounds", nil, func(o *ValidateOptions) { o.BeforeMaxMs, o.AfterMaxMs, o.FromClient = 0, 0, false }},
		{"leaders send control batches", func(b Batch) { b[posAttributes+1] |= attrControl }, func(o *ValidateOptions) { o.FromClient = false }},
		{"compacted batches have fewer records", func(b Batch) { put32(b, posLastOffsetDelta, 50) }, func(o *ValidateOptions) { o.FromClient = false }},
	}
	for _, c := range cases {
		b := plainBatch(t)
		o := forClient()
		o.NowMs = now
		if c.change != nil {
			c.change(b)
			b.putCRC()
		}
		if c.opts != nil {
			c.opts(&o)
		}
		info, err := Validate(b, o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if want := (Info{Count: 3, MaxTimestamp: now + 5, OffsetOfMaxTimestamp: 1, RecordsRead: true, RecordBytes: len(b) - HeaderBytes}); info != want {
			t.Errorf("%s: got %+v, want %+v", c.name, info, want)
		}
	}
}

func TestValidateNoTimestamp(t *testing.T) {
	o := forClient()
	o.NowMs, o.BeforeMaxMs, o.AfterMaxMs = now, 0, 0
	b := build(t, BuilderOptions{}, []sample{{ts: NoTimestamp, value: []byte("x")}})
	info, err := Validate(b, o)
	if err != nil || info.MaxTimestamp != NoTimestamp {
		t.Fatalf("%+v, %v", info, err)
	}
}

// TestValidateCompressed: the header alone is checked unless the records are asked for.
func TestValidateCompressed(t *testing.T) {
	bad := plainBatch(t)
	bad[HeaderBytes+3] = 2 // offset delta of the first record
	for _, codec := range codecs[1:] {
		packed, err := bad.Recompress(nil, codec, 0)
		if err != nil {
			t.Fatal(err)
		}
		o := forClient()
		o.NowMs, o.ValidateCompressed = now, false
		info, err := Validate(packed, o)
		if err != nil || info.RecordsRead || info.MaxTimestamp != now+5 || info.OffsetOfMaxTimestamp != 2 {
			t.Errorf("%v, header only: %+v, %v", codec, info, err)
		}
		o.AfterMaxMs = 1
		if _, err := Validate(packed, o); !errors.Is(err, ErrInvalidTimestamp) {
			t.Errorf("%v, header too new: %v", codec, err)
		}
		o.AfterMaxMs, o.RequireKeys = math.MaxInt64, true
		if _, err := Validate(packed, o); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%v, keys required: %v", codec, err)
		}
		o = forClient()
		if _, err := Validate(packed, o); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%v: %v", codec, err)
		}
		o.MaxDecompressedBytes = 10
		if _, err := Validate(packed, o); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v, bounded: %v", codec, err)
		}
		torn := bytes.Clone(packed[:len(packed)-5])
		put32(torn, posLength, int32(len(torn)-12))
		Batch(torn).putCRC()
		if _, err := Validate(torn, forClient()); !errors.Is(err, ErrInvalidRecord) || !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v, torn stream: %v", codec, err)
		}
	}
}

// TestEveryBitIsCovered: a flip of any bit that the CRC covers is found, any other is in the
// fields that the leader may change, or found by structure.
func TestEveryBitIsCovered(t *testing.T) {
	b := plainBatch(t)
	for bit := range len(b) * 8 {
		c := bytes.Clone(b)
		c[bit/8] ^= 1 << (bit % 8)
		_, err := Validate(c, forClient())
		stampable := bit/8 < posLength || bit/8 >= posLeaderEpoch && bit/8 < posMagic
		if (err == nil) != stampable {
			t.Errorf("bit %d of byte %d: %v", bit%8, bit/8, err)
		}
	}
}

// TestTorn: every cut of a batch is short, never something else.
func TestTorn(t *testing.T) {
	b := plainBatch(t)
	two := append(bytes.Clone(b), b...)
	for n := range len(b) {
		if _, _, err := Next(b[:n]); !errors.Is(err, ErrShort) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if _, err := Validate(b[:n], forClient()); !errors.Is(err, ErrShort) {
			t.Fatalf("cut at %d: Validate: %v", n, err)
		}
		if err := b[:min(n, HeaderBytes-1)].Iterate(nil, nil); !errors.Is(err, ErrShort) {
			t.Fatalf("cut at %d: Iterate: %v", n, err)
		}
		first, rest, err := Next(two[:len(b)+n])
		if err != nil || !bytes.Equal(first, b) || len(rest) != n {
			t.Fatalf("second cut at %d: %d left, %v", n, len(rest), err)
		}
	}
	if _, _, err := Next(make([]byte, 100)); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("zeros: %v", err)
	}
}

func TestStampKeepsCRC(t *testing.T) {
	b := plainBatch(t)
	b.Stamp(1<<40+7, 12)
	if b.BaseOffset() != 1<<40+7 || b.LeaderEpoch() != 12 || b.LastOffset() != 1<<40+9 || b.NextOffset() != 1<<40+10 {
		t.Errorf("offsets %d to %d, epoch %d", b.BaseOffset(), b.LastOffset(), b.LeaderEpoch())
	}
	if err := b.CheckCRC(); err != nil {
		t.Error(err)
	}
	b.SetAppendTime(99)
	if err := b.CheckCRC(); err != nil || b.MaxTimestamp() != 99 || b.TimestampType() != LogAppendTime {
		t.Errorf("append time %d, %v: %v", b.MaxTimestamp(), b.TimestampType(), err)
	}
	b.SetMaxTimestamp(now)
	if err := b.CheckCRC(); err != nil || b.MaxTimestamp() != now || b.TimestampType() != CreateTime {
		t.Errorf("max timestamp %d, %v: %v", b.MaxTimestamp(), b.TimestampType(), err)
	}
}

func TestLastSequence(t *testing.T) {
	b := plainBatch(t)
	for base, want := range map[int32]int32{-1: -1, 0: 2, 10: 12, math.MaxInt32 - 2: math.MaxInt32, math.MaxInt32 - 1: 0, math.MaxInt32: 1} {
		put32(b, posBaseSequence, base)
		if got := b.LastSequence(); got != want {
			t.Errorf("base %d: %d, want %d", base, got, want)
		}
	}
}

func TestIterateStops(t *testing.T) {
	b := plainBatch(t)
	n := 0
	if err := b.Iterate(nil, func(*Record) error { n++; return ErrStop }); err != nil || n != 1 {
		t.Errorf("ErrStop: %d calls, %v", n, err)
	}
	other := errors.New("other")
	if err := b.Iterate(new(Scratch), func(*Record) error { return other }); err != other {
		t.Errorf("got %v", err)
	}
}

func TestBuilderRefuses(t *testing.T) {
	b := NewBuilder(BuilderOptions{})
	if _, err := b.Finish(); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("empty: %v", err)
	}
	b.AppendAt(5, 1, nil, nil)
	b.AppendAt(5, 1, nil, nil)
	if _, err := b.Finish(); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("same delta twice: %v", err)
	}
	b.Reset(BuilderOptions{Codec: compress.Gzip, Level: 99})
	b.Append(1, nil, nil)
	var level *compress.LevelError
	if _, err := b.Finish(); !errors.As(err, &level) {
		t.Errorf("level 99: %v", err)
	}
	b.Reset(BuilderOptions{})
	b.AppendAt(3, 1, []byte("k"), nil)
	b.AppendAt(9, 2, nil, nil)
	batch, err := b.Finish()
	if err != nil || batch.LastOffset() != 9 || batch.Count() != 2 {
		t.Errorf("holes: %v", err)
	}
	if _, err := Validate(batch, ValidateOptions{Inner: true}); err != nil {
		t.Errorf("holes: %v", err)
	}
	if _, err := Validate(batch, forClient()); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("holes from a client: %v", err)
	}
}

func TestParseControlRefuses(t *testing.T) {
	good := Record{Key: []byte{0, 0, 0, 1}, Value: []byte{0, 0, 0, 0, 0, 9}}
	if c, err := ParseControl(&good); err != nil || c.Type != ControlCommit || c.CoordinatorEpoch != 9 || c.Type.String() != "COMMIT" {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err := ParseControl(&Record{Key: []byte{0, 0, 0, 2}}); err != nil || c.Type.String() != "LEADER_CHANGE" {
		t.Errorf("leader change: %+v, %v", c, err)
	}
	for _, r := range []Record{{}, {Key: []byte{0, 0, 0}}, {Key: []byte{0x80, 0, 0, 0}}, {Key: good.Key}, {Key: good.Key, Value: good.Value[:5]}, {Key: good.Key, Value: []byte{0x80, 0, 0, 0, 0, 0}}} {
		if c, err := ParseControl(&r); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%+v: %+v, %v", r, c, err)
		}
	}
}

// TestAllocations: nothing on the produce path allocates for an uncompressed batch.
func TestAllocations(t *testing.T) {
	b := benchBatch(t, 16<<10, 100, compress.None)
	o := forClient()
	scratch := new(Scratch)
	var total int
	for name, f := range map[string]func(){
		"Validate":   func() { _, _ = Validate(b, o) },
		"Stamp":      func() { b.Stamp(5, 6) },
		"AppendTime": func() { b.SetAppendTime(5); b.SetMaxTimestamp(6) },
		"Next":       func() { _, _, _ = Next(b) },
		"Iterate":    func() { _ = b.Iterate(scratch, func(r *Record) error { total += len(r.Value); return nil }) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
