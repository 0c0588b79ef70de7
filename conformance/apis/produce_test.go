package apis

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestProduce(t *testing.T) {
	c := target(t)
	made := c.create(2)
	next := map[int32]int64{}
	each(c, 3, 13, func(c *client, v int16) {
		for _, acks := range []int16{-1, 1} {
			req := produceRequest(made, 0, values("a", "b", "c").bytes())
			req.Acks = acks
			other := req.Topics[0].Partitions[0]
			other.Partition, other.Records = 1, values("x").packed(gzipped).bytes()
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, other)
			resp := call[*kmsg.ProduceResponse](c, v, req)
			equal(c, "throttle", resp.ThrottleMillis, 0)
			equal(c, "node endpoints", len(resp.Brokers), 0)
			got := one(c, "topics", resp.Topics)
			if v >= 13 {
				equal(c, "topic id", got.TopicID, made.id)
			} else {
				equal(c, "topic", got.Topic, made.name)
			}
			equal(c, "partitions", len(got.Partitions), 2)
			for i, p := range got.Partitions {
				equal(c, "partition", p.Partition, int32(i))
				code(c, p.ErrorCode, nil)
				equal(c, "first offset", p.BaseOffset, next[p.Partition])
				equal(c, "append time of CreateTime", p.LogAppendTime, -1)
				if v >= 5 {
					equal(c, "log start", p.LogStartOffset, 0)
				}
				if p.ErrorMessage != nil || len(p.ErrorRecords) != 0 {
					c.Errorf("a success with the message %q and records %v", deref(p.ErrorMessage), p.ErrorRecords)
				}
			}
			next[0] += 3
			next[1]++
		}
	})
	got := c.fetchOne(12, fetchRequest(made, wanted(0, 0)))
	equal(t, "high watermark", got.HighWatermark, next[0])
	var at int64
	for _, b := range split(t, got.RecordBatches) {
		equal(t, "offset of a batch", b.FirstOffset, at)
		at = b.lastOffset() + 1
	}
	equal(t, "records that came back", at, next[0])
}

func TestProduceToWhatIsNotThere(t *testing.T) {
	c := target(t)
	made := c.create(1)
	each(c, 3, 13, func(c *client, v int16) {
		for _, partition := range []int32{1, -1, 1 << 30} {
			p := c.produceAt(v, produceRequest(made, partition, values("x").bytes()))
			code(c, p.ErrorCode, kerr.UnknownTopicOrPartition)
			equal(c, "base offset", p.BaseOffset, -1)
		}
		want := kerr.UnknownTopicOrPartition
		if v >= 13 {
			want = kerr.UnknownTopicID
		}
		unknown := topic{c.fresh(), [16]byte{9, 9, 9}}
		p := c.produceAt(v, produceRequest(unknown, 0, values("x").bytes()))
		code(c, p.ErrorCode, want)
		equal(c, "base offset", p.BaseOffset, -1)
		equal(c, "append time", p.LogAppendTime, -1)
		if v >= 5 {
			equal(c, "log start", p.LogStartOffset, -1)
		}
	})
}

// A producer that knew a topic before it was deleted and made again must not write into
// the new one.
func TestProduceByAnOldTopicID(t *testing.T) {
	c := target(t)
	old := c.create(1)
	c.deleteTopic(old)
	again := one(t, "topics", c.createTopics(7, false, newTopic(old.name, 1)).Topics)
	code(t, again.ErrorCode, nil)
	if again.TopicID == old.id {
		t.Fatal("the same id again")
	}
	code(t, c.produceAt(13, produceRequest(old, 0, values("x").bytes())).ErrorCode, kerr.UnknownTopicID)
	code(t, c.fetchOne(13, fetchRequest(old, wanted(0, 0))).ErrorCode, kerr.UnknownTopicID)
	equal(t, "end of the new topic", c.offset(topic{old.name, again.TopicID}, 0, -1), 0)
}

