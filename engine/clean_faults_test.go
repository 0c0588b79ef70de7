package engine

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// TestEachCallOfACleaningFails fails each call to the file system that a cleaning makes, with
// each error. Whatever fails, the newest record of each key is there after a power cut, and
// before it if the log is still served; nothing leaks; after a full disk and a want of
// descriptors the next cleaning does all that is left to do.
func TestEachCallOfACleaningFails(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		match errorfs.Match
		again bool // the failure passes
	}{
		"EIO":    {syscall.EIO, errorfs.All(), false},
		"ENOSPC": {syscall.ENOSPC, errorfs.Kinds(errorfs.Create, errorfs.Write), true},
		"EMFILE": {syscall.EMFILE, errorfs.Kinds(errorfs.Open, errorfs.Create), true},
	} {
		t.Run(name, func(t *testing.T) {
			runs := errorfs.EachCall(errorfs.Once, errorfs.Fault{Err: c.err, PartBytes: 20}, c.match, func(n int64, rule errorfs.Rule) bool {
				disk := memfs.New()
				fs := errorfs.Wrap(disk, nil)
				s, l, want := logForFaults(t, fs)
				fs.SetRule(rule)
				s.Clean()
				fs.SetRule(nil)
				st := s.CleanerStatus()
				if l.Failure() == nil {
					checkNewest(t, n, l, want)
				} else if c.again {
					t.Errorf("call %d: %v", n, l.Failure())
				}
				if c.again {
					if len(st.Uncleanable) > 0 {
						t.Errorf("call %d: set aside: %v", n, st.Uncleanable)
					}
					s.Clean()
					if offsets, _ := values(t, l); len(offsets) != len(want)+1 { // and what is in the active segment
						t.Errorf("call %d: %d records after another cleaning", n, len(offsets))
					}
				}
				e := memEnv(t, disk.CrashClone(newRand(uint64(n)), int(n*37%101)))
				e.opts.DefaultConfig = l.Config()
				after := e.open(t)
				found, ok := after.Get(l.TopicPartition())
				if !ok || found.Failure() != nil {
					t.Errorf("call %d: the partition is gone", n)
					return false
				}
				checkNewest(t, n, found, want)
				after.Kill()
				s.Kill()
				if leaks := disk.Leaks(); len(leaks) > 0 {
					t.Errorf("call %d: left open %q", n, leaks)
				}
				return !t.Failed()
			})
			t.Logf("%d runs", runs)
			if runs < 8 {
				t.Error("too few calls were seen")
			}
		})
	}
}

// logForFaults is a log of several small segments with old records of every key, all durable.
func logForFaults(t *testing.T, fs vfs.FS) (*Store, *Log, map[string]string) {
	e := memEnv(t, fs)
	cfg := &e.opts.DefaultConfig
	cfg.CleanupCompact, cfg.CleanupDelete, cfg.MinCleanableRatio, cfg.SegmentBytes = true, false, 0, 400
	s := e.open(t)
	l := mustCreate(t, s, "t", *cfg)
	want := make(map[string]string)
	for i := range 14 {
		key, value := fmt.Sprint("k", i%5), fmt.Sprint("value ", i)
		putBatch(t, l, record.BuilderOptions{Codec: compress.Codec(i % 2)}, testStart.UnixMilli(), [2]any{key, []byte(value)})
		want[key] = value
	}
	roll(t, l)
	put(t, l, testStart.UnixMilli(), "active", val)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	return s, l, want
}

func checkNewest(t *testing.T, n int64, l *Log, want map[string]string) {
	t.Helper()
	got := make(map[string]string)
	for _, b := range readAll(t, l, 0) {
		err := b.Iterate(nil, func(r *record.Record) error {
			got[string(r.Key)] = string(r.Value)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("call %d: %s is %q, want %q", n, key, got[key], value)
		}
	}
}

// TestProducersSurviveACrashAtAnyCallOfACleaning: their last batches are in segments that are
// joined; a retry must be recognised whatever names recovery finds.
func TestProducersSurviveACrashAtAnyCallOfACleaning(t *testing.T) {
	disk := memfs.New()
	fs := errorfs.Wrap(disk, nil)
	e := memEnv(t, fs)
	cfg := &e.opts.DefaultConfig
	cfg.CleanupCompact, cfg.CleanupDelete, cfg.MinCleanableRatio = true, false, 0
	s := e.open(t)
	l := mustCreate(t, s, "t", *cfg)
	var sent []record.Batch
	for id := range int64(4) {
		b := idempotent(t, id+1, 1, 0, "a", "b")
		mustAppend(t, l, b)
		sent = append(sent, b)
		roll(t, l)
	}
	l.SetHighWatermark(l.LogEndOffset())
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	crashes := 0
	fs.SetRule(func(op errorfs.Op) errorfs.Fault {
		crashes++
		for _, percent := range []int{0, 50, 100} {
			after := memEnv(t, disk.CrashClone(newRand(uint64(crashes)), percent))
			after.opts.DefaultConfig = *cfg
			s := after.open(t)
			l, _ := s.Get(TopicPartition{"t", 0})
			for _, b := range sent {
				a, err := l.AppendAsLeader(bytes.Clone(b), 0, Client)
				if err != nil || !a.Duplicate || a.FirstOffset != b.BaseOffset() {
					t.Errorf("power cut (%d%%) before %v: retry of the batch at %d: %+v, %v", percent, op, b.BaseOffset(), a, err)
				}
			}
			s.Kill()
		}
		return errorfs.Fault{}
	})
	clean(t, s)
	fs.SetRule(nil)
	wantLeft(t, l, "cleaned", "1:empty 3:empty 5:empty 7:k")
	if crashes < 20 {
		t.Errorf("%d crashes", crashes)
	}
}
