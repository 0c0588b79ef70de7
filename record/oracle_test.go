package record

import (
	"bytes"
	"fmt"
	"math"
	"math/rand"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/record/compress"
)

// TestHeaderAgainstKmsg: every accessor reads what franz-go's encoder put there.
func TestHeaderAgainstKmsg(t *testing.T) {
	r := newRand(t)
	for range 2000 {
		k := kmsg.RecordBatch{
			FirstOffset: int64(r.Uint64()), PartitionLeaderEpoch: int32(r.Uint32()), Magic: 2, CRC: int32(r.Uint32()),
			Attributes: int16(r.Uint32()), LastOffsetDelta: int32(r.Uint32()), FirstTimestamp: int64(r.Uint64()),
			MaxTimestamp: int64(r.Uint64()), ProducerID: int64(r.Uint64()), ProducerEpoch: int16(r.Uint32()),
			FirstSequence: int32(r.Uint32()), NumRecords: int32(r.Uint32()), Records: make([]byte, r.Intn(50)),
		}
		k.Length = int32(49 + len(k.Records))
		b, rest, err := Next(k.AppendTo(nil))
		if err != nil || len(rest) != 0 {
			t.Fatalf("Next: %v, %d bytes left", err, len(rest))
		}
		got := kmsg.RecordBatch{
			FirstOffset: b.BaseOffset(), Length: int32(b.SizeBytes() - 12), PartitionLeaderEpoch: b.LeaderEpoch(), Magic: b.Magic(),
			CRC: int32(b.CRC()), Attributes: b.Attributes(), LastOffsetDelta: b.LastOffsetDelta(), FirstTimestamp: b.BaseTimestamp(),
			MaxTimestamp: b.MaxTimestamp(), ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(),
			FirstSequence: b.BaseSequence(), NumRecords: b.Count(), Records: b.Records(),
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", k) {
			t.Fatalf("got  %+v\nwant %+v", got, k)
		}
		flags := [...]bool{b.TimestampType() == LogAppendTime, b.IsTransactional(), b.IsControl(), b.HasDeleteHorizon()}
		for i, f := range flags {
			if f != (k.Attributes&(8<<i) != 0) {
				t.Fatalf("attributes %#x: flag %d is %v", k.Attributes, i, f)
			}
		}
		if int16(b.Codec()) != k.Attributes&7 {
			t.Fatalf("attributes %#x: codec %d", k.Attributes, b.Codec())
		}
	}
}

// TestBuilderAgainstKmsg: the records of a Builder are, byte for byte, franz-go's.
func TestBuilderAgainstKmsg(t *testing.T) {
	r := newRand(t)
	for range 300 {
		samples := randomSamples(r, 1+r.Intn(30))
		b := build(t, BuilderOptions{}, samples)
		if want := kmsgRecords(samples); !bytes.Equal(b.Records(), want) {
			t.Fatalf("records differ for %+v:\ngot  %x\nwant %x", samples, b.Records(), want)
		}
		checkSamples(t, b, samples)
	}
}

// TestReadAsConsumer: franz-go's consumer reads our batches, in every codec and level, and
// checks the CRC while it does.
func TestReadAsConsumer(t *testing.T) {
	r := newRand(t)
	for _, codec := range codecs {
		lowest, highest, standard := compress.Levels(codec)
		for _, level := range []int{0, lowest, highest, standard} {
			samples := randomSamples(r, 1+r.Intn(300))
			p := &Producer{ID: 7, Epoch: 3, BaseSequence: 5}
			b := build(t, BuilderOptions{BaseOffset: 1000, LeaderEpoch: 4, Codec: codec, Level: level, Producer: p}, samples)
			if _, err := Validate(b, forClient()); err != nil {
				t.Fatalf("%v level %d: %v", codec, level, err)
			}
			checkSamples(t, b, samples)
			compareWithConsumer(t, b, samples)

			b.Stamp(77777, 9)
			b.SetAppendTime(123456789)
			for i := range samples {
				samples[i].ts = 123456789
			}
			checkSamples(t, b, samples)
			compareWithConsumer(t, b, samples)
		}
	}
}

func compareWithConsumer(t *testing.T, b Batch, want []sample) {
	t.Helper()
	rp := kmsg.NewFetchResponseTopicPartition()
	rp.RecordBatches = bytes.Clone(b)
	fp, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{KeepControlRecords: true, Topic: "t"}, &rp, kgo.DefaultDecompressor(), nil)
	if fp.Err != nil {
		t.Fatal(fp.Err)
	}
	if len(fp.Records) != len(want) {
		t.Fatalf("%v: the consumer reads %d records, want %d", b.Codec(), len(fp.Records), len(want))
	}
	for i, k := range fp.Records {
		w := want[i]
		if k.Offset != b.BaseOffset()+int64(i) || k.Timestamp.UnixMilli() != w.ts || !sameBytes(k.Key, w.key) ||
			!sameBytes(k.Value, w.value) || len(k.Headers) != len(w.headers) || k.LeaderEpoch != b.LeaderEpoch() {
			t.Fatalf("%v record %d: the consumer reads %+v, want %+v", b.Codec(), i, k, w)
		}
		for j, h := range k.Headers {
			if h.Key != w.headers[j].Key || !sameBytes(h.Value, w.headers[j].Value) {
				t.Fatalf("record %d header %d: %+v, want %+v", i, j, h, w.headers[j])
			}
		}
	}
}

