package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// batchOf builds a batch with records of so many bytes.
func batchOf(t testing.TB, o record.BuilderOptions, values ...string) []byte {
	t.Helper()
	b := record.NewBuilder(o)
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), []byte("key"), []byte(v))
	}
	batch, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(batch)
}

// Every API answers in every version that it has, and kmsg can read all of it.
func TestEveryVersionOfEveryAPI(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 2)
	r := n.raw()
	requests := map[int16]func(version int16) kmsg.Request{
		0: func(v int16) kmsg.Request {
			return produceRequest(v, 1, "topic", id, 0, batchOf(t, record.BuilderOptions{}, "value"))
		},
		1: func(v int16) kmsg.Request { return fetchRequest(v, "topic", id, 0, 0) },
		2: func(int16) kmsg.Request {
			q := kmsg.NewPtrListOffsetsRequest()
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp = -1
			q.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "topic", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
			return q
		},
		19: func(v int16) kmsg.Request {
			q := kmsg.NewPtrCreateTopicsRequest()
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "made-"+string(rune('a'+v)), 1, 1
			q.Topics = append(q.Topics, topic)
			return q
		},
		20: func(v int16) kmsg.Request {
			q := kmsg.NewPtrDeleteTopicsRequest()
			name := "made-" + string(rune('a'+v))
			q.TopicNames = []string{name}
			q.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}
			return q
		},
		21: func(int16) kmsg.Request {
			q := kmsg.NewPtrDeleteRecordsRequest()
			q.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "topic", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 1}}}}
			return q
		},
		23: func(int16) kmsg.Request {
			q := kmsg.NewPtrOffsetForLeaderEpochRequest()
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			q.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "topic", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
			return q
		},
		32: func(int16) kmsg.Request {
			q := kmsg.NewPtrDescribeConfigsRequest()
			q.IncludeSynonyms, q.IncludeDocumentation = true, true
			q.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: 2, ResourceName: "topic"}, {ResourceType: 4, ResourceName: "1"}, {ResourceType: 4}}
			return q
		},
		37: func(v int16) kmsg.Request {
			q := kmsg.NewPtrCreatePartitionsRequest()
			p := kmsg.NewCreatePartitionsRequestTopic()
			p.Topic, p.Count = "topic", 3+int32(v)
			q.Topics = append(q.Topics, p)
			return q
		},
	}
	for a := range n.broker.endpoints.served() {
		make := requests[a.Key]
		if make == nil {
			make = func(int16) kmsg.Request { return kmsg.RequestForKey(a.Key) }
		}
		for v := a.Min; v <= a.Max; v++ {
			q := make(v)
			q.SetVersion(v)
			if v18, ok := q.(*kmsg.ApiVersionsRequest); ok {
				v18.ClientSoftwareName, v18.ClientSoftwareVersion = "kmsg", "1.15"
			}
			resp := r.do(q)
			if code, ok := firstCode(resp); ok && code != 0 {
				t.Errorf("%s version %d: code %d", a.Name, v, code)
			}
		}
	}
}

// firstCode finds an error code anywhere in a response.
func firstCode(resp kmsg.Response) (int16, bool) {
	switch m := resp.(type) {
	case *kmsg.ProduceResponse:
		return m.Topics[0].Partitions[0].ErrorCode, true
	case *kmsg.FetchResponse:
		return m.Topics[0].Partitions[0].ErrorCode, true
	case *kmsg.ListOffsetsResponse:
		return m.Topics[0].Partitions[0].ErrorCode, true
	case *kmsg.CreateTopicsResponse:
		return m.Topics[0].ErrorCode, true
	case *kmsg.DeleteTopicsResponse:
		return m.Topics[0].ErrorCode, true
	case *kmsg.DeleteRecordsResponse:
		return m.Topics[0].Partitions[0].ErrorCode, true
	case *kmsg.OffsetForLeaderEpochResponse:
		return m.Topics[0].Partitions[0].ErrorCode, true
	case *kmsg.DescribeConfigsResponse:
		for i := range m.Resources {
			if m.Resources[i].ErrorCode != 0 {
				return m.Resources[i].ErrorCode, true
			}
		}
		return 0, len(m.Resources) == 3
	case *kmsg.CreatePartitionsResponse:
		return m.Topics[0].ErrorCode, true
	case *kmsg.InitProducerIDResponse:
		return m.ErrorCode, true
	case *kmsg.ApiVersionsResponse:
		return m.ErrorCode, true
	case *kmsg.DescribeClusterResponse:
		return m.ErrorCode, true
	case *kmsg.DescribeLogDirsResponse:
		return m.ErrorCode, true
	}
	return 0, false
}

