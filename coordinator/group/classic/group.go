package classic

import (
	"math"
	"slices"

	"github.com/millrace/millrace/protocol"
)

// Now is the time as the shell knows it: MonoMs counts deadlines and is not moved by a step
// of the clock; UnixMs is for what is written.
type Now struct{ MonoMs, UnixMs int64 }

// State is where a group stands.
type State uint8

// Kafka's states of classic groups. Dead has no place here: a dead group is none.
const (
	Empty State = iota
	PreparingRebalance
	CompletingRebalance
	Stable
)

// String is Kafka's name of the state.
func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}[s]
}

// Config is the broker's settings for groups; they may change from call to call.
type Config struct {
	MinSessionMs   int32 // group.min.session.timeout.ms
	MaxSessionMs   int32 // group.max.session.timeout.ms
	InitialDelayMs int64 // group.initial.rebalance.delay.ms
	MaxSize        int   // group.max.size
}

// newMemberJoinMs is how long a member that was never told its id may wait for the rebalance
// to end, as in Kafka: it cannot send heartbeats, so nothing else would tell that it is gone.
const newMemberJoinMs = 5 * 60 * 1000

// ConsumerProtocol is the protocol type of consumers, whose metadata the broker reads.
const ConsumerProtocol = "consumer"

// Group is one group. Its zero value is not ready; New makes one.
type Group struct {
	state        State
	stateTimeMs  int64 // Unix
	previous     State
	generation   int32
	protocolType string // "" before the first member
	protocol     string // "" before the first generation
	leader       string

	members map[string]*Member
	order   []*Member         // as they came
	static  map[string]string // member id by instance id
	pending map[string]int64  // ids that were given out (KIP-394), with their deadlines
	// supported counts the members that have each protocol.
	supported map[string]int
	joining   int // members with a join ticket
	syncing   int // members that have not asked for this generation's assignment

	joinDeadline int64 // of PreparingRebalance
	syncDeadline int64 // of those that joined and do not sync
	// The first rebalance of an empty group waits for more members: by initialLeftMs at most,
	// as long as some come.
	initialLeftMs int64
	newcomers     bool
	writing       bool // the leader's assignment is on its way to the log

	// topics is what members of a consumer group read; known is false when that cannot be
	// read from their metadata.
	topics      map[string]struct{}
	topicsKnown bool
	wake        int64
}

// never is a deadline that does not come.
const never = math.MaxInt64

// Member is one member of a group.
type Member struct {
	ID                 string
	InstanceID         string // "" for a dynamic member
	ClientID           string
	ClientHost         string
	RebalanceTimeoutMs int32
	SessionTimeoutMs   int32
	Protocols          []Protocol
	Assignment         []byte

	join     Ticket // nil: does not wait
	sync     Ticket
	isNew    bool // was never told its id
	unsynced bool // counted in Group.syncing
	deadline int64
}

// Protocol is an assignor that a member can take part in, with its metadata for it.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Ticket names a request that waits; the shell gives it and gets it back with the answer.
type Ticket any

// New is a group without members.
func New(now Now) *Group {
	return &Group{
		stateTimeMs: now.UnixMs, members: map[string]*Member{}, static: map[string]string{}, pending: map[string]int64{},
		supported: map[string]int{}, joinDeadline: never, syncDeadline: never, wake: never,
	}
}

// State is where the group stands.
func (g *Group) State() State { return g.state }

// StateTimeMs is when it came there, Unix time, or -1.
func (g *Group) StateTimeMs() int64 { return g.stateTimeMs }

// Generation is the last one, 0 before the first.
func (g *Group) Generation() int32 { return g.generation }

// ProtocolType is what kind of members it has; "" when it never had any.
func (g *Group) ProtocolType() string { return g.protocolType }

// Protocol is the one that the current generation agreed on.
func (g *Group) Protocol() string { return g.protocol }

// Leader is the member id of the leader, "" when there is none.
func (g *Group) Leader() string { return g.leader }

// Size is how many members it has.
func (g *Group) Size() int { return len(g.members) }

// Members are the members as they came; nobody may change them.
func (g *Group) Members() []*Member { return g.order }

// Member looks one up.
func (g *Group) Member(id string) (*Member, bool) { m, ok := g.members[id]; return m, ok }

