package segment

import (
	"errors"
	"fmt"
	"math"
	"math/rand"
	"os"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

func memChain(t testing.TB, cfg Config, change func(*Options)) *Chain {
	t.Helper()
	disk := memfs.New()
	must(t, disk.MkdirAll("log", 0o755))
	o := Options{FS: disk, Clock: testkit.NewClock(time.UnixMilli(1_000_000)), Dir: "log", Mode: Mapped}
	if change != nil {
		change(&o)
	}
	c, _, err := Open(o, cfg, Recovery{Clean: true})
	must(t, err)
	t.Cleanup(c.Kill)
	return c
}

// appendAt appends one batch of one record with the given timestamp and offset.
func appendAt(t testing.TB, c *Chain, offset, ts int64, valueBytes int) error {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{BaseOffset: offset})
	b.Append(ts, nil, make([]byte, valueBytes))
	batch, err := b.Finish()
	must(t, err)
	return c.Append(batch, lastIsLatest(batch))
}

func bases(c *Chain) string {
	var out []string
	for _, s := range c.Segments() {
		out = append(out, fmt.Sprint(s.Base))
	}
	return strings.Join(out, " ")
}

func TestRollsByTimeOfRecords(t *testing.T) {
	cfg := smallConfig()
	cfg.SegmentMs = 1000
	var rolled []int64
	c := memChain(t, cfg, func(o *Options) { o.OnRoll = func(base int64) { rolled = append(rolled, base) } })
	for i, ts := range []int64{5000, 6000, 5500, 6001, 6002, 9000} {
		must(t, appendAt(t, c, int64(i), ts, 10))
	}
	// Kafka rolls when a batch is more than segment.ms younger than the segment's first.
	if got := bases(c); got != "0 3 5" || fmt.Sprint(rolled) != "[3 5]" {
		t.Errorf("segments at %s, told of %v", got, rolled)
	}
	for i, want := range []int64{6000, 6002, 9000} {
		if got := c.Segments()[i].MaxTimestamp; got != want {
			t.Errorf("segment %d: max timestamp %d, want %d", i, got, want)
		}
	}
}

func TestRollsByClockWithoutTimestamps(t *testing.T) {
	cfg := smallConfig()
	cfg.SegmentMs, cfg.SegmentJitterMs = 1000, 400
	c := memChain(t, cfg, func(o *Options) { o.Jitter = func(most int64) int64 { return most } })
	now := c.o.Clock.(*testkit.Clock)
	for i, step := range []int{0, 600, 1, 0} {
		now.Advance(time.Duration(step) * time.Millisecond)
		must(t, appendAt(t, c, int64(i), -1, 10))
	}
	if got := bases(c); got != "0 2" {
		t.Errorf("segments at %s", got)
	}
}

func TestRollsBySizeIndexAndOffset(t *testing.T) {
	size := memChain(t, Config{SegmentBytes: 1000, SegmentMs: math.MaxInt64, IndexIntervalBytes: 4096, IndexMaxBytes: 4096}, nil)
	index := memChain(t, Config{SegmentBytes: 1 << 20, SegmentMs: math.MaxInt64, IndexIntervalBytes: 0, IndexMaxBytes: 5 * 12}, nil)
	for i := range int64(12) {
		must(t, appendAt(t, size, i, 1, 230)) // about 300 bytes each
		must(t, appendAt(t, index, i, 1+i, 10))
	}
	if got := bases(size); got != "0 3 6 9" {
		t.Errorf("by size: segments at %s", got)
	}
	// Five time entries fit; one is kept for the roll, and the first batch has none.
	if got := bases(index); got != "0 4 8" && got != "0 5 10" {
		t.Errorf("by index: segments at %s", got)
	}
	far := memChain(t, smallConfig(), nil)
	must(t, appendAt(t, far, 7, 1, 10))
	must(t, appendAt(t, far, math.MaxInt32, 1, 10))
	must(t, appendAt(t, far, math.MaxInt32+1, 1, 10))
	must(t, appendAt(t, far, 3*math.MaxInt32, 1, 10))
	if got := bases(far); got != fmt.Sprintf("0 %d %d", int64(math.MaxInt32)+1, int64(3*math.MaxInt32)) {
		t.Errorf("by offset: segments at %s", got)
	}
	first := memChain(t, smallConfig(), nil)
	must(t, appendAt(t, first, 1<<40, 1, 10))
	if got := bases(first); got != fmt.Sprint(int64(1)<<40) || first.StartOffset() != 1<<40 {
		t.Errorf("far first record: segments at %s", got)
	}
	if err := appendAt(t, first, 5, 1, 10); err == nil {
		t.Error("an offset below the end was taken")
	}
}

