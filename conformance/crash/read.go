package crash

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/conformance/history"
)

// Positions are the offsets up to which places have been read.
type Positions map[history.Place]int64

// Read reads every topic from where positions says, or from its start, to the end that it
// has now, into h, and moves positions.
func Read(ctx context.Context, addr string, topics []Topic, h *history.History, at Positions) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.FetchMaxWait(10*time.Millisecond))
	if err != nil {
		return err
	}
	ends, err := endOffsets(ctx, c, topics)
	c.Close()
	if err != nil {
		return err
	}
	from := map[string]map[int32]kgo.Offset{}
	left := 0
	for place, end := range ends {
		if at[place] > end {
			return fmt.Errorf("%v ends at %d and was read to %d before", place, end, at[place])
		}
		if at[place] == end {
			delete(ends, place)
			continue
		}
		if from[place.Topic] == nil {
			from[place.Topic] = map[int32]kgo.Offset{}
		}
		from[place.Topic][place.Partition] = kgo.NewOffset().At(at[place])
		left++
	}
	if left == 0 {
		return nil
	}
	c, err = kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumePartitions(from), kgo.FetchMaxWait(10*time.Millisecond), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return err
	}
	defer c.Close()
	return drain(ctx, c, ends, h, at)
}

func endOffsets(ctx context.Context, c *kgo.Client, topics []Topic) (map[history.Place]int64, error) {
	var names []string
	for _, t := range topics {
		names = append(names, t.Name)
	}
	listed, err := kadm.NewClient(c).ListEndOffsets(ctx, names...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	out := map[history.Place]int64{}
	listed.Each(func(o kadm.ListedOffset) { out[history.Place{Topic: o.Topic, Partition: o.Partition}] = o.Offset })
	return out, nil
}

// drain polls until every place of ends is read to its end. What lies beyond is taken
// too: the loads may go on.
func drain(ctx context.Context, c *kgo.Client, ends map[history.Place]int64, h *history.History, at Positions) error {
	for len(ends) > 0 {
		fetches := c.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read: %w; not at the end of %v, but at %v", err, ends, at)
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("read %s-%d: %w", errs[0].Topic, errs[0].Partition, errs[0].Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			place := history.Place{Topic: r.Topic, Partition: r.Partition}
			h.Read(place, r.Offset, r.Value)
			at[place] = r.Offset + 1
			if end, waiting := ends[place]; waiting && at[place] >= end {
				delete(ends, place)
			}
		})
	}
	return nil
}