func TestApiVersionsOfTheFutureIsAnsweredInVersionZero(t *testing.T) {
	n := startNode(t)
	r := n.raw()
	// A version 99 request: the rest of its bytes means nothing to us.
	r.write([]byte{0, 0, 0, 20, 0, 18, 0, 99, 0, 0, 0, 7, 0, 1, 'x', 1, 2, 3, 4, 5, 6, 7, 8, 9})
	b, err := r.frame()
	if err != nil {
		t.Fatal(err)
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	if err := resp.ReadFrom(b[4:]); err != nil {
		t.Fatal(err)
	}
	if binary.BigEndian.Uint32(b) != 7 || resp.ErrorCode != 35 || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].MaxVersion != 4 {
		t.Fatalf("got %x = %+v", b, resp)
	}
	r.corr = 7 // and the connection goes on
	q := kmsg.NewPtrApiVersionsRequest()
	q.SetVersion(4)
	q.ClientSoftwareName, q.ClientSoftwareVersion = "test", "1.0"
	full := r.do(q).(*kmsg.ApiVersionsResponse)
	for _, k := range full.ApiKeys {
		if k.ApiKey == 0 && (k.MinVersion != 0 || k.MaxVersion != 13) {
			t.Errorf("Produce is advertised as %d-%d, want 0-13", k.MinVersion, k.MaxVersion)
		}
	}
	for a := range n.broker.endpoints.served() {
		if !slices.ContainsFunc(full.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == a.Key }) {
			t.Errorf("%s has a handler and is not advertised", a.Name)
		}
	}
}

// TestCodecsAloneAreNotServed: an API that package protocol knows and that has no handler is
// neither advertised nor accepted.
func TestCodecsAloneAreNotServed(t *testing.T) {
	e := newEndpoints()
	e.byKey[protocol.KeyDescribeCluster] = nil
	for a := range e.served() {
		if a.Key == protocol.KeyDescribeCluster {
			t.Error("it is advertised")
		}
	}
	s := session{b: &Broker{endpoints: e}}
	if n := s.MaxRequestBytes(protocol.KeyDescribeCluster, 0); n != 0 {
		t.Errorf("a request of %d bytes is read", n)
	}
}

func TestOldProduceAndUnknownKeysCloseTheConnection(t *testing.T) {
	n := startNode(t)
	n.create("topic", 1)
	for name, frame := range map[string][]byte{
		"produce 2":       {0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff, 0, 1},
		"unknown key":     {0, 0, 0, 10, 0, 90, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
		"fetch 3":         {0, 0, 0, 10, 0, 1, 0, 3, 0, 0, 0, 1, 0xff, 0xff},
		"fetch 19":        {0, 0, 0, 10, 0, 1, 0, 19, 0, 0, 0, 1, 0xff, 0xff},
		"metadata, empty": {0, 0, 0, 10, 0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			r := n.raw()
			r.write(frame)
			r.wantClosed()
		})
	}
	if log := n.log.String(); !strings.Contains(log, "Produce request of version 2: versions 3 to 13 are served") {
		t.Errorf("the log does not say why:\n%s", log)
	}
}

