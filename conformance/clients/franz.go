package clients

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// franz is twmb/franz-go, the pure Go client. It is also the script's reference reader.
type franz struct {
	bootstrap string
	admin     *kgo.Client
}

func newFranz(bootstrap string) (Driver, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		return nil, err
	}
	return &franz{bootstrap: bootstrap, admin: cl}, nil
}

func (d *franz) Name() string { return "franz-go" }

func (d *franz) Can() Abilities {
	return Abilities{
		Codecs: []string{"none", "gzip", "snappy", "lz4", "zstd"}, Admin: true, Idempotent: true, Headers: true, NullKeys: true,
		NullValues: true, Timestamps: true, ByTimestamp: true, Survives: true, HeaderValues: true,
	}
}

func (d *franz) CreateTopic(ctx context.Context, topic string, partitions int, config map[string]string) error {
	cfg := make(map[string]*string, len(config))
	for k, v := range config {
		cfg[k] = &v
	}
	_, err := kadm.NewClient(d.admin).CreateTopic(ctx, int32(partitions), 1, cfg, topic)
	return err
}

func (d *franz) DeleteTopic(ctx context.Context, topic string) error {
	res, err := kadm.NewClient(d.admin).DeleteTopics(ctx, topic)
	if err != nil {
		return err
	}
	return res.Error()
}

func (d *franz) NewProducer(_ context.Context, o ProducerOptions) (Producer, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(d.bootstrap), kgo.ProducerBatchCompression(codecs[o.Codec]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(1000),
		kgo.ProducerBatchMaxBytes(1 << 20),
	}
	if !o.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	return &franzProducer{cl}, nil
}

type franzProducer struct{ cl *kgo.Client }

func (p *franzProducer) Send(ctx context.Context, topic string, recs []Rec) error {
	out := make([]*kgo.Record, len(recs))
	for i, r := range recs {
		out[i] = &kgo.Record{Topic: r.in(topic), Key: r.Key, Value: r.Value}
		if r.TimestampMs != 0 {
			out[i].Timestamp = time.UnixMilli(r.TimestampMs)
		}
		for _, h := range r.Headers {
			out[i].Headers = append(out[i].Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	return p.cl.ProduceSync(ctx, out...).FirstErr()
}

func (p *franzProducer) Close() error {
	p.cl.Close()
	return nil
}

func (d *franz) Consume(ctx context.Context, topic string, from From, count int, ready func()) ([]Rec, error) {
	off := kgo.NewOffset().AtStart()
	switch {
	case from.End:
		ends, err := kadm.NewClient(d.admin).ListEndOffsets(ctx, topic)
		if err != nil {
			return nil, err
		}
		end, ok := ends.Lookup(topic, 0)
		if !ok || end.Err != nil {
			return nil, fmt.Errorf("end of %s: found %v: %w", topic, ok, end.Err)
		}
		off = kgo.NewOffset().At(end.Offset)
	case from.TimestampMs != 0:
		off = kgo.NewOffset().AfterMilli(from.TimestampMs)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.bootstrap), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: off}}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ready()
	var recs []Rec
	for len(recs) < count {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return recs, err
		}
		for _, e := range fetches.Errors() {
			return recs, fmt.Errorf("fetch %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) { recs = append(recs, fromFranz(r)) })
	}
	return recs, nil
}

func fromFranz(r *kgo.Record) Rec {
	rec := Rec{Offset: r.Offset, TimestampMs: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, Header{Key: h.Key, Value: h.Value})
	}
	return rec
}

func (d *franz) Close() error {
	d.admin.Close()
	return nil
}
