package segment

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// gathering is a chain whose appends each wait for a sync, on a disk that counts writes to
// the log, those of zeros apart, and fails them while failing is set.
type gathering struct {
	*Chain
	o       Options
	disk    *memfs.FS
	writes  atomic.Int64
	zeros   atomic.Int64 // bytes
	failing atomic.Bool
	values  *rand.Rand
	want    []record.Batch
}

func newGathering(t *testing.T) *gathering {
	t.Helper()
	g := &gathering{disk: memfs.New(), values: rand.New(rand.NewSource(int64(testkit.Seed(t))))}
	must(t, g.disk.MkdirAll("log", 0o755))
	must(t, g.disk.SyncDir("/"))
	g.o = Options{FS: watchedFS{g.disk, g}, Clock: clock.Real{}, Dir: "log", Mode: Mapped}
	cfg := Config{SegmentBytes: 1 << 20, SegmentMs: 1 << 40, IndexIntervalBytes: 4096, IndexMaxBytes: 1 << 16, SyncEveryAppend: true}
	c, _, err := Open(g.o, cfg, Recovery{Clean: true})
	must(t, err)
	g.Chain = c
	t.Cleanup(g.Kill)
	return g
}

// end is the position up to which the active segment holds batches.
func (g *gathering) end() int64 {
	_, position := g.active().end()
	return position
}

type watchedFS struct {
	*memfs.FS
	g *gathering
}

func (fs watchedFS) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := fs.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return watchedFile{f, fs.g}, nil
}

type watchedFile struct {
	vfs.File
	g *gathering
}

func (f watchedFile) WriteAt(p []byte, off int64) (int, error) {
	switch {
	case f.g.failing.Load():
		return 0, syscall.EIO
	case len(bytes.Trim(p, "\x00")) == 0:
		f.g.zeros.Add(int64(len(p)))
	default:
		f.g.writes.Add(1)
	}
	return f.File.WriteAt(p, off)
}

func (g *gathering) add(t *testing.T, n, valueBytes int) {
	t.Helper()
	for range n {
		b := makeBatch(t, g.values, g.NextOffset(), 1, 1_700_000_000_000, valueBytes, compress.None)
		must(t, appendBatchToSync(g.Chain, b))
		g.want = append(g.want, b)
	}
}

// check reads the whole log.
func (g *gathering) check(t *testing.T) {
	t.Helper()
	i := 0
	must(t, g.Scan(0, func(b record.Batch, _, _ int64) error {
		if i >= len(g.want) || !bytes.Equal(b, g.want[i]) {
			t.Fatalf("batch %d is not what was appended", i)
		}
		i++
		return nil
	}))
	if i != len(g.want) {
		t.Fatalf("%d batches, want %d", i, len(g.want))
	}
}

func (g *gathering) expectWrites(t *testing.T, n int64) {
	t.Helper()
	if got := g.writes.Swap(0); got != n {
		t.Errorf("%d writes, want %d", got, n)
	}
}

func TestAppendsThatWaitForASyncShareAWrite(t *testing.T) {
	g := newGathering(t)
	g.add(t, 30, 100)
	g.expectWrites(t, 0)
	upTo, err := g.Sync()
	must(t, err)
	if upTo != g.NextOffset() {
		t.Errorf("synced to %d of %d", upTo, g.NextOffset())
	}
	g.expectWrites(t, 1)

	g.add(t, 1, gatherBelowBytes) // a large one is written at once, what was kept before it
	g.expectWrites(t, 1)
	g.add(t, 1, 100)
	g.add(t, 1, gatherBelowBytes)
	g.expectWrites(t, 2)
	g.add(t, 3*gatherBytes/1000, 1000) // more than is kept
	if n := g.writes.Swap(0); n < 2 || n > 3 {
		t.Errorf("%d writes", n)
	}
	g.check(t)
}

// TestPlainAppendsAreNotKeptBack: flush.messages may have been changed on the way, and then
// nobody syncs.
func TestPlainAppendsAreNotKeptBack(t *testing.T) {
	g := newGathering(t)
	g.add(t, 1, 100)
	b := makeBatch(t, g.values, g.NextOffset(), 1, 1_700_000_000_000, 100, compress.None)
	must(t, appendBatch(g.Chain, b))
	g.want = append(g.want, b)
	g.expectWrites(t, 2)
	g.Kill()
	again, _, err := Open(g.o, g.cfg, Recovery{})
	must(t, err)
	g.Chain = again
	g.check(t)
}