// Random bodies cost at most their connection, whatever API they claim to be.
func TestRandomBodies(t *testing.T) {
	n := startNode(t, "auto.create.topics.enable=false")
	n.create("topic", 1)
	rng := testkit.Rand(t)
	for range testkit.Rounds(t, "ROUNDS", 400) {
		for a := range n.broker.endpoints.served() {
			body := make([]byte, rng.IntN(80))
			for i := range body {
				body[i] = byte(rng.IntN(256))
				if rng.IntN(3) > 0 {
					body[i] = byte(rng.IntN(4))
				}
			}
			version := a.Min + int16(rng.IntN(int(a.Max-a.Min)+1))
			frame := protocol.AppendRequestHeader([]byte{0, 0, 0, 0}, protocol.RequestHeader{Key: a.Key, Version: version, CorrelationID: 1})
			frame = append(frame, body...)
			binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
			r := n.raw()
			r.write(frame)
			r.c.(interface{ CloseWrite() error }).CloseWrite()
			r.frame()
			r.c.Close()
		}
	}
	n.raw().do(kmsg.NewPtrMetadataRequest())
}

func TestProduceRefusals(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1, "max.message.bytes=2000", "message.timestamp.after.max.ms=1000")
	good := func() []byte { return batchOf(t, record.BuilderOptions{}, "value") }
	corrupt := good()
	corrupt[len(corrupt)-1] ^= 1
	magic1 := good()
	magic1[16] = 1
	future := record.NewBuilder(record.BuilderOptions{})
	future.Append(time.Now().Add(time.Hour).UnixMilli(), nil, []byte("x"))
	late, err := future.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		version int16
		acks    int16
		topic   string
		id      [16]byte
		index   int32
		records []byte
		code    int16
	}{
		{"good", 9, -1, "topic", id, 0, good(), 0},
		{"unknown topic", 9, 1, "nope", id, 0, good(), 3},
		{"unknown partition", 9, 1, "topic", id, 7, good(), 3},
		{"negative partition", 9, 1, "topic", id, -1, good(), 3},
		{"unknown id", 13, 1, "", [16]byte{1}, 0, good(), 100},
		{"no records", 9, 1, "topic", id, 0, nil, 87},
		{"two batches", 9, 1, "topic", id, 0, append(good(), good()...), 87},
		{"corrupt", 9, 1, "topic", id, 0, corrupt, 2},
		{"torn", 9, 1, "topic", id, 0, good()[:70], 2},
		{"magic 1", 9, 1, "topic", id, 0, magic1, 87},
		{"acks 2", 9, 2, "topic", id, 0, good(), 21},
		{"acks -2", 3, -2, "topic", id, 0, good(), 21},
		{"too large", 9, 1, "topic", id, 0, batchOf(t, record.BuilderOptions{}, strings.Repeat("x", 3000)), 10},
		{"zstd in 6", 6, 1, "topic", id, 0, batchOf(t, record.BuilderOptions{Codec: compress.Zstd}, "a"), 76},
		{"zstd in 7", 7, 1, "topic", id, 0, batchOf(t, record.BuilderOptions{Codec: compress.Zstd}, "a"), 0},
		{"future", 9, 1, "topic", id, 0, late, 32},
		{"sequence gap", 9, 1, "topic", id, 0, batchOf(t, record.BuilderOptions{Producer: &record.Producer{ID: 5, BaseSequence: 0}}, "a"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := n.raw().do(produceRequest(c.version, c.acks, c.topic, c.id, c.index, c.records)).(*kmsg.ProduceResponse)
			p := resp.Topics[0].Partitions[0]
			if p.ErrorCode != c.code {
				t.Fatalf("code %d (%v), want %d", p.ErrorCode, deref(p.ErrorMessage), c.code)
			}
			if c.code != 0 && p.BaseOffset != -1 {
				t.Errorf("base offset %d of a refused batch", p.BaseOffset)
			}
			if c.code == 32 && (len(p.ErrorRecords) != 1 || p.ErrorRecords[0].RelativeOffset != 0) {
				t.Errorf("record errors %+v, want one for record 0", p.ErrorRecords)
			}
		})
	}
}