// TestIdleHoldsNothing counts descriptors and mappings of the process: none are left after
// Idle, nothing is on disk before the first append, and no space behind the end after it.
func TestIdleHoldsNothing(t *testing.T) {
	dir := t.TempDir()
	before := resources(t, dir)
	c, _, err := Open(Options{FS: osfs.FS{}, Clock: clock.Real{}, Dir: dir}, Config{SegmentBytes: 1 << 30, SegmentMs: math.MaxInt64, IndexIntervalBytes: 100, IndexMaxBytes: 10 << 20}, Recovery{Clean: true})
	must(t, err)
	defer c.Kill()
	if names := globAll(t, dir, "*"); len(names) != 0 {
		t.Errorf("before the first append: %v", names)
	}
	for i := range int64(50) {
		must(t, appendAt(t, c, i, 1, 100))
	}
	if busy := resources(t, dir); busy < before+4 {
		t.Fatalf("%d resources while busy, %d before: the count is blind", busy, before)
	}
	for range 2 {
		must(t, c.Idle())
		if idle := resources(t, dir); idle != before {
			t.Errorf("%d descriptors and mappings while idle, %d before", idle, before)
		}
		for _, name := range globAll(t, dir, "*") {
			if size, want := fileSize(t, name), c.SizeBytes(); strings.HasSuffix(name, logSuffix) && size != want || size > want {
				t.Errorf("%s takes %d bytes, the log has %d", name, size, want)
			}
		}
		must(t, appendAt(t, c, c.NextOffset(), 1, 100))
	}
}

// resources counts open files and mappings below dir.
func resources(t testing.TB, dir string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, dir) {
			n++
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	return n + strings.Count(string(maps), dir)
}

// TestCleanOpenOpensNoSealedSegment counts calls: a long log costs one folder listing and
// the tail of its active segment.
func TestCleanOpenOpensNoSealedSegment(t *testing.T) {
	c := memChain(t, Config{SegmentBytes: 1000, SegmentMs: math.MaxInt64, IndexIntervalBytes: 100, IndexMaxBytes: 4096}, nil)
	for i := range int64(100) {
		must(t, appendAt(t, c, i, 5+i, 230))
	}
	must(t, c.Close())
	var opened []string
	o := c.o
	o.FS = errorfs.Wrap(o.FS, func(op errorfs.Op) errorfs.Fault {
		if op.Kind == errorfs.Open || op.Kind == errorfs.Create {
			opened = append(opened, path.Base(op.Path))
		}
		return errorfs.Fault{}
	})
	again, _, err := Open(o, c.cfg, Recovery{Clean: true})
	must(t, err)
	defer again.Kill()
	if again.NextOffset() != 100 || len(again.Segments()) < 30 {
		t.Fatalf("next offset %d, segments at %s", again.NextOffset(), bases(again))
	}
	opened = nil
	third, _, err := Open(o, c.cfg, Recovery{Clean: true})
	must(t, err)
	defer third.Kill()
	for _, name := range opened {
		if !strings.HasPrefix(name, fmt.Sprintf("%020d", third.ActiveBase())) {
			t.Errorf("opened %s", name)
		}
	}
	if len(opened) != 3 {
		t.Errorf("opened %v", opened)
	}
}

