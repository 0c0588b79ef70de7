package record

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/record/compress"
)

// benchBatch is a batch of about size bytes with records of valueBytes of text.
func benchBatch(t testing.TB, size, valueBytes int, codec compress.Codec) Batch {
	b := NewBuilder(BuilderOptions{Codec: codec})
	for i := 0; b.Count() == 0 || b.SizeBytes()+valueBytes+12 <= size; i++ {
		value := make([]byte, valueBytes)
		copy(value, fmt.Sprintf(`{"id":%d,"name":"user-%d","at":%d,"text":"`, i*7919, i%97, i*1000))
		for j := 40; j < len(value); j++ {
			value[j] = 'a' + byte((i*31+j*j*7)%26)
		}
		b.Append(now+int64(i), nil, value)
	}
	batch, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// benchSizes: 200 B is one small record; 16 and 64 KiB come with records of 100 B and, as some
// producers send, of 1 KiB.
var benchSizes = []struct {
	name        string
	size, value int
}{
	{"200B", 200, 120}, {"16KiB/100B", 16 << 10, 100}, {"16KiB/1KiB", 16 << 10, 1000}, {"64KiB/100B", 64 << 10, 100}, {"64KiB/1KiB", 64 << 10, 1000},
}

func BenchmarkValidate(b *testing.B) {
	for _, s := range benchSizes {
		batch := benchBatch(b, s.size, s.value, compress.None)
		o := forClient()
		o.NowMs, o.BeforeMaxMs, o.AfterMaxMs = now, 1<<40, 1<<40
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Validate(batch, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkValidateCompressed(b *testing.B) {
	for _, codec := range codecs[1:] {
		batch := benchBatch(b, 64<<10, 100, codec)
		b.Run(codec.String(), func(b *testing.B) {
			b.SetBytes(64 << 10)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Validate(batch, forClient()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCRC(b *testing.B) {
	for _, size := range []int{200, 16 << 10, 64 << 10} {
		batch := benchBatch(b, size, 100, compress.None)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			for b.Loop() {
				if batch.CheckCRC() != nil {
					b.Fatal("crc")
				}
			}
		})
	}
}

func BenchmarkStamp(b *testing.B) {
	batch := benchBatch(b, 200, 120, compress.None)
	b.ReportAllocs()
	var offset int64
	for b.Loop() {
		batch.Stamp(offset, 3)
		offset++
	}
}

func BenchmarkIterate(b *testing.B) {
	for _, s := range benchSizes {
		batch := benchBatch(b, s.size, s.value, compress.None)
		scratch := new(Scratch)
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				_ = batch.Iterate(scratch, func(*Record) error { n++; return nil })
			}
		})
	}
}

func BenchmarkBuilder(b *testing.B) {
	value := make([]byte, 100)
	builder := NewBuilder(BuilderOptions{})
	b.ReportAllocs()
	b.SetBytes(16 << 10)
	for b.Loop() {
		builder.Reset(BuilderOptions{})
		for i := range int64(149) {
			builder.Append(now+i, nil, value)
		}
		if _, err := builder.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}
