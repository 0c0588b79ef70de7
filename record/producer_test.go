package record

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace/millrace/internal/testkit"
)

// stubBroker answers what a producer asks on one connection and keeps the batches it sends.
type stubBroker struct {
	t       *testing.T
	batches chan []byte
}

func (s *stubBroker) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		req := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(conn, req); err != nil {
			return
		}
		key, version := int16(binary.BigEndian.Uint16(req)), int16(binary.BigEndian.Uint16(req[2:]))
		resp := s.answer(key, version, req[10+int(binary.BigEndian.Uint16(req[8:])):])
		out := make([]byte, 4, 256)
		out = append(out, req[4:8]...) // correlation id
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// answer gets versions before the flexible ones (MaxVersions below), so that headers stay simple.
func (s *stubBroker) answer(key, version int16, body []byte) kmsg.Response {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		s.t.Errorf("request %d version %d: %v", key, version, err)
	}
	resp := req.ResponseKind()
	switch r := resp.(type) {
	case *kmsg.ApiVersionsResponse:
		for key, highest := range map[int16]int16{0: 8, 3: 7, 18: 2, 22: 1} {
			r.ApiKeys = append(r.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key, MaxVersion: highest})
		}
	case *kmsg.MetadataResponse:
		topic := "t"
		r.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "stub", Port: 9092}}
		r.ControllerID = 1
		r.Topics = []kmsg.MetadataResponseTopic{{Topic: &topic, Partitions: []kmsg.MetadataResponseTopicPartition{{Leader: 1, Replicas: []int32{1}, ISR: []int32{1}}}}}
	case *kmsg.InitProducerIDResponse:
		r.ProducerID, r.ProducerEpoch = 4242, 3
	case *kmsg.ProduceResponse:
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			out := kmsg.ProduceResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				s.batches <- bytes.Clone(p.Records)
				out.Partitions = append(out.Partitions, kmsg.ProduceResponseTopicPartition{Partition: p.Partition, LogAppendTime: -1})
			}
			r.Topics = append(r.Topics, out)
		}
	}
	return resp
}

// TestRealProducer takes the bytes that franz-go's producer sends, in each codec, idempotent and
// not, and holds them against the records that went in.
func TestRealProducer(t *testing.T) {
	r := newRand(t)
	compressions := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	for i, compression := range compressions {
		for _, idempotent := range []bool{true, false} {
			samples := randomSamples(r, 20)
			for j := range samples { // in the order of the producer's clock, and compressible
				samples[j].ts = now + int64(j)
				samples[j].value = append(samples[j].value, make([]byte, 300)...)
			}
			b := produceOnce(t, samples, compression, idempotent)
			info, err := Validate(b, forClient())
			if err != nil {
				t.Fatalf("%v, idempotent %v: %v", codecs[i], idempotent, err)
			}
			if b.Codec() != codecs[i] || info.Count != 20 || info.MaxTimestamp != now+19 || info.OffsetOfMaxTimestamp != 19 || b.MaxTimestamp() != now+19 {
				t.Errorf("%v: codec %v, %+v", codecs[i], b.Codec(), info)
			}
			if idempotent != b.HasProducerID() || idempotent && (b.ProducerID() != 4242 || b.ProducerEpoch() != 3 || b.LastSequence() != b.BaseSequence()+19) {
				t.Errorf("%v: producer %d epoch %d sequence %d to %d", codecs[i], b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.LastSequence())
			}
			checkSamples(t, b, samples)
		}
	}
}

func produceOnce(t *testing.T, samples []sample, compression kgo.CompressionCodec, idempotent bool) Batch {
	t.Helper()
	broker := &stubBroker{t: t, batches: make(chan []byte, 10)}
	options := []kgo.Opt{
		kgo.SeedBrokers("stub:9092"), kgo.MaxVersions(kversion.V2_3_0()), kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(compression),
		kgo.ManualFlushing(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.Dialer(func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go broker.serve(far)
			return near, nil
		}),
	}
	if !idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	// A topic that the client knows already, so that all samples are in the partition's queue when
	// the flush begins: those of an unknown topic are moved there one by one while it goes on.
	client.Produce(ctx, &kgo.Record{Value: []byte("first")}, nil)
	if err := client.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	<-broker.batches
	for _, s := range samples {
		rec := &kgo.Record{Key: s.key, Value: s.value, Timestamp: time.UnixMilli(s.ts)}
		for _, h := range s.headers {
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		client.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("produce: %v", err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	b, rest, err := Next(<-broker.batches)
	if err != nil || len(rest) != 0 {
		t.Fatalf("one batch was sent? %d bytes more, %v", len(rest), err)
	}
	return b
}
