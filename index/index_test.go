package index_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"sort"
	"syscall"
	"testing"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const base = 1000

// offsetsOf draws n strictly growing entries, in stretches of different density so that
// interpolation guesses wrong.
func offsetsOf(rng *rand.Rand, n int) []index.OffsetEntry {
	entries := make([]index.OffsetEntry, n)
	offset, position := int64(base), int64(0)
	for i := range entries {
		gap := int64(1)
		if i/50%3 == 1 {
			gap = 1 + rng.Int64N(5000)
		}
		offset += gap + rng.Int64N(3)
		position += 1 + rng.Int64N(9000)
		entries[i] = index.OffsetEntry{Offset: offset, Position: position}
	}
	return entries
}

// naive is the last entry with key at most target, by a walk.
func naive(entries []index.OffsetEntry, target int64, key func(index.OffsetEntry) int64) (e index.OffsetEntry, ok bool) {
	for _, x := range entries {
		if key(x) <= target {
			e, ok = x, true
		}
	}
	return e, ok
}

// TestOffsetLookupsAgainstAWalk asks an index while it is written, and the same file when
// it is read by pread.
func TestOffsetLookupsAgainstAWalk(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range uint64(8) {
		rng := testkit.NewRand(seed + round)
		fs := memfs.New()
		entries := offsetsOf(rng, 1+rng.IntN(2500))
		x, err := index.CreateOffset(fs, "x.index", base, 1<<20, 0)
		must(t, err)
		for i, e := range entries {
			must(t, x.Append(e.Offset, e.Position))
			if i%97 == 0 {
				checkOffset(t, rng, x, entries[:i+1], 20)
			}
		}
		checkOffset(t, rng, x, entries, 300)
		must(t, x.Trim())
		must(t, x.Close())
		last := entries[len(entries)-1]
		r, err := index.OpenOffset(fs, "x.index", base, last.Position+1)
		must(t, err)
		checkOffset(t, rng, r, entries, 300)
		must(t, r.Close())
	}
}

func checkOffset(t *testing.T, rng *rand.Rand, x *index.Offset, entries []index.OffsetEntry, asks int) {
	t.Helper()
	if x.Count() != len(entries) {
		t.Fatalf("count %d, want %d", x.Count(), len(entries))
	}
	last := entries[len(entries)-1]
	for range asks {
		target := base - 2 + rng.Int64N(last.Offset-base+5)
		got, ok, err := x.Lookup(target)
		want, wantOK := naive(entries, target, func(e index.OffsetEntry) int64 { return e.Offset })
		if err != nil || got != want || ok != wantOK {
			t.Fatalf("Lookup(%d) = %v, %v, %v; want %v, %v", target, got, ok, err, want, wantOK)
		}
		target = rng.Int64N(last.Position + 100)
		got, ok, err = x.LookupPosition(target)
		want, wantOK = naive(entries, target, func(e index.OffsetEntry) int64 { return e.Position })
		if err != nil || got != want || ok != wantOK {
			t.Fatalf("LookupPosition(%d) = %v, %v, %v; want %v, %v", target, got, ok, err, want, wantOK)
		}
	}
	if e, ok, err := x.Last(); err != nil || !ok || e != last {
		t.Fatalf("last %v, %v, %v; want %v", e, ok, err, last)
	}
}

func TestTimeLookupsAgainstAWalk(t *testing.T) {
	rng := testkit.Rand(t)
	fs := memfs.New()
	x, err := index.CreateTime(fs, "x.timeindex", base, 1<<20, 0)
	must(t, err)
	var entries []index.TimeEntry
	ts, offset := int64(1_700_000_000_000), int64(base)
	for range 2000 {
		ts += rng.Int64N(5) // now and then the same: no entry
		offset += rng.Int64N(40)
		must(t, x.MaybeAppend(ts, offset))
		if len(entries) == 0 || ts > entries[len(entries)-1].Timestamp {
			entries = append(entries, index.TimeEntry{Timestamp: ts, Offset: offset})
		}
	}
	must(t, x.MaybeAppend(-1, offset))
	check := func(x *index.Time) {
		t.Helper()
		for range 500 {
			target := entries[0].Timestamp - 3 + rng.Int64N(ts-entries[0].Timestamp+6)
			i := sort.Search(len(entries), func(i int) bool { return entries[i].Timestamp > target }) - 1
			got, ok, err := x.Lookup(target)
			if err != nil || ok != (i >= 0) || ok && got != entries[i] {
				t.Fatalf("Lookup(%d) = %v, %v, %v; want entry %d", target, got, ok, err, i)
			}
		}
	}
	check(x)
	must(t, x.Trim())
	must(t, x.Close())
	r, err := index.OpenTime(fs, "x.timeindex", base, offset+1)
	must(t, err)
	check(r)
	must(t, r.Close())
}

// TestZeroTailIsNoEntry opens what a crash leaves: a file that is longer than its entries,
// as Kafka's preallocated ones are.
func TestZeroTailIsNoEntry(t *testing.T) {
	fs := memfs.New()
	for _, tail := range []int{0, 1, 7, 8, 1020, 5000} {
		x, err := index.CreateOffset(fs, "x.index", base, 4096, 0)
		must(t, err)
		must(t, x.Append(base+5, 100))
		must(t, x.Append(base+9, 200))
		must(t, x.Trim())
		must(t, x.Close())
		f, err := fs.OpenFile("x.index", os.O_RDWR, 0)
		must(t, err)
		must(t, f.Truncate(int64(16+tail)))
		must(t, f.Close())
		r, err := index.OpenOffset(fs, "x.index", base, 1000)
		must(t, err)
		if r.Count() != 2 {
			t.Errorf("tail of %d: %d entries", tail, r.Count())
		}
		must(t, r.Close())
		must(t, fs.Remove("x.index"))
	}
}

func TestCorruptIndexIsRefused(t *testing.T) {
	entry := func(offset, position uint32) []byte {
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, offset), position)
	}
	times := func(ts uint64, offset uint32) []byte {
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, ts), offset)
	}
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	offsets := map[string][]byte{
		"size":                join(entry(1, 1), []byte{1, 2, 3}),
		"offset falls":        join(entry(5, 10), entry(4, 20)),
		"offset stands":       join(entry(5, 10), entry(5, 20)),
		"position falls":      join(entry(5, 10), entry(6, 9)),
		"past the log":        join(entry(5, 10), entry(6, 1000)),
		"offset too far":      entry(1<<31, 10),
		"zeros in the middle": join(entry(5, 10), entry(0, 0), entry(7, 30)),
	}
	for name, data := range offsets {
		fs := memfs.New()
		put(t, fs, "x", data)
		_, err := index.OpenOffset(fs, "x", base, 1000)
		var corrupt *index.CorruptError
		if !errors.As(err, &corrupt) {
			t.Errorf("offset index, %s: %v", name, err)
		}
	}
	stamps := map[string][]byte{
		"size":           join(times(1, 1), []byte{0, 0, 9}),
		"time falls":     join(times(9, 1), times(8, 2)),
		"time stands":    join(times(9, 1), times(9, 2)),
		"time negative":  times(1<<63, 2),
		"offset falls":   join(times(9, 3), times(10, 2)),
		"past the log":   times(9, 500),
		"offset too far": times(9, 1<<31),
	}
	for name, data := range stamps {
		fs := memfs.New()
		put(t, fs, "x", data)
		_, err := index.OpenTime(fs, "x", base, base+500)
		var corrupt *index.CorruptError
		if !errors.As(err, &corrupt) {
			t.Errorf("time index, %s: %v", name, err)
		}
	}
}

