package apis

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Requests that are odd, and that some client sends one day.

func TestFetchOdd(t *testing.T) {
	c := target(t)
	made := c.create(2)
	c.put(made, values("a"))
	c.put(made, values("b"))
	each(c, 4, 18, func(c *client, v int16) {
		// The same partition twice: both are answered.
		twice := c.fetch(v, fetchRequest(made, wanted(0, 0), wanted(0, 1)))
		code(c, twice.ErrorCode, nil)
		n := 0
		for _, ft := range twice.Topics {
			n += len(ft.Partitions)
		}
		equal(c, "answers", n, 2)
		// Negative limits still let a batch through.
		p := wanted(0, 0)
		p.PartitionMaxBytes = -1
		req := fetchRequest(made, p)
		req.MaxBytes = -1
		got := c.fetchOne(v, req)
		code(c, got.ErrorCode, nil)
		equal(c, "batches", len(split(c, got.RecordBatches)), 1)
		// Nothing at all.
		none := fetchRequest(made)
		none.Topics = nil
		code(c, c.fetch(v, none).ErrorCode, nil)
		// A replica that no partition has.
		follower := fetchRequest(made, wanted(0, 0))
		follower.ReplicaID, follower.ReplicaState.ID = 4711, 4711
		if got := c.fetchOne(v, follower); got.ErrorCode == 0 || len(got.RecordBatches) > 0 {
			c.Errorf("a stranger follows: error code %d, %d bytes", got.ErrorCode, len(got.RecordBatches))
		}
		// A hundred thousand partitions that are not there.
		if v%7 == 4 {
			many := fetchRequest(made)
			for i := range int32(100_000) {
				many.Topics[0].Partitions = append(many.Topics[0].Partitions, wanted(i+2, 0))
			}
			answer := c.fetch(v, many)
			code(c, answer.ErrorCode, nil)
			equal(c, "answers", len(answer.Topics[0].Partitions), 100_000)
		}
	})
}

func TestProduceOdd(t *testing.T) {
	c := target(t)
	made := c.create(2)
	each(c, 3, 13, func(c *client, v int16) {
		// Good and bad partitions in one request: each has its own answer.
		req := produceRequest(made, 0, values("x").bytes())
		for _, index := range []int32{9, 1} {
			p := req.Topics[0].Partitions[0]
			p.Partition = index
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
		}
		got := one(c, "topics", call[*kmsg.ProduceResponse](c, v, req).Topics).Partitions
		equal(c, "answers", len(got), 3)
		code(c, got[0].ErrorCode, nil)
		code(c, got[1].ErrorCode, kerr.UnknownTopicOrPartition)
		code(c, got[2].ErrorCode, nil)
		// No partition, and no topic.
		req.Topics[0].Partitions = nil
		equal(c, "answers to nothing", len(one(c, "topics", call[*kmsg.ProduceResponse](c, v, req).Topics).Partitions), 0)
		req.Topics = nil
		equal(c, "answers to nothing", len(call[*kmsg.ProduceResponse](c, v, req).Topics), 0)
		// A timeout of 0 or less is no reason to refuse what is done at once.
		for _, ms := range []int32{0, -1} {
			hasty := produceRequest(made, 0, values("x").bytes())
			hasty.TimeoutMillis = ms
			code(c, c.produceAt(v, hasty).ErrorCode, nil)
		}
	})
}

// Acks that wait for the disk come in the order of requests, and are all told.
func TestProduceWaitsForTheDisk(t *testing.T) {
	_, c := launch(t, map[string]string{"log.flush.interval.messages": "1"})
	made := c.create(3)
	const n = 100
	for i := range n {
		req := produceRequest(made, int32(i%3), values("x").bytes())
		req.Acks = int16(i%2) - 1 // all
		if req.Acks == 0 {
			req.Acks = 1
		}
		c.send(9, req)
	}
	next := map[int32]int64{}
	for range n {
		resp := kmsg.NewPtrProduceResponse()
		resp.SetVersion(9)
		c.receive(resp)
		p := resp.Topics[0].Partitions[0]
		code(t, p.ErrorCode, nil)
		equal(t, "offset", p.BaseOffset, next[p.Partition])
		next[p.Partition]++
	}
	got := c.fetchOne(12, fetchRequest(made, wanted(0, 0)))
	equal(t, "high watermark", got.HighWatermark, next[0])
}

// bomb is a batch of a few KiB that decompresses to n bytes.
func bomb(t *testing.T, n int64) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	// A record: length, attributes, time and offset deltas, null key, length of the value.
	body := append([]byte{0, 0, 0, 1}, binary.AppendVarint(nil, n)...)
	w.Write(append(binary.AppendVarint(nil, int64(len(body))+n+1), body...))
	if _, err := io.CopyN(w, zeros{}, n+1); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := values("x").packed(zstded).bytes()[:atRecords]
	b = append(b, packed.Bytes()...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	return signed(b)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Where the broker must decompress (another codec, a compacted topic), a small batch is
// refused once its output passes the broker's bound, and does not take what it claims.
func TestDecompressionBombs(t *testing.T) {
	s := besiege(t)
	s.bound = 768 << 20 // of 2 GiB in all that are claimed
	b := bomb(t, 1<<30)
	if len(b) > 1<<20 {
		t.Fatalf("the bomb has %d bytes", len(b))
	}
	for _, config := range [][]string{{"compression.type", "lz4"}, {"cleanup.policy", "compact"}} {
		s.refuse(9, s.create(1, config...), b, kerr.MessageTooLarge)
	}
	s.lifted()
}
