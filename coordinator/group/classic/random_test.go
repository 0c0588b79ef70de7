package classic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/protocol"
)

// TestRandomSchedules lets clients, most of them well behaved, do what they like in any order,
// with writes that take their time or fail, and holds the group to its promises after each
// step: generations only rise, no partition has two owners in one generation, what was told is
// what was written, every request is answered once, and nobody waits for ever.
func TestRandomSchedules(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range testkit.Rounds(t, "GROUP_ROUNDS", 300) {
		w := newWorld(t, testkit.NewRand(seed+uint64(round)))
		for range 200 {
			w.step()
			w.check()
			if t.Failed() {
				t.Fatalf("round %d:\n%s", round, strings.Join(w.trace[max(0, len(w.trace)-40):], "\n"))
			}
		}
		w.settleAll()
		if t.Failed() {
			t.Fatalf("round %d:\n%s", round, strings.Join(w.trace[max(0, len(w.trace)-40):], "\n"))
		}
	}
}

// client is one consumer as the model sees it.
type client struct {
	name       string
	id         string
	instance   string
	generation int32
	leads      bool
	roster     []string
	waits      string // its ticket
	joined     bool   // has a generation, and may sync
	static     bool
	protocols  []Protocol
}

// asked is a request as it was sent.
type asked struct {
	c  *client
	id string
}

type world struct {
	t       *testing.T
	rng     *rand.Rand
	g       *Group
	c       Config
	now     Now
	clients []*client
	next    int
	tickets map[string]asked // not answered yet
	writes  []*Write
	// owners has what members were told: by generation and partition, the owner by instance or id.
	owners  map[string]string
	written map[string]bool // generation and assignment that are in the log
	last    int32
	trace   []string
}

func newWorld(t *testing.T, rng *rand.Rand) *world {
	w := &world{t: t, rng: rng, now: Now{UnixMs: epoch}, tickets: map[string]asked{}, owners: map[string]string{}, written: map[string]bool{}}
	w.c = Config{MinSessionMs: 1, MaxSessionMs: 60_000, InitialDelayMs: int64(rng.IntN(3) * 500), MaxSize: 3 + rng.IntN(4)}
	w.g = New(w.now)
	for i := range 6 {
		c := &client{name: fmt.Sprintf("c%d", i), static: i%3 == 0}
		if c.static {
			c.instance = "i" + c.name
		}
		w.clients = append(w.clients, c)
	}
	return w
}

func (w *world) logf(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%6d %s: ", w.now.MonoMs, w.g.State())+fmt.Sprintf(format, args...))
}

func (w *world) ticket(c *client) string {
	w.next++
	name := fmt.Sprintf("%s-%d", c.name, w.next)
	w.tickets[name] = asked{c, c.id}
	c.waits = name
	return name
}

func (w *world) step() {
	var out Out
	c := w.clients[w.rng.IntN(len(w.clients))]
	switch n := w.rng.IntN(100); {
	case n < 35:
		w.join(c, &out)
	case n < 60:
		w.sync(c, &out)
	case n < 70:
		code := w.g.Heartbeat(w.now, c.id, c.instance, c.generation)
		w.logf("%s heartbeat %d: %s", c.name, c.generation, code.Name())
	case n < 74:
		w.logf("%s leaves", c.name)
		w.g.Leave(w.now, &w.c, []LeaveRequest{{MemberID: c.id, InstanceID: c.instance}}, &out)
		c.id, c.joined = "", false
	case n < 78 && c.static:
		w.logf("%s starts anew", c.name)
		c.id, c.joined = "", false
	case n < 92:
		w.finishWrite(&out)
	default:
		w.pass(int64(w.rng.IntN(3000)), &out)
	}
	w.take(&out)
}

