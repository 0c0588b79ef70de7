package groups

import (
	"context"
	"errors"
	"time"

	kafka "github.com/segmentio/kafka-go"
)

// consumeKafkaGo uses the client's ConsumerGroup: its Reader commits what was read in an
// older generation under the newest one.
func consumeKafkaGo(ctx context.Context, o Orders, r *reporter) error {
	dialer := &kafka.Dialer{ClientID: o.ClientID, Timeout: 10 * time.Second}
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: o.Group, Brokers: []string{o.Bootstrap}, Dialer: dialer, Topics: []string{o.Topic}, GroupBalancers: []kafka.GroupBalancer{kafka.RangeGroupBalancer{}},
		HeartbeatInterval: millis(o.HeartbeatMs), SessionTimeout: millis(o.SessionMs), RebalanceTimeout: rebalanceTimeout,
		JoinGroupBackoff: 50 * time.Millisecond, StartOffset: kafka.FirstOffset,
	})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		generation, err := g.Next(ctx)
		if err != nil {
			r.note(err)
			pause(ctx, 50*time.Millisecond)
			continue
		}
		for _, a := range generation.Assignments[o.Topic] {
			generation.Start(func(ctx context.Context) { readKafkaGo(ctx, o, r, dialer, generation, a) })
		}
	}
	return g.Close()
}

// readKafkaGo reads one partition for the time of a generation.
func readKafkaGo(ctx context.Context, o Orders, r *reporter, dialer *kafka.Dialer, g *kafka.Generation, a kafka.PartitionAssignment) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{o.Bootstrap}, Dialer: dialer, Topic: o.Topic, Partition: a.ID, MaxWait: 200 * time.Millisecond,
		ReadBackoffMin: 20 * time.Millisecond, ReadBackoffMax: 200 * time.Millisecond,
	})
	defer reader.Close()
	if err := reader.SetOffset(a.Offset); err != nil {
		r.note(err)
		return
	}
	for ctx.Err() == nil {
		seen, err := readSome(ctx, reader)
		if len(seen) > 0 {
			r.seen(seen...)
			r.note(g.CommitOffsets(map[string]map[int]int64{o.Topic: {a.ID: seen[len(seen)-1].Offset + 1}}))
		}
		if errors.Is(err, kafka.ErrGenerationEnded) {
			return
		}
		if err != nil {
			r.note(err)
			pause(ctx, 50*time.Millisecond)
		}
	}
}

// readSome waits for a record and takes more while they are there.
func readSome(ctx context.Context, reader *kafka.Reader) ([]Seen, error) {
	var seen []Seen
	for len(seen) < 50 {
		one, cancel := ctx, context.CancelFunc(func() {})
		if len(seen) > 0 {
			one, cancel = context.WithTimeout(ctx, 2*time.Millisecond)
		}
		m, err := reader.ReadMessage(one)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && len(seen) > 0 {
			return seen, nil
		}
		if err != nil {
			return seen, err
		}
		seen = append(seen, Seen{int32(m.Partition), m.Offset, string(m.Value)})
	}
	return seen, nil
}
