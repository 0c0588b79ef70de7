package engine

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/record"
)

// testStart lies shortly after the golden directories were written.
var testStart = time.UnixMilli(1_790_000_000_000)

type env struct {
	fs    vfs.FS
	clock *testkit.Clock
	dir   string
	opts  StoreOptions
}

// newEnv is a store's surroundings on the real file system, with a clock that stands still.
func newEnv(t testing.TB) *env {
	t.Helper()
	e := &env{fs: osfs.FS{}, clock: testkit.NewClock(testStart), dir: t.TempDir()}
	e.opts = e.storeOptions(t)
	return e
}

func (e *env) storeOptions(t testing.TB) StoreOptions {
	rng := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	cfg := DefaultConfig()
	cfg.RetentionMs = -1
	return StoreOptions{
		FS: e.fs, Clock: e.clock, Log: testkit.Logger(t), Dirs: []string{e.dir},
		DefaultConfig: cfg, Inline: true,
		Random: func(n int64) int64 {
			mu.Lock()
			defer mu.Unlock()
			return rng.Int64N(n)
		},
	}
}

func (e *env) open(t testing.TB) *Store {
	t.Helper()
	s, err := OpenStore(context.Background(), e.opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func mustCreate(t testing.TB, s *Store, topic string, cfg Config) *Log {
	t.Helper()
	l, err := s.Create(TopicPartition{topic, 0}, [16]byte{1}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// batch builds a batch of records with these values, as a client without idempotence does.
func batch(t testing.TB, tsMs int64, values ...string) record.Batch {
	t.Helper()
	return batchOf(t, record.BuilderOptions{}, tsMs, values...)
}

func batchOf(t testing.TB, o record.BuilderOptions, tsMs int64, values ...string) record.Batch {
	t.Helper()
	b := record.NewBuilder(o)
	for _, v := range values {
		b.Append(tsMs, []byte("k"), []byte(v))
	}
	out, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func idempotent(t testing.TB, id int64, epoch int16, seq int32, values ...string) record.Batch {
	t.Helper()
	p := record.Producer{ID: id, Epoch: epoch, BaseSequence: seq}
	return batchOf(t, record.BuilderOptions{Producer: &p}, testStart.UnixMilli(), values...)
}

func mustAppend(t testing.TB, l *Log, b record.Batch) Appended {
	t.Helper()
	a, err := l.AppendAsLeader(b, 0, Client)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// readAll reads the batches from offset to the log's end.
func readAll(t testing.TB, l *Log, offset int64) []record.Batch {
	t.Helper()
	var out []record.Batch
	for end := l.LogEndOffset(); offset < end; {
		rng, err := l.Read(offset, 64<<10, end, true)
		if err != nil {
			t.Fatalf("read at %d of %s: %v", offset, l.TopicPartition(), err)
		}
		if rng.LenBytes == 0 {
			break
		}
		buf := make([]byte, rng.LenBytes)
		err = rng.CopyTo(buf)
		rng.Release()
		if err != nil {
			t.Fatal(err)
		}
		for len(buf) > 0 {
			b, rest, err := record.Next(buf)
			if err != nil {
				t.Fatalf("read at %d: %v", offset, err)
			}
			if err := b.CheckCRC(); err != nil {
				t.Fatalf("read at %d: %v", offset, err)
			}
			out, buf, offset = append(out, b), rest, b.NextOffset()
		}
	}
	return out
}

// values reads all records' values.
func values(t testing.TB, l *Log) (offsets []int64, vals []string) {
	t.Helper()
	for _, b := range readAll(t, l, l.LogStartOffset()) {
		err := b.Iterate(nil, func(r *record.Record) error {
			if r.Offset >= l.LogStartOffset() {
				offsets, vals = append(offsets, r.Offset), append(vals, string(r.Value))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return offsets, vals
}

// waiter collects the answer of one WhenSynced.
type waiter chan error

func (w waiter) Synced(err error) { w <- err }

func waitSynced(l *Log, offset int64) error {
	w := make(waiter, 1)
	l.WhenSynced(offset, w)
	return <-w
}

func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func mustWrite(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// resealCRC makes a batch that was changed by hand valid again.
func resealCRC(b record.Batch) {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
}

func newRand(seed uint64) *rand.Rand { return testkit.NewRand(seed) }

// quiet drops what is logged: thousands of expected failures.
func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
