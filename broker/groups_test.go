package broker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/internal/testkit"
)

// groupNode is a node whose groups do not wait for company.
func groupNode(t testing.TB, settings ...string) *node {
	return startNode(t, append([]string{"group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=4", "group.min.session.timeout.ms=1000"}, settings...)...)
}

// fill produces n records, each its number, over the partitions of a topic.
func (n *node) fill(topic string, partitions, records int) {
	n.t.Helper()
	cl := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	var batch []*kgo.Record
	for i := range records {
		batch = append(batch, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: fmt.Append(nil, i)})
	}
	if err := cl.ProduceSync(ctx, batch...).FirstErr(); err != nil {
		n.t.Fatal(err)
	}
}

// seen collects what members read, and who owns what.
type seen struct {
	mu     sync.Mutex
	values map[string]int
	more   chan struct{}
}

func newSeen() *seen { return &seen{values: map[string]int{}, more: make(chan struct{}, 1)} }

func (s *seen) add(rec *kgo.Record) {
	s.mu.Lock()
	s.values[string(rec.Value)]++
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
}

func (s *seen) wait(t testing.TB, ctx context.Context, want int) {
	t.Helper()
	for {
		s.mu.Lock()
		got := len(s.values)
		s.mu.Unlock()
		if got >= want {
			return
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			t.Fatalf("%d of %d records were seen", got, want)
		}
	}
}

// member runs a consumer of franz-go until ctx ends.
func (n *node) member(ctx context.Context, wg *sync.WaitGroup, s *seen, topic, group string, opts ...kgo.Opt) *kgo.Client {
	cl := n.client(append([]kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.AutoCommitInterval(100 * time.Millisecond), kgo.FetchMaxWait(100 * time.Millisecond)}, opts...)...)
	wg.Go(func() {
		for ctx.Err() == nil {
			fetches := cl.PollFetches(ctx)
			fetches.EachRecord(s.add)
		}
	})
	return cl
}

func TestGroupOfRealClientsReadsEverything(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "cooperative": kgo.CooperativeStickyBalancer()} {
		t.Run(name, func(t *testing.T) {
			n := groupNode(t)
			n.create("t", 6)
			n.fill("t", 6, 600)
			ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
			defer cancel()
			s, wg := newSeen(), new(sync.WaitGroup)
			first := n.member(ctx, wg, s, "t", "g", kgo.Balancers(balancer))
			second := n.member(ctx, wg, s, "t", "g", kgo.Balancers(balancer))
			s.wait(t, ctx, 600)
			if err := first.CommitUncommittedOffsets(ctx); err != nil {
				t.Fatal(err)
			}
			first.Close()
			n.fill("t", 6, 660) // 60 new values, 600 that were there
			s.wait(t, ctx, 660)
			if err := second.CommitUncommittedOffsets(ctx); err != nil {
				t.Fatal(err)
			}
			second.Close()
			cancel()
			wg.Wait()
			if !strings.Contains(n.log.String(), "fewer replicas than configured") {
				t.Error("the log does not say that __consumer_offsets has fewer replicas than configured")
			}
		})
	}
}

func TestGroupAdministrationWithKadm(t *testing.T) {
	n := groupNode(t)
	n.create("t", 2)
	n.fill("t", 2, 20)
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	adm := kadm.NewClient(n.client())
	s, wg := newSeen(), new(sync.WaitGroup)
	inner, stop := context.WithCancel(ctx)
	cl := n.member(inner, wg, s, "t", "g", kgo.InstanceID("one"))
	s.wait(t, ctx, 20)
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	described, err := adm.DescribeGroups(ctx, "g", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	g := described["g"]
	if g.State != "Stable" || g.ProtocolType != "consumer" || len(g.Members) != 1 || *g.Members[0].InstanceID != "one" || g.Members[0].ClientHost != "/127.0.0.1" {
		t.Errorf("described: %+v", g)
	}
	if got := g.AssignedPartitions(); !got.Lookup("t", 0) || !got.Lookup("t", 1) {
		t.Errorf("assigned: %v", got)
	}
	listed, err := adm.ListGroups(ctx, "stable")
	if err != nil || len(listed) != 1 || listed["g"].State != "Stable" {
		t.Errorf("listed: %v, %v", listed, err)
	}
	if listed, err = adm.ListGroups(ctx, "Empty"); err != nil || len(listed) != 0 {
		t.Errorf("empty groups: %v, %v", listed, err)
	}
	offsets, err := adm.FetchOffsets(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		if o, ok := offsets.Lookup("t", p); !ok || o.At != 10 {
			t.Errorf("offset of %d: %+v", p, o)
		}
	}
	if deleted, _ := adm.DeleteGroups(ctx, "g", "nobody"); deleted["g"].Err == nil || deleted["nobody"].Err == nil {
		t.Errorf("deletion of a group with members: %v", deleted)
	}
	stop()
	cl.Close()
	wg.Wait()
	if _, err := adm.LeaveGroup(ctx, kadm.LeaveGroup("g").InstanceIDs("one")); err != nil {
		t.Fatal(err)
	}
	if err := adm.CommitAllOffsets(ctx, "g", kadm.Offsets{"t": {0: {Topic: "t", Partition: 0, At: 3, LeaderEpoch: -1, Metadata: "moved"}}}); err != nil {
		t.Fatal(err)
	}
	if offsets, err = adm.FetchOffsets(ctx, "g"); err != nil {
		t.Fatal(err)
	}
	if o, _ := offsets.Lookup("t", 0); o.At != 3 || o.Metadata != "moved" {
		t.Errorf("moved offset: %+v", o)
	}
	var one kadm.TopicsSet
	one.Add("t", 1)
	if r, err := adm.DeleteOffsets(ctx, "g", one); err != nil || r.Error() != nil {
		t.Errorf("delete offsets: %v %v", r, err)
	}
	if offsets, err = adm.FetchOffsets(ctx, "g"); err != nil || len(offsets["t"]) != 1 {
		t.Errorf("left: %v, %v", offsets, err)
	}
	if deleted, err := adm.DeleteGroups(ctx, "g"); err != nil || deleted["g"].Err != nil {
		t.Errorf("deletion: %v, %v", deleted, err)
	}
	if offsets, err = adm.FetchOffsets(ctx, "g"); err != nil || len(offsets) != 0 {
		t.Errorf("after the deletion: %v, %v", offsets, err)
	}
}