// WakeMs is when Tick wants to be called: not later than anything is due.
func (g *Group) WakeMs() int64 { return g.wake }

// Subscribed tells whether a member of a consumer group reads the topic; yes, when what they
// read is not known.
func (g *Group) Subscribed(topic string) bool {
	if !g.topicsKnown {
		return true
	}
	_, ok := g.topics[topic]
	return ok
}

// TopicsKnown tells whether it is known what the members read.
func (g *Group) TopicsKnown() bool { return g.topicsKnown }

// Metadata is what a member says for a protocol.
func (m *Member) Metadata(protocol string) []byte {
	for i := range m.Protocols {
		if m.Protocols[i].Name == protocol {
			return m.Protocols[i].Metadata
		}
	}
	return nil
}

// matches tells whether a member joins with what it had.
func (m *Member) matches(p []Protocol) bool {
	return slices.EqualFunc(m.Protocols, p, func(a, b Protocol) bool { return a.Name == b.Name && string(a.Metadata) == string(b.Metadata) })
}

func (g *Group) become(s State, now Now) {
	g.previous, g.state, g.stateTimeMs = g.state, s, now.UnixMs
}

// due notes a deadline.
func (g *Group) due(at int64) int64 {
	g.wake = min(g.wake, at)
	return at
}

// add makes a member part of the group.
func (g *Group) add(m *Member) {
	g.members[m.ID] = m
	g.order = append(g.order, m)
	if m.InstanceID != "" {
		g.static[m.InstanceID] = m.ID
	}
	if g.leader == "" {
		g.leader = m.ID
	}
	g.count(m, 1)
	delete(g.pending, m.ID)
}

// remove takes a member out and answers what it waits for.
func (g *Group) remove(m *Member, code protocol.ErrorCode, out *Out) {
	g.answerJoin(m, refusal(m.ID, code), out)
	g.answerSync(m, SyncAnswer{Code: code}, out)
	g.synced(m)
	g.count(m, -1)
	delete(g.members, m.ID)
	g.order = slices.DeleteFunc(g.order, func(o *Member) bool { return o == m })
	if m.InstanceID != "" && g.static[m.InstanceID] == m.ID {
		delete(g.static, m.InstanceID)
	}
	if g.leader == m.ID {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0].ID
		}
	}
}

func (g *Group) count(m *Member, by int) {
	for i := range m.Protocols {
		name := m.Protocols[i].Name
		if g.supported[name] += by; g.supported[name] == 0 {
			delete(g.supported, name)
		}
	}
}

// supports tells whether a member with these protocols can take part.
func (g *Group) supports(protocolType string, p []Protocol) bool {
	if len(g.members) == 0 {
		return protocolType != "" && len(p) > 0
	}
	if protocolType != g.protocolType {
		return false
	}
	for i := range p {
		if g.supported[p[i].Name] == len(g.members) {
			return true
		}
	}
	return false
}

// choose is the protocol that most members prefer of those that all have; of equals, the
// one that the first member prefers.
func (g *Group) choose() string {
	votes := map[string]int{}
	for _, m := range g.order {
		for i := range m.Protocols {
			if name := m.Protocols[i].Name; g.supported[name] == len(g.members) {
				votes[name]++
				break
			}
		}
	}
	best := ""
	for i := range g.order[0].Protocols {
		if name := g.order[0].Protocols[i].Name; votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// rebalanceTimeoutMs is the longest of its members'.
func (g *Group) rebalanceTimeoutMs() int64 {
	longest := int32(1) // what a client says is not checked: with less, nobody could join in time
	for _, m := range g.order {
		longest = max(longest, m.RebalanceTimeoutMs)
	}
	return int64(longest)
}

func (g *Group) allJoined() bool { return g.joining == len(g.members) && len(g.pending) == 0 }

// synced notes that a member asked for its assignment, or never will.
func (g *Group) synced(m *Member) {
	if m.unsynced {
		m.unsynced = false
		g.syncing--
	}
}

// renew starts the session of a member anew.
func (g *Group) renew(m *Member, now Now) { m.deadline = g.due(now.MonoMs + int64(m.SessionTimeoutMs)) }
