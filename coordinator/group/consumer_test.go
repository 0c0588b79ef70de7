package group

import (
	"testing"
	"time"

	"github.com/millrace/millrace/coordinator/group/assignor"
	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/coordinator/group/consumer"
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/replication"
)

// newConsumerRig is a rig that serves the new protocol, in a cluster without topics.
func newConsumerRig(t *testing.T) *rig {
	r := newRig(t)
	r.cfg.Consumer = consumer.Config{
		SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second, MaxSize: 100, Migration: consumer.MigrationBidirectional,
		Assignors: []assignor.Assignor{assignor.Uniform{}}, RegexRefreshInterval: time.Hour,
	}
	r.restart()
	return r
}

type beatAnswer = *protocol.ConsumerGroupHeartbeatResponse

func (r *rig) beat(group, member string, epoch int32) chan beatAnswer {
	q := &protocol.ConsumerGroupHeartbeatRequest{GroupID: group, MemberID: member, MemberEpoch: epoch, RebalanceTimeoutMs: -1}
	if epoch == consumer.EpochJoin {
		q.RebalanceTimeoutMs, q.SubscribedTopicNames, q.TopicPartitions = 5000, []string{"t"}, []protocol.ConsumerGroupHeartbeatRequestTopicPartition{}
	}
	answer := make(chan beatAnswer, 1)
	r.c.ConsumerHeartbeat(q, consumer.Client{ID: "client", Host: "/h", Version: 1}, func(a beatAnswer) { answer <- a })
	return answer
}

func (r *rig) beats(group, member string, epoch int32, want protocol.ErrorCode, wantEpoch int32) {
	r.t.Helper()
	select {
	case a := <-r.beat(group, member, epoch):
		if a.ErrorCode != want || want == protocol.CodeNone && a.MemberEpoch != wantEpoch {
			r.t.Errorf("heartbeat of %s in epoch %d: %s (%s), epoch %d; want %s, %d", member, epoch, a.ErrorCode.Name(), a.ErrorMessage.Value, a.MemberEpoch, want.Name(), wantEpoch)
		}
	default:
		r.t.Fatalf("heartbeat of %s is not answered", member)
	}
}

// is checks a group's kind, state and number of members.
func (r *rig) is(group string, kind Kind, state string, members int) {
	r.t.Helper()
	found := false
	r.c.Groups(func(g Info) bool {
		if g.ID == group {
			found = true
			if g.Kind != kind || g.State != state || g.Members != members || g.ProtocolType != "consumer" {
				r.t.Errorf("%+v; want a %s group in %s with %d members", g, kind, state, members)
			}
		}
		return true
	})
	if !found {
		r.t.Errorf("there is no group %s", group)
	}
}

func TestConsumerGroupWaitsForTheLog(t *testing.T) {
	r := newConsumerRig(t)
	r.log.hold = true
	first := r.beat("g", "a", 0)
	second := r.beat("g", "b", 0)
	select {
	case <-first:
		t.Fatal("a join is answered before it is acknowledged")
	default:
	}
	r.is("g", Consumer, "Reconciling", 2) // the second saw what the first had appended
	r.log.release(nil)
	if a, b := <-first, <-second; a.MemberEpoch != 1 || b.MemberEpoch != 2 {
		t.Errorf("epochs %d and %d, want 1 and 2", a.MemberEpoch, b.MemberEpoch)
	}
	r.log.hold = false
	r.beats("g", "b", 2, protocol.CodeNone, 2)
	late := simple("t", 0, 5)
	late.MemberID, late.Generation = "b", 2
	if code := <-r.commit("g", late); code != protocol.CodeNone {
		t.Error(code.Name())
	}
	late.Generation = 1 // of a topic that is not there: nobody knows who had it
	if code := <-r.commit("g", late); code != protocol.CodeStaleMemberEpoch {
		t.Error(code.Name())
	}
	r.restart()
	r.is("g", Consumer, "Reconciling", 2)
	r.beats("g", "a", 1, protocol.CodeNone, 2)
	r.beats("g", "b", 2, protocol.CodeNone, 2)
	r.is("g", Consumer, "Stable", 2)
	r.clock.Advance(45 * time.Second)
	r.is("g", Consumer, "Empty", 0)
	r.beats("g", "a", 2, protocol.CodeUnknownMemberID, 0)
	r.restart()
	r.is("g", Consumer, "Empty", 0)
}

func TestConsumerGroupOfAWriteThatFailed(t *testing.T) {
	r := newConsumerRig(t)
	r.log.fail = replication.ErrNotEnoughReplicas
	r.beats("g", "a", 0, protocol.CodeCoordinatorNotAvailable, 0)
	r.log.fail = nil
	r.beats("g", "a", 1, protocol.CodeGroupIDNotFound, 0)
	r.beats("g", "a", 0, protocol.CodeNone, 1)
	r.log.fail = replication.ErrNotLeader
	r.beats("g", "a", -1, protocol.CodeNotCoordinator, 0)
	r.clock.Advance(45 * time.Second) // its session ends, and that cannot be written
	r.is("g", Consumer, "Stable", 1)
	r.log.fail = nil
	r.clock.Advance(time.Second)
	r.is("g", Consumer, "Empty", 0)
}

