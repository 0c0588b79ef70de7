package clients

import (
	"context"
	"fmt"
	"time"

	ck "github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// confluent is confluent-kafka-go, which is librdkafka's newest release through cgo.
type confluent struct {
	bootstrap string
	admin     *ck.AdminClient
}

func newConfluent(bootstrap string) (Driver, error) {
	admin, err := ck.NewAdminClient(&ck.ConfigMap{"bootstrap.servers": bootstrap})
	if err != nil {
		return nil, err
	}
	return &confluent{bootstrap, admin}, nil
}

func (d *confluent) Name() string { return "confluent-kafka-go" }

func (d *confluent) Can() Abilities {
	return Abilities{
		Codecs: []string{"none", "gzip", "snappy", "lz4", "zstd"}, Admin: true, Idempotent: true, Headers: true, NullKeys: true,
		NullValues: true, Timestamps: true, ByTimestamp: true, Survives: true,
	}
}

func topicErr(res []ck.TopicResult, err error) error {
	if err != nil {
		return err
	}
	for _, r := range res {
		if r.Error.Code() != ck.ErrNoError {
			return r.Error
		}
	}
	return nil
}

func (d *confluent) CreateTopic(ctx context.Context, topic string, partitions int, config map[string]string) error {
	return topicErr(d.admin.CreateTopics(ctx, []ck.TopicSpecification{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1, Config: config}}))
}

func (d *confluent) DeleteTopic(ctx context.Context, topic string) error {
	return topicErr(d.admin.DeleteTopics(ctx, []string{topic}))
}

func (d *confluent) NewProducer(_ context.Context, o ProducerOptions) (Producer, error) {
	p, err := ck.NewProducer(&ck.ConfigMap{
		"bootstrap.servers": d.bootstrap, "compression.type": o.Codec, "enable.idempotence": o.Idempotent, "acks": "all",
		"linger.ms": 5, "retry.backoff.ms": 20, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "message.max.bytes": 1000000,
	})
	if err != nil {
		return nil, err
	}
	return &confluentProducer{p}, nil
}

type confluentProducer struct{ p *ck.Producer }

func (p *confluentProducer) Send(ctx context.Context, topic string, recs []Rec) error {
	done := make(chan ck.Event, len(recs))
	for _, r := range recs {
		to := r.in(topic)
		m := &ck.Message{TopicPartition: ck.TopicPartition{Topic: &to, Partition: 0}, Key: r.Key, Value: r.Value}
		if r.TimestampMs != 0 {
			m.Timestamp = time.UnixMilli(r.TimestampMs)
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, ck.Header{Key: h.Key, Value: h.Value})
		}
		if err := p.p.Produce(m, done); err != nil {
			return err
		}
	}
	for range recs {
		select {
		case e := <-done:
			if m := e.(*ck.Message); m.TopicPartition.Error != nil {
				return m.TopicPartition.Error
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *confluentProducer) Close() error {
	p.p.Close()
	return nil
}

func (d *confluent) Consume(ctx context.Context, topic string, from From, count int, ready func()) ([]Rec, error) {
	c, err := ck.NewConsumer(&ck.ConfigMap{"bootstrap.servers": d.bootstrap, "group.id": "unused", "enable.auto.commit": false})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	tp := ck.TopicPartition{Topic: &topic, Partition: 0, Offset: ck.OffsetBeginning}
	switch {
	case from.End:
		_, high, err := c.QueryWatermarkOffsets(topic, 0, int(operationTimeout.Milliseconds()))
		if err != nil {
			return nil, err
		}
		tp.Offset = ck.Offset(high)
	case from.TimestampMs != 0:
		tp.Offset = ck.Offset(from.TimestampMs)
		found, err := c.OffsetsForTimes([]ck.TopicPartition{tp}, int(operationTimeout.Milliseconds()))
		if err != nil {
			return nil, err
		}
		if found[0].Error != nil {
			return nil, found[0].Error
		}
		tp.Offset = found[0].Offset
	}
	if err := c.Assign([]ck.TopicPartition{tp}); err != nil {
		return nil, err
	}
	ready()
	var recs []Rec
	for len(recs) < count {
		if ctx.Err() != nil {
			return recs, fmt.Errorf("after %d records: %w", len(recs), ctx.Err())
		}
		m, err := c.ReadMessage(100 * time.Millisecond)
		if err != nil {
			if ke, ok := err.(ck.Error); ok && (ke.IsTimeout() || !ke.IsFatal()) {
				continue
			}
			return recs, err
		}
		rec := Rec{Offset: int64(m.TopicPartition.Offset), TimestampMs: m.Timestamp.UnixMilli(), Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			rec.Headers = append(rec.Headers, Header{Key: h.Key, Value: h.Value})
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

func (d *confluent) Close() error {
	d.admin.Close()
	return nil
}