func deref(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func TestIdempotentProduce(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	r := n.raw()
	send := func(epoch int16, sequence int32, values ...string) kmsg.ProduceResponseTopicPartition {
		batch := batchOf(t, record.BuilderOptions{Producer: &record.Producer{ID: 77, Epoch: epoch, BaseSequence: sequence}}, values...)
		return r.do(produceRequest(9, -1, "topic", id, 0, batch)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	}
	for _, c := range []struct {
		what       string
		epoch      int16
		sequence   int32
		count      int
		code       int16
		baseOffset int64
	}{
		{"first", 0, 0, 3, 0, 0},
		{"second", 0, 3, 2, 0, 3},
		{"second again", 0, 3, 2, 0, 3},
		{"first again", 0, 0, 3, 0, 0},
		{"gap", 0, 9, 1, 45, -1},
		{"new epoch", 1, 0, 1, 0, 5},
		{"old epoch", 0, 5, 1, 47, -1},
	} {
		p := send(c.epoch, c.sequence, make([]string, c.count)...)
		if p.ErrorCode != c.code || p.BaseOffset != c.baseOffset {
			t.Errorf("%s: code %d offset %d, want %d and %d (%s)", c.what, p.ErrorCode, p.BaseOffset, c.code, c.baseOffset, deref(p.ErrorMessage))
		}
	}
}

func TestProduceWithoutAcks(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	r := n.raw()
	r.send(produceRequest(9, 0, "topic", id, 0, batchOf(t, record.BuilderOptions{}, "value")))
	r.do(kmsg.NewPtrMetadataRequest()) // its reply is the first: the produce has none
	r.send(produceRequest(9, 0, "nope", id, 0, batchOf(t, record.BuilderOptions{}, "value")))
	r.wantClosed()
	resp := n.raw().do(fetchRequest(12, "topic", id, 0, 0)).(*kmsg.FetchResponse)
	if hw := resp.Topics[0].Partitions[0].HighWatermark; hw != 1 {
		t.Errorf("high watermark %d, want 1", hw)
	}
}

// Produces that wait for the disk and requests that do not are answered in order, and the
// waiting ones share their syncs.
func TestPipelinedRequestsKeepTheirOrder(t *testing.T) {
	n := startNode(t)
	durable, fast := n.create("durable", 1, "flush.messages=1"), n.create("fast", 1)
	r := n.raw()
	const count = 300
	go func() {
		for i := range count {
			topic, id := "durable", durable
			if i%3 == 0 {
				topic, id = "fast", fast
			}
			r.c.Write(r.encode(produceRequest(9, -1, topic, id, 0, batchOf(t, record.BuilderOptions{}, "value"))))
		}
	}()
	offsets := map[string]int64{}
	for i := range count {
		topic := "durable"
		if i%3 == 0 {
			topic = "fast"
		}
		b, err := r.frame()
		if err != nil {
			t.Fatal(err)
		}
		resp, err := decode(produceRequest(9, -1, topic, durable, 0, nil), int32(i+1), b)
		if err != nil {
			t.Fatal(err)
		}
		p := resp.(*kmsg.ProduceResponse).Topics[0]
		if p.Topic != topic || p.Partitions[0].ErrorCode != 0 || p.Partitions[0].BaseOffset != offsets[topic] {
			t.Fatalf("reply %d: %+v, want %s at offset %d", i, p, topic, offsets[topic])
		}
		offsets[topic]++
	}
}

func TestDrainEndsALongPoll(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	r := n.raw()
	q := fetchRequest(12, "topic", id, 0, 0)
	q.MaxWaitMillis = 600_000
	r.send(q)
	testkit.WaitFor(t, "the fetch to be parked", func() bool { return n.broker.Stats().Parked.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	if err := n.broker.Close(ctx); err != nil {
		t.Fatal(err)
	}
	r.receive(q, r.corr)
	if _, err := r.frame(); err == nil {
		t.Fatal("the connection is still there")
	} else if errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
