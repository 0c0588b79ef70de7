package segment

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// TestWhatLiesBehindACutIsShown damages each batch of a log of several segments in turn: all
// whole batches behind it are shown, in order and with the place of the cut; an error leaves
// the log as it is, and without one it is cut there.
func TestWhatLiesBehindACutIsShown(t *testing.T) {
	const batches = 12
	type place struct {
		name     string
		position int64
		size     int
	}
	make := func() (*memfs.FS, []place) {
		disk := memfs.New()
		must(t, disk.MkdirAll("log", 0o755))
		cfg := smallConfig()
		cfg.SegmentBytes = 1000
		c, _, err := Open(Options{FS: disk, Clock: clock.Real{}, Dir: "log", Mode: Pwrite}, cfg, Recovery{})
		must(t, err)
		values := rand.New(rand.NewSource(1))
		for i := range int64(batches) {
			b := makeBatch(t, values, i*3, 3, 1000, 50, compress.None)
			must(t, c.Append(b, lastIsLatest(b)))
		}
		var places []place
		must(t, c.Scan(0, func(b record.Batch, pos, base int64) error {
			places = append(places, place{fileName("log", base, logSuffix), pos, len(b)})
			return nil
		}))
		_, err = c.Sync()
		must(t, err)
		c.Kill()
		return disk, places
	}
	_, places := make()
	if places[batches-1].name == places[0].name {
		t.Fatal("one segment only")
	}
	refused := errors.New("refused")
	for bad := range places {
		for _, at := range []int{0, 10, 20, 61, places[bad].size - 1} {
			disk, _ := make()
			f, err := disk.OpenFile(places[bad].name, 2, 0)
			must(t, err)
			_, err = f.WriteAt([]byte{0xf1}, places[bad].position+int64(at))
			must(t, err)
			must(t, f.Close())
			var shown []int64
			open := func(answer error) (*Chain, error) {
				shown = nil
				c, _, err := Open(Options{FS: disk, Clock: clock.Real{}, Dir: "log", Mode: Pwrite}, smallConfig(), Recovery{
					Behind: func(d Damage, b record.Batch) error {
						if d.Name != places[bad].name || d.Position != places[bad].position || d.Next != int64(bad)*3 {
							t.Fatalf("damage of batch %d at %+v is told as %+v", bad, places[bad], d)
						}
						shown = append(shown, b.BaseOffset()/3)
						if len(shown) == batches-1-bad {
							return answer
						}
						return nil
					},
				})
				return c, err
			}
			var want []int64
			for i := bad + 1; i < batches; i++ {
				want = append(want, int64(i))
			}
			if bad < batches-1 {
				if _, err := open(refused); !errors.Is(err, refused) {
					t.Fatalf("batch %d byte %d: %v, shown %v", bad, at, err, shown)
				}
			}
			c, err := open(nil)
			must(t, err)
			if !slices.Equal(shown, want) {
				t.Fatalf("batch %d byte %d: shown %v, want %v", bad, at, shown, want)
			}
			if got := fmt.Sprint(c.NextOffset()); got != fmt.Sprint(bad*3) {
				t.Fatalf("batch %d byte %d: the log ends at %s", bad, at, got)
			}
			c.Kill()
		}
	}
}

// TestVisitAtTellsThePlace compares it with a scan.
func TestVisitAtTellsThePlace(t *testing.T) {
	disk := memfs.New()
	must(t, disk.MkdirAll("log", 0o755))
	o := Options{FS: disk, Clock: clock.Real{}, Dir: "log", Mode: Pwrite}
	cfg := smallConfig()
	cfg.SegmentBytes = 500
	c, _, err := Open(o, cfg, Recovery{})
	must(t, err)
	values := rand.New(rand.NewSource(1))
	for i := range int64(20) {
		b := makeBatch(t, values, i, 1, 1000, 50, compress.None)
		must(t, c.Append(b, lastIsLatest(b)))
	}
	var want, got []string
	must(t, c.Scan(0, func(b record.Batch, pos, base int64) error {
		want = append(want, fmt.Sprint(b.BaseOffset(), fileName("log", base, logSuffix), pos))
		return nil
	}))
	c.Kill()
	c, _, err = Open(o, cfg, Recovery{VisitAt: func(b record.Batch, name string, position int64) error {
		got = append(got, fmt.Sprint(b.BaseOffset(), name, position))
		return nil
	}})
	must(t, err)
	c.Kill()
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
