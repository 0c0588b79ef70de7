package diskfull

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
)

// TestEngineOnAFullDisk runs everywhere, so that the stand-in is known to work.
func TestEngineOnAFullDisk(t *testing.T) { engineOnAFullDisk(t) }

func engineOnAFullDisk(t *testing.T) {
	disk := memfs.NewWith(memfs.Options{CapacityBytes: 4 << 20, ReserveBytes: 1 << 20})
	config := engine.DefaultConfig()
	config.SegmentBytes, config.FileDeleteDelayMs, config.RetentionMs = 256<<10, 0, -1
	open := func() *engine.Log {
		l, err := engine.OpenLog(context.Background(), engine.LogOptions{Dir: "/data", FS: disk, Config: &config})
		must(t, err)
		l.SetHighWatermark(l.LogEndOffset())
		return l
	}
	l := open()
	var full *engine.DiskFullError
	err := error(nil)
	for err == nil {
		_, err = l.AppendAsLeader(batchOf(t, 20_000), 0, engine.Client)
	}
	if !errors.As(err, &full) {
		t.Fatalf("a full disk is reported as %v", err)
	}
	end := l.LogEndOffset()
	if end < 100 {
		t.Fatalf("full after %d records of 20 KB on a disk of 4 MiB", end)
	}
	readAll(t, l, 0, end)
	// Without space for the last snapshot the stop is not clean, and says so.
	if err := l.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}

	disk.SetCapacity(1) // and not a block more
	l = open()
	readAll(t, l, 0, end)
	if _, err := l.AppendAsLeader(batchOf(t, 20_000), 0, engine.Client); !errors.As(err, &full) {
		t.Errorf("append after a start on the full disk: %v", err)
	}
	_, err = l.DeleteRecordsBefore(end / 2)
	must(t, err)
	deleted, err := l.EnforceRetention(time.Now())
	if err != nil || deleted == 0 {
		t.Errorf("retention on the full disk removed %d segments: %v", deleted, err)
	}
	disk.SetCapacity(4 << 20)
	a, err := l.AppendAsLeader(batchOf(t, 20_000), 0, engine.Client)
	if err != nil || a.FirstOffset != end {
		t.Errorf("with space again: appended at %d, %v; want %d", a.FirstOffset, err, end)
	}
	readAll(t, l, end/2, end+1)
	must(t, l.Close())
	if left := disk.Leaks(); len(left) > 0 {
		t.Errorf("left open: %q", left)
	}
}

func batchOf(t *testing.T, valueBytes int) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{})
	b.Append(1_700_000_000_000, nil, make([]byte, valueBytes))
	batch, err := b.Finish()
	must(t, err)
	return batch
}

// readAll reads [from, end) and checks that each batch is there and whole.
func readAll(t *testing.T, l *engine.Log, from, end int64) {
	t.Helper()
	for at := from; at < end; {
		b, err := l.ReadBatch(at, nil)
		must(t, err)
		if b.BaseOffset() != at || b.CheckCRC() != nil {
			t.Fatalf("batch at %d: base offset %d, %v", at, b.BaseOffset(), b.CheckCRC())
		}
		at = b.NextOffset()
	}
}
