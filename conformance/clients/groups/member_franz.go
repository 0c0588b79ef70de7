package groups

import (
	"context"
	"errors"
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
	refused := false      // a commit was, and what it was for may be ours still
	for ctx.Err() == nil {
		poll, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		fetches := cl.PollRecords(poll, 50)
		cancel()
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				r.note(e.Err)
			}
		}
		recs := fetches.Records()
		if len(recs) > 0 {
			seen := make([]Seen, len(recs))
			for i, rec := range recs {
				seen[i] = Seen{rec.Partition, rec.Offset, string(rec.Value)}
			}
			r.seen(seen...)
		}
		if len(recs) > 0 || refused {
			err := cl.CommitUncommittedOffsets(ctx)
			refused = err != nil
			r.note(err)
		}
		cl.AllowRebalance()
	}
	return nil
}

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }
