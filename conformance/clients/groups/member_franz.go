package groups

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func consumeFranz(ctx context.Context, o Orders, r *reporter) error {
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Bootstrap), kgo.ClientID(o.ClientID), kgo.ConsumerGroup(o.Group), kgo.ConsumeTopics(o.Topic),
		kgo.SessionTimeout(millis(o.SessionMs)), kgo.HeartbeatInterval(millis(o.HeartbeatMs)), kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(200 * time.Millisecond), kgo.AlwaysRetryEOF(), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
	}
	switch o.Protocol {
	case "eager":
		opts = append(opts, kgo.Balancers(kgo.RangeBalancer()))
	case "cooperative":
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	case "consumer":
		opts = append(opts, kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer())
	}
	if o.Instance != "" {
		opts = append(opts, kgo.InstanceID(o.Instance))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.CloseAllowingRebalance()
	defer cl.LeaveGroup() // static members of the new protocol tell that they will be back
	for ctx.Err() == nil {
		fetches := cl.PollRecords(ctx, 50)
		for _, e := range fetches.Errors() {
			r.note(e.Err)
		}
		if recs := fetches.Records(); len(recs) > 0 {
			seen := make([]Seen, len(recs))
			for i, rec := range recs {
				seen[i] = Seen{rec.Partition, rec.Offset, string(rec.Value)}
			}
			r.seen(seen...)
			r.note(cl.CommitRecords(ctx, recs...))
		}
		cl.AllowRebalance()
	}
	return nil
}

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }
