package segment

import (
	"errors"
	"math/rand"
	randv2 "math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// cleaning is a log of several segments, and which of its batches a cleaning keeps.
type cleaning struct {
	t       *testing.T
	rng     *randv2.Rand
	disk    *memfs.FS
	c       *Chain
	cfg     Config
	batches []record.Batch
	txns    []index.AbortedTxn
	from    int // the parts [from, to) become one
	to      int
	kept    map[int64]bool // base offsets of batches
	// The offsets of the parts.
	low, high int64
}

// newCleaning makes a log on a disk behind fs, which may be nil.
func newCleaning(t *testing.T, seed uint64, wrap func(*memfs.FS) vfs.FS) *cleaning {
	t.Helper()
	w := &cleaning{t: t, rng: testkit.NewRand(seed), disk: memfs.New(), cfg: smallConfig(), kept: make(map[int64]bool)}
	must(t, w.disk.MkdirAll("log", 0o755))
	must(t, w.disk.SyncDir("/"))
	fs := vfs.FS(w.disk)
	if wrap != nil {
		fs = wrap(w.disk)
	}
	c, _, err := Open(Options{FS: fs, Clock: clock.Real{}, Dir: "log", Mode: Mode(w.rng.IntN(2))}, w.cfg, Recovery{Clean: true})
	must(t, err)
	w.c = c
	values := rand.New(rand.NewSource(int64(seed)))
	next := int64(0)
	for range 6 {
		for range 1 + w.rng.IntN(4) {
			b := makeBatch(t, values, next, 1+w.rng.IntN(3), 1_700_000_000_000+next, w.rng.IntN(150), compress.None)
			must(t, appendBatch(c, b))
			if w.rng.IntN(4) == 0 {
				txn := index.AbortedTxn{ProducerID: 5, FirstOffset: b.BaseOffset(), LastOffset: b.LastOffset(), LastStableOffset: b.NextOffset()}
				must(t, c.AppendAborted(txn))
				w.txns = append(w.txns, txn)
			}
			w.batches, next = append(w.batches, b), b.NextOffset()
		}
		must(t, c.Roll())
	}
	if _, err := c.Sync(); err != nil {
		t.Fatal(err)
	}
	n := len(c.Sealed())
	w.from = w.rng.IntN(n)
	w.to = w.from + 1 + w.rng.IntN(n-w.from)
	w.low, w.high = c.Sealed()[w.from].Base, c.Sealed()[w.to-1].Next
	keep := w.rng.IntN(5)
	for _, b := range w.batches {
		w.kept[b.BaseOffset()] = w.rng.IntN(4) < keep
	}
	return w
}

// replace keeps of the chosen parts what kept says.
func (w *cleaning) replace() error {
	parts := w.c.Sealed()[w.from:w.to]
	w.low, w.high = parts[0].Base, parts[len(parts)-1].Next
	x, err := w.c.NewCleaned(parts[0].Base, 256)
	if err != nil {
		return err
	}
	var mem ScanBuffer
	for i := range parts {
		txns, err := parts[i].Aborted()
		if err != nil {
			return errors.Join(err, x.Discard())
		}
		err = parts[i].Scan(0, &mem, func(b record.Batch) error {
			if !w.kept[b.BaseOffset()] {
				return nil
			}
			return x.Append(b, b.LastOffset())
		})
		if err != nil {
			return errors.Join(err, x.Discard())
		}
		for _, txn := range txns {
			if w.kept[txn.FirstOffset] {
				x.AppendAborted(txn)
			}
		}
	}
	return w.c.Replace(x, parts)
}

// judge looks at a log after a crash: all that was kept is there, in order and once, what is
// there is what was appended, and the transaction index tells of each aborted batch. done
// says that the cleaning had returned.
func (w *cleaning) judge(c *Chain, what any, done bool) {
	w.t.Helper()
	want := make(map[int64]record.Batch)
	for _, b := range w.batches {
		want[b.BaseOffset()] = b
	}
	inside := func(b record.Batch) bool { return w.inRange(b.BaseOffset()) }
	last := int64(-1)
	seen := make(map[int64]bool)
	err := c.Scan(0, func(b record.Batch, _, _ int64) error {
		if b.BaseOffset() <= last {
			w.t.Fatalf("%v: batch at %d after %d", what, b.BaseOffset(), last)
		}
		if string(b) != string(want[b.BaseOffset()]) {
			w.t.Fatalf("%v: the batch at %d changed", what, b.BaseOffset())
		}
		if done && inside(b) && !w.kept[b.BaseOffset()] {
			w.t.Fatalf("%v: the batch at %d is back", what, b.BaseOffset())
		}
		last, seen[b.BaseOffset()] = b.LastOffset(), true
		return nil
	})
	must(w.t, err)
	for _, b := range w.batches {
		if !seen[b.BaseOffset()] && (w.kept[b.BaseOffset()] || !inside(b)) {
			w.t.Fatalf("%v: the batch at %d is gone (log %d to %d)", what, b.BaseOffset(), c.StartOffset(), c.NextOffset())
		}
	}
	aborted, err := c.Aborted(0, c.NextOffset())
	must(w.t, err)
	known := make(map[int64]bool)
	for _, txn := range aborted {
		if known[txn.FirstOffset] {
			w.t.Fatalf("%v: transaction at %d twice", what, txn.FirstOffset)
		}
		known[txn.FirstOffset] = true
	}
	for _, txn := range w.txns {
		if seen[txn.FirstOffset] != known[txn.FirstOffset] {
			w.t.Fatalf("%v: batch at %d is there: %v, its aborted transaction: %v", what, txn.FirstOffset, seen[txn.FirstOffset], known[txn.FirstOffset])
		}
	}
	if next := w.batches[len(w.batches)-1].NextOffset(); c.NextOffset() != next {
		w.t.Fatalf("%v: log end %d, want %d", what, c.NextOffset(), next)
	}
}

// crashes opens the disk as power cuts at this moment could leave it.
func (w *cleaning) crashes(what any, done bool) {
	w.t.Helper()
	for _, percent := range []int{0, 30, 50, 70, 100} {
		disk := w.disk.CrashClone(w.rng, percent)
		o := Options{FS: disk, Clock: clock.Real{}, Dir: "log"}
		c, _, err := Open(o, w.cfg, Recovery{Point: w.c.SyncedOffset()})
		if err != nil {
			w.t.Fatalf("%v, %d%%: %v", what, percent, err)
		}
		w.judge(c, what, done)
		// The power goes again, right after the recovery.
		again := disk.CrashClone(w.rng, percent)
		c.Kill()
		o.FS = again
		c, _, err = Open(o, w.cfg, Recovery{Point: w.c.SyncedOffset()})
		must(w.t, err)
		w.judge(c, what, done)
		c.Kill()
	}
}

// TestReplaceSurvivesACrashAtAnyCall cuts the power before each call to the file system that
// a cleaning makes, and after the last one.
func TestReplaceSurvivesACrashAtAnyCall(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range uint64(testkit.Rounds(t, "REPLACE_ROUNDS", 5)) {
		w := newCleaning(t, seed+round, nil)
		calls := 0
		fs := errorfs.Wrap(w.disk, func(op errorfs.Op) errorfs.Fault {
			calls++
			w.crashes(op, false)
			return errorfs.Fault{}
		})
		w.c.o.FS = fs
		must(t, w.replace())
		fs.SetRule(nil)
		if calls < 10 {
			t.Fatalf("%d calls", calls)
		}
		w.judge(w.c, "running", true)
		w.crashes("afterwards", true)
		must(t, w.c.Close())
		if leaks := w.disk.Leaks(); len(leaks) > 0 {
			t.Errorf("left open: %q", leaks)
		}
		if t.Failed() {
			return
		}
	}
}

// TestReplaceWhenACallFails fails each call of a cleaning. A full disk, and a want of
// descriptors before the swap, leave the log as it was; whatever happens, a crash finds all
// that was kept.
func TestReplaceWhenACallFails(t *testing.T) {
	for _, injected := range []error{syscall.ENOSPC, syscall.EIO, syscall.EMFILE} {
		for fail := int64(0); ; fail++ {
			w := newCleaning(t, uint64(fail)+1, nil)
			fs := errorfs.Wrap(w.disk, errorfs.Once(fail, errorfs.Fault{Err: injected}, func(op errorfs.Op) bool {
				return injected == syscall.EIO || op.Kind == errorfs.Create || op.Kind == errorfs.Write ||
					injected == syscall.EMFILE && op.Kind == errorfs.SyncDir
			}))
			w.c.o.FS = fs
			err := w.replace()
			fs.SetRule(nil)
			w.crashes(injected, false)
			if err == nil {
				w.judge(w.c, injected, true)
			} else if injected == syscall.ENOSPC {
				w.judge(w.c, injected, false)
				must(t, w.replace()) // there is space again
			}
			w.c.Kill()
			if leaks := w.disk.Leaks(); len(leaks) > 0 {
				t.Fatalf("%v, call %d: left open: %q", injected, fail, leaks)
			}
			if err == nil && fail > 40 {
				break
			}
		}
	}
}

// TestReplaceIsRefusedAfterAChange truncates and trims the log between the listing of the
// parts and their replacement.
func TestReplaceIsRefusedAfterAChange(t *testing.T) {
	changes := map[string]func(*cleaning){
		"head dropped": func(w *cleaning) {
			_, err := w.c.DropHead(w.c.Sealed()[0].Next)
			must(w.t, err)
		},
		"truncated":       func(w *cleaning) { must(w.t, w.c.TruncateTo(w.batches[len(w.batches)-1].BaseOffset())) },
		"truncated fully": func(w *cleaning) { must(w.t, w.c.TruncateFullyAndStartAt(500)) },
	}
	for name, change := range changes {
		w := newCleaning(t, 7, nil)
		parts := w.c.Sealed()
		x, err := w.c.NewCleaned(parts[0].Base, 100)
		must(t, err)
		change(w)
		if err := w.c.Replace(x, parts); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
		must(t, w.c.Close())
		entries, _ := w.disk.ReadDir("log")
		for _, e := range entries {
			if _, suffix, _ := parseName(e.Name()); suffix == logSuffix+cleanedSuffix || suffix == logSuffix+swapSuffix {
				t.Errorf("%s: %s is left", name, e.Name())
			}
		}
	}
}

// TestReadersBesideReplace reads a log again and again, holds ranges, and looks up
// timestamps and transactions, while cleanings take batches out of it one after the other.
// The offsets that are never taken out must be there in every pass, in order.
func TestReadersBesideReplace(t *testing.T) {
	w := newCleaning(t, testkit.Seed(t), nil)
	w.from, w.to = 0, len(w.c.Sealed())
	must(t, w.replace())
	var stay []int64
	for _, b := range w.batches {
		if w.kept[b.BaseOffset()] || !w.inRange(b.BaseOffset()) {
			stay = append(stay, b.BaseOffset())
		}
	}
	values := rand.New(rand.NewSource(1))
	next := w.c.NextOffset()
	for i := range 40 {
		b := makeBatch(t, values, next, 1, 1_700_000_100_000+next, 60, compress.None)
		must(t, appendBatch(w.c, b))
		w.kept[next] = i%8 == 0
		if w.kept[next] {
			stay = append(stay, next)
		}
		next = b.NextOffset()
		if i%3 == 0 {
			must(t, w.c.Roll())
		}
	}
	must(t, w.c.Roll())
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for !stop.Load() {
				readPass(t, w.c, stay)
			}
		})
	}
	for round := range 300 {
		parts := w.c.Sealed()
		w.from = round % len(parts)
		w.to = min(w.from+1+round%3, len(parts))
		must(t, w.replace())
		if round%7 == 0 {
			must(t, w.c.RemoveDeleted(clock.Real{}.Now()))
		}
	}
	stop.Store(true)
	readers.Wait()
	readPass(t, w.c, stay)
	must(t, w.c.Close())
	if leaks := w.disk.Leaks(); len(leaks) > 0 {
		t.Errorf("left open: %q", leaks)
	}
}

