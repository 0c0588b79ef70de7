package record

import (
	"bytes"
	"errors"
	"testing"

	"github.com/millrace/millrace/record/compress"
)

// FuzzBatch takes hostile bytes through everything that reads a batch. The CRC is made right,
// for it would keep the fuzzer out of the rest. What must hold: no panic; whatever Validate
// accepts, Iterate and Recompress read with the same counts; skim agrees with parse.
func FuzzBatch(f *testing.F) {
	r := newRand(f)
	for _, codec := range codecs {
		f.Add([]byte(build(f, BuilderOptions{Codec: codec}, randomSamples(r, 3))))
	}
	marker, err := EndTxnMarker(ControlAbort, Producer{ID: 1}, 1, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(marker))
	f.Add(bytes.Repeat([]byte{0xff}, 80))
	f.Fuzz(func(t *testing.T, in []byte) {
		for rest := in; ; {
			b, tail, err := Next(rest)
			if err != nil {
				return
			}
			rest = tail
			b.putCRC()
			fuzzOne(t, b)
		}
	})
}

func fuzzOne(t *testing.T, b Batch) {
	scratch := &Scratch{MaxBytes: 1 << 20}
	n, maxTs, nextDelta, gaps := int32(0), NoTimestamp, int32(0), false
	iterErr := b.Iterate(scratch, func(r *Record) error {
		gaps = gaps || r.OffsetDelta != nextDelta
		nextDelta = r.OffsetDelta + 1
		n++
		maxTs = max(maxTs, r.Timestamp)
		_, _ = ParseControl(r)
		return r.Headers(func(k, v []byte) bool { return k != nil })
	})
	if b.Codec() == compress.None {
		checkSkim(t, b.Records())
	}
	o := forClient()
	o.MaxDecompressedBytes = 1 << 20
	info, err := Validate(b, o)
	if err != nil {
		return
	}
	if iterErr != nil || n != info.Count || gaps || maxTs != info.MaxTimestamp {
		t.Fatalf("valid as %+v, iterates to %d records, max timestamp %d, gaps %v: %v", info, n, maxTs, gaps, iterErr)
	}
	again, err := b.Recompress(nil, compress.None, 0)
	if err != nil {
		t.Fatal(err)
	}
	o.MaxDecompressedBytes = 0
	if second, err := Validate(again, o); err != nil || second != info {
		t.Fatalf("uncompressed again: %+v, %v; before %+v", second, err, info)
	}
}

// checkSkim walks records with both readers.
func checkSkim(t *testing.T, recs []byte) {
	var r Record
	for len(recs) > 0 {
		fast, ts, delta, nullKey := skim(recs)
		n, bad := r.parse(recs)
		if fast != 0 && (fast != n || bad != "" || ts != r.TimestampDelta || delta != r.OffsetDelta || nullKey != (r.Key == nil) || r.HeaderCount != 0) {
			t.Fatalf("skim: %d %d %d %v; parse: %d %+v %q", fast, ts, delta, nullKey, n, r, bad)
		}
		if bad != "" {
			return
		}
		recs = recs[n:]
	}
}

// TestMutatedBatches is the fuzz target's work on random changes to batches, for each run of
// the tests.
func TestMutatedBatches(t *testing.T) {
	r := newRand(t)
	accepted := 0
	for range 20000 {
		b := bytes.Clone(build(t, BuilderOptions{Codec: codecs[r.Intn(len(codecs))*r.Intn(2)]}, randomSamples(r, 1+r.Intn(4))))
		for range 1 + r.Intn(3) {
			at := posAttributes + r.Intn(len(b)-posAttributes)
			if r.Intn(2) == 0 {
				at = min(at, HeaderBytes+r.Intn(20))
			}
			b[at] = byte(r.Intn(256))
		}
		Batch(b).putCRC()
		fuzzOne(t, b)
		if _, err := Validate(b, forClient()); err == nil {
			accepted++
		} else if errors.Is(err, ErrShort) {
			t.Fatalf("a complete batch is never short: %v", err)
		}
	}
	if accepted == 0 {
		t.Error("no changed batch was accepted: the test shows nothing about those")
	}
}

// TestSkimAgrees compares the two readers on good records of all shapes.
func TestSkimAgrees(t *testing.T) {
	r := newRand(t)
	for range 200 {
		checkSkim(t, build(t, BuilderOptions{}, randomSamples(r, 1+r.Intn(200))).Records())
	}
	b := benchBatch(t, 4096, 100, compress.None)
	if n, _, _, _ := skim(b.Records()); n == 0 {
		t.Error("skim refuses the common record: it speeds up nothing")
	}
}