func TestAReadBringsWhatWasKeptBackIntoTheFile(t *testing.T) {
	g := newGathering(t)
	g.add(t, 3, 100)
	for i, want := range g.want {
		r, err := g.Read(int64(i), 1, g.NextOffset(), true)
		must(t, err)
		got := make([]byte, r.LenBytes)
		must(t, r.CopyTo(got))
		r.Release()
		if !bytes.Equal(got, want) {
			t.Errorf("offset %d: not what was appended", i)
		}
	}
	g.expectWrites(t, 1)
}

// TestALostWriteIsNeverSynced: batches that did not reach the file are lost with all that
// follow, whoever found it first and whatever became of the file.
func TestALostWriteIsNeverSynced(t *testing.T) {
	for name, finds := range map[string]func(g *gathering) error{
		"sync":   func(g *gathering) error { _, err := g.Sync(); return err },
		"read":   func(g *gathering) error { _, err := g.Read(5, 1, g.NextOffset(), true); return err },
		"idle":   func(g *gathering) error { return g.Idle() },
		"append": func(g *gathering) error { return appendBatch(g.Chain, g.batch()) },
		"roll":   func(g *gathering) error { return g.Roll() },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGathering(t)
			g.add(t, 5, 100)
			synced, err := g.Sync()
			must(t, err)
			g.add(t, 5, 100)
			g.failing.Store(true)
			err = finds(g)
			g.failing.Store(false)
			if !errors.Is(err, syscall.EIO) {
				t.Fatalf("%s: %v", name, err)
			}
			for range 2 {
				if upTo, err := g.Sync(); !errors.Is(err, syscall.EIO) || upTo != synced {
					t.Errorf("sync to %d: %v", upTo, err)
				}
			}
			if err := appendBatchToSync(g.Chain, g.batch()); !errors.As(err, new(*PoisonedError)) {
				t.Errorf("append: %v", err)
			}
		})
	}
}

func (g *gathering) batch() record.Batch {
	b := record.NewBuilder(record.BuilderOptions{BaseOffset: g.NextOffset()})
	b.Append(1, nil, []byte("v"))
	out, err := b.Finish()
	if err != nil {
		panic(err)
	}
	return bytes.Clone(out)
}

// TestGatherBesideSyncsAndReads appends while others sync and read: everything that a sync
// or an end of log has told of is found, in the file.
func TestGatherBesideSyncsAndReads(t *testing.T) {
	g := newGathering(t)
	var group sync.WaitGroup
	stop := make(chan struct{})
	for _, work := range []func() error{
		func() error { _, err := g.Sync(); return err },
		func() error {
			at := g.NextOffset() - 1
			if at < 0 {
				return nil
			}
			b, err := g.ReadBatch(at, nil)
			if err == nil && (record.Batch(b).CheckCRC() != nil || record.Batch(b).BaseOffset() != at) {
				return errors.New("a batch that was not appended")
			}
			return err
		},
	} {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := work(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 60 {
		g.add(t, 50, 50)
	}
	close(stop)
	group.Wait()
	g.check(t)
}

// TestZerosAreWrittenAhead: small appends that wait for a sync find zeros on the disk, in
// steps that grow; large ones are written once.
func TestZerosAreWrittenAhead(t *testing.T) {
	g := newGathering(t)
	g.add(t, 1, 100)
	if n := g.zeros.Load(); n != firstZeroBytes {
		t.Errorf("%d bytes of zeros at the first append, want %d", n, firstZeroBytes)
	}
	g.add(t, 3, 100)
	if n := g.zeros.Load(); n != firstZeroBytes {
		t.Errorf("%d bytes of zeros for 400 bytes, want %d", n, firstZeroBytes)
	}
	for g.end() < firstZeroBytes {
		g.add(t, 1, 1000)
	}
	if n := g.zeros.Load(); n != 3*firstZeroBytes {
		t.Errorf("%d bytes of zeros at the second step, want %d", n, 3*firstZeroBytes)
	}
	g.zeros.Store(0)
	g.add(t, 1, 4*zeroBelowBytes)
	g.add(t, 1, zeroBelowBytes)
	if n := g.zeros.Load(); n != 0 {
		t.Errorf("%d bytes of zeros before large appends", n)
	}
	g.check(t)
}

// TestLogsThatNobodySyncsGetNoZeros: they would be written twice for nothing.
func TestLogsThatNobodySyncsGetNoZeros(t *testing.T) {
	g := newGathering(t)
	g.cfg.SyncEveryAppend = false
	must(t, g.Idle())
	for range 10 {
		must(t, appendBatch(g.Chain, g.batch()))
	}
	if n := g.zeros.Load(); n != 0 {
		t.Errorf("%d bytes of zeros", n)
	}
}