// TestDamagedIndexesAreRebuilt damages index files of sealed and active segments in all
// ways, before a clean and an unclean start: reads find everything.
func TestDamagedIndexesAreRebuilt(t *testing.T) {
	damages := map[string]func(vfs.FS, string){
		"removed": func(fs vfs.FS, name string) { must(t, fs.Remove(name)) },
		"empty":   func(fs vfs.FS, name string) { rewrite(t, fs, name, func([]byte) []byte { return nil }) },
		"odd": func(fs vfs.FS, name string) {
			rewrite(t, fs, name, func(b []byte) []byte { return append(b, 1, 2, 3) })
		},
		"short": func(fs vfs.FS, name string) { rewrite(t, fs, name, func(b []byte) []byte { return b[:len(b)/2] }) },
		"noise": func(fs vfs.FS, name string) { rewrite(t, fs, name, func(b []byte) []byte { rand.Read(b); return b }) },
		"shifted": func(fs vfs.FS, name string) {
			rewrite(t, fs, name, func(b []byte) []byte {
				for i := 7; i < len(b); i += 8 {
					b[i]++ // positions that are no batch's
				}
				return b
			})
		},
	}
	for what, damage := range damages {
		for _, r := range []Recovery{{Clean: true}, {Point: 60}} {
			c := memChain(t, Config{SegmentBytes: 4000, SegmentMs: math.MaxInt64, IndexIntervalBytes: 100, IndexMaxBytes: 4096}, nil)
			values := rand.New(rand.NewSource(1))
			m := &model{}
			for i := range int64(50) {
				b := makeBatch(t, values, 2*i, 2, 1000*i, 100, compress.None)
				must(t, appendBatch(c, b))
				m.batches = append(m.batches, b)
			}
			must(t, c.Close())
			for _, s := range c.Segments() {
				damage(c.o.FS, fileName("log", s.Base, indexSuffix))
				if what != "shifted" {
					damage(c.o.FS, fileName("log", s.Base, timeSuffix))
				}
			}
			again, _, err := Open(c.o, c.cfg, r)
			if err != nil {
				t.Fatalf("%s, %+v: %v", what, r, err)
			}
			t.Run(fmt.Sprint(what, r.Clean), func(t *testing.T) {
				checkReads(t, again, m)
				checkTimestamps(t, again, m)
			})
			must(t, again.Close())
		}
	}
}

func rewrite(t testing.TB, fs vfs.FS, name string, change func([]byte) []byte) {
	t.Helper()
	f, err := fs.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	must(t, readFull(f, b, 0))
	b = change(b)
	must(t, f.Truncate(int64(len(b))))
	_, err = f.WriteAt(b, 0)
	must(t, err)
}

// TestFullDisk refuses appends and keeps everything else going: reads, a start without
// index files, and appends once there is room.
func TestFullDisk(t *testing.T) {
	full := false
	var broken *errorfs.FS
	c := memChain(t, smallConfig(), func(o *Options) {
		broken = errorfs.Wrap(o.FS, func(op errorfs.Op) errorfs.Fault {
			grows := op.Kind == errorfs.Allocate || op.Kind == errorfs.Create || op.Kind == errorfs.Write
			if full && grows {
				return errorfs.Fault{Err: syscall.ENOSPC}
			}
			return errorfs.Fault{}
		})
		o.FS = broken
	})
	values := rand.New(rand.NewSource(1))
	m := &model{}
	write := func() error {
		b := makeBatch(t, values, m.next(), 2, 1_700_000_000_000+m.next(), 100, compress.None)
		err := appendBatch(c, b)
		if err == nil {
			m.batches = append(m.batches, b)
		}
		return err
	}
	for range 40 {
		must(t, write())
	}
	full = true
	refused := 0
	for range 40 {
		if err := write(); err != nil {
			if refused++; !IsDiskFull(err) || errors.As(err, new(*PoisonedError)) {
				t.Fatal(err)
			}
		}
	}
	if refused == 0 || c.NextOffset() != m.next() {
		t.Fatalf("%d appends refused, next offset %d, want %d", refused, c.NextOffset(), m.next())
	}
	checkReads(t, c, m)
	_, err := c.Sync()
	must(t, err)
	c.Kill()
	for _, s := range c.segments() {
		must(t, broken.Remove(s.name(indexSuffix)))
	}
	again, _, err := Open(c.o, c.cfg, Recovery{})
	if err != nil {
		t.Fatalf("a start on a full disk: %v", err)
	}
	defer again.Kill()
	c = again
	checkReads(t, c, m)
	full = false
	for range 10 {
		must(t, write())
	}
	checkReads(t, c, m)
}

// TestFailedSyncIsFinal: EIO poisons the log for good, and reads go on.
func TestFailedSyncIsFinal(t *testing.T) {
	fail := false
	c := memChain(t, smallConfig(), func(o *Options) {
		o.FS = errorfs.Wrap(o.FS, func(op errorfs.Op) errorfs.Fault {
			if fail && (op.Kind == errorfs.MapSync || op.Kind == errorfs.SyncData) {
				return errorfs.Fault{Err: syscall.EIO}
			}
			return errorfs.Fault{}
		})
	})
	must(t, appendAt(t, c, 0, 1, 10))
	fail = true
	if _, err := c.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	fail = false
	var poisoned *PoisonedError
	if _, err := c.Sync(); !errors.As(err, &poisoned) || c.SyncedOffset() != 0 {
		t.Errorf("a second sync: %v, synced %d", err, c.SyncedOffset())
	}
	if err := appendAt(t, c, 1, 1, 10); !errors.As(err, &poisoned) {
		t.Errorf("append: %v", err)
	}
	if b, err := c.ReadBatch(0, nil); err != nil || len(b) == 0 {
		t.Errorf("read: %v", err)
	}
}

