package consumer

import (
	"testing"
	"time"

	"github.com/millrace/millrace/coordinator/group/assignor"
	"github.com/millrace/millrace/protocol"
)

func TestOneMember(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 6)
	w.c.create("bar", 3)
	resp := w.must(join("a", "foo", "bar", "nosuch"))
	w.expect(resp, 1, "bar:0,1,2 foo:0,1,2,3,4,5")
	if resp.HeartbeatIntervalMs != 5000 || resp.MemberID.Value != "a" {
		t.Errorf("%+v", resp)
	}
	w.state(StableGroup, 1, 1)
	records := len(w.log)
	w.expect(w.must(beat("a", 1)), 1, "-")
	if len(w.log) != records {
		t.Error("a heartbeat that says nothing was written")
	}
	full := join("a", "bar", "foo", "nosuch")
	full.MemberEpoch = 1
	w.expect(w.must(full), 1, "bar:0,1,2 foo:0,1,2,3,4,5")
	w.expect(w.must(beat("a", -1)), -1, "-")
	w.state(Empty, 2, 1)
	w.checkReplay()
}

// The way of a partition from one member to another, step by step (KIP-848's example).
func TestRevocationBeforeAssignment(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	w.expect(w.must(join("a", "foo")), 1, "foo:0,1")
	w.expect(w.must(join("b", "foo")), 2, "") // all it gets is taken
	w.state(Reconciling, 2, 2)
	w.expect(w.must(beat("b", 2)), 2, "-")
	w.expect(w.must(beat("a", 1)), 1, "foo:0") // to be given up: 1
	w.expect(w.must(holding("a", 1, w.parts("foo", 0, 1))), 1, "-")
	w.expect(w.must(beat("b", 2)), 2, "-")
	w.expect(w.must(holding("a", 1, w.parts("foo", 0))), 2, "-")
	w.expect(w.must(beat("b", 2)), 2, "foo:1")
	w.state(StableGroup, 2, 2)
	w.checkReplay()
}

