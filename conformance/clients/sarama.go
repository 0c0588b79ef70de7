package clients

import (
	"context"
	"time"

	"github.com/IBM/sarama"
)

// saramaDriver is IBM/sarama, the oldest pure Go client.
type saramaDriver struct {
	bootstrap string
	client    sarama.Client
}

func saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.ClientID = "clients-sarama"
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Retry.Max = 200
	c.Producer.Retry.Backoff = 50 * time.Millisecond
	c.Metadata.Retry.Max = 200
	c.Metadata.Retry.Backoff = 50 * time.Millisecond
	return c
}

func newSarama(bootstrap string) (Driver, error) {
	cl, err := sarama.NewClient([]string{bootstrap}, saramaConfig())
	if err != nil {
		return nil, err
	}
	return &saramaDriver{bootstrap: bootstrap, client: cl}, nil
}

func (d *saramaDriver) Name() string { return "sarama" }

func (d *saramaDriver) Can() Abilities {
	return Abilities{
		Codecs: []string{"none", "gzip", "snappy", "lz4", "zstd"}, Admin: true, Idempotent: true, Headers: true, NullKeys: true,
		NullValues: true, Timestamps: true, ByTimestamp: true, Survives: true,
	}
}

func (d *saramaDriver) admin() (sarama.ClusterAdmin, error) {
	return sarama.NewClusterAdmin([]string{d.bootstrap}, saramaConfig())
}

func (d *saramaDriver) CreateTopic(_ context.Context, topic string, partitions int, config map[string]string) error {
	admin, err := d.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	entries := make(map[string]*string, len(config))
	for k, v := range config {
		entries[k] = &v
	}
	return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1, ConfigEntries: entries}, false)
}

func (d *saramaDriver) DeleteTopic(_ context.Context, topic string) error {
	admin, err := d.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	return admin.DeleteTopic(topic)
}

func (d *saramaDriver) NewProducer(_ context.Context, o ProducerOptions) (Producer, error) {
	c := saramaConfig()
	if err := c.Producer.Compression.UnmarshalText([]byte(o.Codec)); err != nil {
		return nil, err
	}
	if o.Idempotent {
		c.Producer.Idempotent = true
		c.Net.MaxOpenRequests = 1
	}
	p, err := sarama.NewSyncProducer([]string{d.bootstrap}, c)
	if err != nil {
		return nil, err
	}
	return &saramaProducer{p}, nil
}

type saramaProducer struct{ p sarama.SyncProducer }

func (p *saramaProducer) Send(_ context.Context, topic string, recs []Rec) error {
	msgs := make([]*sarama.ProducerMessage, len(recs))
	for i, r := range recs {
		m := &sarama.ProducerMessage{Topic: r.in(topic)}
		if r.Key != nil {
			m.Key = sarama.ByteEncoder(r.Key)
		}
		if r.Value != nil {
			m.Value = sarama.ByteEncoder(r.Value)
		}
		if r.TimestampMs != 0 {
			m.Timestamp = time.UnixMilli(r.TimestampMs)
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
		msgs[i] = m
	}
	return p.p.SendMessages(msgs)
}

func (p *saramaProducer) Close() error { return p.p.Close() }

func (d *saramaDriver) Consume(ctx context.Context, topic string, from From, count int, ready func()) ([]Rec, error) {
	off := sarama.OffsetOldest
	var err error
	switch {
	case from.End:
		off, err = d.client.GetOffset(topic, 0, sarama.OffsetNewest)
	case from.TimestampMs != 0:
		off, err = d.client.GetOffset(topic, 0, from.TimestampMs)
	}
	if err != nil {
		return nil, err
	}
	c, err := sarama.NewConsumer([]string{d.bootstrap}, saramaConfig())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	pc, err := c.ConsumePartition(topic, 0, off)
	if err != nil {
		return nil, err
	}
	defer pc.Close()
	ready()
	var recs []Rec
	for len(recs) < count {
		select {
		case m := <-pc.Messages():
			rec := Rec{Offset: m.Offset, TimestampMs: m.Timestamp.UnixMilli(), Key: m.Key, Value: m.Value}
			for _, h := range m.Headers {
				rec.Headers = append(rec.Headers, Header{Key: string(h.Key), Value: h.Value})
			}
			recs = append(recs, rec)
		case <-ctx.Done():
			return recs, ctx.Err()
		}
	}
	return recs, nil
}

func (d *saramaDriver) Close() error { return d.client.Close() }
