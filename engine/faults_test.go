package engine

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

// TestEachCallFailsInTurn runs one life of a store again and again, failing each of its
// calls to the file system with each error. Whatever fails, what was acknowledged as synced
// is there after a power cut, in order and unchanged, nothing leaks and nothing panics.
func TestEachCallFailsInTurn(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		rule func(int64, errorfs.Fault, errorfs.Match) errorfs.Rule
	}{
		{"EIO once", syscall.EIO, errorfs.Once},
		{"EIO from then on", syscall.EIO, errorfs.From},
		{"ENOSPC once", syscall.ENOSPC, errorfs.Once},
		{"ENOSPC from then on", syscall.ENOSPC, errorfs.From},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && strings.HasSuffix(c.name, "from then on") {
				t.Skip("the long half")
			}
			match := errorfs.All()
			if c.err == syscall.ENOSPC {
				match = errorfs.Kinds(errorfs.Create, errorfs.Write, errorfs.Allocate, errorfs.MkdirAll)
			}
			runs := errorfs.EachCall(c.rule, errorfs.Fault{Err: c.err, PartBytes: 30}, match, func(n int64, rule errorfs.Rule) bool {
				disk := memfs.New()
				synced := faultyLife(t, errorfs.Wrap(disk, rule))
				if leaks := disk.Leaks(); len(leaks) > 0 {
					t.Errorf("call %d: left open %q", n, leaks)
				}
				if v := disk.Violations(); len(v) > 0 {
					t.Errorf("call %d: %q", n, v)
				}
				checkSurvivors(t, n, disk, synced)
				return !t.Failed()
			})
			t.Logf("%d runs", runs)
			if runs < 40 {
				t.Error("too few calls were seen")
			}
		})
	}
}

// memEnv is a store in memory with small segments that logs nothing.
func memEnv(t *testing.T, fsys vfs.FS) *env {
	e := &env{fs: fsys, clock: testkit.NewClock(testStart), dir: "/data"}
	e.opts = e.storeOptions(t)
	e.opts.DefaultConfig.SegmentBytes = 1000
	e.opts.DefaultConfig.IndexMaxBytes = 64 << 10 // each of its files is memory, which is looked through when it is closed
	e.opts.Log = quiet()
	return e
}

// faultyLife opens, appends, flushes, rolls, deletes and closes, twice, and goes on after
// errors. It returns the batches that were acknowledged as durable, at their offsets.
func faultyLife(t *testing.T, fsys vfs.FS) map[int64][]byte {
	synced := make(map[int64][]byte)
	e := memEnv(t, fsys)
	for life := range 2 {
		s, err := OpenStore(context.Background(), e.opts)
		if err != nil {
			continue
		}
		l, err := s.Create(TopicPartition{"t", 0}, [16]byte{1}, e.opts.DefaultConfig)
		if err == nil {
			for i := range 12 {
				b := batch(t, 1, fmt.Sprint(life, i), strings.Repeat("y", 100))
				a, err := l.AppendAsLeader(b, int32(life), Client)
				if err != nil {
					continue
				}
				if i%4 == 3 && waitSynced(l, a.NextOffset) == nil {
					for _, b := range readable(l) {
						synced[b.base] = b.data
					}
				}
			}
			l.SetHighWatermark(l.LogEndOffset())
			l.EnforceRetention(testStart)
		}
		if life == 0 {
			s.Close(context.Background())
		} else {
			s.Kill()
		}
	}
	return synced
}

type stored struct {
	base int64
	data []byte
}

// readable is what can be read below the synced offset now; errors end it.
func readable(l *Log) (list []stored) {
	for offset := l.LogStartOffset(); offset < l.SyncedOffset(); {
		b, err := l.ReadBatch(offset, nil)
		if err != nil {
			return list
		}
		list = append(list, stored{b.BaseOffset(), bytes.Clone(b)})
		offset = b.NextOffset()
	}
	return list
}

func checkSurvivors(t *testing.T, n int64, disk *memfs.FS, synced map[int64][]byte) {
	t.Helper()
	e := memEnv(t, disk.CrashClone(newRand(uint64(n)), int(n*37%101)))
	s, err := OpenStore(context.Background(), e.opts)
	if err != nil {
		t.Errorf("call %d: after a power cut: %v", n, err)
		return
	}
	defer s.Kill()
	l, ok := s.Get(TopicPartition{"t", 0})
	if !ok {
		if len(synced) > 0 {
			t.Errorf("call %d: the partition is gone", n)
		}
		return
	}
	if err := l.Failure(); err != nil {
		t.Errorf("call %d: %v", n, err)
		return
	}
	for _, b := range readAll(t, l, l.LogStartOffset()) {
		if want, ok := synced[b.BaseOffset()]; ok && !bytes.Equal(want, b) {
			t.Errorf("call %d: the batch at %d changed", n, b.BaseOffset())
		}
		delete(synced, b.BaseOffset())
	}
	if len(synced) > 0 {
		t.Errorf("call %d: %d synced batches are gone; log %d to %d", n, len(synced), l.LogStartOffset(), l.LogEndOffset())
	}
}
