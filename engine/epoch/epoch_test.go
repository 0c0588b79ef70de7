package epoch

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/internal/testkit"
)

func cacheOf(entries ...checkpoint.Epoch) *Cache {
	var c Cache
	c.Restore(entries)
	return &c
}

func show(c *Cache) string {
	entries, _ := c.Entries()
	return fmt.Sprint(entries)
}

func TestAssignKeepsBothOrders(t *testing.T) {
	for _, c := range []struct {
		epoch   int32
		start   int64
		want    string
		changed bool
	}{
		{4, 30, "[{0 0} {2 10} {4 20}]", false},
		{4, 15, "[{0 0} {2 10} {4 15}]", true},
		{5, 30, "[{0 0} {2 10} {4 20} {5 30}]", true},
		{5, 20, "[{0 0} {2 10} {5 20}]", true},
		{5, 5, "[{0 0} {5 5}]", true},
		{3, 25, "[{0 0} {2 10} {3 25}]", true},
		{-1, 25, "[{0 0} {2 10} {4 20}]", false},
		{6, -1, "[{0 0} {2 10} {4 20}]", false},
	} {
		cache := cacheOf(checkpoint.Epoch{Epoch: 0, Start: 0}, checkpoint.Epoch{Epoch: 2, Start: 10}, checkpoint.Epoch{Epoch: 4, Start: 20})
		if changed := cache.Assign(c.epoch, c.start); changed != c.changed || show(cache) != c.want || cache.Dirty() != c.changed {
			t.Errorf("Assign(%d, %d): %s %v, want %s %v", c.epoch, c.start, show(cache), changed, c.want, c.changed)
		}
	}
}

// The answers are those of Kafka's LeaderEpochFileCacheTest (KIP-101, KIP-279).
func TestEndOffsetFor(t *testing.T) {
	cache := cacheOf(checkpoint.Epoch{Epoch: 2, Start: 10}, checkpoint.Epoch{Epoch: 4, Start: 20}, checkpoint.Epoch{Epoch: 7, Start: 40})
	for asked, want := range map[int32][2]int64{
		-1: {-1, -1}, 0: {0, 10}, 1: {1, 10}, 2: {2, 20}, 3: {2, 20}, 4: {4, 40}, 6: {4, 40}, 7: {7, 99}, 8: {-1, -1}, 1<<31 - 1: {-1, -1},
	} {
		if epoch, end := cache.EndOffsetFor(asked, 99); int64(epoch) != want[0] || end != want[1] {
			t.Errorf("epoch %d: %d, %d, want %v", asked, epoch, end, want)
		}
	}
	var empty Cache
	if epoch, end := empty.EndOffsetFor(0, 99); epoch != Undefined || end != Undefined {
		t.Error(epoch, end)
	}
}

func TestTruncation(t *testing.T) {
	entries := []checkpoint.Epoch{{Epoch: 0, Start: 0}, {Epoch: 2, Start: 10}, {Epoch: 4, Start: 20}}
	for end, want := range map[int64]string{0: "[]", 1: "[{0 0}]", 10: "[{0 0}]", 11: "[{0 0} {2 10}]", 20: "[{0 0} {2 10}]", 21: "[{0 0} {2 10} {4 20}]"} {
		c := cacheOf(entries...)
		if c.TruncateTail(end); show(c) != want {
			t.Errorf("tail at %d: %s, want %s", end, show(c), want)
		}
	}
	for start, want := range map[int64]string{0: "[{0 0} {2 10} {4 20}]", 5: "[{0 5} {2 10} {4 20}]", 10: "[{2 10} {4 20}]", 19: "[{2 19} {4 20}]", 99: "[{4 99}]"} {
		c := cacheOf(entries...)
		if c.TruncateHead(start); show(c) != want {
			t.Errorf("head at %d: %s, want %s", start, show(c), want)
		}
	}
}

func TestDamagedOrderIsDropped(t *testing.T) {
	if got := show(cacheOf(checkpoint.Epoch{Epoch: 5, Start: 50}, checkpoint.Epoch{Epoch: 3, Start: 30}, checkpoint.Epoch{Epoch: 4, Start: 40})); got != "[{3 30} {4 40}]" {
		t.Error(got)
	}
}

func TestSavedVersions(t *testing.T) {
	var c Cache
	c.Assign(1, 0)
	_, version := c.Entries()
	c.Assign(2, 10)
	if c.Saved(version); !c.Dirty() {
		t.Error("an older version was saved, but nothing is left to save")
	}
	_, version = c.Entries()
	if c.Saved(version); c.Dirty() {
		t.Error("the newest version was saved")
	}
}

// TestRandomAssignmentsMatchTheLog compares the cache with the epochs of every offset of a
// log that leaders append to, followers truncate and retention shortens.
func TestRandomAssignmentsMatchTheLog(t *testing.T) {
	rng := testkit.Rand(t)
	for range 200 {
		var c Cache
		var log []int32 // the epoch of each offset
		start, epoch := int64(0), int32(0)
		for range 100 {
			switch rng.IntN(5) {
			case 0, 1:
				c.Assign(epoch, int64(len(log)))
				log = append(log, slices.Repeat([]int32{epoch}, 1+rng.IntN(5))...)
			case 2:
				epoch += rng.Int32N(3)
			case 3:
				if rng.IntN(3) == 0 && int64(len(log)) > start {
					end := start + rng.Int64N(int64(len(log))-start)
					log = log[:end]
					c.TruncateTail(end)
				}
			case 4:
				if int64(len(log)) > start {
					start += rng.Int64N(int64(len(log)) - start)
					c.TruncateHead(start)
				}
			}
			for offset := start; offset < int64(len(log)); offset++ {
				if got, ok := c.ForOffset(offset); !ok || got != log[offset] {
					t.Fatalf("offset %d: epoch %d, want %d; %s", offset, got, log[offset], show(&c))
				}
			}
		}
	}
}
