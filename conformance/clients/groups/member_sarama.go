package groups

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"
)

func consumeSarama(ctx context.Context, o Orders, r *reporter) error {
	c := sarama.NewConfig()
	c.Version, c.ClientID = sarama.MaxVersion, o.ClientID
	c.Consumer.Group.Session.Timeout = millis(o.SessionMs)
	c.Consumer.Group.Heartbeat.Interval = millis(o.HeartbeatMs)
	c.Consumer.Group.Rebalance.Timeout = rebalanceTimeout
	c.Consumer.Group.InstanceId = o.Instance
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Interval = 50 * time.Millisecond // of what is marked
	c.Consumer.Return.Errors = true
	c.Consumer.MaxWaitTime = 200 * time.Millisecond
	c.Metadata.Retry.Max, c.Metadata.Retry.Backoff = 200, 50*time.Millisecond
	strategy := sarama.NewBalanceStrategyRange()
	if o.Protocol == "cooperative" {
		strategy = sarama.NewBalanceStrategyCooperativeSticky()
	}
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	g, err := sarama.NewConsumerGroup([]string{o.Bootstrap}, o.Group, c)
	if err != nil {
		return err
	}
	go func() {
		for err := range g.Errors() {
			r.note(err)
		}
	}()
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{o.Topic}, saramaHandler{r}); err != nil {
			r.note(err)
			pause(ctx, 50*time.Millisecond)
		}
	}
	if err := g.Close(); err != nil && !errors.Is(err, sarama.ErrClosedConsumerGroup) {
		return err
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// saramaHandler works on one claim per goroutine.
type saramaHandler struct{ r *reporter }

func (saramaHandler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (saramaHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h saramaHandler) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for m := range claim.Messages() {
		h.r.seen(Seen{m.Partition, m.Offset, string(m.Value)})
		s.MarkMessage(m, "")
	}
	return nil
}
