package consumer

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// subscription is a ConsumerProtocolSubscription of version 1.
func (w *world) subscription(topics []string, owned Assignment) []byte {
	str := func(b []byte, s string) []byte { return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) }
	num := func(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }
	b := num([]byte{0, 1}, len(topics))
	for _, name := range topics {
		b = str(b, name)
	}
	b = num(b, -1)
	parts := byName(&w.env, owned)
	b = num(b, len(parts))
	for _, t := range parts {
		b = num(str(b, t.Topic), len(t.Partitions))
		for _, p := range t.Partitions {
			b = num(b, int(p))
		}
	}
	return b
}

func (w *world) classicRequest(id string, topics []string, owned Assignment) *ClassicJoin {
	return &ClassicJoin{
		MemberID: id, ProtocolType: "consumer", SessionTimeoutMs: 20_000, RebalanceTimeoutMs: 10_000,
		Protocols: []journal.ClassicProtocol{{Name: "cooperative-sticky", Metadata: w.subscription(topics, owned)}, {Name: "range", Metadata: w.subscription(topics, owned)}},
	}
}

func (w *world) assignment(b []byte) Assignment {
	w.t.Helper()
	parts, _, err := journal.ReadAssignment(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return (&step{g: w.g, env: &w.env}).byID(parts)
}

func (w *world) joinClassic(q *ClassicJoin) ClassicJoined {
	w.t.Helper()
	c, out, err := w.g.JoinClassic(&w.env, q)
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(c)
	return out
}

func (w *world) sync(id string, generation int32, want string) {
	w.t.Helper()
	c, b, err := w.g.SyncClassic(&w.env, id, "", generation, "consumer", "cooperative-sticky")
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(c)
	if got := w.show(w.assignment(b)); got != want {
		w.t.Errorf("%s got %q, want %q", id, got, want)
	}
}

func (w *world) heartbeat(id string, generation int32, want protocol.ErrorCode) {
	w.t.Helper()
	c, err := w.g.HeartbeatClassic(&w.env, id, "", generation)
	w.apply(c)
	if got := codeOf(err); got != want {
		w.t.Errorf("heartbeat of %s in generation %d: %v, want %v", id, generation, got, want)
	}
}

// classicGroup is a classic group of two members, three partitions each.
func (w *world) classicGroup() []ClassicMember {
	member := func(id string, parts ...int32) ClassicMember {
		q := w.classicRequest(id, []string{"foo"}, nil)
		return ClassicMember{ID: id, ClientID: "c", ClientHost: "/h", RebalanceTimeoutMs: 10_000, SessionTimeoutMs: 20_000, Protocols: q.Protocols,
			Subscription: q.Protocols[0].Metadata, Assignment: journal.AppendAssignment(nil, 1, []journal.NamedPartitions{{Topic: "foo", Partitions: parts}})}
	}
	return []ClassicMember{member("a", 0, 1, 2), member("b", 3, 4, 5)}
}

// A group goes over to the new protocol and back, member by member, and never stops.
func TestUpgradeAndDowngrade(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 6)
	g, change, err := FromClassic(&w.env, "grp", 7, w.classicGroup())
	if err != nil {
		t.Fatal(err)
	}
	w.apply(change)
	if got, want := w.show(g.Target("b")), "foo:3,4,5"; got != want || g.Epoch() != 7 {
		t.Errorf("target of b: %s in epoch %d", got, g.Epoch())
	}
	w.state(StableGroup, 7, 7)
	w.heartbeat("a", 7, protocol.CodeNone)
	w.heartbeat("a", 6, protocol.CodeIllegalGeneration)
	w.checkReplay()

	w.expect(w.must(join("n", "foo")), 8, "")
	w.heartbeat("a", 7, protocol.CodeRebalanceInProgress)
	w.heartbeat("b", 7, protocol.CodeRebalanceInProgress)
	// a has to give up a partition: it stays in its generation until it joins without it.
	if out := w.joinClassic(w.classicRequest("a", []string{"foo"}, w.parts("foo", 0, 1, 2))); out.Generation != 7 || out.Protocol != "cooperative-sticky" {
		t.Errorf("%+v", out)
	}
	w.sync("a", 7, "foo:0,1")
	w.expect(w.must(beat("n", 8)), 8, "-")
	w.heartbeat("a", 7, protocol.CodeRebalanceInProgress)
	w.joinClassic(w.classicRequest("a", []string{"foo"}, w.parts("foo", 0, 1)))
	w.sync("a", 8, "foo:0,1")
	w.heartbeat("a", 8, protocol.CodeNone)
	w.expect(w.must(beat("n", 8)), 8, "foo:2")
	w.joinClassic(w.classicRequest("b", []string{"foo"}, w.parts("foo", 3, 4)))
	w.sync("b", 8, "foo:3,4")
	w.expect(w.must(beat("n", 8)), 8, "foo:2,5")
	w.state(StableGroup, 8, 8)
	d := w.g.Describe(&w.env)
	if d.Members[0].MemberType != 0 || d.Members[2].MemberType != 1 {
		t.Errorf("types of members: %+v", d.Members)
	}
	if codeOf(w.g.CheckCommit("a", 7)) != protocol.CodeIllegalGeneration || w.g.CheckCommit("a", 8) != nil {
		t.Error("commits of a classic member")
	}

	// b becomes a member of the new protocol, n leaves: only a is classic, nothing changes.
	changed, codes := w.g.LeaveClassic(&w.env, []ClassicLeave{{MemberID: "b"}, {MemberID: "n"}, {MemberID: "x"}, {MemberID: "b"}})
	if codes[0] != 0 || codes[1] != protocol.CodeUnknownMemberID || codes[2] != protocol.CodeUnknownMemberID || codes[3] != protocol.CodeUnknownMemberID {
		t.Errorf("codes %v", codes)
	}
	w.apply(changed)
	w.expect(w.must(join("b", "foo")), 10, "foo:3,4")
	if w.g.BecomesClassic(w.env.Config, 10) {
		t.Error("becomes classic too early")
	}
	w.must(beat("n", -1))
	w.must(beat("b", -1))
	if !w.g.BecomesClassic(w.env.Config, 10) || w.g.BecomesClassic(w.env.Config, 0) {
		t.Error("does not become classic")
	}
	w.env.Config.Migration = MigrationUpgrade
	if w.g.BecomesClassic(w.env.Config, 10) {
		t.Error("becomes classic against the policy")
	}
	members, name, err := w.g.ToClassic(&w.env)
	if err != nil || name != "cooperative-sticky" || len(members) != 1 || w.show(w.assignment(members[0].Assignment)) != w.show(w.g.Target("a")) || len(members[0].Protocols) != 2 {
		t.Errorf("%+v, %s, %v", members, name, err)
	}
	w.checkReplay()
}