// TestFaultIsAnError cuts the active file underneath its mapping: the append meets a fault,
// which fails this log and not the process.
func TestFaultIsAnError(t *testing.T) {
	dir := t.TempDir()
	c, _, err := Open(Options{FS: osfs.FS{}, Clock: clock.Real{}, Dir: dir}, benchConfig(), Recovery{Clean: true})
	must(t, err)
	defer c.Kill()
	must(t, appendAt(t, c, 0, 1, 100))
	must(t, os.Truncate(fileName(dir, 0, logSuffix), 0))
	var fault *FaultError
	if err := appendAt(t, c, 1, 1, 100); !errors.As(err, &fault) {
		t.Fatalf("append into a cut file: %v", err)
	}
	if err := appendAt(t, c, 1, 1, 100); !errors.As(err, new(*PoisonedError)) {
		t.Errorf("append after it: %v", err)
	}
}

// TestOpenSealedFilesAreFew reads a long log from its start.
func TestOpenSealedFilesAreFew(t *testing.T) {
	dir := t.TempDir()
	c, _, err := Open(Options{FS: osfs.FS{}, Clock: clock.Real{}, Dir: dir, Mode: Pwrite}, Config{SegmentBytes: 1000, SegmentMs: math.MaxInt64, IndexIntervalBytes: 100, IndexMaxBytes: 4096}, Recovery{Clean: true})
	must(t, err)
	defer c.Kill()
	for i := range int64(120) {
		must(t, appendAt(t, c, i, 1, 230))
	}
	for i := range int64(120) {
		r, err := c.Read(i, 1, 1<<40, true)
		must(t, err)
		r.Release()
	}
	if n := resources(t, dir); n > 3*(maxOpenSealed+2) {
		t.Errorf("%d files open after a walk over %d segments", n, len(c.Segments()))
	}
}

// TestClosedLogOpensNothing reads from a log that was closed.
func TestClosedLogOpensNothing(t *testing.T) {
	dir := t.TempDir()
	before := resources(t, dir)
	c, _, err := Open(Options{FS: osfs.FS{}, Clock: clock.Real{}, Dir: dir}, smallConfig(), Recovery{Clean: true})
	must(t, err)
	for i := range int64(100) {
		must(t, appendAt(t, c, i, 1, 230))
	}
	must(t, c.Close())
	for _, call := range []func() error{
		func() error { _, err := c.Read(0, 1, 1<<40, true); return err },
		func() error { return c.Scan(0, func(record.Batch, int64, int64) error { return nil }) },
		func() error { _, err := c.Sync(); return err },
		func() error { return appendAt(t, c, 100, 1, 10) },
		c.Idle, c.Roll,
	} {
		if err := call(); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	if after := resources(t, dir); after != before {
		t.Errorf("%d files and mappings left, %d before", after, before)
	}
}

// TestSyncSealed: a power cut afterwards takes what was in the active segment, and nothing of
// the segments before.
func TestSyncSealed(t *testing.T) {
	c := memChain(t, smallConfig(), nil)
	for i := range int64(6) {
		must(t, appendAt(t, c, i, 1000+i, 10))
		if i == 1 || i == 3 {
			must(t, c.Roll())
		}
	}
	if got := bases(c); got != "0 2 4" {
		t.Fatalf("segments at %s", got)
	}
	for _, step := range []struct{ below, want int64 }{{1, 0}, {3, 2}, {4, 4}, {100, 4}} {
		upTo, err := c.SyncSealed(step.below)
		if err != nil || upTo != step.want || c.SyncedOffset() != step.want {
			t.Errorf("sealed below %d: synced below %d (%d), %v; want %d", step.below, upTo, c.SyncedOffset(), err, step.want)
		}
	}
	disk := c.o.FS.(*memfs.FS)
	must(t, disk.SyncDir("/"))
	o := c.o
	o.FS = disk.CrashClone(testkit.Rand(t), 0)
	again, _, err := Open(o, smallConfig(), Recovery{})
	must(t, err)
	defer again.Kill()
	if got := again.NextOffset(); got != 4 {
		t.Errorf("the log ends at %d after the power cut, want 4", got)
	}
}
