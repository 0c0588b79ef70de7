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
