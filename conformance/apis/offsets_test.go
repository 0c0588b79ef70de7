package apis

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestListOffsets(t *testing.T) {
	c := target(t)
	made := c.create(1)
	base := time.Now().Add(-time.Hour).UnixMilli()
	c.put(made, values("0", "1", "2").at(base, base+10, base+20))
	c.put(made, values("3", "4").at(base+50, base+40).packed(zstded)) // not in order, compressed
	c.put(made, values("5").at(base+30))
	epoch := c.leaderEpoch(made)
	type answer struct {
		offset, timestamp int64
	}
	each(c, 1, 11, func(c *client, v int16) {
		for asked, want := range map[int64]answer{
			-1: {6, -1}, -2: {0, -1},
			0: {0, base}, base: {0, base}, base + 1: {1, base + 10}, base + 15: {2, base + 20}, base + 21: {3, base + 50},
			base + 50: {3, base + 50}, base + 51: {-1, -1}, 1 << 62: {-1, -1},
		} {
			p := c.listOffset(v, made, 0, asked, nil)
			code(c, p.ErrorCode, nil)
			if got := (answer{p.Offset, p.Timestamp}); got != want {
				c.Errorf("timestamp %d (base+%d): %+v, want %+v", asked, asked-base, got, want)
			}
			if v >= 4 {
				wantEpoch := epoch
				if want.offset < 0 {
					wantEpoch = -1
				}
				equal(c, "leader epoch", p.LeaderEpoch, wantEpoch)
			}
		}
		special := map[int64]struct {
			since int16
			answer
		}{-3: {7, answer{3, base + 50}}, -4: {8, answer{0, -1}}, -5: {9, answer{-1, -1}}}
		for asked, want := range special {
			p := c.listOffset(v, made, 0, asked, nil)
			if v < want.since {
				code(c, p.ErrorCode, kerr.UnsupportedVersion)
				equal(c, "offset", p.Offset, -1)
				continue
			}
			code(c, p.ErrorCode, nil)
			if got := (answer{p.Offset, p.Timestamp}); got != want.answer {
				c.Errorf("timestamp %d: %+v, want %+v", asked, got, want.answer)
			}
		}
		code(c, c.listOffset(v, made, 0, -100, nil).ErrorCode, kerr.UnsupportedVersion)
		if v >= 2 {
			committed := c.listOffset(v, made, 0, -1, func(req *kmsg.ListOffsetsRequest, _ *kmsg.ListOffsetsRequestTopicPartition) { req.IsolationLevel = 1 })
			equal(c, "last stable offset", committed.Offset, 6)
		}
	})
	empty := c.create(1)
	each(c, 7, 11, func(c *client, v int16) {
		p := c.listOffset(v, empty, 0, -3, nil)
		code(c, p.ErrorCode, nil)
		equal(c, "largest timestamp of an empty log", p.Offset, -1)
	})
}

func TestListOffsetsErrors(t *testing.T) {
	c := target(t)
	made := c.create(1)
	epoch := c.leaderEpoch(made)
	each(c, 1, 11, func(c *client, v int16) {
		for _, asked := range []int64{-1, -2, 0, 1 << 50} {
			p := c.listOffset(v, made, 1, asked, nil)
			code(c, p.ErrorCode, kerr.UnknownTopicOrPartition)
			equal(c, "offset", p.Offset, -1)
			code(c, c.listOffset(v, topic{name: c.fresh()}, 0, asked, nil).ErrorCode, kerr.UnknownTopicOrPartition)
			if v >= 4 {
				newer := c.listOffset(v, made, 0, asked, func(_ *kmsg.ListOffsetsRequest, p *kmsg.ListOffsetsRequestTopicPartition) {
					p.CurrentLeaderEpoch = epoch + 1
				})
				code(c, newer.ErrorCode, kerr.UnknownLeaderEpoch)
			}
		}
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = -1
		lt := kmsg.NewListOffsetsRequestTopic()
		lt.Topic, lt.Partitions = made.name, append(lt.Partitions, p, p)
		req.Topics = append(req.Topics, lt)
		for _, got := range one(c, "topics", call[*kmsg.ListOffsetsResponse](c, v, req).Topics).Partitions {
			code(c, got.ErrorCode, kerr.InvalidRequest)
		}
	})
}

func (c *client) deleteRecords(v int16, t topic, partition int32, offset int64) kmsg.DeleteRecordsResponseTopicPartition {
	c.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = int32(patience.Milliseconds())
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	dt := kmsg.NewDeleteRecordsRequestTopic()
	dt.Topic, dt.Partitions = t.name, append(dt.Partitions, p)
	req.Topics = append(req.Topics, dt)
	resp := call[*kmsg.DeleteRecordsResponse](c, v, req)
	equal(c, "throttle", resp.ThrottleMillis, 0)
	got := one(c, "topics", resp.Topics)
	equal(c, "topic", got.Topic, t.name)
	return one(c, "partitions", got.Partitions)
}