func (w *world) join(c *client, out *Out) {
	sets := [][]Protocol{{{"range", []byte("x")}}, {{"range", []byte("y")}, {"sticky", []byte("y")}}, {{"sticky", nil}, {"range", nil}}}
	c.protocols = sets[w.rng.IntN(len(sets))]
	w.next++
	q := &JoinRequest{
		MemberID: c.id, InstanceID: c.instance, NewID: fmt.Sprintf("%s-id%d", c.name, w.next), ProtocolType: "x", Protocols: c.protocols,
		SessionTimeoutMs: int32(1000 + w.rng.IntN(4000)), RebalanceTimeoutMs: int32(w.rng.IntN(4000)), RequireKnownMember: w.rng.IntN(2) == 0, CanSkipAssignment: w.rng.IntN(2) == 0,
	}
	t := w.ticket(c)
	w.logf("%s joins as %q with ticket %s", c.name, c.id, t)
	w.g.Join(w.now, &w.c, q, t, out)
}

const partitions = 7

// sync brings, from a leader, an assignment of all partitions to the members it was told of.
func (w *world) sync(c *client, out *Out) {
	if !c.joined {
		return
	}
	q := &SyncRequest{MemberID: c.id, InstanceID: c.instance, Generation: c.generation, Assignments: map[string][]byte{}}
	if c.leads {
		for p := range partitions {
			id := c.roster[w.rng.IntN(len(c.roster))]
			q.Assignments[id] = append(q.Assignments[id], byte('0'+p))
		}
	}
	t := w.ticket(c)
	w.logf("%s syncs generation %d with ticket %s", c.name, c.generation, t)
	w.g.Sync(w.now, q, t, out)
}

func (w *world) finishWrite(out *Out) {
	if len(w.writes) == 0 {
		return
	}
	wr := w.writes[0]
	w.writes = w.writes[1:]
	code := protocol.CodeNone
	if w.rng.IntN(8) == 0 {
		code = protocol.CodeCoordinatorNotAvailable
	} else {
		for _, m := range wr.Value.Members {
			w.written[fmt.Sprint(wr.Value.Generation, m.ID, string(m.Assignment))] = true
		}
	}
	w.logf("write of generation %d: %s", wr.Value.Generation, code.Name())
	w.g.Written(w.now, &w.c, wr, code, out)
}

func (w *world) pass(ms int64, out *Out) {
	until := w.now.MonoMs + ms
	for w.g.WakeMs() <= until {
		w.now.MonoMs = max(w.now.MonoMs, w.g.WakeMs())
		w.logf("tick")
		w.g.Tick(w.now, &w.c, out)
		if w.g.WakeMs() <= w.now.MonoMs {
			w.t.Errorf("at %d it wants to be woken at %d", w.now.MonoMs, w.g.WakeMs())
			return
		}
	}
	w.now.MonoMs = until
}

// answered checks that a ticket was open.
func (w *world) answered(t Ticket) asked {
	q, ok := w.tickets[t.(string)]
	if !ok {
		w.t.Errorf("ticket %v is answered twice", t)
		q.c = new(client)
	}
	delete(w.tickets, t.(string))
	return q
}

