package compress

import (
	"bytes"
	"errors"
	"testing"
)

// The fuzz targets take hostile bytes through each decoder: no panic, the bound holds, dst comes
// back as it was after an error, and what was read can be written and read again.

func FuzzDecompressGzip(f *testing.F)   { fuzzCodec(f, Gzip) }
func FuzzDecompressSnappy(f *testing.F) { fuzzCodec(f, Snappy) }
func FuzzDecompressLZ4(f *testing.F)    { fuzzCodec(f, LZ4) }
func FuzzDecompressZstd(f *testing.F)   { fuzzCodec(f, Zstd) }

func fuzzCodec(f *testing.F, c Codec) {
	for _, in := range [][]byte{{}, []byte("some bytes, some bytes, some bytes"), make([]byte, 70_000)} {
		packed, err := Compress(nil, in, c, 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	const bound = 1 << 20
	prefix := []byte("prefix")
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := Decompress(prefix, in, c, bound)
		if !bytes.HasPrefix(out, prefix) || len(out) > len(prefix)+bound {
			t.Fatalf("%d bytes", len(out))
		}
		if err != nil {
			var corrupt *CorruptError
			var large *TooLargeError
			if len(out) != len(prefix) || !errors.As(err, &corrupt) && !errors.As(err, &large) {
				t.Fatalf("%d bytes with %v", len(out), err)
			}
			return
		}
		packed, err := Compress(nil, out, c, 0)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decompress(nil, packed, c, len(out))
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("written and read again: %d bytes of %d, %v", len(again), len(out), err)
		}
	})
}
