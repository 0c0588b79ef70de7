package record

import (
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/record/compress"
)

var codecs = []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd}

// newRand returns a source whose seed is printed when the test fails; SEED=n repeats a run.
func newRand(t testing.TB) *rand.Rand {
	seed := time.Now().UnixNano()
	if s := os.Getenv("SEED"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatalf("SEED: %v", err)
		}
		seed = n
	}
	t.Logf("SEED=%d", seed)
	return rand.New(rand.NewSource(seed))
}

// sample is a record as a test wants it, apart from any encoding.
type sample struct {
	ts         int64
	key, value []byte
	headers    []Header
}

func randomSamples(r *rand.Rand, n int) []sample {
	base := r.Int63n(1 << 42)
	out := make([]sample, n)
	for i := range out {
		s := sample{ts: base + r.Int63n(1<<uint(1+r.Intn(36))) - 1000, key: randomBytes(r, 30), value: randomBytes(r, 400)}
		for range r.Intn(4) {
			s.headers = append(s.headers, Header{Key: fmt.Sprint("h", r.Intn(3)), Value: randomBytes(r, 10)})
		}
		if r.Intn(20) == 0 {
			s.headers = append(s.headers, Header{}) // empty key, null value
		}
		out[i] = s
	}
	return out
}

// randomBytes gives null, empty, repetitive or random bytes.
func randomBytes(r *rand.Rand, limit int) []byte {
	switch r.Intn(8) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		b := make([]byte, r.Intn(limit*3))
		for i := range b {
			b[i] = 'a'
		}
		return b
	}
	b := make([]byte, r.Intn(limit))
	r.Read(b)
	return b
}

func build(t testing.TB, o BuilderOptions, samples []sample) Batch {
	t.Helper()
	b := NewBuilder(o)
	for _, s := range samples {
		b.Append(s.ts, s.key, s.value, s.headers...)
	}
	batch, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// kmsgRecords encodes samples with franz-go's encoder.
func kmsgRecords(samples []sample) []byte {
	var out []byte
	for i, s := range samples {
		k := kmsg.Record{TimestampDelta64: s.ts - samples[0].ts, OffsetDelta: int32(i), Key: s.key, Value: s.value}
		for _, h := range s.headers {
			k.Headers = append(k.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		k.Length = int32(len(k.AppendTo(nil)) - 1) // without the length's own byte, 0 so far
		out = k.AppendTo(out)
	}
	return out
}

// forClient is what an engine asks for on produce, without time bounds.
func forClient() ValidateOptions {
	return ValidateOptions{Inner: true, ValidateCompressed: true, FromClient: true, BeforeMaxMs: 1<<63 - 1, AfterMaxMs: 1<<63 - 1}
}

func sameBytes(a, b []byte) bool { return string(a) == string(b) && (a == nil) == (b == nil) }

func checkSamples(t *testing.T, b Batch, want []sample) {
	t.Helper()
	i := 0
	err := b.Iterate(nil, func(r *Record) error {
		if i >= len(want) {
			return fmt.Errorf("more than %d records", len(want))
		}
		w := want[i]
		if r.Timestamp != w.ts || r.Offset != b.BaseOffset()+int64(i) || !sameBytes(r.Key, w.key) || !sameBytes(r.Value, w.value) {
			return fmt.Errorf("record %d: got %+v, want %+v", i, *r, w)
		}
		j := 0
		err := r.Headers(func(k, v []byte) bool {
			ok := j < len(w.headers) && string(k) == w.headers[j].Key && sameBytes(v, w.headers[j].Value)
			if !ok {
				t.Errorf("record %d header %d: got %q=%v", i, j, k, v)
			}
			j++
			return ok
		})
		if err != nil || j != len(w.headers) {
			return fmt.Errorf("record %d: %d headers of %d: %v", i, j, len(w.headers), err)
		}
		i++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if i != len(want) {
		t.Fatalf("%d records, want %d", i, len(want))
	}
}
