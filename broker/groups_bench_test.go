package broker

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/coordinator/group"
	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/protocol"
)

// crowd is groups of members that do what members do, without sockets: their requests enter
// where the handlers hand them over. One goroutine plays all of them.
type crowd struct {
	n               *node
	groups, members int
	all             [][]player

	mu    sync.Mutex
	moved sync.Cond
	queue []func() // answers that came
}

// player is one member; generation is that of the assignment that it has, 0 for none.
type player struct {
	id         string
	generation int32
	busy       bool
}

func newCrowd(tb testing.TB, groups, members int) *crowd {
	n := quiet(tb, "group.initial.rebalance.delay.ms=0")
	if _, err := n.broker.offsetsTopic(); err != nil {
		tb.Fatal(err)
	}
	c := &crowd{n: n, groups: groups, members: members, all: make([][]player, groups)}
	c.moved.L = &c.mu
	for g := range c.all {
		c.all[g] = make([]player, members)
	}
	return c
}

// rebalance lets all members of all groups join, and returns when each has its assignment of
// one generation. Whoever has one finds out by heartbeats that it must join again.
func (c *crowd) rebalance() {
	left := c.groups
	settled := make([]bool, c.groups)
	for g := range c.groups {
		for m := range c.members {
			c.join(g, m)
		}
	}
	for left > 0 {
		for _, f := range c.take() {
			f()
		}
		for g := range c.groups {
			if !settled[g] && c.agree(g) {
				settled[g] = true
				left--
			}
		}
	}
}

// take waits for answers.
func (c *crowd) take() []func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 {
		c.moved.Wait()
	}
	all := c.queue
	c.queue = nil
	return all
}

func (c *crowd) put(f func()) {
	c.mu.Lock()
	c.queue = append(c.queue, f)
	c.moved.Signal()
	c.mu.Unlock()
}

// agree tells whether all members of a group have the same generation; those with an old one
// that nobody keeps waiting join again.
func (c *crowd) agree(g int) bool {
	all := true
	for m := range c.all[g] {
		p := &c.all[g][m]
		if p.busy {
			all = false
			continue
		}
		if c.n.groups.Heartbeat(c.id(g), p.id, "", p.generation) != protocol.CodeNone {
			all = false
			c.join(g, m)
		}
	}
	return all
}

var metadata5 = kmsg.ConsumerMemberMetadata{Version: 1, Topics: []string{"topic"}}

func (c *crowd) join(g, m int) {
	p := &c.all[g][m]
	p.busy = true
	q := &classic.JoinRequest{
		MemberID: p.id, ClientID: "client", ClientHost: "/127.0.0.1", ProtocolType: "consumer", SessionTimeoutMs: 45_000, RebalanceTimeoutMs: 60_000,
		Protocols: []classic.Protocol{{Name: "range", Metadata: metadata5.AppendTo(nil)}},
	}
	c.n.groups.Join(c.id(g), q, func(a classic.JoinAnswer) { c.put(func() { c.joined(g, m, a) }) })
}

func (c *crowd) joined(g, m int, a classic.JoinAnswer) {
	p := &c.all[g][m]
	if a.Code != protocol.CodeNone {
		c.join(g, m)
		return
	}
	p.id = a.MemberID
	sync := &classic.SyncRequest{MemberID: a.MemberID, Generation: a.Generation}
	if len(a.Members) > 0 {
		sync.Assignments = map[string][]byte{}
		for _, o := range a.Members {
			sync.Assignments[o.ID] = []byte("an assignment of some partitions")
		}
	}
	c.n.groups.Sync(c.id(g), sync, func(s classic.SyncAnswer) {
		c.put(func() {
			if s.Code != protocol.CodeNone {
				c.join(g, m)
				return
			}
			p.generation, p.busy = a.Generation, false
		})
	})
}

func (c *crowd) id(g int) string { return fmt.Sprint("group-", g) }

// BenchmarkRebalance is 1,000 groups with 5,000 members that all come at once, from nothing to
// the last assignment. Every group rebalances several times while its members come.
func BenchmarkRebalance(b *testing.B) {
	for range b.N {
		b.StopTimer()
		c := newCrowd(b, 1000, 5)
		b.StartTimer()
		c.rebalance()
		b.StopTimer()
		c.n.stop()
	}
}

