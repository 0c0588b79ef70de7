package clients

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafka "github.com/segmentio/kafka-go"
)

// kafkaGo is segmentio/kafka-go. It has no idempotent writer.
type kafkaGo struct {
	bootstrap string
	client    *kafka.Client
	transport *kafka.Transport
}

func newKafkaGo(bootstrap string) (Driver, error) {
	tr := &kafka.Transport{MetadataTTL: 100 * time.Millisecond}
	return &kafkaGo{bootstrap: bootstrap, transport: tr, client: &kafka.Client{Addr: kafka.TCP(bootstrap), Transport: tr}}, nil
}

func (d *kafkaGo) Name() string { return "kafka-go" }

func (d *kafkaGo) Can() Abilities {
	return Abilities{
		Codecs: []string{"none", "gzip", "snappy", "lz4", "zstd"}, Admin: true, Headers: true, NullKeys: true,
		NullValues: true, Timestamps: true, ByTimestamp: true, Survives: true,
	}
}

func (d *kafkaGo) CreateTopic(ctx context.Context, topic string, partitions int, config map[string]string) error {
	tc := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}
	for k, v := range config {
		tc.ConfigEntries = append(tc.ConfigEntries, kafka.ConfigEntry{ConfigName: k, ConfigValue: v})
	}
	res, err := d.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{tc}})
	if err != nil {
		return err
	}
	return res.Errors[topic]
}

func (d *kafkaGo) DeleteTopic(ctx context.Context, topic string) error {
	res, err := d.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return res.Errors[topic]
}

func (d *kafkaGo) NewProducer(_ context.Context, o ProducerOptions) (Producer, error) {
	codecs := map[string]kafka.Compression{"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}
	return &kafkaGoProducer{&kafka.Writer{
		Addr: kafka.TCP(d.bootstrap), Transport: d.transport, RequiredAcks: kafka.RequireAll, Compression: codecs[o.Codec],
		BatchTimeout: time.Millisecond, BatchBytes: 1 << 20, MaxAttempts: 1000, WriteBackoffMin: 20 * time.Millisecond, WriteBackoffMax: 100 * time.Millisecond,
	}}, nil
}

type kafkaGoProducer struct{ w *kafka.Writer }

func (p *kafkaGoProducer) Send(ctx context.Context, topic string, recs []Rec) error {
	msgs := make([]kafka.Message, len(recs))
	for i, r := range recs {
		msgs[i] = kafka.Message{Topic: r.in(topic), Key: r.Key, Value: r.Value}
		if r.TimestampMs != 0 {
			msgs[i].Time = time.UnixMilli(r.TimestampMs)
		}
		for _, h := range r.Headers {
			msgs[i].Headers = append(msgs[i].Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
	}
	return p.w.WriteMessages(ctx, msgs...)
}

func (p *kafkaGoProducer) Close() error { return p.w.Close() }

func (d *kafkaGo) Consume(ctx context.Context, topic string, from From, count int, ready func()) ([]Rec, error) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{d.bootstrap}, Topic: topic, Partition: 0, MaxBytes: 16 << 20, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	switch {
	case from.End:
		res, err := d.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(0)}}})
		if err != nil {
			return nil, err
		}
		part := res.Topics[topic][0]
		if part.Error != nil {
			return nil, fmt.Errorf("end of %s: %w", topic, part.Error)
		}
		if err := r.SetOffset(part.LastOffset); err != nil {
			return nil, err
		}
	case from.TimestampMs != 0:
		if err := r.SetOffsetAt(ctx, time.UnixMilli(from.TimestampMs)); err != nil {
			return nil, err
		}
	}
	ready()
	var recs []Rec
	for len(recs) < count {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return recs, errors.Join(err, ctx.Err())
		}
		rec := Rec{Offset: m.Offset, TimestampMs: m.Time.UnixMilli(), Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			rec.Headers = append(rec.Headers, Header{Key: h.Key, Value: h.Value})
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

func (d *kafkaGo) Close() error {
	d.transport.CloseIdleConnections()
	return nil
}
