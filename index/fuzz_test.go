package index_test

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

// FuzzOffsetIndex opens any bytes as an index: refused as corrupt, or every lookup answers
// with an entry that lies in the log and is at most what was asked for.
func FuzzOffsetIndex(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add([]byte{0, 0, 0, 5, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, int64(6))
	f.Add([]byte{0, 0, 0, 5, 0, 0, 0, 9, 1}, int64(6))
	f.Fuzz(func(t *testing.T, data []byte, target int64) {
		fs := memfs.New()
		put(t, fs, "x", data)
		x, err := index.OpenOffset(fs, "x", base, 1<<20)
		if err != nil {
			var corrupt *index.CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatal(err)
			}
			return
		}
		e, ok, err := x.Lookup(target)
		if err != nil || ok && (e.Offset > target || e.Offset < base || e.Position >= 1<<20) {
			t.Fatalf("Lookup(%d) = %v, %v, %v", target, e, ok, err)
		}
		e, ok, err = x.LookupPosition(target)
		if err != nil || ok && e.Position > target {
			t.Fatalf("LookupPosition(%d) = %v, %v, %v", target, e, ok, err)
		}
		must(t, x.Close())
	})
}

// FuzzTimeIndex is the same for time indexes.
func FuzzTimeIndex(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 9}, int64(6))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 9, 0, 0}, int64(6))
	f.Fuzz(func(t *testing.T, data []byte, target int64) {
		fs := memfs.New()
		put(t, fs, "x", data)
		x, err := index.OpenTime(fs, "x", base, base+1000)
		if err != nil {
			var corrupt *index.CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatal(err)
			}
			return
		}
		e, ok, err := x.Lookup(target)
		if err != nil || ok && (e.Timestamp > target || e.Offset < base || e.Offset >= base+1000) {
			t.Fatalf("Lookup(%d) = %v, %v, %v", target, e, ok, err)
		}
		must(t, x.Close())
	})
}

// FuzzTxnIndex parses any bytes: what it returns is in order.
func FuzzTxnIndex(f *testing.F) {
	f.Add(index.AbortedTxn{ProducerID: 1, FirstOffset: 2, LastOffset: 3, LastStableOffset: 2}.AppendTo(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		txns, err := index.ParseTxns("x", data)
		if err == nil && len(txns)*index.TxnEntryBytes != len(data) {
			t.Fatalf("%d entries of %d bytes", len(txns), len(data))
		}
		for i, x := range txns {
			if x.FirstOffset < 0 || x.FirstOffset > x.LastOffset || i > 0 && x.LastOffset <= txns[i-1].LastOffset {
				t.Fatalf("entry %d: %+v", i, x)
			}
		}
	})
}