func TestDeleteRecords(t *testing.T) {
	c := target(t)
	each(c, 0, 2, func(c *client, v int16) {
		made := c.create(1)
		for range 5 {
			c.put(made, values("a", "b"))
		}
		deleted := func(offset, start int64) {
			c.Helper()
			p := c.deleteRecords(v, made, 0, offset)
			code(c, p.ErrorCode, nil)
			equal(c, "low watermark", p.LowWatermark, start)
			equal(c, "earliest", c.offset(made, 0, -2), start)
			equal(c, "latest", c.offset(made, 0, -1), 10)
		}
		refused := func(t topic, partition int32, offset int64, want *kerr.Error) {
			c.Helper()
			p := c.deleteRecords(v, t, partition, offset)
			code(c, p.ErrorCode, want)
			equal(c, "low watermark", p.LowWatermark, -1)
		}
		deleted(0, 0)
		deleted(3, 3) // in the middle of a batch
		deleted(1, 3) // gone before
		code(c, c.fetchOne(12, fetchRequest(made, wanted(0, 2))).ErrorCode, kerr.OffsetOutOfRange)
		got := c.fetchOne(12, fetchRequest(made, wanted(0, 3)))
		code(c, got.ErrorCode, nil)
		equal(c, "log start of a fetch", got.LogStartOffset, 3)
		equal(c, "first batch, which has offset 3 in it", split(c, got.RecordBatches)[0].FirstOffset, 2)
		equal(c, "log start of a produce", c.produceAt(9, produceRequest(made, 7, values("x").bytes())).LogStartOffset, -1)
		refused(made, 0, 11, kerr.OffsetOutOfRange)
		refused(made, 0, -2, kerr.OffsetOutOfRange)
		refused(made, 1, 0, kerr.UnknownTopicOrPartition)
		refused(topic{name: c.fresh()}, 0, 0, kerr.UnknownTopicOrPartition)
		deleted(-1, 10) // the high watermark
		equal(c, "first offset of an empty log", c.put(made, values("x")), 10)

		compacted := c.create(1, "cleanup.policy", "compact")
		refused(compacted, 0, 0, kerr.PolicyViolation)
	})
}

func TestDeleteRecordsOutlivesTheBroker(t *testing.T) {
	b, c := launch(t, nil)
	made := c.create(1)
	c.put(made, values("a", "b", "c"))
	code(t, c.deleteRecords(2, made, 0, 2).ErrorCode, nil)
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	equal(t, "earliest", c.another().offset(made, 0, -2), 2)
}

func (c *client) epochEnd(v int16, t topic, partition, current, asked int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	c.Helper()
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, current, asked
	et := kmsg.NewOffsetForLeaderEpochRequestTopic()
	et.Topic, et.Partitions = t.name, append(et.Partitions, p)
	req.Topics = append(req.Topics, et)
	return one(c, "partitions", one(c, "topics", call[*kmsg.OffsetForLeaderEpochResponse](c, v, req).Topics).Partitions)
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	b, c := launch(t, nil)
	made := c.create(1)
	c.put(made, values("a", "b"))
	first := c.leaderEpoch(made)
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	c = c.another()
	c.put(made, values("c"))
	second := c.leaderEpoch(made)
	if second <= first {
		t.Fatalf("leader epoch %d after %d", second, first)
	}
	each(c, 2, 4, func(c *client, v int16) {
		for _, row := range []struct {
			current, asked int32
			want           *kerr.Error
			epoch          int32
			end            int64
		}{
			{second, first, nil, first, 2},
			{second, second, nil, second, 3},
			{-1, second, nil, second, 3},
			{second, second + 1, nil, -1, -1},
			{second, -1, nil, -1, -1},
			{first, second, kerr.FencedLeaderEpoch, -1, -1},
			{second + 1, second, kerr.UnknownLeaderEpoch, -1, -1},
		} {
			p := c.epochEnd(v, made, 0, row.current, row.asked)
			code(c, p.ErrorCode, row.want)
			if p.LeaderEpoch != row.epoch || p.EndOffset != row.end {
				c.Errorf("epoch %d by one who knows %d: %d ends at %d, want %d at %d", row.asked, row.current, p.LeaderEpoch, p.EndOffset, row.epoch, row.end)
			}
		}
		code(c, c.epochEnd(v, made, 1, -1, 0).ErrorCode, kerr.UnknownTopicOrPartition)
		code(c, c.epochEnd(v, topic{name: c.fresh()}, 0, -1, 0).ErrorCode, kerr.UnknownTopicOrPartition)
	})
	// ListOffsets and Fetch fence in the same way.
	p := c.listOffset(5, made, 0, -1, func(_ *kmsg.ListOffsetsRequest, p *kmsg.ListOffsetsRequestTopicPartition) {
		p.CurrentLeaderEpoch = first
	})
	code(t, p.ErrorCode, kerr.FencedLeaderEpoch)
	old := c.listOffset(5, made, 0, -2, nil)
	equal(t, "epoch of the first record", old.LeaderEpoch, first)
	equal(t, "epoch of the end", c.listOffset(5, made, 0, -1, nil).LeaderEpoch, second)
}
