package apis

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFetch(t *testing.T) {
	c := target(t)
	made := c.create(2)
	c.put(made, values("a", "b"))
	c.put(made, values("c"))
	each(c, 4, 18, func(c *client, v int16) {
		for offset, batches := range map[int64]int{0: 2, 1: 2, 2: 1, 3: 0} {
			resp := c.fetch(v, fetchRequest(made, wanted(0, offset)))
			equal(c, "throttle", resp.ThrottleMillis, 0)
			equal(c, "session", resp.SessionID, 0)
			got := one(c, "topics", resp.Topics)
			if v >= 13 {
				equal(c, "topic id", got.TopicID, made.id)
			} else {
				equal(c, "topic", got.Topic, made.name)
			}
			p := onePartition(c, resp)
			code(c, p.ErrorCode, nil)
			equal(c, "high watermark", p.HighWatermark, 3)
			equal(c, "last stable offset", p.LastStableOffset, 3)
			if v >= 5 {
				equal(c, "log start", p.LogStartOffset, 0)
			}
			if v >= 11 {
				equal(c, "preferred replica", p.PreferredReadReplica, -1)
			}
			if p.AbortedTransactions != nil {
				c.Errorf("read_uncommitted has aborted transactions %v, want null", p.AbortedTransactions)
			}
			equal(c, "batches", len(split(c, p.RecordBatches)), batches)
			if p.RecordBatches == nil {
				c.Error("records are null") // older clients stumble over it
			}
		}
	})
}

func TestFetchReadCommitted(t *testing.T) {
	c := target(t)
	made := c.create(1)
	c.put(made, values("a", "b"))
	each(c, 4, 18, func(c *client, v int16) {
		req := fetchRequest(made, wanted(0, 0))
		req.IsolationLevel = 1
		p := c.fetchOne(v, req)
		code(c, p.ErrorCode, nil)
		equal(c, "last stable offset", p.LastStableOffset, 2)
		equal(c, "aborted transactions", len(p.AbortedTransactions), 0)
		equal(c, "batches", len(split(c, p.RecordBatches)), 1)
	})
}

func TestFetchErrors(t *testing.T) {
	c := target(t)
	made := c.create(1)
	c.put(made, values("a", "b"))
	epoch := c.leaderEpoch(made)
	each(c, 4, 18, func(c *client, v int16) {
		for _, offset := range []int64{3, 1 << 40, -1, -2, -1 << 63} {
			p := c.fetchOne(v, fetchRequest(made, wanted(0, offset)))
			code(c, p.ErrorCode, kerr.OffsetOutOfRange)
			equal(c, "records", len(p.RecordBatches), 0)
		}
		for _, partition := range []int32{1, -1, 1 << 30} {
			p := c.fetchOne(v, fetchRequest(made, wanted(partition, 0)))
			code(c, p.ErrorCode, kerr.UnknownTopicOrPartition)
			equal(c, "high watermark", p.HighWatermark, -1)
		}
		want := kerr.UnknownTopicOrPartition
		if v >= 13 {
			want = kerr.UnknownTopicID
		}
		// An error answers at once: it would else wait until the client gives up.
		req := fetchRequest(topic{c.fresh(), [16]byte{8}}, wanted(0, 0))
		req.MaxWaitMillis = int32(patience.Milliseconds())
		code(c, c.fetchOne(v, req).ErrorCode, want)
		if v < 9 {
			return
		}
		for asked, want := range map[int32]*kerr.Error{epoch: nil, epoch + 1: kerr.UnknownLeaderEpoch, -1: nil} {
			p := wanted(0, 0)
			p.CurrentLeaderEpoch = asked
			code(c, c.fetchOne(v, fetchRequest(made, p)).ErrorCode, want)
		}
	})
}

// leaderEpoch is that of partition 0, by Metadata.
func (c *client) leaderEpoch(t topic) int32 {
	c.Helper()
	return one(c, "topics", c.metadata(12, metadataOf(t.name)).Topics).Partitions[0].LeaderEpoch
}