// TestSpaceIsTakenInSteps: nothing before the first entry, little after it, and no more
// than the entries after Trim.
func TestSpaceIsTakenInSteps(t *testing.T) {
	fs := memfs.New()
	x, err := index.CreateOffset(fs, "x", base, 10<<20, 0)
	must(t, err)
	if _, err := fs.Stat("x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file before the first entry: %v", err)
	}
	must(t, x.Append(base+1, 1))
	if size := sizeOf(t, fs, "x"); size > 4096 {
		t.Errorf("one entry took %d bytes", size)
	}
	for i := range int64(2000) {
		must(t, x.Append(base+2+i, 2+i))
	}
	must(t, x.Trim())
	if size := sizeOf(t, fs, "x"); size != 2001*8 {
		t.Errorf("%d bytes after trimming 2001 entries", size)
	}
	must(t, x.Append(base+5000, 5000)) // grows again after a trim
	if e, ok, err := x.Lookup(base + 6000); err != nil || !ok || e.Position != 5000 {
		t.Errorf("after growing again: %v, %v, %v", e, ok, err)
	}
	must(t, x.Close())
}

// TestFullIndex: Reserve refuses, and the time index keeps a slot for the roll.
func TestFullIndex(t *testing.T) {
	fs := memfs.New()
	x, err := index.CreateOffset(fs, "x", base, 4*8+5, 0)
	must(t, err)
	for i := range int64(4) {
		if x.IsFull() {
			t.Fatalf("full at %d of 4", i)
		}
		must(t, x.Append(base+1+i, 1+i))
	}
	if err := x.Reserve(1); !errors.Is(err, index.ErrFull) || !x.IsFull() {
		t.Errorf("fifth entry of four: %v", err)
	}
	must(t, x.Close())
	y, err := index.CreateTime(fs, "y", base, 3*12, 0)
	must(t, err)
	must(t, y.MaybeAppend(1, base))
	must(t, y.MaybeAppend(2, base))
	if !y.IsFull() {
		t.Error("the last slot is not kept")
	}
	must(t, y.MaybeAppend(3, base))
	must(t, y.Close())
}

// TestFullDiskChangesNothing: ENOSPC at Reserve, then room again.
func TestFullDiskChangesNothing(t *testing.T) {
	full := true
	fs := errorfs.Wrap(memfs.New(), func(op errorfs.Op) errorfs.Fault {
		if full && op.Kind == errorfs.Allocate {
			return errorfs.Fault{Err: syscall.ENOSPC}
		}
		return errorfs.Fault{}
	})
	x, err := index.CreateOffset(fs, "x", base, 4096, 0)
	must(t, err)
	if err := x.Append(base+1, 1); !errors.Is(err, syscall.ENOSPC) || x.Count() != 0 {
		t.Fatalf("append on a full disk: %v, count %d", err, x.Count())
	}
	full = false
	must(t, x.Append(base+1, 1))
	if e, ok, err := x.Lookup(base + 1); err != nil || !ok || e.Position != 1 {
		t.Errorf("after room was made: %v, %v, %v", e, ok, err)
	}
	must(t, x.Close())
}

func TestTruncate(t *testing.T) {
	rng := testkit.Rand(t)
	fs := memfs.New()
	entries := offsetsOf(rng, 300)
	x, err := index.CreateOffset(fs, "x", base, 1<<20, 0)
	must(t, err)
	y, err := index.CreateTime(fs, "y", base, 1<<20, 0)
	must(t, err)
	for i, e := range entries {
		must(t, x.Append(e.Offset, e.Position))
		must(t, y.MaybeAppend(int64(i), e.Offset))
	}
	cut := entries[120].Offset
	must(t, x.TruncateTo(cut))
	must(t, y.TruncateTo(cut))
	if x.Count() != 120 || y.Count() != 120 {
		t.Fatalf("%d and %d entries, want 120", x.Count(), y.Count())
	}
	must(t, x.Append(cut, entries[120].Position))
	if err := x.Append(cut, entries[120].Position+1); err == nil {
		t.Error("an entry that does not grow was taken")
	}
	must(t, x.TruncateTo(base))
	must(t, x.Append(base, 0))
	must(t, x.Close())
	must(t, y.Close())
}

