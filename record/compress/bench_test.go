package compress

import (
	"fmt"
	"testing"
)

// benchJSON is 64 KiB of records as they are met.
func benchJSON() []byte {
	var b []byte
	for i := 0; len(b) < 64<<10; i++ {
		b = fmt.Appendf(b, `{"id":%d,"user":"user-%d","action":"%s","at":%d,"score":%d}`, i*7919, i*31%997, []string{"view", "click", "buy"}[i%3], 1_700_000_000_000+i*37, i*i%1000)
	}
	return b[:64<<10]
}

func BenchmarkCompress(b *testing.B) {
	in := benchJSON()
	for _, c := range codecs {
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				out, _ = Compress(out[:0], in, c, 0)
			}
			b.ReportMetric(float64(len(in))/float64(len(out)), "ratio")
		})
	}
}

func BenchmarkDecompress(b *testing.B) {
	in := benchJSON()
	for _, c := range codecs {
		packed, err := Compress(nil, in, c, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				if out, err = Decompress(out[:0], packed, c, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
