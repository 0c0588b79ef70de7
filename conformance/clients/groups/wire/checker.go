package wire

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Partition is a partition of a topic by its name.
type Partition struct {
	Topic string
	Index int32
}

func (p Partition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.Index) }

// Call is a request that was sent, with what was known at that moment.
type Call struct {
	Client  string // the client id, which each process has of its own
	Request kmsg.Request

	at         time.Time
	acked      map[Partition]int64 // offsets that were committed before
	generation int32               // announced before; -1: none
	classic    bool                // the group had no members of the new protocol
}

// Checker holds the rules of groups over what Proxies saw. Its methods may be called
// concurrently.
type Checker struct {
	// SessionTimeout is after how much silence a member of the new protocol may be taken
	// for dead. Set it before use.
	SessionTimeout time.Duration

	mu     sync.Mutex
	names  map[[16]byte]string
	groups map[string]*group
	dead   map[string]bool // client ids of killed processes
	broken []string        // rules
}

type group struct {
	acked      map[Partition]int64
	generation int32
	// owners of the partitions in each generation of the classic protocol, by member id or,
	// for static members, instance id.
	owners map[int32]map[Partition]string
	// byClient is what each client was given last, and synced in which generation.
	byClient map[string]Assigned
	// members of the new protocol.
	members map[string]*member
}

// Assigned is what a client was given last.
type Assigned struct {
	Generation int32 // of the classic protocol; 0 in the new one
	Partitions []Partition
}

// member is one of the new protocol, and what it may be working on.
type member struct {
	client string
	holds  map[Partition]bool
	// heard is when the last heartbeat was sent that the broker took: what is still on its way
	// to the broker may come too late.
	heard time.Time
}

// NewChecker returns a Checker that knows the names of these topics by their ids.
func NewChecker(names map[[16]byte]string) *Checker {
	return &Checker{SessionTimeout: time.Hour, names: names, groups: map[string]*group{}, dead: map[string]bool{}}
}

// Name adds a topic's id.
func (c *Checker) Name(id [16]byte, topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[id] = topic
}

// Killed tells that a process is gone; what it held is free.
func (c *Checker) Killed(client string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead[client] = true
	for _, g := range c.groups {
		delete(g.byClient, client)
	}
}

// Forget makes Assigned wait for what a client is given next.
func (c *Checker) Forget(client string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.groups {
		delete(g.byClient, client)
	}
}

// Restarted tells that the broker is down: a generation that no member had got an
// assignment of need not be known any more. Replies from before must have been seen.
func (c *Checker) Restarted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.groups {
		g.generation = -1
		for generation := range g.owners {
			g.generation = max(g.generation, generation)
		}
	}
}

// Broken returns the rules that were broken so far.
func (c *Checker) Broken() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.broken)
}

// Committed returns the highest offset of each partition that a commit was accepted for.
func (c *Checker) Committed(groupID string) map[Partition]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.group(groupID).acked)
}

// Assigned returns what a client was given last.
func (c *Checker) Assigned(groupID, client string) Assigned {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.group(groupID).byClient[client]
}

func (c *Checker) group(id string) *group {
	g := c.groups[id]
	if g == nil {
		g = &group{
			acked: map[Partition]int64{}, generation: -1, owners: map[int32]map[Partition]string{},
			byClient: map[string]Assigned{}, members: map[string]*member{},
		}
		c.groups[id] = g
	}
	return g
}

// fail takes the lock itself.
func (c *Checker) fail(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.breaks(format, args...)
}

func (c *Checker) breaks(format string, args ...any) {
	c.broken = append(c.broken, fmt.Sprintf(format, args...))
}

func (c *Checker) topic(name string, id [16]byte) string {
	if name != "" {
		return name
	}
	if name, ok := c.names[id]; ok {
		return name
	}
	return fmt.Sprintf("%x", id)
}

// Sent notes a request before the broker sees it.
func (c *Checker) Sent(call *Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call.at, call.generation = time.Now(), -1
	switch q := call.Request.(type) {
	case *kmsg.JoinGroupRequest:
		g := c.group(q.Group)
		call.generation, call.classic = g.generation, len(g.members) == 0
	case *kmsg.OffsetCommitRequest:
		g := c.group(q.Group)
		call.generation, call.classic, call.acked = g.generation, len(g.members) == 0, maps.Clone(g.acked)
	case *kmsg.OffsetFetchRequest:
		call.acked = map[Partition]int64{}
		for _, id := range fetched(q) {
			if g := c.group(id); len(g.acked) > 0 {
				call.acked = maps.Clone(g.acked)
			}
		}
	case *kmsg.ConsumerGroupHeartbeatRequest:
		c.heartbeatSent(call, q)
	}
}

// fetched lists the groups of an OffsetFetch.
func fetched(q *kmsg.OffsetFetchRequest) []string {
	if q.Version < 8 {
		return []string{q.Group}
	}
	var ids []string
	for _, g := range q.Groups {
		ids = append(ids, g.Group)
	}
	return ids
}

// Replied notes a reply before the client sees it.
func (c *Checker) Replied(call *Call, resp kmsg.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch q := call.Request.(type) {
	case *kmsg.JoinGroupRequest:
		c.joined(call, q, resp.(*kmsg.JoinGroupResponse))
	case *kmsg.SyncGroupRequest:
		c.synced(call, q, resp.(*kmsg.SyncGroupResponse))
	case *kmsg.LeaveGroupRequest:
		delete(c.group(q.Group).byClient, call.Client)
	case *kmsg.OffsetCommitRequest:
		c.committed(call, q, resp.(*kmsg.OffsetCommitResponse))
	case *kmsg.OffsetFetchRequest:
		c.fetched(call, q, resp.(*kmsg.OffsetFetchResponse))
	case *kmsg.ConsumerGroupHeartbeatRequest:
		c.heartbeatReplied(call, q, resp.(*kmsg.ConsumerGroupHeartbeatResponse))
	}
}