// embedded makes what the leader of a consumer group assigns: nothing.
func embedded() []byte { return journal.AppendAssignment(nil, 0, nil) }

// consumerMember joins a classic group of consumers alone.
func (r *rig) consumerMember(group string) (id string) {
	r.t.Helper()
	a := <-r.join(group, "")
	if y := <-r.sync(group, a.MemberID, a.Generation, map[string][]byte{a.MemberID: embedded()}); y.Code != protocol.CodeNone {
		r.t.Fatalf("sync: %+v", y)
	}
	return a.MemberID
}

func TestConversionsAreWrittenAsOne(t *testing.T) {
	r := newConsumerRig(t)
	id := r.consumerMember("g")
	q := simple("t", 0, 7)
	q.MemberID, q.Generation = id, 1
	if code := <-r.commit("g", q); code != protocol.CodeNone {
		t.Fatal(code.Name())
	}

	r.log.fail = replication.ErrNotEnoughReplicas
	r.beats("g", "n", 0, protocol.CodeCoordinatorNotAvailable, 0)
	r.log.fail = nil
	r.is("g", Classic, "Stable", 1)
	if code := r.c.Heartbeat("g", id, "", 1); code != protocol.CodeNone {
		t.Errorf("after a conversion that failed: %s", code.Name())
	}

	writes := r.log.appends
	r.beats("g", "n", 0, protocol.CodeNone, 2)
	if r.log.appends != writes+1 {
		t.Errorf("the conversion was %d writes", r.log.appends-writes)
	}
	r.is("g", Consumer, "Reconciling", 2)
	if code := r.c.Heartbeat("g", id, "", 1); code != protocol.CodeRebalanceInProgress {
		t.Errorf("heartbeat of the classic member: %s", code.Name())
	}
	for range 2 {
		r.restart()
		r.is("g", Consumer, "Reconciling", 2)
		if at := r.offset("g", "t", 0); at != 7 {
			t.Errorf("offset %d, want 7", at)
		}
	}
	a := <-r.join("g", id)
	if a.Code != protocol.CodeNone || a.Generation != 2 || a.Protocol != "range" || a.Leader != "" {
		t.Errorf("%+v", a)
	}
	if y := <-r.sync("g", id, 2, nil); y.Code != protocol.CodeNone || len(y.Assignment) == 0 {
		t.Errorf("%+v", y)
	}
	r.is("g", Consumer, "Stable", 2)

	r.beats("g", "n", -1, protocol.CodeNone, -1)
	r.is("g", Classic, "PreparingRebalance", 1)
	r.restart()
	r.is("g", Classic, "Stable", 1)
	if at := r.offset("g", "t", 0); at != 7 {
		t.Errorf("offset %d, want 7", at)
	}
	for key := range r.log.last(t) {
		if kind, _ := journal.KindOf([]byte(key)); kind.IsConsumer() {
			t.Errorf("a record of kind %d is left", kind)
		}
	}
}

func TestConversionSendsThoseWhoWaitToJoinAgain(t *testing.T) {
	r := newConsumerRig(t)
	id := r.consumerMember("g")
	waiting := r.join("g", "") // waits for the first to come back
	r.beats("g", "n", 0, protocol.CodeNone, 2)
	if a := <-waiting; a.Code != protocol.CodeRebalanceInProgress {
		t.Errorf("%+v", a)
	}
	r.is("g", Consumer, "Reconciling", 3)
	code, codes := r.c.Leave("g", []classic.LeaveRequest{{MemberID: id}, {MemberID: "n"}})
	if code != protocol.CodeNone || codes[0] != protocol.CodeNone || codes[1] != protocol.CodeUnknownMemberID {
		t.Errorf("%s, %v", code.Name(), codes)
	}
	r.is("g", Consumer, "Assigning", 2)
}

func TestEmptyGroupsChangeTheirKind(t *testing.T) {
	r := newConsumerRig(t)
	r.cfg.Consumer.Migration = consumer.MigrationDisabled
	id := r.consumerMember("g")
	r.beats("g", "n", 0, protocol.CodeGroupIDNotFound, 0)
	r.c.Leave("g", []classic.LeaveRequest{{MemberID: id}})
	r.beats("g", "n", 0, protocol.CodeNone, 1)
	r.is("g", Consumer, "Stable", 1)
	if a := <-r.join("g", ""); a.Code != protocol.CodeNone || a.Generation != 2 {
		t.Errorf("a classic member beside one of the new protocol: %+v", a)
	}
	r.clock.Advance(45 * time.Second)
	r.is("g", Consumer, "Empty", 0)
	if a := <-r.join("g", ""); a.Code != protocol.CodeNone || a.Generation != 1 {
		t.Errorf("a classic member of an empty group: %+v", a)
	}
	r.is("g", Classic, "CompletingRebalance", 1)
	r.restart()
	if len(r.log.last(t)) != 0 {
		t.Errorf("%d records are left", len(r.log.last(t)))
	}
}