func TestLostAnswer(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	w.must(join("a", "foo"))
	w.must(join("b", "foo"))
	w.must(beat("a", 1))
	w.must(holding("a", 1, w.parts("foo", 0))) // to epoch 2, and the answer is lost
	w.expect(w.must(holding("a", 1, w.parts("foo", 0))), 2, "-")
	w.refused(holding("a", 1, w.parts("foo", 0, 1)), protocol.CodeFencedMemberEpoch, "smaller member epoch (1)")
	w.refused(beat("a", 1), protocol.CodeFencedMemberEpoch, "smaller member epoch (1)")
	w.refused(beat("a", 3), protocol.CodeFencedMemberEpoch, "greater member epoch (3)")
	w.expect(w.must(join("a", "foo")), 2, "foo:0") // a fenced member starts again
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	w.refused(beat("a", 1), protocol.CodeUnknownMemberID, "Member a is not a member of group grp.")
	w.refused(beat("", 1), protocol.CodeInvalidRequest, "MemberId can't be empty.")
	w.refused(join(""), protocol.CodeInvalidRequest, "MemberId can't be empty.")
	q := join("a", "foo")
	q.RebalanceTimeoutMs = -1
	w.refused(q, protocol.CodeInvalidRequest, "RebalanceTimeoutMs must be provided in first request.")
	q = join("a", "foo")
	q.TopicPartitions = nil
	w.refused(q, protocol.CodeInvalidRequest, "TopicPartitions must be empty when (re-)joining.")
	q = join("a", "foo")
	q.SubscribedTopicNames = nil
	w.refused(q, protocol.CodeInvalidRequest, "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	q = join("a", "foo")
	q.InstanceID = protocol.Str("")
	w.refused(q, protocol.CodeInvalidRequest, "InstanceId can't be empty.")
	q = join("a", "foo")
	q.RackID = protocol.Str(" ")
	w.refused(q, protocol.CodeInvalidRequest, "RackId can't be empty.")
	q = join("a", "foo")
	q.ServerAssignor = protocol.Str("sticky")
	w.refused(q, protocol.CodeUnsupportedAssignor, "ServerAssignor sticky is not supported. Supported assignors: uniform, range.")
	w.refused(beat("a", -2), protocol.CodeUnknownMemberID, "Member a is not a member")
	w.refused(beat("a", -3), protocol.CodeInvalidRequest, "MemberEpoch is invalid.")
	w.refused(beat("a", -1), protocol.CodeUnknownMemberID, "Member a is not a member")
	w.env.Config.MaxSize = 1
	w.must(join("a", "foo"))
	w.refused(beat("a", -2), protocol.CodeInvalidRequest, "InstanceId can't be null.")
	w.refused(join("b", "foo"), protocol.CodeGroupMaxSizeReached, "maximum capacity of 1 members")
	w.must(join("a", "foo"))

	w = newWorld(t) // version 0: the server makes the id
	w.env.Client.Version = 0
	if resp := w.must(join("")); resp.MemberID.Value != "generated-1" || resp.MemberEpoch != 1 {
		t.Errorf("%+v", resp)
	}
}

func TestStaticMember(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 4)
	w.must(w.joinStatic("a", "one", "foo"))
	w.must(w.joinStatic("b", "two", "foo"))
	w.must(beat("a", 1))
	w.must(holding("a", 1, w.parts("foo", 0, 1)))
	w.expect(w.must(beat("b", 2)), 2, "foo:2,3")
	w.state(StableGroup, 2, 2)

	w.refused(w.joinStatic("c", "two", "foo"), protocol.CodeUnreleasedInstanceID, "owned by b member")
	leave := beat("b", -2)
	leave.InstanceID = protocol.Str("two")
	w.expect(w.must(leave), -2, "-")
	w.state(Reconciling, 2, 2)
	w.expect(w.must(beat("a", 2)), 2, "-")
	// It comes back under another id and has what it had, without a new epoch.
	w.expect(w.must(w.joinStatic("c", "two", "foo")), 2, "foo:2,3")
	w.state(StableGroup, 2, 2)
	q := beat("b", 2)
	q.InstanceID = protocol.Str("two")
	w.refused(q, protocol.CodeFencedInstanceID, "was fenced by member c")
	q.InstanceID = protocol.Str("three")
	w.refused(q, protocol.CodeUnknownMemberID, "Instance id three is unknown.")
	w.refused(beat("b", 2), protocol.CodeUnknownMemberID, "Member b is not")
	// A static member that was fenced comes back under its own id.
	w.expect(w.must(w.joinStatic("c", "two", "foo")), 2, "foo:2,3")
	w.checkReplay()

	// Away for longer than its session. The instance id may be left out.
	w.must(beat("c", -2))
	w.pass(DefaultSessionTimeout - time.Second)
	w.must(beat("a", 2))
	if c, _ := w.g.Expire(&w.env); len(c.Records) > 0 {
		t.Error("expired too early")
	}
	w.pass(time.Second)
	w.expire("c")
	w.expect(w.must(beat("a", 2)), 3, "foo:0,1,2,3")
	w.checkReplay()
}

// expire runs timers and says who must go.
func (w *world) expire(want ...string) {
	w.t.Helper()
	if w.g.WakeMs() > w.env.NowMs {
		w.t.Errorf("the group wants to be woken in %d ms only", w.g.WakeMs()-w.env.NowMs)
	}
	c, removed := w.g.Expire(&w.env)
	if len(removed) != len(want) {
		w.t.Errorf("removed %q, want %q", removed, want)
	}
	w.apply(c)
	for _, id := range want {
		if w.g.Member(id) != nil {
			w.t.Errorf("%s is still there", id)
		}
	}
}

func TestSessionTimeout(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	w.must(join("a", "foo"))
	w.pass(40 * time.Second)
	w.must(join("b", "foo"))
	w.pass(5 * time.Second)
	w.expire("a")
	w.state(Assigning, 3, 2)
	w.expect(w.must(beat("b", 2)), 3, "foo:0,1")
	w.state(StableGroup, 3, 3)
	w.checkReplay()
}

