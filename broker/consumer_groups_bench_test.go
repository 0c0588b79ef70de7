package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/coordinator/group/consumer"
	"github.com/millrace/millrace/protocol"
)

// nextMember is a member of the new protocol that does what it is told.
type nextMember struct {
	group, id string
	epoch     int32
	owned     []protocol.ConsumerGroupHeartbeatRequestTopicPartition
	moved     bool
}

// beat sends a heartbeat and takes the answer; all of it happens before it returns.
func (m *nextMember) beat(b testing.TB, c *crowd, topic string) {
	q := &protocol.ConsumerGroupHeartbeatRequest{GroupID: m.group, MemberID: m.id, MemberEpoch: m.epoch, RebalanceTimeoutMs: -1, TopicPartitions: m.owned}
	if m.epoch == 0 {
		q.RebalanceTimeoutMs, q.SubscribedTopicNames, q.TopicPartitions = 60_000, []string{topic}, []protocol.ConsumerGroupHeartbeatRequestTopicPartition{}
	}
	c.n.groups.ConsumerHeartbeat(q, consumer.Client{ID: "client", Host: "/127.0.0.1", Version: 1}, func(a *protocol.ConsumerGroupHeartbeatResponse) {
		if a.ErrorCode != protocol.CodeNone {
			b.Fatalf("%s: %s", m.id, a.ErrorCode.Name())
		}
		m.moved = m.epoch != a.MemberEpoch || a.Assignment != nil
		m.epoch = a.MemberEpoch
		if a.Assignment != nil {
			m.owned = []protocol.ConsumerGroupHeartbeatRequestTopicPartition{}
			for _, t := range a.Assignment.TopicPartitions {
				m.owned = append(m.owned, protocol.ConsumerGroupHeartbeatRequestTopicPartition(t))
			}
		}
	})
}

// nextCrowd is groups of the new protocol whose members have all joined and settled.
func nextCrowd(b testing.TB, groups, members int) (*crowd, []*nextMember) {
	c := newCrowd(b, 0, 0)
	c.n.create("topic", 10)
	r := c.n.raw()
	defer r.c.Close()
	c.n.findGroup(r, "g")
	var all []*nextMember
	for g := range groups {
		for m := range members {
			all = append(all, &nextMember{group: fmt.Sprint("group-", g), id: fmt.Sprintf("member-%d-%d", g, m)})
		}
	}
	return c, all
}

// settle sends heartbeats until no member is told anything new.
func settle(b testing.TB, c *crowd, all []*nextMember) {
	for again := true; again; {
		again = false
		for _, m := range all {
			m.beat(b, c, "topic")
			again = again || m.moved
		}
	}
}

// BenchmarkNextRebalance is 1,000 groups with 5,000 members that all come at once, until each
// has its share of ten partitions.
func BenchmarkNextRebalance(b *testing.B) {
	for range b.N {
		b.StopTimer()
		c, all := nextCrowd(b, 1000, 5)
		b.StartTimer()
		settle(b, c, all)
		b.StopTimer()
		c.n.stop()
	}
}

// BenchmarkConsumerHeartbeatHandler is one ConsumerGroupHeartbeat, from request bytes to
// response bytes, of members of 1,000 groups in turns.
func BenchmarkConsumerHeartbeatHandler(b *testing.B) {
	c, all := nextCrowd(b, 1000, 5)
	settle(b, c, all)
	var frames [][]byte
	for i := 0; i < len(all); i += 5 {
		q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		q.Version, q.Group, q.MemberID, q.MemberEpoch = 1, all[i].group, all[i].id, all[i].epoch
		frames = append(frames, frameOf(q))
	}
	s, out := c.n.handler()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		s.Serve(frames[i%len(frames)])
		s.c.Flush()
	}
	b.StopTimer()
	if out.n == 0 {
		b.Fatal("nothing was answered")
	}
}

// TestNextCrowd is the benchmark's crowd, small.
func TestNextCrowd(t *testing.T) {
	c, all := nextCrowd(t, 20, 5)
	settle(t, c, all)
	for _, m := range all {
		if len(m.owned) != 1 || len(m.owned[0].Partitions) != 2 {
			t.Errorf("%s has %v", m.id, m.owned)
		}
	}
}
