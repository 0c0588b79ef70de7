package broker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
)

// kindOf tells a group's type and how many members it has.
func (n *node) kindOf(group string) (kind string, members int) {
	r := n.raw()
	defer r.c.Close()
	list := kmsg.NewPtrListGroupsRequest()
	list.SetVersion(5)
	for _, g := range r.do(list).(*kmsg.ListGroupsResponse).Groups {
		if g.Group == group {
			kind = g.GroupType
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	adm := kadm.NewClient(n.client())
	if kind == "consumer" {
		if d, err := adm.DescribeConsumerGroups(ctx, group); err == nil {
			members = len(d[group].Members)
		}
	} else if d, err := adm.DescribeGroups(ctx, group); err == nil {
		members = len(d[group].Members)
	}
	return kind, members
}

func (n *node) waitKind(group, kind string, members int) {
	n.t.Helper()
	got := ""
	defer func() {
		if n.t.Failed() {
			n.t.Logf("the group is %s", got)
		}
	}()
	testkit.WaitFor(n.t, fmt.Sprintf("the group to be %s with %d members", kind, members), func() bool {
		k, m := n.kindOf(group)
		got = fmt.Sprintf("%s with %d members", k, m)
		return k == kind && m == members
	})
}

// A group of classic members takes in members of the new protocol one by one until it has
// no other, and goes back the same way, and reads everything meanwhile.
func TestGroupChangesItsProtocolWhileItRuns(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "cooperative": kgo.CooperativeStickyBalancer()} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name == "range" {
				t.Skip("one balancer is enough for a short run")
			}
			t.Parallel()
			n := nextGroupNode(t)
			n.create("t", 6)
			ctx, cancel := context.WithTimeout(context.Background(), 240*time.Second)
			defer cancel()
			s, wg := newSeen(), new(sync.WaitGroup)
			records := 0
			produce := func() {
				t.Helper()
				records += 60
				n.fill("t", 6, records)
				s.wait(t, ctx, records)
			}
			classic := func() *kgo.Client {
				return n.member(ctx, wg, s, "t", "g", kgo.Balancers(balancer), kgo.HeartbeatInterval(100*time.Millisecond), kgo.SessionTimeout(time.Minute), kgo.RebalanceTimeout(10*time.Second))
			}
			next := func() *kgo.Client { return n.member(ctx, wg, s, "t", "g", kgo.ServerSideBalancer()) }
			old1, old2 := classic(), classic()
			n.waitKind("g", "classic", 2)
			produce()
			new1 := next()
			n.waitKind("g", "consumer", 3)
			produce()
			new2 := next()
			old1.Close()
			n.waitKind("g", "consumer", 3)
			produce()
			old2.Close()
			n.waitKind("g", "consumer", 2)
			produce()
			// And back.
			old3, old4 := classic(), classic()
			n.waitKind("g", "consumer", 4)
			produce()
			new1.Close()
			produce()
			new2.Close()
			n.waitKind("g", "classic", 2)
			produce()
			old3.Close()
			n.waitKind("g", "classic", 1)
			produce()
			old4.Close()
			cancel()
			wg.Wait()
			if log := n.log.String(); strings.Count(log, "it speaks the new protocol now") != 1 || strings.Count(log, "the last member of the new protocol is gone") != 1 {
				t.Error("the log does not tell of the conversions")
			}
		})
	}
}

func TestMigrationPolicy(t *testing.T) {
	n := nextGroupNode(t, "group.consumer.migration.policy=Disabled")
	n.create("t", 2)
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	s, wg := newSeen(), new(sync.WaitGroup)
	cl := n.member(ctx, wg, s, "t", "g", kgo.Balancers(kgo.RangeBalancer()))
	n.waitKind("g", "classic", 1)
	r := n.raw()
	defer r.c.Close()
	join := heartbeatRequest("g", "a", 0)
	join.SubscribedTopicNames = []string{"t"}
	if got := r.do(join).(*kmsg.ConsumerGroupHeartbeatResponse); kerr.ErrorForCode(got.ErrorCode) != kerr.GroupIDNotFound || !strings.Contains(*got.ErrorMessage, "is not a consumer group") {
		t.Errorf("%+v", got)
	}
	cl.Close()
	// An empty group may, in both directions.
	n.waitKind("g", "classic", 0)
	if got := r.do(join).(*kmsg.ConsumerGroupHeartbeatResponse); got.ErrorCode != 0 {
		t.Errorf("%+v", got)
	}
	n.waitKind("g", "consumer", 1)
	if got := r.do(heartbeatRequest("g", "a", -1)).(*kmsg.ConsumerGroupHeartbeatResponse); got.ErrorCode != 0 {
		t.Errorf("%+v", got)
	}
	cl = n.member(ctx, wg, s, "t", "g", kgo.Balancers(kgo.RangeBalancer()))
	n.waitKind("g", "classic", 1)
	cl.Close()
	cancel()
	wg.Wait()
}
