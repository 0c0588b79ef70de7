package apis

import (
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (c *client) initProducerID(v int16, change func(*kmsg.InitProducerIDRequest)) *kmsg.InitProducerIDResponse {
	c.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionTimeoutMillis = 60_000
	if change != nil {
		change(req)
	}
	return call[*kmsg.InitProducerIDResponse](c, v, req)
}

func TestInitProducerID(t *testing.T) {
	c := target(t)
	seen := map[int64]bool{}
	each(c, 0, 5, func(c *client, v int16) {
		for range 3 {
			got := c.initProducerID(v, nil)
			code(c, got.ErrorCode, nil)
			equal(c, "throttle", got.ThrottleMillis, 0)
			equal(c, "epoch", got.ProducerEpoch, 0)
			if got.ProducerID < 0 || seen[got.ProducerID] {
				c.Errorf("producer id %d was given before, or is none", got.ProducerID)
			}
			seen[got.ProducerID] = true
		}
		for _, id := range []string{"tx", ""} {
			refused := c.initProducerID(v, func(req *kmsg.InitProducerIDRequest) { req.TransactionalID = &id })
			if refused.ErrorCode == 0 {
				c.Errorf("the transactional id %q was taken", id)
			}
			equal(c, "producer id of what was refused", refused.ProducerID, -1)
			equal(c, "epoch of what was refused", refused.ProducerEpoch, -1)
		}
		if v < 3 {
			return
		}
		known := c.initProducerID(v, func(req *kmsg.InitProducerIDRequest) { req.ProducerID, req.ProducerEpoch = 5, 3 })
		code(c, known.ErrorCode, nil)
		half := c.initProducerID(v, func(req *kmsg.InitProducerIDRequest) { req.ProducerID = 5 })
		code(c, half.ErrorCode, kerr.InvalidRequest)
	})
}

func TestInitProducerIDIsNeverGivenTwice(t *testing.T) {
	b, c := launch(t, nil)
	seen := map[int64]bool{}
	for range 4 {
		for range 600 { // a block has 1000
			got := c.initProducerID(4, nil)
			code(t, got.ErrorCode, nil)
			if seen[got.ProducerID] {
				t.Fatalf("producer id %d twice", got.ProducerID)
			}
			seen[got.ProducerID] = true
		}
		if err := b.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		c = c.another()
	}
}

func TestIdempotentProduce(t *testing.T) {
	c := target(t)
	each(c, 3, 13, func(c *client, v int16) {
		made := c.create(1)
		id := c.initProducerID(4, nil).ProducerID
		send := func(epoch int16, sequence int32, vs ...string) kmsg.ProduceResponseTopicPartition {
			return c.produceAt(v, produceRequest(made, 0, values(vs...).by(id, epoch, sequence).bytes()))
		}
		taken := func(p kmsg.ProduceResponseTopicPartition, offset int64) {
			c.Helper()
			code(c, p.ErrorCode, nil)
			equal(c, "first offset", p.BaseOffset, offset)
		}
		refused := func(p kmsg.ProduceResponseTopicPartition, want *kerr.Error) {
			c.Helper()
			code(c, p.ErrorCode, want)
			equal(c, "first offset", p.BaseOffset, -1)
		}
		taken(send(0, 0, "a", "b"), 0)
		taken(send(0, 0, "a", "b"), 0) // again: the same first offset, nothing appended
		taken(send(0, 2, "c"), 2)
		refused(send(0, 4, "gap"), kerr.OutOfOrderSequenceNumber)
		for i := range int64(4) {
			taken(send(0, int32(3+i), "d"), 3+i)
		}
		// Five batches are remembered. Of what lies before nobody can say that it was these
		// records: DUPLICATE_SEQUENCE_NUMBER, which clients take for success, would be a guess.
		taken(send(0, 2, "c"), 2)
		refused(send(0, 0, "a", "b"), kerr.OutOfOrderSequenceNumber)
		// So it would be of a batch that was stored only in part.
		refused(send(0, 6, "d", "e"), kerr.OutOfOrderSequenceNumber)
		// A new epoch begins with 0, and fences the old one.
		refused(send(1, 7, "f"), kerr.OutOfOrderSequenceNumber)
		taken(send(1, 0, "f"), 7)
		refused(send(0, 7, "late"), kerr.InvalidProducerEpoch)
		equal(c, "end", c.offset(made, 0, -1), 8)
		// Bad producer fields are refused as such.
		bad := values("x").by(id, -1, 0).bytes()
		refused(c.produceAt(v, produceRequest(made, 0, bad)), kerr.InvalidRecord)
		bad = values("x").by(id, 1, -1).bytes()
		refused(c.produceAt(v, produceRequest(made, 0, bad)), kerr.InvalidRecord)
	})
}

// A producer that is not known may begin anywhere: its state may have expired. After the
// largest sequence comes 0.
func TestIdempotentSequencesWrap(t *testing.T) {
	c := target(t)
	made := c.create(1)
	id := c.initProducerID(4, nil).ProducerID
	equal(t, "first offset", c.put(made, values("a", "b").by(id, 0, math.MaxInt32-2)), 0)
	equal(t, "over the end", c.put(made, values("c", "d", "e").by(id, 0, math.MaxInt32)), 2)
	equal(t, "the same again", c.put(made, values("c", "d", "e").by(id, 0, math.MaxInt32)), 2)
	equal(t, "after the end", c.put(made, values("f").by(id, 0, 2)), 5)
	code(t, c.produceAt(9, produceRequest(made, 0, values("gap").by(id, 0, 4).bytes())).ErrorCode, kerr.OutOfOrderSequenceNumber)
}

// What a producer knows outlives the broker: the duplicate of a batch from before a crash
// is one.
func TestIdempotenceOutlivesTheBroker(t *testing.T) {
	b, c := launch(t, map[string]string{"log.flush.interval.messages": "1"})
	made := c.create(1)
	id := c.initProducerID(4, nil).ProducerID
	for i := range int32(3) {
		equal(t, "first offset", c.put(made, values("x").by(id, 0, i)), int64(i))
	}
	for _, end := range []func() error{b.Kill, b.Stop} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		c = c.another()
		equal(t, "duplicate of the last batch", c.put(made, values("x").by(id, 0, 2)), 2)
		code(t, c.produceAt(9, produceRequest(made, 0, values("x").by(id, 0, 5).bytes())).ErrorCode, kerr.OutOfOrderSequenceNumber)
		equal(t, "end", c.offset(made, 0, -1), 3)
	}
}
