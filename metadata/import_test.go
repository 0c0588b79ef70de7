package metadata_test

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	. "github.com/millrace/millrace/metadata"
)

const formerFile = "/data/millrace-metadata"

func formerDisk(t *testing.T) *memfs.FS {
	t.Helper()
	dump, err := os.ReadFile(filepath.Join("testdata", "metadata-file.hex"))
	if err != nil {
		t.Fatal(err)
	}
	content, err := hex.DecodeString(regexp.MustCompile(`(?m)^[0-9a-f]{8} |\|.*\|$|\s`).ReplaceAllString(string(dump), ""))
	if err != nil {
		t.Fatal(err)
	}
	disk := memfs.New()
	must(t, disk.MkdirAll("/data", 0o755))
	must(t, disk.SyncDir("/"))
	f, err := disk.OpenFile(formerFile, os.O_CREATE|os.O_RDWR, 0o644)
	must(t, err)
	_, err = f.WriteAt(content, 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	must(t, disk.SyncDir("/data"))
	return disk
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportFile(t *testing.T) {
	q, _ := newQuorum(t)
	s := q.Open(t)
	disk := formerDisk(t)
	if done, err := ImportFile(t.Context(), disk, formerFile, s); !done || err != nil {
		t.Fatalf("%t, %v", done, err)
	}
	if get(t, s, "/controller_epoch") != "2" || get(t, s, "/brokers/ids/1") != "(none)" || get(t, s, "/brokers/ids") != "" {
		t.Error("the tree is not what it was, ephemerals apart")
	}
	if _, err := disk.Stat(formerFile + ImportedSuffix); err != nil {
		t.Error(err)
	}
	if done, err := ImportFile(t.Context(), disk, formerFile, s); done || err != nil {
		t.Errorf("a second time: %t, %v", done, err)
	}
}

// dying is a store whose process ends after some multis.
type dying struct {
	Store
	left int
}

var errDied = errors.New("the process ends")

func (d *dying) Multi(ctx context.Context, ops ...Op) (Result, error) {
	if d.left--; d.left < 0 {
		return Result{}, errDied
	}
	return d.Store.Multi(ctx, ops...)
}

// Whenever the process ends or the disk's power, the next start has the whole tree.
func TestImportIsInterrupted(t *testing.T) {
	seed := testkit.Seed(t)
	for cut := range 12 {
		rng := testkit.NewRand(seed + uint64(cut))
		q, _ := newQuorum(t)
		disk := formerDisk(t)
		var image *memfs.FS
		calls := 0
		fsys := errorfs.Wrap(disk, func(errorfs.Op) errorfs.Fault {
			if calls == cut {
				image = disk.CrashClone(rng, rng.IntN(101))
			}
			calls++
			return errorfs.Fault{}
		})
		_, err := ImportFile(t.Context(), fsys, formerFile, &dying{q.Open(t), cut % 3})
		if err != nil && !errors.Is(err, errDied) {
			t.Fatal(err)
		}
		if image == nil {
			image = disk
		}
		s := q.Open(t)
		done, err := ImportFile(t.Context(), image, formerFile, s)
		if err != nil || get(t, s, "/controller_epoch") != "2" {
			t.Errorf("SEED=%d, cut %d: %t, %v, %s", seed, cut, done, err, get(t, s, "/controller_epoch"))
		}
	}
}

func TestDamagedFileIsRefused(t *testing.T) {
	q, _ := newQuorum(t)
	disk := formerDisk(t)
	f, err := disk.OpenFile(formerFile, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("J"), 60)
	must(t, err)
	must(t, f.Close())
	var format *FormatError
	if _, err := ImportFile(t.Context(), disk, formerFile, q.Open(t)); !errors.As(err, &format) || !strings.Contains(err.Error(), formerFile) {
		t.Errorf("got %v", err)
	}
	if leaks := disk.Leaks(); len(leaks) > 0 {
		t.Errorf("left open: %v", leaks)
	}
}