// A fetch gets at least one batch whatever the limits are, or a consumer would stand still
// before a large one for ever (KIP-74).
func TestFetchLimitsNeverHideTheFirstBatch(t *testing.T) {
	c := target(t)
	made := c.create(3)
	const big = 100_000
	for partition := range int32(3) {
		for range 3 {
			code(t, c.produceAt(9, produceRequest(made, partition, sized(big).bytes())).ErrorCode, nil)
		}
	}
	size := len(sized(big).bytes())
	counts := func(c *client, resp *kmsg.FetchResponse) (n [3]int) {
		for _, p := range one(c, "topics", resp.Topics).Partitions {
			code(c, p.ErrorCode, nil)
			n[p.Partition] = len(split(c, p.RecordBatches))
		}
		return n
	}
	each(c, 4, 18, func(c *client, v int16) {
		parts := func(maxBytes ...int) (out []kmsg.FetchRequestTopicPartition) {
			for i, n := range maxBytes {
				p := wanted(int32(i), 0)
				p.PartitionMaxBytes = int32(n)
				out = append(out, p)
			}
			return out
		}
		for _, row := range []struct {
			name  string
			total int
			parts []int
			want  [3]int
		}{
			{"one byte in each, and in all", 1, []int{1, 1, 1}, [3]int{1, 0, 0}},
			{"nothing", 0, []int{0, 0, 0}, [3]int{1, 0, 0}},
			{"total of two batches", 2 * size, []int{1 << 20, 1 << 20, 1 << 20}, [3]int{2, 0, 0}},
			{"a batch and a half in each", 10 * size, []int{size + size/2, size + size/2, size + size/2}, [3]int{1, 1, 1}},
			{"total of four batches, two in each", 4 * size, []int{2 * size, 2 * size, 2 * size}, [3]int{2, 2, 0}},
			{"plenty", 1 << 30, []int{1 << 30, 1 << 30, 1 << 30}, [3]int{3, 3, 3}},
		} {
			req := fetchRequest(made, parts(row.parts...)...)
			req.MaxBytes = int32(row.total)
			if got := counts(c, c.fetch(v, req)); got != row.want {
				c.Errorf("%s: batches %v, want %v", row.name, got, row.want)
			}
		}
		// The oversized batch may be of any partition: the first that has one.
		req := fetchRequest(made, wanted(2, 3), wanted(1, 2))
		req.MaxBytes = 1
		if got := counts(c, c.fetch(v, req)); got != [3]int{0, 1, 0} {
			c.Errorf("behind an empty partition: batches %v", got)
		}
	})
}

// A consumer that comes with the epoch of its last record learns when the log went
// another way (KIP-320, KIP-595).
func TestFetchDivergingEpoch(t *testing.T) {
	b, c := launch(t, nil)
	made := c.create(1)
	c.put(made, values("a", "b"))
	first := c.leaderEpoch(made)
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	c = c.another()
	second := c.leaderEpoch(made)
	c.put(made, values("c", "d"))
	each(c, 12, 18, func(c *client, v int16) {
		p := wanted(0, 4)
		p.LastFetchedEpoch, p.CurrentLeaderEpoch = second, second
		got := c.fetchOne(v, fetchRequest(made, p))
		code(c, got.ErrorCode, nil)
		equal(c, "diverging end", got.DivergingEpoch.EndOffset, -1)
		if second == first {
			return
		}
		p.LastFetchedEpoch = first
		got = c.fetchOne(v, fetchRequest(made, p))
		code(c, got.ErrorCode, nil)
		equal(c, "diverging epoch", got.DivergingEpoch.Epoch, first)
		equal(c, "diverging end", got.DivergingEpoch.EndOffset, 2)
		equal(c, "records", len(got.RecordBatches), 0)
		p.CurrentLeaderEpoch = first
		got = c.fetchOne(v, fetchRequest(made, p))
		code(c, got.ErrorCode, kerr.FencedLeaderEpoch)
		equal(c, "current leader", got.CurrentLeader.LeaderEpoch, second)
		equal(c, "current leader", got.CurrentLeader.LeaderID, 1)
	})
	if second == first {
		t.Errorf("a restart kept leader epoch %d", first)
	}
}