func TestRebalanceTimeout(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	w.must(join("a", "foo"))
	w.must(join("b", "foo"))
	w.must(beat("a", 1)) // is told to give up a partition
	w.pass(4999 * time.Millisecond)
	w.must(beat("a", 1))
	w.must(beat("b", 2))
	if c, _ := w.g.Expire(&w.env); len(c.Records) > 0 {
		t.Error("expired too early")
	}
	w.pass(time.Millisecond)
	w.expire("a")
	w.expect(w.must(beat("b", 2)), 3, "foo:0,1")

	// In time: the timer is off.
	w = newWorld(t)
	w.c.create("foo", 2)
	w.must(join("a", "foo"))
	w.must(join("b", "foo"))
	w.must(beat("a", 1))
	w.must(holding("a", 1, w.parts("foo", 0)))
	w.pass(10 * time.Second)
	if c, _ := w.g.Expire(&w.env); len(c.Records) > 0 {
		t.Error("a member that gave up its partitions was removed")
	}

	// After a restart it counts from the start.
	w = newWorld(t)
	w.c.create("foo", 2)
	w.must(join("a", "foo"))
	w.must(join("b", "foo"))
	w.must(beat("a", 1))
	w.g = w.replay(w.log)
	w.g.Loaded(&w.env)
	w.pass(5 * time.Second)
	w.expire("a")
}

func TestTopicsChange(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	w.must(join("a", "foo", "bar"))
	w.c.create("other", 5)
	w.expect(w.must(beat("a", 1)), 1, "-")
	w.c.create("bar", 1)
	w.expect(w.must(beat("a", 1)), 2, "bar:0 foo:0,1")
	w.c.create("foo", 3)
	w.expect(w.must(beat("a", 2)), 3, "bar:0 foo:0,1,2")
	w.c.remove("bar")
	w.expect(w.must(beat("a", 3)), 3, "foo:0,1,2")
	w.expect(w.must(holding("a", 3, w.parts("foo", 0, 1, 2))), 4, "-")
	w.c.remove("foo")
	w.must(beat("a", 4))
	w.must(holding("a", 4, Assignment{}))
	w.c.create("foo", 1) // another topic of the same name
	w.expect(w.must(beat("a", 5)), 6, "foo:0")
	w.checkReplay()
}

func TestSubscriptionChange(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	w.c.create("bar", 2)
	w.must(join("a", "foo"))
	q := beat("a", 1)
	q.SubscribedTopicNames = []string{"bar"}
	w.expect(w.must(q), 1, "")
	w.expect(w.must(holding("a", 1, nil)), 2, "bar:0,1")
	q = beat("a", 2)
	q.SubscribedTopicNames = []string{}
	w.expect(w.must(q), 2, "")
	w.expect(w.must(holding("a", 2, nil)), 3, "-")
	w.state(StableGroup, 3, 3)
	w.checkReplay()
}

func TestAssignorOfMost(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	w.c.create("bar", 2)
	pick := func(member, name string) *request {
		q := join(member, "foo", "bar")
		q.ServerAssignor = protocol.StrOrNull(name)
		return q
	}
	w.must(pick("a", "range"))
	w.must(pick("b", ""))
	if d := w.g.Describe(&w.env); d.AssignorName != "range" {
		t.Errorf("assignor %s", d.AssignorName)
	}
	w.must(pick("c", "uniform"))
	w.must(pick("d", "uniform"))
	if d := w.g.Describe(&w.env); d.AssignorName != "uniform" {
		t.Errorf("assignor %s", d.AssignorName)
	}
	w.env.Config.Assignors = []assignor.Assignor{assignor.Range{}}
	if d := w.g.Describe(&w.env); d.AssignorName != "range" { // uniform is no longer offered
		t.Errorf("assignor %s", d.AssignorName)
	}
}