// TestLookupsSeePublishedEntriesOnly: bytes behind the count are no entries.
func TestLookupsSeePublishedEntriesOnly(t *testing.T) {
	fs := memfs.New()
	x, err := index.CreateOffset(fs, "x", base, 4096, 0)
	must(t, err)
	must(t, x.Append(base+10, 100))
	must(t, x.Append(base+20, 200))
	must(t, x.TruncateTo(base+15)) // leaves (20, 200) behind the count
	e, ok, err := x.Lookup(base + 1<<20)
	if err != nil || !ok || e != (index.OffsetEntry{Offset: base + 10, Position: 100}) {
		t.Errorf("lookup beyond the end: %v, %v, %v", e, ok, err)
	}
	must(t, x.Close())
}

// TestReadersBesideTheWriter runs lookups while entries are appended; memfs's mappings are
// heap memory, so the race detector sees a lookup that reads what is not published.
func TestReadersBesideTheWriter(t *testing.T) {
	fs := memfs.New()
	x, err := index.CreateOffset(fs, "x", base, 1<<16, 0)
	must(t, err)
	stop := make(chan struct{})
	done := make(chan error, 2)
	for range 2 {
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				count := int64(x.Count())
				e, ok, err := x.Lookup(base + 1<<30)
				missing := count > 0 && !ok
				torn := ok && (e.Position != (e.Offset-base)*7 || e.Offset-base < count)
				if err != nil || missing || torn {
					done <- errors.New("a lookup saw a torn or stale entry")
					return
				}
			}
		}()
	}
	for i := int64(1); i <= 8000; i++ {
		must(t, x.Append(base+i, i*7))
	}
	close(stop)
	for range 2 {
		must(t, <-done)
	}
	must(t, x.Close())
}

func TestTxnIndex(t *testing.T) {
	fs := memfs.New()
	txns := []index.AbortedTxn{{ProducerID: 7, FirstOffset: 3, LastOffset: 9, LastStableOffset: 3}, {ProducerID: 8, FirstOffset: 5, LastOffset: 12, LastStableOffset: 10}}
	for i, x := range txns {
		must(t, index.WriteTxn(fs, "x.txnindex", i, x))
	}
	got, err := index.ReadTxns(fs, "x.txnindex")
	if err != nil || len(got) != 2 || got[0] != txns[0] || got[1] != txns[1] {
		t.Fatalf("%v, %v", got, err)
	}
	if size := sizeOf(t, fs, "x.txnindex"); size != 2*index.TxnEntryBytes {
		t.Errorf("%d bytes", size)
	}
	must(t, index.TruncateTxns(fs, "x.txnindex", 1))
	if got, err = index.ReadTxns(fs, "x.txnindex"); err != nil || len(got) != 1 {
		t.Errorf("after truncation: %v, %v", got, err)
	}
	if got, err = index.ReadTxns(fs, "absent"); err != nil || got != nil {
		t.Errorf("absent file: %v, %v", got, err)
	}
	put(t, fs, "torn", txns[0].AppendTo(nil)[:20])
	var corrupt *index.CorruptError
	if _, err = index.ReadTxns(fs, "torn"); !errors.As(err, &corrupt) {
		t.Errorf("torn entry: %v", err)
	}
}

func put(t testing.TB, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	must(t, err)
	_, err = f.WriteAt(data, 0)
	must(t, err)
	must(t, f.Close())
}

func sizeOf(t testing.TB, fs vfs.FS, name string) int64 {
	t.Helper()
	info, err := fs.Stat(name)
	must(t, err)
	return info.Size()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
