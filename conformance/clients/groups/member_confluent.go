package groups

import (
	"context"
	"errors"
	"maps"
	"slices"

	ck "github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

func consumeConfluent(ctx context.Context, o Orders, r *reporter) error {
	config := ck.ConfigMap{
		"bootstrap.servers": o.Bootstrap, "client.id": o.ClientID, "group.id": o.Group, "enable.auto.commit": false,
		"auto.offset.reset": "earliest", "fetch.wait.max.ms": 200, "log_level": 2, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200,
	}
	switch o.Protocol {
	case "eager":
		config["partition.assignment.strategy"] = "range"
	case "cooperative":
		config["partition.assignment.strategy"] = "cooperative-sticky"
	case "consumer":
		config["group.protocol"] = "consumer"
	}
	if o.Protocol != "consumer" {
		config["session.timeout.ms"], config["heartbeat.interval.ms"], config["max.poll.interval.ms"] = o.SessionMs, o.HeartbeatMs, max(int(rebalanceTimeout.Milliseconds()), o.SessionMs)
	}
	if o.Instance != "" {
		config["group.instance.id"] = o.Instance
	}
	c, err := ck.NewConsumer(&config)
	if err != nil {
		return err
	}
	work := &confluentWork{c: c, r: r, next: map[int32]ck.TopicPartition{}}
	// With a callback, partitions are given up here, in this goroutine, between two polls:
	// never between a record and its commit.
	err = c.SubscribeTopics([]string{o.Topic}, func(_ *ck.Consumer, e ck.Event) error {
		work.commit()
		if revoked, ok := e.(ck.RevokedPartitions); ok {
			work.forget(revoked.Partitions)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		wait := 100 // milliseconds
		if len(work.seen) > 0 {
			wait = 0
		}
		e := c.Poll(wait)
		if m, ok := e.(*ck.Message); ok && m.TopicPartition.Error == nil {
			work.add(m)
			continue
		}
		work.commit()
		switch e := e.(type) {
		case *ck.Message:
			r.note(e.TopicPartition.Error)
		case ck.Error:
			r.note(e)
			if e.IsFatal() {
				return errors.Join(e, c.Close())
			}
		}
	}
	work.commit()
	return c.Close()
}

// confluentWork is what was read and is not committed yet. A commit that is refused while
// the group rebalances is sent again, for the partitions that the member keeps.
type confluentWork struct {
	c    *ck.Consumer
	r    *reporter
	seen []Seen
	next map[int32]ck.TopicPartition
}

func (w *confluentWork) add(m *ck.Message) {
	at := m.TopicPartition
	w.seen = append(w.seen, Seen{at.Partition, int64(at.Offset), string(m.Value)})
	at.Offset++
	w.next[at.Partition] = at
	if len(w.seen) == 50 {
		w.commit()
	}
}

func (w *confluentWork) commit() {
	if len(w.seen) > 0 {
		w.r.seen(w.seen...)
		w.seen = nil
	}
	if len(w.next) == 0 {
		return
	}
	if _, err := w.c.CommitOffsets(slices.Collect(maps.Values(w.next))); err != nil {
		w.r.note(err)
		return
	}
	clear(w.next)
}

func (w *confluentWork) forget(partitions []ck.TopicPartition) {
	for _, p := range partitions {
		delete(w.next, p.Partition)
	}
}
