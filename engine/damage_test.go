package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record"
)

// damagedDir writes a log of several segments with every kind of file beside it and stops
// cleanly. It returns the batches that were written.
func damagedDir(t *testing.T) (*env, []record.Batch) {
	t.Helper()
	e := newEnv(t)
	e.opts.DefaultConfig.SegmentBytes = 1500
	e.opts.DefaultConfig.IndexIntervalBytes = 200
	e.opts.Log = quiet()
	s := e.open(t)
	l := mustCreate(t, s, "t", e.opts.DefaultConfig)
	for i := range 20 {
		b := idempotent(t, 5, 0, int32(2*i), fmt.Sprint("value ", i), strings.Repeat("z", 120))
		if _, err := l.AppendAsLeader(b, int32(i/7), Client); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	l.SetHighWatermark(40)
	want := readAll(t, l, 0)
	mustClose(t, s)
	return e, want
}

// checkServed opens a damaged directory: what is served must be a prefix of what was
// written, byte for byte, or nothing with an error; and appends go on where it ends.
func checkServed(t *testing.T, e *env, want []record.Batch, what string) (served int) {
	t.Helper()
	s, err := OpenStore(context.Background(), e.opts)
	var setup *SetupError
	if errors.As(err, &setup) {
		return 0
	}
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return 0
	}
	defer s.Kill()
	l, ok := s.Get(TopicPartition{"t", 0})
	if !ok {
		t.Errorf("%s: the partition is gone", what)
		return 0
	}
	if l.Failure() != nil {
		if _, err := l.Read(0, 100, 100, true); err == nil {
			t.Errorf("%s: failed, but served", what)
		}
		return 0
	}
	got := readAll(t, l, l.LogStartOffset())
	if len(got) > len(want) {
		t.Errorf("%s: %d batches, %d were written", what, len(got), len(want))
		return 0
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("%s: the batch at %d is not what was written", what, want[i].BaseOffset())
			return 0
		}
	}
	end := l.LogEndOffset()
	if a := mustAppend(t, l, batch(t, testStart.UnixMilli(), "next")); a.FirstOffset != end {
		t.Errorf("%s: the next append is at %d, the log ended at %d", what, a.FirstOffset, end)
	}
	return len(got)
}

func copyEnv(t *testing.T, e *env) *env {
	t.Helper()
	c := newEnv(t)
	copyTree(t, e.dir, c.dir)
	dirs := c.opts.Dirs
	c.opts = e.opts
	c.opts.Dirs = dirs
	return c
}

// TestDamagedLogs cuts and changes the records after a crash that reached everything.
func TestDamagedLogs(t *testing.T) {
	e, want := damagedDir(t)
	os.Remove(filepath.Join(e.dir, checkpoint.CleanShutdownFile))
	os.Remove(filepath.Join(e.dir, checkpoint.RecoveryPointFile))
	logs, err := filepath.Glob(filepath.Join(e.dir, "t-0", "*.log"))
	if err != nil || len(logs) < 3 {
		t.Fatal(logs, err)
	}
	rng := testkit.Rand(t)
	before := 0 // batches in the segments before
	for _, name := range logs {
		rel, _ := filepath.Rel(e.dir, name)
		data := mustRead(t, name)
		for range 12 {
			at := rng.IntN(len(data))
			if inLeaderEpoch(t, data, at) {
				continue // the CRC leaves it out, and any number may be right
			}
			c := copyEnv(t, e)
			path := filepath.Join(c.dir, rel)
			what := fmt.Sprintf("%s cut at %d", rel, at)
			if rng.IntN(2) == 0 {
				what = fmt.Sprintf("%s changed at %d", rel, at)
				bad := bytes.Clone(data)
				bad[at] ^= byte(1 + rng.IntN(255))
				mustWrite(t, path, bad)
			} else {
				mustWrite(t, path, data[:at])
			}
			whole := before + countBatches(t, data[:at])
			if got := checkServed(t, c, want, what); got < whole {
				t.Errorf("%s: %d batches are served, %d were whole", what, got, whole)
			}
		}
		before += countBatches(t, data)
	}
}

func inLeaderEpoch(t *testing.T, data []byte, at int) bool {
	t.Helper()
	for {
		b, rest, err := record.Next(data)
		if err != nil {
			t.Fatal(err)
		}
		if at < len(b) {
			return at >= 12 && at < 16
		}
		data, at = rest, at-len(b)
	}
}

func countBatches(t *testing.T, data []byte) (n int) {
	t.Helper()
	for len(data) > 0 {
		_, rest, err := record.Next(data)
		if err != nil {
			return n
		}
		data = rest
		n++
	}
	return n
}

// TestDamagedSmallFiles changes, cuts and empties every other file, after a clean stop and
// after a crash: nothing of the log may be lost or wrong for it.
func TestDamagedSmallFiles(t *testing.T) {
	e, want := damagedDir(t)
	rng := testkit.Rand(t)
	err := filepath.WalkDir(e.dir, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(e.dir, path)
		if err != nil || d.IsDir() || filepath.Ext(path) == ".log" || d.Name() == checkpoint.LockFile {
			return err
		}
		data := mustRead(t, path)
		for i := range 6 {
			c := copyEnv(t, e)
			clean := i%2 == 0
			if !clean {
				os.Remove(filepath.Join(c.dir, checkpoint.CleanShutdownFile))
			}
			damaged := damage(data, i/2, rng.IntN(max(len(data), 1)))
			what := fmt.Sprintf("%s damaged (%d), clean %v", rel, i/2, clean)
			if d.Name() == checkpoint.CleanShutdownFile {
				damaged = data // its presence is all that counts
			}
			mustWrite(t, filepath.Join(c.dir, rel), damaged)
			got := checkServed(t, c, want, what)
			identity := d.Name() == checkpoint.MetaPropertiesFile // may refuse the start
			start := d.Name() == checkpoint.LogStartFile          // may say anything
			if got != len(want) && !identity && !start {
				t.Errorf("%s: %d of %d batches are served", what, got, len(want))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func damage(data []byte, how, at int) []byte {
	switch {
	case how == 0:
		return []byte("\x00\xffdamaged\n")
	case how == 1 || len(data) == 0:
		return data[:min(at, len(data))]
	}
	bad := bytes.Clone(data)
	bad[at] ^= 0x55
	return bad
}

// TestProducersAreRebuiltWithoutSnapshots removes and damages the snapshots after a crash.
func TestProducersAreRebuiltWithoutSnapshots(t *testing.T) {
	e, want := damagedDir(t)
	os.Remove(filepath.Join(e.dir, checkpoint.CleanShutdownFile))
	names, err := filepath.Glob(filepath.Join(e.dir, "t-0", "*"+snapshotSuffix))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		mustWrite(t, name, []byte("damaged"))
	}
	l, _ := e.open(t).Get(TopicPartition{"t", 0})
	last := want[len(want)-1]
	if a := mustAppend(t, l, bytes.Clone(last)); !a.Duplicate || a.FirstOffset != last.BaseOffset() {
		t.Errorf("%+v", a)
	}
}