func TestUpgradeRefusals(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 6)
	for name, spoil := range map[string]func(m []ClassicMember){
		"malformed": func(m []ClassicMember) { m[0].Subscription = []byte{0} },
		"assignor": func(m []ClassicMember) {
			m[1].Assignment = append(m[1].Assignment[:len(m[1].Assignment)-4], 0, 0, 0, 1, 7)
		},
		"two": func(m []ClassicMember) { m[1].Assignment = m[0].Assignment },
	} {
		members := w.classicGroup()
		spoil(members)
		if _, _, err := FromClassic(&w.env, "grp", 7, members); codeOf(err) != protocol.CodeGroupIDNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClassicJoins(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	w.must(join("n", "foo"))
	q := w.classicRequest("", []string{"foo"}, nil)
	q.NewID, q.RequireKnownMember = "a", true
	refused := func(q *ClassicJoin, want protocol.ErrorCode) {
		t.Helper()
		_, out, err := w.g.JoinClassic(&w.env, q)
		if codeOf(err) != want || out.MemberID != "a" {
			t.Errorf("%+v, %v; want %v", out, err, want)
		}
	}
	refused(q, protocol.CodeMemberIDRequired)
	q = w.classicRequest("a", []string{"foo"}, nil)
	q.ProtocolType = "connect"
	refused(q, protocol.CodeInconsistentGroupProtocol)
	q = w.classicRequest("a", nil, nil)
	q.Protocols[0].Metadata = nil
	refused(q, protocol.CodeInconsistentGroupProtocol)
	refused(w.classicRequest("a", []string{"foo"}, w.parts("foo", 1)), protocol.CodeUnknownMemberID) // it was removed, and holds on
	w.env.Config.MaxSize = 1
	refused(w.classicRequest("a", []string{"foo"}, nil), protocol.CodeGroupMaxSizeReached)
	w.env.Config.MaxSize = 10
	w.joinClassic(w.classicRequest("a", []string{"foo"}, nil))
	q = w.classicRequest("b", []string{"foo"}, nil)
	q.Protocols = []journal.ClassicProtocol{{Name: "own", Metadata: q.Protocols[0].Metadata}}
	if _, _, err := w.g.JoinClassic(&w.env, q); codeOf(err) != protocol.CodeInconsistentGroupProtocol {
		t.Errorf("a protocol that the other does not know: %v", err)
	}
	if _, _, err := w.g.SyncClassic(&w.env, "a", "", 2, "consumer", "own"); codeOf(err) != protocol.CodeInconsistentGroupProtocol {
		t.Errorf("another protocol: %v", err)
	}
	if _, _, err := w.g.SyncClassic(&w.env, "n", "", 1, "", ""); codeOf(err) != protocol.CodeUnknownMemberID {
		t.Errorf("a member of the new protocol: %v", err)
	}

	// A static member changes its protocol in either direction, also without leaving.
	q = w.classicRequest("", []string{"foo"}, nil)
	q.NewID, q.InstanceID = "s1", "one"
	w.joinClassic(q)
	w.must(w.joinStatic("s2", "one", "foo"))
	if m := w.g.Member("s2"); m == nil || m.Classic != nil || w.g.Member("s1") != nil {
		t.Error("the static member did not move")
	}
	q.NewID = "s3"
	w.joinClassic(q)
	if m := w.g.Member("s3"); m == nil || m.Classic == nil || w.g.Member("s2") != nil {
		t.Error("the static member did not move back")
	}
	w.checkReplay()
}

func TestClassicTimers(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	patient := join("n", "foo")
	patient.RebalanceTimeoutMs = 1_000_000
	w.must(patient)
	w.joinClassic(w.classicRequest("a", []string{"foo"}, nil)) // and does not sync
	w.pass(10 * time.Second)
	w.must(beat("n", 1))
	w.expire("a")

	w.joinClassic(w.classicRequest("b", []string{"foo"}, nil))
	w.sync("b", 4, "")
	w.must(join("m", "foo"))
	w.heartbeat("b", 4, protocol.CodeRebalanceInProgress) // and does not join again
	w.pass(9 * time.Second)
	w.heartbeat("b", 4, protocol.CodeRebalanceInProgress)
	w.pass(time.Second)
	w.expire("b")

	w.joinClassic(w.classicRequest("c", []string{"foo"}, nil))
	w.sync("c", w.g.Epoch(), "")
	w.pass(20 * time.Second) // its own session timeout
	w.expire("c")
	w.checkReplay()
}