func (w *world) take(out *Out) {
	for _, j := range out.Joins {
		c, a := w.answered(j.Ticket).c, j.Answer
		w.logf("%v: %s id %q generation %d leader %q", j.Ticket, a.Code.Name(), a.MemberID, a.Generation, a.Leader)
		if c.waits != j.Ticket {
			continue // it gave that one up
		}
		switch c.joined = false; a.Code {
		case protocol.CodeNone:
			c.joined, c.id, c.generation, c.leads, c.roster = true, a.MemberID, a.Generation, a.Leader == a.MemberID && !a.SkipAssignment, nil
			for _, m := range a.Members {
				c.roster = append(c.roster, m.ID)
			}
			c.leads = c.leads && len(c.roster) > 0
		case protocol.CodeMemberIDRequired:
			c.id = a.MemberID
		case protocol.CodeUnknownMemberID, protocol.CodeFencedInstanceID, protocol.CodeGroupMaxSizeReached:
			c.id = ""
		}
	}
	for _, y := range out.Syncs {
		q, a := w.answered(y.Ticket), y.Answer
		w.logf("%v: %s %q", y.Ticket, a.Code.Name(), a.Assignment)
		if a.Code != protocol.CodeNone {
			continue
		}
		generation := w.g.Generation()
		if !w.written[fmt.Sprint(generation, q.id, string(a.Assignment))] {
			w.t.Errorf("%s was told %q in generation %d, which is not in the log", q.id, a.Assignment, generation)
		}
		owner := q.id
		if q.c.static {
			owner = q.c.instance
		}
		for _, p := range a.Assignment {
			key := fmt.Sprint(generation, "/", string(p))
			if other, ok := w.owners[key]; ok && other != owner {
				w.t.Errorf("partition %c belongs to %s and to %s in generation %d", p, other, owner, generation)
			}
			w.owners[key] = owner
		}
	}
	w.writes = append(w.writes, out.Writes...)
}

// check holds the group to what must be true between any two steps.
func (w *world) check() {
	g := w.g
	if g.generation < w.last {
		w.t.Errorf("generation %d after %d", g.generation, w.last)
	}
	w.last = g.generation
	joining, syncing, supported := 0, 0, map[string]int{}
	for _, m := range g.order {
		if g.members[m.ID] != m || m.InstanceID != "" && g.static[m.InstanceID] != m.ID {
			w.t.Errorf("member %s is not where it should be", m.ID)
		}
		if m.join != nil {
			joining++
		}
		if m.unsynced {
			syncing++
		}
		if !m.waits() && g.wake > m.deadline {
			w.t.Errorf("member %s is due at %d, the group wakes at %d", m.ID, m.deadline, g.wake)
		}
		for _, p := range m.Protocols {
			supported[p.Name]++
		}
		if m.sync != nil && g.state != CompletingRebalance || m.join != nil && g.state != PreparingRebalance {
			w.t.Errorf("member %s waits in state %s", m.ID, g.state)
		}
	}
	if joining != g.joining || syncing != g.syncing || len(g.order) != len(g.members) || len(supported) != len(g.supported) {
		w.t.Errorf("counts: joining %d %d, syncing %d %d, members %d %d, protocols %v %v", joining, g.joining, syncing, g.syncing, len(g.order), len(g.members), supported, g.supported)
	}
	if (len(g.order) == 0) != (g.leader == "") || len(g.order) > 0 && g.members[g.leader] == nil {
		w.t.Errorf("leader %q of %d members", g.leader, len(g.order))
	}
	if g.state == PreparingRebalance && g.wake > g.joinDeadline || g.state == CompletingRebalance && g.syncing > 0 && g.wake > g.syncDeadline {
		w.t.Errorf("the group wakes at %d, joins end at %d, syncs at %d", g.wake, g.joinDeadline, g.syncDeadline)
	}
	if g.state == Stable {
		again := Restore(new(g.snapshot(nil)))
		if again.Generation() != g.generation || again.Size() != g.Size() || again.Leader() != g.leader {
			w.t.Error("what is written of a stable group does not make it again")
		}
	}
	if g.state == Empty && len(g.order) > 0 {
		w.t.Errorf("an empty group has %d members", len(g.order))
	}
}

// settleAll stops all clients: whoever waits is answered when time passes and writes end.
func (w *world) settleAll() {
	for range 200 {
		var out Out
		w.finishWrite(&out)
		w.take(&out)
		out = Out{}
		w.pass(5000, &out)
		w.take(&out)
		w.check()
	}
	if len(w.tickets) > 0 {
		var open []string
		for t := range w.tickets {
			open = append(open, t)
		}
		slices.Sort(open)
		w.t.Errorf("never answered: %v", open)
	}
	if w.g.State() != Empty {
		w.t.Errorf("without a client the group is %s with %d members", w.g.State(), w.g.Size())
	}
}
