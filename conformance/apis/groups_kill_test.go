package apis

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/conformance/harness"
)

// TestCommitsSurviveAKill kills the broker under groups that commit; what it acknowledged is
// there when it is back, and so are the members that it knew.
func TestCommitsSurviveAKill(t *testing.T) {
	b := harness.LaunchFor(t, harness.Options{Config: map[string]string{"offsets.topic.num.partitions": "5", "group.initial.rebalance.delay.ms": "0"}})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	open := func(opts ...kgo.Opt) (*kgo.Client, *kadm.Client) {
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Bootstrap()))...)
		if err != nil {
			t.Fatal(err)
		}
		return cl, kadm.NewClient(cl)
	}
	cl, adm := open()
	if _, err := adm.CreateTopic(ctx, 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	member, err := kgo.NewClient(kgo.SeedBrokers(b.Bootstrap()), kgo.ConsumerGroup("members"), kgo.ConsumeTopics("t"), kgo.InstanceID("i"))
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for n := 0; n == 0; n = member.PollFetches(ctx).NumRecords() {
		if err := ctx.Err(); err != nil {
			t.Fatal("no record for the member", err)
		}
	}
	member.CloseAllowingRebalance()
	cl.Close()
	const groups = 20
	var acked [groups]int64
	for round := range 3 {
		cl, adm := open(kgo.RequestRetries(2), kgo.RetryTimeout(time.Second)) // it gives up soon when the broker is killed
		var wg sync.WaitGroup
		enough := make(chan bool, groups)
		for g := range groups {
			wg.Go(func() {
				for i := acked[g] + 1; ; i++ {
					o := kadm.Offsets{"t": {0: {Topic: "t", At: i, LeaderEpoch: -1, Metadata: fmt.Sprint("round ", round)}}}
					if err := adm.CommitAllOffsets(ctx, fmt.Sprint("g", g), o); err != nil {
						return // killed
					}
					if acked[g] = i; i%5 == 0 {
						select {
						case enough <- true:
						default:
						}
					}
				}
			})
		}
		for range groups {
			<-enough
		}
		if err := b.Kill(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		cl.Close()
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		cl, adm = open()
		for g := range groups {
			got, err := adm.FetchOffsets(ctx, fmt.Sprint("g", g))
			if err != nil {
				t.Fatal(err)
			}
			o, ok := got.Lookup("t", 0)
			if !ok || o.At != acked[g] && o.At != acked[g]+1 {
				t.Errorf("round %d: group %d is at %d, %d was acknowledged", round, g, o.At, acked[g])
			}
			acked[g] = o.At
		}
		described, err := adm.DescribeGroups(ctx, "members")
		if err != nil || len(described["members"].Members) > 1 || described["members"].ProtocolType != "consumer" {
			t.Errorf("members: %+v, %v", described["members"], err)
		}
		cl.Close()
	}
}