func TestProduceAcks(t *testing.T) {
	c := target(t)
	made := c.create(1)
	each(c, 3, 13, func(c *client, v int16) {
		end := c.offset(made, 0, -1)
		for _, acks := range []int16{2, -2, 100, -32768} {
			req := produceRequest(made, 0, values("x").bytes())
			req.Acks = acks
			p := c.produceAt(v, req)
			code(c, p.ErrorCode, kerr.InvalidRequiredAcks)
			equal(c, "base offset", p.BaseOffset, -1)
		}
		equal(c, "end after invalid acks", c.offset(made, 0, -1), end)
		req := produceRequest(made, 0, values("x").bytes())
		req.Acks = 0
		c.write(c.frame(v, req)) // no answer: the next one that comes is ListOffsets'
		equal(c, "end after acks=0", c.offset(made, 0, -1), end+1)
	})
}

// With acks=0 the only way to hear of an error is the end of the connection.
func TestProduceWithoutAcksClosesOnError(t *testing.T) {
	c := target(t)
	made := c.create(1)
	req := produceRequest(made, 7, values("x").bytes())
	req.Acks = 0
	victim := c.another()
	victim.write(victim.frame(9, req))
	victim.mustClose()
	mustServe(t, c.addr)
}

func TestProduceRefusesBatches(t *testing.T) {
	c := target(t)
	made := c.create(1)
	good := values("one", "two").bytes()
	broken := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	resigned := func(change func(b []byte)) []byte { return signed(broken(change)) }
	for _, row := range []struct {
		name    string
		records []byte
		want    *kerr.Error
		says    string // in the message
	}{
		{"two batches", append(bytes.Clone(good), good...), kerr.InvalidRecord, "one record batch"},
		{"no batch", []byte{}, kerr.InvalidRecord, ""},
		{"null", nil, kerr.InvalidRecord, ""},
		{"corrupt CRC", broken(func(b []byte) { b[atCRC] ^= 1 }), kerr.CorruptMessage, "CRC"},
		{"corrupt value", broken(func(b []byte) { b[len(b)-2] ^= 1 }), kerr.CorruptMessage, "CRC"},
		{"magic 0", broken(func(b []byte) { b[atMagic] = 0 }), kerr.InvalidRecord, "magic"},
		{"magic 1", broken(func(b []byte) { b[atMagic] = 1 }), kerr.InvalidRecord, "magic"},
		{"magic 3", broken(func(b []byte) { b[atMagic] = 3 }), kerr.InvalidRecord, "magic"},
		{"cut off", good[:len(good)-1], kerr.CorruptMessage, ""},
		{"only a part of the header", good[:20], kerr.CorruptMessage, ""},
		{"length too short", broken(func(b []byte) { binary.BigEndian.PutUint32(b[8:], 10) }), kerr.CorruptMessage, ""},
		{"negative length", broken(func(b []byte) { binary.BigEndian.PutUint32(b[8:], 1<<31) }), kerr.CorruptMessage, ""},
		{"count above the records", resigned(func(b []byte) { b[atCount+3] = 3; b[26] = 2 }), kerr.InvalidRecord, ""},
		{"count of a billion", resigned(func(b []byte) { b[atCount] = 0x40; b[23] = 0x3f }), kerr.InvalidRecord, ""},
		{"count against offset delta", resigned(func(b []byte) { b[atCount+3] = 1 }), kerr.InvalidRecord, ""},
		{"control batch", resigned(func(b []byte) { b[atAttributes+1] |= 0x20 }), kerr.InvalidRecord, ""},
		{"unknown codec", resigned(func(b []byte) { b[atAttributes+1] |= 7 }), kerr.UnsupportedCompressionType, "codec"},
		{"record length beyond the batch", resigned(func(b []byte) { b[atRecords] = 0x7e }), kerr.InvalidRecord, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := &client{t, c.link}
			for v := int16(3); v <= 13; v++ {
				before := c.offset(made, 0, -1)
				p := c.produceAt(v, produceRequest(made, 0, row.records))
				if p.ErrorCode != row.want.Code {
					t.Errorf("v%d: %v (%s), want %v", v, kerr.ErrorForCode(p.ErrorCode), deref(p.ErrorMessage), row.want)
				}
				if v >= 8 && (p.ErrorMessage == nil || !strings.Contains(strings.ToLower(*p.ErrorMessage), strings.ToLower(row.says))) {
					t.Errorf("v%d: the message is %q", v, deref(p.ErrorMessage))
				}
				equal(t, "base offset", p.BaseOffset, -1)
				equal(t, "end", c.offset(made, 0, -1), before)
			}
		})
	}
	equal(t, "the next good batch", c.put(made, values("fine")), 0)
}

func TestProduceZstdFromVersion7(t *testing.T) {
	c := target(t)
	made := c.create(1)
	each(c, 3, 13, func(c *client, v int16) {
		b := values(strings.Repeat("zstd", 100)).packed(zstded).bytes()
		if v < 7 {
			c.refuse(v, made, b, kerr.UnsupportedCompressionType)
			return
		}
		code(c, c.produceAt(v, produceRequest(made, 0, b)).ErrorCode, nil)
	})
	// A fetch before version 10 cannot carry zstd either.
	each(c, 4, 18, func(c *client, v int16) {
		got := c.fetchOne(v, fetchRequest(made, wanted(0, 0)))
		code(c, got.ErrorCode, nil)
		equal(c, "records", len(got.RecordBatches) > 0, true)
	})
}

func TestProduceTooLarge(t *testing.T) {
	c := target(t)
	limited := c.create(1, "max.message.bytes", "1000")
	each(c, 3, 13, func(c *client, v int16) {
		message := c.refuse(v, limited, sized(1000).bytes(), kerr.MessageTooLarge)
		if v >= 8 && (!strings.Contains(message, "1000") || !strings.Contains(message, "max.message.bytes")) {
			c.Errorf("the message does not name the limit: %q", message)
		}
		// The limit is on the batch as it comes, compressed.
		code(c, c.produceAt(v, produceRequest(limited, 0, sized(10_000).packed(gzipped).bytes())).ErrorCode, nil)
		exact := sized(1000 - 61 - 10)
		for len(exact.bytes()) < 1000 {
			exact = sized(len(exact.values[0]) + 1)
		}
		equal(c, "size", len(exact.bytes()), 1000)
		code(c, c.produceAt(v, produceRequest(limited, 0, exact.bytes())).ErrorCode, nil)
		c.refuse(v, limited, sized(len(exact.values[0])+1).bytes(), kerr.MessageTooLarge)
	})
	// The broker's own default is 1 MiB and 12 bytes.
	made := c.create(1)
	c.put(made, sized(1<<20-100))
	c.refuse(9, made, sized(1<<20).bytes(), kerr.MessageTooLarge)
}

func TestProduceTimestamps(t *testing.T) {
	c := target(t)
	limited := c.create(1, "message.timestamp.before.max.ms", "60000", "message.timestamp.after.max.ms", "60000")
	now := time.Now().UnixMilli()
	const hour = int64(time.Hour / time.Millisecond)
	each(c, 3, 13, func(c *client, v int16) {
		for bad, b := range map[int32]batch{
			0: values("late", "now").at(now-hour, now), 1: values("now", "early").at(now, now+hour),
		} {
			p := c.produceAt(v, produceRequest(limited, 0, b.bytes()))
			code(c, p.ErrorCode, kerr.InvalidTimestamp)
			equal(c, "base offset", p.BaseOffset, -1)
			if v >= 8 {
				r := one(c, "records", p.ErrorRecords)
				equal(c, "index of the record", r.RelativeOffset, bad)
				if deref(r.ErrorMessage) == "" || deref(p.ErrorMessage) == "" {
					c.Error("no message")
				}
			}
		}
		code(c, c.produceAt(v, produceRequest(limited, 0, values("x").at(now-1000).bytes())).ErrorCode, nil)
	})
	// By default the past is free and the future ends in one hour.
	made := c.create(1)
	c.put(made, values("old").at(0))
	c.refuse(9, made, values("future").at(now+2*hour).bytes(), kerr.InvalidTimestamp)
	c.put(made, values("soon").at(now+hour/2))
}

func TestProduceLogAppendTime(t *testing.T) {
	c := target(t)
	made := c.create(1, "message.timestamp.type", "LogAppendTime")
	old := time.Now().Add(-24 * time.Hour).UnixMilli()
	each(c, 3, 13, func(c *client, v int16) {
		before := time.Now().UnixMilli() - 1000
		p := c.produceAt(v, produceRequest(made, 0, values("a", "b").at(old, old+1).bytes()))
		code(c, p.ErrorCode, nil)
		if p.LogAppendTime < before || p.LogAppendTime > time.Now().UnixMilli()+1000 {
			c.Errorf("append time %d", p.LogAppendTime)
		}
		got := one(c, "batches", split(c, c.fetchOne(12, fetchRequest(made, wanted(0, p.BaseOffset))).RecordBatches))
		equal(c, "timestamp type", got.Attributes&8, 8)
		equal(c, "largest timestamp", got.MaxTimestamp, p.LogAppendTime)
		equal(c, "offset by that time", c.offset(made, 0, p.LogAppendTime) <= p.BaseOffset, true)
	})
}

func TestProduceRecompresses(t *testing.T) {
	c := target(t)
	for compression, codec := range map[string]int16{"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4, "uncompressed": 0} {
		made := c.create(1, "compression.type", compression)
		for _, in := range []batch{values("a", strings.Repeat("b", 1000)), values("a", "c").packed(gzipped), values("d", "e").packed(zstded).by(7, 0, 0)} {
			at := c.put(made, in)
			got := one(t, "batches", split(t, c.fetchOne(12, fetchRequest(made, wanted(0, at))).RecordBatches))
			equal(t, compression+": codec", got.Attributes&7, codec)
			equal(t, compression+": records", got.NumRecords, 2)
			equal(t, compression+": first offset", got.FirstOffset, at)
			if in.idempotent {
				equal(t, compression+": producer id", got.ProducerID, 7)
			}
		}
	}
	packed := c.create(1, "compression.type", "lz4")
	garbage := values("not compressed at all").bytes()
	garbage[atAttributes+1] |= gzipped
	c.refuse(9, packed, signed(garbage), kerr.InvalidRecord)
	made := c.create(1)
	sent := values("as it came").packed(gzipped).bytes()
	code(t, c.produceAt(9, produceRequest(made, 0, sent)).ErrorCode, nil)
	got := one(t, "batches", split(t, c.fetchOne(12, fetchRequest(made, wanted(0, 0))).RecordBatches))
	if !bytes.Equal(got.raw[atMagic:], sent[atMagic:]) {
		t.Errorf("compression.type=producer changed the batch:\n got %x\nsent %x", got.raw, sent)
	}
}

func TestProduceWithATransactionalIDIsRefused(t *testing.T) {
	c := target(t)
	made := c.create(1)
	id := "tx"
	each(c, 3, 13, func(c *client, v int16) {
		req := produceRequest(made, 0, values("x").bytes())
		req.TransactionID = &id
		p := c.produceAt(v, req)
		if p.ErrorCode == 0 {
			c.Error("a transactional batch was taken")
		}
		if v >= 8 && !strings.Contains(deref(p.ErrorMessage), "transaction") {
			c.Errorf("the message is %q", deref(p.ErrorMessage))
		}
		transactional := values("x")
		transactional.attributes = 0x10
		p = c.produceAt(v, produceRequest(made, 0, transactional.by(1, 0, 0).bytes()))
		if p.ErrorCode == 0 {
			c.Error("a transactional batch without the id was taken")
		}
	})
	equal(t, "end", c.offset(made, 0, -1), 0)
}