// BenchmarkHeartbeatHandler is one Heartbeat, from request bytes to response bytes, of members
// of 1,000 groups in turns.
func BenchmarkHeartbeatHandler(b *testing.B) {
	c := newCrowd(b, 1000, 5)
	c.rebalance()
	generations := map[string]int32{}
	c.n.groups.Groups(func(g group.Info) bool { generations[g.ID] = g.Generation; return true })
	var frames [][]byte
	for g := range c.groups {
		q := kmsg.NewPtrHeartbeatRequest()
		d, _ := c.n.groups.Describe(c.id(g))
		q.Version, q.Group, q.MemberID, q.Generation = 4, c.id(g), d.Members[0].ID, generations[c.id(g)]
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

// BenchmarkOffsetCommitHandler is one commit of ten partitions by a member of no group.
func BenchmarkOffsetCommitHandler(b *testing.B) {
	c := newCrowd(b, 0, 0)
	c.n.create("topic", 10)
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Version, q.Group, q.Generation = 8, "g", -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = "topic"
	for p := range int32(10) {
		o := kmsg.NewOffsetCommitRequestTopicPartition()
		o.Partition, o.Offset = p, 1000
		t.Partitions = append(t.Partitions, o)
	}
	q.Topics = append(q.Topics, t)
	frame := frameOf(q)
	s, _ := c.n.handler()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		s.Serve(frame)
		s.c.Flush()
	}
}

// TestCrowdRebalances is the benchmark's crowd, small, for the race detector.
func TestCrowdRebalances(t *testing.T) {
	c := newCrowd(t, 20, 5)
	for range 3 {
		c.rebalance()
	}
	stable := 0
	c.n.groups.Groups(func(g group.Info) bool {
		if g.State == "Stable" && g.Members == 5 {
			stable++
		}
		return true
	})
	if stable != 20 {
		t.Errorf("%d of 20 groups are stable with all their members", stable)
	}
}

// BenchmarkRebalanceOverSockets is BenchmarkRebalance with a connection and a goroutine for
// each member, which decodes nothing but what it needs: from the first JoinGroup until all
// members of all groups have an assignment of one generation. Members that have one send a
// heartbeat every 50 ms, by which they learn of a new rebalance.
func BenchmarkRebalanceOverSockets(b *testing.B) {
	const groups, members = 1000, 5
	for range b.N {
		b.StopTimer()
		c := newCrowd(b, groups, members)
		conns := make([]*raw, groups*members)
		for i := range conns {
			conns[i] = c.n.raw()
		}
		var wg sync.WaitGroup
		settled := make([]atomic.Int64, groups) // members that have the newest generation
		b.StartTimer()
		for i, r := range conns {
			wg.Go(func() { socketMember(r, fmt.Sprint("group-", i/members), &settled[i/members], members) })
		}
		wg.Wait()
		b.StopTimer()
		for _, r := range conns {
			r.c.Close()
		}
		c.n.stop()
	}
}

// socketMember joins until all members have one generation: settled holds it, times 1000, and how many have it.
func socketMember(r *raw, group string, settled *atomic.Int64, members int64) {
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = 5, group, 45_000, 60_000, "consumer"
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: metadata5.AppendTo(nil)}}
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Version, beat.Group = 3, group
	for {
		a := r.do(join).(*kmsg.JoinGroupResponse)
		if a.ErrorCode != 0 {
			join.MemberID = a.MemberID // MEMBER_ID_REQUIRED
			continue
		}
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Version, sync.Group, sync.Generation, sync.MemberID = 3, group, a.Generation, a.MemberID
		for _, m := range a.Members {
			sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: []byte("an assignment")})
		}
		if r.do(sync).(*kmsg.SyncGroupResponse).ErrorCode != 0 {
			continue
		}
		for {
			old := settled.Load()
			next := int64(a.Generation)*1000 + 1
			if old/1000 == int64(a.Generation) {
				next = old + 1
			}
			if old/1000 > int64(a.Generation) || settled.CompareAndSwap(old, next) {
				break
			}
		}
		beat.Generation, beat.MemberID = a.Generation, a.MemberID
		for r.do(beat).(*kmsg.HeartbeatResponse).ErrorCode == 0 {
			if settled.Load()%1000 == members {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}