func readPass(t *testing.T, c *Chain, stay []int64) {
	end := c.NextOffset()
	for offset := c.StartOffset(); offset < end; {
		rng, err := c.Read(offset, 300, end, true)
		if err != nil {
			t.Errorf("read at %d: %v", offset, err)
			return
		}
		if rng.LenBytes == 0 {
			break
		}
		buf := make([]byte, rng.LenBytes)
		err = rng.CopyTo(buf)
		rng.Release()
		if err != nil {
			t.Errorf("read at %d: %v", offset, err)
			return
		}
		for len(buf) > 0 {
			b, rest, err := record.Next(buf)
			if err != nil || b.CheckCRC() != nil {
				t.Errorf("read at %d: a bad batch: %v", offset, err)
				return
			}
			if b.LastOffset() < offset {
				t.Errorf("read at %d: batch %d to %d comes again", offset, b.BaseOffset(), b.LastOffset())
				return
			}
			if len(stay) > 0 && b.BaseOffset() > stay[0] {
				t.Errorf("the batch at %d was left out", stay[0])
				return
			}
			if len(stay) > 0 && b.BaseOffset() == stay[0] {
				stay = stay[1:]
			}
			offset, buf = b.NextOffset(), rest
		}
	}
	if len(stay) > 0 {
		t.Errorf("the batch at %d was left out", stay[0])
	}
	if _, _, _, err := c.FindTimestamp(1_700_000_000_050, 0); err != nil {
		t.Error(err)
	}
	if _, _, _, err := c.MaxTimestamp(); err != nil {
		t.Error(err)
	}
	if _, err := c.Aborted(0, end); err != nil {
		t.Error(err)
	}
	if err := c.Scan(0, func(record.Batch, int64, int64) error { return nil }); err != nil {
		t.Error(err)
	}
}

func (w *cleaning) inRange(offset int64) bool { return offset >= w.low && offset < w.high }