func TestCommits(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	codeOf := func(err error) protocol.ErrorCode {
		if e, ok := err.(*Error); ok {
			return e.Code
		}
		return protocol.CodeNone
	}
	if err := w.g.CheckCommit("", -1); err != nil {
		t.Errorf("an empty group: %v", err)
	}
	w.must(join("a", "foo"))
	for _, c := range []struct {
		member        string
		epoch         int32
		commit, fetch protocol.ErrorCode
	}{
		{"a", 1, protocol.CodeNone, protocol.CodeNone},
		{"a", 0, protocol.CodeStaleMemberEpoch, protocol.CodeStaleMemberEpoch},
		{"a", 2, protocol.CodeStaleMemberEpoch, protocol.CodeStaleMemberEpoch},
		{"b", 1, protocol.CodeUnknownMemberID, protocol.CodeUnknownMemberID},
		{"", -1, protocol.CodeUnknownMemberID, protocol.CodeNone},
	} {
		if got := codeOf(w.g.CheckCommit(c.member, c.epoch)); got != c.commit {
			t.Errorf("commit of %q in epoch %d: %v", c.member, c.epoch, got)
		}
		if got := codeOf(w.g.CheckFetch(c.member, c.epoch)); got != c.fetch {
			t.Errorf("fetch of %q in epoch %d: %v", c.member, c.epoch, got)
		}
	}
}

// A commit may be on its way while its member moves to the next epoch.
func TestLateCommits(t *testing.T) {
	w := newWorld(t)
	foo := w.c.create("foo", 3)
	w.must(join("a", "foo"))
	w.must(join("b", "foo"))
	w.must(beat("a", 1)) // gives up 2, which is still its own
	late := func(member string, epoch, partition int32, want protocol.ErrorCode) {
		t.Helper()
		if got := codeOf(w.g.CheckLateCommit(member, epoch, foo, partition)); got != want {
			t.Errorf("commit of %s in epoch %d for partition %d: %v, want %v", member, epoch, partition, got, want)
		}
	}
	late("a", 1, 2, protocol.CodeNone)
	w.must(holding("a", 1, w.parts("foo", 0, 1))) // is in epoch 2
	w.expect(w.must(beat("b", 2)), 2, "foo:2")
	late("a", 1, 0, protocol.CodeNone)
	late("a", 2, 0, protocol.CodeNone)
	late("a", 1, 2, protocol.CodeStaleMemberEpoch) // is b's now
	late("a", 3, 0, protocol.CodeStaleMemberEpoch)
	late("a", 0, 0, protocol.CodeStaleMemberEpoch)
	late("b", 1, 2, protocol.CodeStaleMemberEpoch) // was not its own then
	late("c", 1, 2, protocol.CodeUnknownMemberID)
	w.g = w.replay(w.compacted()) // epochs are lost, in the safe direction
	late("a", 1, 0, protocol.CodeStaleMemberEpoch)
	late("a", 2, 0, protocol.CodeNone)
}

func TestDescribe(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	w.must(join("a", "foo"))
	q := w.joinStatic("b", "one", "foo")
	q.RackID = protocol.Str("rack")
	w.must(q)
	d := w.g.Describe(&w.env)
	if d.GroupState != "Reconciling" || d.GroupEpoch != 2 || d.AssignmentEpoch != 2 || d.AssignorName != "uniform" || len(d.Members) != 2 {
		t.Fatalf("%+v", d)
	}
	a, b := d.Members[0], d.Members[1]
	if a.MemberID != "a" || a.InstanceID.Valid || a.MemberEpoch != 1 || a.ClientID != "client" || a.ClientHost != "/127.0.0.1" || a.MemberType != 1 ||
		len(a.Assignment.TopicPartitions) != 1 || len(a.Assignment.TopicPartitions[0].Partitions) != 2 || len(a.TargetAssignment.TopicPartitions[0].Partitions) != 1 || a.Assignment.TopicPartitions[0].TopicName != "foo" {
		t.Errorf("%+v", a)
	}
	if b.InstanceID.Value != "one" || b.RackID.Value != "rack" || len(b.Assignment.TopicPartitions) != 0 || len(b.TargetAssignment.TopicPartitions) != 1 {
		t.Errorf("%+v", b)
	}
	if !w.g.Subscribed("foo") || w.g.Subscribed("bar") {
		t.Error("subscription")
	}
}

func TestTombstones(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 2)
	w.must(join("a", "foo"))
	w.must(joinRegex("b", "f.*"))
	w.apply(Change{Records: w.g.Tombstones()})
	if got := w.compacted(); len(got) != 0 {
		t.Errorf("%d records are left", len(got))
	}
	if g := w.replay(w.log); g.Len() != 0 || g.Epoch() != 0 || len(g.target) != 0 {
		t.Errorf("left over: %+v", g)
	}
}
