package drive

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

// consumer is one instance of the client library that reads.
type consumer struct {
	f      *franz
	client *kgo.Client
	owned  map[string]map[int32]*position // nil: the group decides
	left   int                            // partitions of which the end has not been seen
	again  bool                           // read from the start when all has been read
}

// empty says whether there is nothing to read.
func empty(bounds map[string]map[int32]*position) bool {
	for _, parts := range bounds {
		for _, p := range parts {
			if p.end > p.start {
				return false
			}
		}
	}
	return true
}

// position is where a consumer's partition begins and ends.
type position struct {
	start, end int64
	done       bool
}

// consumers divides the partitions among the consumers; where everybody reads everything,
// each gets all.
func (f *franz) consumers(ctx context.Context) ([]*consumer, error) {
	s := f.spec
	if f.got == nil {
		return nil, nil
	}
	if s.ConsumerGroup != "" && !cli.Serves(ctx, f.cluster.client, kmsg.JoinGroup, 0) {
		return nil, &NoGroupsError{Group: s.ConsumerGroup}
	}
	bounds, err := f.cluster.bounds(ctx, f.parts)
	if err != nil {
		return nil, err
	}
	if s.FetchMode == Replay && s.Duration > 0 && empty(bounds) {
		return nil, &EmptyError{Topics: s.Names()}
	}
	var all []*consumer
	for i := range s.Consumers {
		c := &consumer{f: f, again: s.FetchMode == Replay && s.Duration > 0 && s.Cold == nil}
		if s.ConsumerGroup == "" {
			c.take(i, bounds)
		}
		all = append(all, c)
	}
	f.reading.Store(int64(len(all)))
	return all, nil
}

// take gives consumer i its partitions.
func (c *consumer) take(i int, bounds map[string]map[int32]*position) {
	s := c.f.spec
	c.owned = map[string]map[int32]*position{}
	for n, p := range c.f.parts {
		if s.Kind != FanOut && n%s.Consumers != i {
			continue
		}
		if c.owned[p.Topic] == nil {
			c.owned[p.Topic] = map[int32]*position{}
		}
		own := *bounds[p.Topic][p.Index]
		c.owned[p.Topic][p.Index] = &own
	}
}

// open makes the client, which begins to fetch at once.
func (c *consumer) open() error {
	s := c.f.spec
	opts, err := consumeOptions(s, newHooks(c.f.got, kmsg.Fetch, false))
	if err != nil {
		return err
	}
	start := kgo.NewOffset().AtStart()
	if s.FetchMode == Tail {
		start = kgo.NewOffset().AtEnd()
	}
	if s.ConsumerGroup != "" {
		opts = append(opts, kgo.ConsumerGroup(s.ConsumerGroup), kgo.ConsumeTopics(s.Names()...), kgo.ConsumeResetOffset(start))
	} else {
		opts = append(opts, kgo.ConsumePartitions(c.offsets()))
	}
	c.client, err = kgo.NewClient(opts...)
	return err
}

// offsets says where reading begins, and that all is to be read.
func (c *consumer) offsets() map[string]map[int32]kgo.Offset {
	out := map[string]map[int32]kgo.Offset{}
	c.left = 0
	for topic, parts := range c.owned {
		out[topic] = map[int32]kgo.Offset{}
		for index, p := range parts {
			at := p.start
			if c.f.spec.FetchMode == Tail {
				at = p.end
			}
			out[topic][index] = kgo.NewOffset().At(at)
			if p.done = at >= p.end; !p.done {
				c.left++
			}
		}
	}
	return out
}

// run reads until ctx ends.
func (c *consumer) run(ctx context.Context) {
	if c.f.spec.Cold != nil && c.owned != nil && c.left == 0 {
		c.f.readAll() // more consumers than partitions
		return
	}
	for ctx.Err() == nil {
		fetches := c.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			if !errors.Is(err, context.Canceled) && !errors.Is(err, kgo.ErrClientClosed) {
				c.f.got.errors.add(fmt.Errorf("%s-%d: %w", topic, partition, err))
			}
		})
		records, payload := c.count(fetches)
		c.f.received(records, payload)
		switch {
		case c.left > 0 || records == 0:
		case c.again:
			c.rewind()
		case c.f.spec.Cold != nil:
			c.f.readAll()
			return
		}
	}
}

// readAll is called by a consumer that reads once and has; the last one ends the run.
func (f *franz) readAll() {
	if f.reading.Add(-1) == 0 {
		f.finish()
	}
}

// count adds up what came and sees which partitions were read to their end.
func (c *consumer) count(fetches kgo.Fetches) (records, payload int64) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		for _, r := range p.Records {
			payload += int64(len(r.Key) + len(r.Value))
		}
		n := len(p.Records)
		records += int64(n)
		if own := c.owned[p.Topic][p.Partition]; n > 0 && own != nil && !own.done && p.Records[n-1].Offset+1 >= own.end {
			own.done = true
			c.left--
		}
	})
	return records, payload
}

// rewind begins again at the start of every partition that has records.
func (c *consumer) rewind() {
	from := map[string]map[int32]kgo.EpochOffset{}
	for topic, parts := range c.owned {
		from[topic] = map[int32]kgo.EpochOffset{}
		for index, p := range parts {
			if p.end > p.start {
				from[topic][index] = kgo.EpochOffset{Epoch: -1, Offset: p.start}
				p.done = false
				c.left++
			}
		}
	}
	c.client.SetOffsets(from)
}

// received counts, and ends the run when that were enough records.
func (f *franz) received(records, payload int64) {
	f.got.payload.Add(payload)
	total := f.got.records.Add(records)
	if f.sent != nil || f.spec.Records == 0 || f.warm.Load() {
		return
	}
	if total-f.base.Load() >= f.spec.Records {
		f.finish()
	}
}

func closeAll(consumers []*consumer) {
	for _, c := range consumers {
		if c.client != nil {
			c.client.Close()
		}
	}
}

// NoGroupsError is a broker without consumer groups.
type NoGroupsError struct{ Group string }

func (e *NoGroupsError) Error() string {
	return fmt.Sprintf("the brokers do not serve consumer groups, so group %s cannot be joined: leave out --group to read partitions directly", e.Group)
}

// EmptyError is a reading run with nothing to read.
type EmptyError struct{ Topics []string }

func (e *EmptyError) Error() string {
	return fmt.Sprintf("there is nothing to read in %s: produce first, or let the run preload", strings.Join(e.Topics, ", "))
}

// IdleError is a reading run in which nothing came any more.
type IdleError struct{ After time.Duration }

func (e *IdleError) Error() string { return fmt.Sprintf("no record came for %v", e.After) }