// TestReadFromProducer: batches put together from franz-go's encoders and compressors, as its
// producer does it, are valid and read back.
func TestReadFromProducer(t *testing.T) {
	r := newRand(t)
	for i, codec := range codecs[1:] {
		option := []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}[i]
		c, err := kgo.DefaultCompressor(option)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			samples := randomSamples(r, 1+r.Intn(500))
			packed, used := c.Compress(new(bytes.Buffer), kmsgRecords(samples))
			if int(used) != int(codec) {
				t.Fatalf("the compressor chose %v", used)
			}
			b := kmsgBatch(r, samples, packed, codec)
			info, err := Validate(b, forClient())
			if err != nil {
				t.Fatalf("%v: %v", codec, err)
			}
			if info.MaxTimestamp != maxTs(samples) || !info.RecordsRead {
				t.Fatalf("%v: info %+v, want max timestamp %d", codec, info, maxTs(samples))
			}
			if got := samples[info.OffsetOfMaxTimestamp].ts; got != info.MaxTimestamp {
				t.Fatalf("offset of max timestamp leads to %d, want %d", got, info.MaxTimestamp)
			}
			checkSamples(t, b, samples)
		}
	}
}

func kmsgBatch(r *rand.Rand, samples []sample, records []byte, codec compress.Codec) Batch {
	k := kmsg.RecordBatch{
		Length: int32(49 + len(records)), PartitionLeaderEpoch: -1, Magic: 2, Attributes: int16(codec),
		LastOffsetDelta: int32(len(samples) - 1), FirstTimestamp: samples[0].ts, MaxTimestamp: maxTs(samples),
		ProducerID: r.Int63(), ProducerEpoch: 1, FirstSequence: r.Int31(), NumRecords: int32(len(samples)), Records: records,
	}
	b := Batch(k.AppendTo(nil))
	b.putCRC()
	return b
}

func maxTs(samples []sample) int64 {
	m := int64(math.MinInt64)
	for _, s := range samples {
		m = max(m, s.ts)
	}
	return m
}

// TestVarintAgainstKmsg checks edges and random numbers both ways, by a record's fields.
func TestVarintAgainstKmsg(t *testing.T) {
	r := newRand(t)
	values := []int64{0, -1, 1, 63, 64, -64, -65, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64}
	for range 2000 {
		values = append(values, int64(r.Uint64()>>uint(r.Intn(64)))*int64(1-2*r.Intn(2)))
	}
	for _, v := range values {
		k := kmsg.Record{TimestampDelta64: v, OffsetDelta: int32(v)}
		enc := k.AppendTo(nil)[2:] // after length and attributes
		want := AppendVarint(AppendVarlong(nil, v), int32(v))
		if !bytes.HasPrefix(enc, want) {
			t.Fatalf("%d: got %x, kmsg has %x", v, want, enc)
		}
		if len(want) != VarlongBytes(v)+VarintBytes(int32(v)) {
			t.Fatalf("%d: sizes %d + %d, encoded %d", v, VarlongBytes(v), VarintBytes(int32(v)), len(want))
		}
		got, pos := varlong(enc, 0)
		got32, end := varint(enc, pos)
		if got != v || got32 != int32(v) || end != len(want) {
			t.Fatalf("%d: read back %d and %d", v, got, got32)
		}
	}
}

func TestVarintRefuses(t *testing.T) {
	for _, in := range [][]byte{{}, {0x80}, {0xff, 0xff, 0xff, 0xff, 0x10}, {0xff, 0xff, 0xff, 0xff, 0xff, 0x01}} {
		if v, pos := varint(in, 0); pos != -1 {
			t.Errorf("varint %x: %d", in, v)
		}
	}
	long := bytes.Repeat([]byte{0xff}, 9)
	for _, in := range [][]byte{{}, long, append(bytes.Clone(long), 0x02), append(bytes.Clone(long), 0x81, 0)} {
		if v, pos := varlong(in, 0); pos != -1 {
			t.Errorf("varlong %x: %d", in, v)
		}
	}
	if _, pos := varint([]byte{1}, -1); pos != -1 {
		t.Error("a failed position must stay failed")
	}
}
