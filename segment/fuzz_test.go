package segment

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"testing"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// FuzzRecovery opens any bytes as the active segment, after a crash and after a clean stop:
// an error, or a log whose batches are the file's good prefix, that reads back and takes
// appends.
func FuzzRecovery(f *testing.F) {
	values := rand.New(rand.NewSource(1))
	var log []byte
	for i := range int64(4) {
		log = append(log, makeBatch(f, values, i*2, 2, 1000, 20, compress.None)...)
	}
	f.Add(log, []byte{}, []byte{}, true)
	f.Add(log[:len(log)-5], []byte{0, 0, 0, 5, 0, 0, 0, 200}, []byte{}, false)
	f.Add(append(bytes.Clone(log), make([]byte, 300)...), make([]byte, 64), make([]byte, 36), false)
	f.Add(append(bytes.Clone(log), log...), []byte{1}, []byte{1}, true)
	f.Fuzz(func(t *testing.T, log, index, timeIndex []byte, clean bool) {
		disk := memfs.New()
		must(t, disk.MkdirAll("log", 0o755))
		for suffix, data := range map[string][]byte{logSuffix: log, indexSuffix: index, timeSuffix: timeIndex} {
			file, err := disk.OpenFile(fileName("log", 0, suffix), os.O_RDWR|os.O_CREATE, 0o644)
			must(t, err)
			_, err = file.WriteAt(data, 0)
			must(t, err)
			must(t, file.Close())
		}
		c, _, err := Open(Options{FS: disk, Clock: clock.Real{}, Dir: "log"}, smallConfig(), Recovery{Clean: clean})
		if err != nil {
			if !errors.Is(err, record.ErrUnsupportedMagic) {
				t.Fatal(err)
			}
			return
		}
		defer c.Kill()
		if clean {
			// Only the tail is read after a clean stop: what lies before may still turn out
			// to be bad, as an error.
			_ = c.Scan(0, func(record.Batch, int64, int64) error { return nil })
			return
		}
		var got []byte
		must(t, c.Scan(0, func(b record.Batch, _, _ int64) error {
			if err := b.CheckCRC(); err != nil {
				t.Fatal(err)
			}
			got = append(got, b...)
			return nil
		}))
		if !bytes.HasPrefix(log, got) || int64(len(got)) != c.SizeBytes() {
			t.Fatalf("%d bytes in a log of %d that are not the file's start", len(got), c.SizeBytes())
		}
		if c.NextOffset() > maxPosition-10 {
			return
		}
		b := makeBatch(t, values, c.NextOffset(), 1, 1000, 10, compress.None)
		must(t, appendBatch(c, b))
		if back, err := c.ReadBatch(b.BaseOffset(), nil); err != nil || !bytes.Equal(back, b) {
			t.Fatalf("read back: %v", err)
		}
	})
}

// FuzzSwappedIn opens a folder in which any bytes lie as what a cleaning left behind, under
// any mixture of its names: an error, or a log in order that a second opening finds the same,
// with nothing left over.
func FuzzSwappedIn(f *testing.F) {
	values := rand.New(rand.NewSource(1))
	var log []byte
	for i := range int64(4) {
		log = append(log, makeBatch(f, values, i*2, 2, 1000, 20, compress.None)...)
	}
	next := makeBatch(f, values, 8, 2, 1000, 20, compress.None)
	last := makeBatch(f, values, 10, 1, 1000, 20, compress.None)
	f.Add(log[:300], []byte{}, []byte{}, []byte{}, uint8(0), uint8(3))
	f.Add(append(bytes.Clone(log), next...), make([]byte, 16), make([]byte, 24), make([]byte, 34), uint8(0), uint8(1))
	f.Add([]byte("junk"), []byte{1}, []byte{2}, []byte{3}, uint8(5), uint8(7))
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, uint8(15), uint8(0))
	f.Fuzz(func(t *testing.T, swapped, offsets, times, txns []byte, cleaned, absent uint8) {
		disk := memfs.New()
		must(t, disk.MkdirAll("log", 0o755))
		write := func(name string, data []byte) {
			file, err := disk.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
			must(t, err)
			_, err = file.WriteAt(data, 0)
			must(t, errors.Join(err, file.Close()))
		}
		for base, data := range map[int64][]byte{0: log, 8: next, 10: last} {
			if absent>>(base/4)&1 == 0 {
				write(fileName("log", base, logSuffix), data)
				write(fileName("log", base, indexSuffix), nil)
				write(fileName("log", base, timeSuffix), nil)
			}
		}
		for i, data := range [][]byte{swapped, offsets, times, txns} {
			suffix := []string{logSuffix, indexSuffix, timeSuffix, txnSuffix}[i] + swapSuffix
			if cleaned>>i&1 == 1 {
				suffix = suffix[:len(suffix)-len(swapSuffix)] + cleanedSuffix
			}
			write(fileName("log", 0, suffix), data)
		}
		var before []byte
		for range 2 {
			c, _, err := Open(Options{FS: disk, Clock: clock.Real{}, Dir: "log"}, smallConfig(), Recovery{})
			if err != nil {
				if !errors.Is(err, record.ErrUnsupportedMagic) {
					t.Fatal(err)
				}
				return
			}
			var got []byte
			offset := int64(-1)
			must(t, c.Scan(0, func(b record.Batch, _, _ int64) error {
				if b.BaseOffset() <= offset || b.CheckCRC() != nil {
					t.Fatalf("batch at %d after %d", b.BaseOffset(), offset)
				}
				got, offset = append(got, b...), b.LastOffset()
				return nil
			}))
			if _, err := c.Aborted(0, c.NextOffset()); err != nil {
				t.Fatal(err)
			}
			c.Kill()
			if before != nil && !bytes.Equal(got, before) {
				t.Fatalf("%d bytes of batches, %d the first time", len(got), len(before))
			}
			before = append([]byte{}, got...)
		}
		entries, err := disk.ReadDir("log")
		must(t, err)
		for _, e := range entries {
			if _, suffix, _ := parseName(e.Name()); !isSegmentFile(suffix) {
				t.Errorf("%s is left", e.Name())
			}
		}
	})
}
