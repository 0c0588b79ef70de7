package workload

import (
	"bytes"
	"errors"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record/compress"
)

// decode reads a batch as a client of another make does, with its checks of length and CRC.
func decode(t *testing.T, b Batch) (kmsg.RecordBatch, []*kgo.Record) {
	t.Helper()
	var head kmsg.RecordBatch
	if err := head.ReadFrom(b.Bytes); err != nil {
		t.Fatalf("kmsg: %v", err)
	}
	rp := kmsg.NewFetchResponseTopicPartition()
	rp.HighWatermark, rp.LastStableOffset, rp.RecordBatches = int64(b.Records), int64(b.Records), b.Bytes
	fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t"}, &rp, kgo.DefaultDecompressor(), nil)
	if fp.Err != nil {
		t.Fatalf("kgo: %v", fp.Err)
	}
	if next != int64(b.Records) {
		t.Errorf("kgo goes on at offset %d, want %d", next, b.Records)
	}
	return head, fp.Records
}

func TestBatchesAreReadByOthers(t *testing.T) {
	seed := testkit.Seed(t)
	specs := []Spec{
		{Sizes: "100", Seed: seed},
		{Sizes: "1..4000", Keys: "uniform:50", Headers: 2, Compressibility: 0.5, Seed: seed},
		{PayloadMonotonic: true, Keys: "seq"},
		{Sizes: "0", Keys: "seq"},
	}
	for _, spec := range specs {
		for _, codec := range []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
			batches, err := source(t, spec).Batches(3, 16_384, codec)
			if err != nil {
				t.Fatal(err)
			}
			same := source(t, spec)
			for _, b := range batches {
				checkBatch(t, b, codec, same)
			}
		}
	}
}

// checkBatch holds b against the records that the same Source gives one by one.
func checkBatch(t *testing.T, b Batch, codec compress.Codec, same *Source) {
	t.Helper()
	head, records := decode(t, b)
	if head.FirstOffset != 0 || head.ProducerID != -1 || head.ProducerEpoch != -1 || head.FirstSequence != -1 || head.Magic != 2 {
		t.Errorf("header %+v: want offset 0, magic 2, no producer", head)
	}
	if head.Attributes != int16(codec) {
		t.Errorf("attributes %d, want those of %v alone", head.Attributes, codec)
	}
	if len(records) != b.Records || int(head.NumRecords) != b.Records || int(head.LastOffsetDelta) != b.Records-1 {
		t.Fatalf("%d records, header says %d, last delta %d; Batch says %d", len(records), head.NumRecords, head.LastOffsetDelta, b.Records)
	}
	payload := int64(0)
	for i, r := range records {
		want := same.Next()
		if !bytes.Equal(r.Key, want.Key) || (r.Key == nil) != (want.Key == nil) || !bytes.Equal(r.Value, want.Value) {
			t.Fatalf("record %d is not the one that Next gives", i)
		}
		if len(r.Headers) != len(same.Headers()) {
			t.Fatalf("record %d has %d headers, want %d", i, len(r.Headers), len(same.Headers()))
		}
		for j, h := range same.Headers() {
			if r.Headers[j].Key != h.Key || !bytes.Equal(r.Headers[j].Value, h.Value) {
				t.Fatalf("record %d: header %d differs", i, j)
			}
		}
		payload += int64(len(r.Key) + len(r.Value))
	}
	if payload != b.PayloadBytes {
		t.Errorf("payload of %d bytes, Batch says %d", payload, b.PayloadBytes)
	}
}

// The size is checked by what one record more would have made of it.
func TestBatchesAreAsLargeAsWholeRecordsAllow(t *testing.T) {
	for _, spec := range []Spec{{Sizes: "100"}, {Sizes: "1024", Keys: "seq"}, {Sizes: "16384"}, {Sizes: "1..300", Headers: 1}} {
		for _, batchBytes := range []int{1, 1000, 1024, 65_536, 1 << 20} {
			s := source(t, spec)
			batches, err := s.Batches(2, batchBytes, compress.None)
			if err != nil {
				t.Fatal(err)
			}
			largest := s.MaxValueBytes() + 64
			for _, b := range batches {
				if len(b.Bytes) != b.UncompressedBytes {
					t.Errorf("%+v: %d bytes, said to be %d", spec, len(b.Bytes), b.UncompressedBytes)
				}
				if b.Records > 1 && len(b.Bytes) > batchBytes {
					t.Errorf("%+v: %d bytes in a batch of at most %d", spec, len(b.Bytes), batchBytes)
				}
				if len(b.Bytes)+largest < batchBytes {
					t.Errorf("%+v: only %d bytes in a batch of %d", spec, len(b.Bytes), batchBytes)
				}
			}
		}
	}
	var bad *SpecError
	for _, n := range [][2]int{{0, 100}, {1, 0}} {
		if _, err := source(t, Spec{Sizes: "1"}).Batches(n[0], n[1], compress.None); !errors.As(err, &bad) {
			t.Errorf("Batches(%d, %d): %v, want *SpecError", n[0], n[1], err)
		}
	}
}

// A codec finds in a batch what the share of one letter lets it find, and no more: of random
// letters lz4 finds that some four of them come again within its 64 KiB (8 % at its best), and
// zstd's entropy coder packs them to log2(26)/8.
func TestCodecsFindWhatCompressibilitySays(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	for _, size := range []string{"100", "1024", "100..2000"} {
		for _, c := range []struct{ share, lz4Low, lz4High, zstdLow, zstdHigh float64 }{
			{0, 0.90, 1.01, 0.57, 0.65},
			{0.5, 0.45, 0.58, 0.27, 0.42},
			{1, 0, 0.08, 0, 0.08},
		} {
			s, plain := source(t, Spec{Sizes: size, Compressibility: c.share, Seed: testkit.Seed(t)}), []byte{}
			for len(plain) < 1<<20 {
				plain = append(plain, s.Next().Value...)
			}
			packed := make([]byte, lz4.CompressBlockBound(len(plain)))
			n, err := (&lz4.CompressorHC{Level: lz4.Level5}).CompressBlock(plain, packed)
			if err != nil {
				t.Fatal(err)
			}
			if got := float64(n) / float64(len(plain)); got < c.lz4Low || got > c.lz4High {
				t.Errorf("sizes %s, share %v: lz4 packs to %.3f, want %v..%v", size, c.share, got, c.lz4Low, c.lz4High)
			}
			if got := float64(len(enc.EncodeAll(plain, nil))) / float64(len(plain)); got < c.zstdLow || got > c.zstdHigh {
				t.Errorf("sizes %s, share %v: zstd packs to %.3f, want %v..%v", size, c.share, got, c.zstdLow, c.zstdHigh)
			}
		}
	}
}
