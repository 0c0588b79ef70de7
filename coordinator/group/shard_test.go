package group

import (
	"errors"
	"testing"
	"time"

	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/coordinator/group/offsets"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/replication"
)

func TestCommitIsSeenWhenItIsInTheLog(t *testing.T) {
	r := newRig(t)
	if code := <-r.commit("g", simple("t", 0, 7)); code != protocol.CodeNone {
		t.Fatal(code.Name())
	}
	r.log.hold = true
	done := r.commit("g", simple("t", 0, 8))
	select {
	case <-done:
		t.Fatal("a commit is answered before it is acknowledged")
	default:
	}
	if at := r.offset("g", "t", 0); at != 7 {
		t.Errorf("offset %d is seen, which is not acknowledged", at)
	}
	later := r.commit("g", simple("t", 0, 9))
	r.log.release(nil)
	if code := <-done; code != protocol.CodeNone {
		t.Error(code.Name())
	}
	if code := <-later; code != protocol.CodeNone {
		t.Error(code.Name())
	}
	if at := r.offset("g", "t", 0); at != 9 {
		t.Errorf("offset %d, want 9", at)
	}
	failed := r.commit("g", simple("t", 0, 10))
	r.log.release(replication.ErrTimedOut)
	if code := <-failed; code != protocol.CodeCoordinatorNotAvailable {
		t.Error(code.Name())
	}
	if at := r.offset("g", "t", 0); at != 9 {
		t.Errorf("offset %d, want 9: the commit failed", at)
	}
}

func TestFailuresOfTheLogAreKafkasCodes(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		err  error
		want protocol.ErrorCode
	}{
		{replication.ErrNotLeader, protocol.CodeNotCoordinator},
		{replication.ErrNotEnoughReplicas, protocol.CodeCoordinatorNotAvailable},
		{record.ErrTooLarge, protocol.CodeInvalidCommitOffsetSize},
		{errors.New("anything"), protocol.CodeCoordinatorNotAvailable},
	} {
		r.log.fail = c.err
		if code := <-r.commit("g", simple("t", 0, 1)); code != c.want {
			t.Errorf("%v: %s, want %s", c.err, code.Name(), c.want.Name())
		}
	}
	a := <-r.join("h", "")
	r.log.fail = replication.ErrNotLeader
	if y := <-r.sync("h", a.MemberID, 1, nil); y.Code != protocol.CodeNotCoordinator {
		t.Errorf("a sync that cannot be written: %s", y.Code.Name())
	}
	if code := r.c.Heartbeat("h", a.MemberID, "", 1); code != protocol.CodeRebalanceInProgress {
		t.Errorf("after it: %s", code.Name())
	}
}

func TestCommitChecks(t *testing.T) {
	r := newRig(t)
	id := r.member("g")
	q := simple("t", 0, 1)
	q.MemberID, q.Generation = id, 1
	q.Offsets = append(q.Offsets, CommitOffset{Topic: "t", Partition: 1, Metadata: "longer than ten"}, CommitOffset{Topic: "t", Partition: 2, Offset: 5, Code: protocol.CodeUnknownTopicOrPartition}, CommitOffset{Topic: "t", Partition: 3, Offset: 6})
	if code := <-r.commit("g", q); code != protocol.CodeNone {
		t.Fatal(code.Name())
	}
	for i, want := range []protocol.ErrorCode{protocol.CodeNone, protocol.CodeOffsetMetadataTooLarge, protocol.CodeUnknownTopicOrPartition, protocol.CodeNone} {
		if q.Offsets[i].Code != want {
			t.Errorf("offset %d: %s, want %s", i, q.Offsets[i].Code.Name(), want.Name())
		}
	}
	if at := r.offset("g", "t", 3); at != 6 {
		t.Errorf("the offset after refused ones is %d, want 6", at)
	}
	if code := <-r.commit("g", simple("t", 0, 1)); code != protocol.CodeUnknownMemberID {
		t.Errorf("a commit by nobody while there are members: %s", code.Name())
	}
	stranger := simple("t", 0, 1)
	stranger.Generation = 4
	if code := <-r.commit("nobody", stranger); code != protocol.CodeIllegalGeneration {
		t.Errorf("a commit by a member of no group: %s", code.Name())
	}
	if _, code := r.c.Describe("nobody"); code != protocol.CodeGroupIDNotFound {
		t.Errorf("a refused commit made a group: %s", code.Name())
	}
}

func TestRestartFindsEverything(t *testing.T) {
	r := newRig(t)
	id := r.member("g")
	q := simple("t", 5, 42)
	q.MemberID, q.Generation = id, 1
	if code := <-r.commit("g", q); code != protocol.CodeNone {
		t.Fatal(code.Name())
	}
	for p := range int32(50) {
		if code := <-r.commit("simple", simple("t", p, int64(p))); code != protocol.CodeNone {
			t.Fatal(code.Name())
		}
	}
	r.restart()
	if code := r.c.Heartbeat("g", id, "", 1); code != protocol.CodeNone {
		t.Errorf("heartbeat after the restart: %s", code.Name())
	}
	if at := r.offset("g", "t", 5); at != 42 {
		t.Errorf("offset %d, want 42", at)
	}
	if at := r.offset("simple", "t", 49); at != 49 {
		t.Errorf("offset %d, want 49", at)
	}
	d, code := r.c.Describe("g")
	if code != protocol.CodeNone || d.State != "Stable" || d.Protocol != "range" || len(d.Members) != 1 || string(d.Members[0].Assignment) != "all" {
		t.Errorf("described: %+v, %s", d, code.Name())
	}
	// A session that nobody renews ends after the restart as well.
	r.clock.Advance(10 * time.Second)
	if d, _ := r.c.Describe("g"); d.State != "Empty" {
		t.Errorf("without heartbeats the group is %s", d.State)
	}
	r.restart()
	if d, _ := r.c.Describe("g"); d.State != "Empty" || d.ProtocolType != "consumer" {
		t.Errorf("after another restart: %+v", d)
	}
}

func TestDeletionsStayDeletions(t *testing.T) {
	r := newRig(t)
	id := r.member("g")
	for p := range int32(3) {
		q := simple("other", p, 1)
		q.MemberID, q.Generation = id, 1
		q.Offsets = append(q.Offsets, CommitOffset{Topic: "t", Partition: p, Offset: 1})
		<-r.commit("g", q)
	}
	remove := func(tps ...offsets.TopicPartition) (protocol.ErrorCode, []protocol.ErrorCode) {
		type answer struct {
			code  protocol.ErrorCode
			codes []protocol.ErrorCode
		}
		done := make(chan answer, 1)
		r.c.DeleteOffsets("g", tps, func(code protocol.ErrorCode, codes []protocol.ErrorCode) { done <- answer{code, codes} })
		a := <-done
		return a.code, a.codes
	}
	code, codes := remove(offsets.TopicPartition{Topic: "t"}, offsets.TopicPartition{Topic: "other"}, offsets.TopicPartition{Topic: "never"})
	if code != protocol.CodeNone || codes[0] != protocol.CodeGroupSubscribedToTopic || codes[1] != protocol.CodeNone || codes[2] != protocol.CodeNone {
		t.Errorf("%s %v", code.Name(), codes)
	}
	drop := func() protocol.ErrorCode {
		done := make(chan protocol.ErrorCode, 1)
		r.c.Delete("g", func(code protocol.ErrorCode) { done <- code })
		return <-done
	}
	if code := drop(); code != protocol.CodeNonEmptyGroup {
		t.Errorf("deletion of a group with a member: %s", code.Name())
	}
	if _, codes := r.c.Leave("g", []classic.LeaveRequest{{MemberID: id}}); codes[0] != protocol.CodeNone {
		t.Fatal(codes[0].Name())
	}
	r.restart()
	if r.offset("g", "other", 0) != -1 || r.offset("g", "other", 1) != 1 {
		t.Error("a deleted offset is back, or another is gone")
	}
	if code := drop(); code != protocol.CodeNone {
		t.Errorf("deletion: %s", code.Name())
	}
	if left := r.log.last(t); len(left) != 0 {
		t.Errorf("%d records are left of a deleted group", len(left))
	}
	r.restart()
	if _, code := r.c.Describe("g"); code != protocol.CodeGroupIDNotFound {
		t.Errorf("after a restart: %s", code.Name())
	}
}

func TestRetentionFollowsTheGroup(t *testing.T) {
	r := newRig(t)
	<-r.commit("simple", simple("t", 0, 1))
	asked := simple("t", 1, 1)
	asked.RetentionMs = 25_000
	<-r.commit("simple", asked)
	id := r.member("g")
	for _, topic := range []string{"t", "unread"} {
		q := simple(topic, 0, 1)
		q.MemberID, q.Generation = id, 1
		<-r.commit("g", q)
	}
	beat := func(d time.Duration) {
		for range d / (5 * time.Second) {
			r.clock.Advance(5 * time.Second)
			if code := r.c.Heartbeat("g", id, "", 1); code != protocol.CodeNone {
				t.Fatal(code.Name())
			}
		}
	}
	beat(40 * time.Second)
	if r.offset("simple", "t", 1) != -1 || r.offset("simple", "t", 0) != 1 {
		t.Error("a client's own retention does not count")
	}
	beat(70 * time.Second)
	if r.offset("g", "t", 0) != 1 || r.offset("g", "unread", 0) != -1 {
		t.Error("a stable group keeps the offsets of what it reads, and only those")
	}
	if _, code := r.c.Describe("simple"); code != protocol.CodeGroupIDNotFound {
		t.Errorf("a group of which nothing is left: %s", code.Name())
	}
	r.c.Leave("g", []classic.LeaveRequest{{MemberID: id}})
	r.clock.Advance(90 * time.Second)
	if r.offset("g", "t", 0) != 1 {
		t.Error("offsets age from the commit, not from the loss of the last member")
	}
	r.clock.Advance(20 * time.Second)
	if _, code := r.c.Describe("g"); code != protocol.CodeGroupIDNotFound {
		t.Errorf("an empty group after its retention: %s", code.Name())
	}
	if left := r.log.last(t); len(left) != 0 {
		t.Errorf("%d records are left", len(left))
	}
}

// A new group is not swept away between the two JoinGroups of its first member.
func TestSweepLeavesWhoWasToldAnId(t *testing.T) {
	r := newRig(t)
	known := func(q *classic.JoinRequest) { q.RequireKnownMember, q.SessionTimeoutMs = true, 15_000 }
	a := <-r.join("g", "", known)
	r.clock.Advance(10 * time.Second) // a round of retention
	if b := <-r.join("g", a.MemberID, known); b.Code != protocol.CodeNone {
		t.Errorf("%s", b.Code.Name())
	}
	<-r.join("h", "", known)
	r.clock.Advance(30 * time.Second)
	if _, code := r.c.Describe("h"); code != protocol.CodeGroupIDNotFound {
		t.Errorf("a group that nobody came back to: %s", code.Name())
	}
}

func TestUnloadAnswersWhoWaits(t *testing.T) {
	r := newRig(t)
	id := r.member("g")
	join := r.join("g", "")
	r.log.hold = true
	commit := r.commit("simple", simple("t", 0, 1))
	r.s.unload()
	if a := <-join; a.Code != protocol.CodeNotCoordinator {
		t.Errorf("a join that waited: %s", a.Code.Name())
	}
	if code := <-commit; code != protocol.CodeNotCoordinator {
		t.Errorf("a commit that waited: %s", code.Name())
	}
	if code := r.c.Heartbeat("g", id, "", 1); code != protocol.CodeNotCoordinator {
		t.Errorf("a request afterwards: %s", code.Name())
	}
	r.log.release(nil) // too late: nobody is told again
	if n := r.clock.Pending(); n > 1 {
		t.Errorf("%d timers are left, want the one of retention", n)
	}
}

// A partition that cannot be read is tried again: a disk may come back.
func TestLoadsAreTriedAgain(t *testing.T) {
	r := newRig(t)
	id := r.member("g")
	r.c.Close()
	r.log.fail = errors.New("too many open files")
	r.start()
	if code := r.c.Heartbeat("g", id, "", 1); code != protocol.CodeNotCoordinator {
		t.Errorf("while it cannot be read: %s", code.Name())
	}
	r.c.scheduleReload()
	r.clock.Advance(reloadAfter)
	r.log.mu.Lock()
	r.log.fail = nil
	r.log.mu.Unlock()
	r.clock.Advance(reloadAfter)
	if code := r.c.Heartbeat("g", id, "", 1); code != protocol.CodeNone {
		t.Errorf("when it can be: %s", code.Name())
	}
}

func TestWhileGroupsAreLoaded(t *testing.T) {
	r := newRig(t)
	r.c.table.Store(&table{[]*shard{newShard(r.c, 0, r.s.topicID, 1)}})
	if a := <-r.join("g", ""); a.Code != protocol.CodeCoordinatorLoadInProgress {
		t.Errorf("join: %s", a.Code.Name())
	}
	if y := <-r.sync("g", "m", 1, nil); y.Code != protocol.CodeRebalanceInProgress {
		t.Errorf("sync: %s", y.Code.Name())
	}
	if code := r.c.Heartbeat("g", "m", "", 1); code != protocol.CodeNone {
		t.Errorf("heartbeat: %s", code.Name())
	}
	if code := <-r.commit("g", simple("t", 0, 1)); code != protocol.CodeCoordinatorLoadInProgress {
		t.Errorf("commit: %s", code.Name())
	}
	if code := r.c.Groups(func(Info) bool { return true }); code != protocol.CodeCoordinatorLoadInProgress {
		t.Errorf("list: %s", code.Name())
	}
	r.c.table.Store(&table{})
	if code := r.c.Heartbeat("g", "m", "", 1); code != protocol.CodeNotCoordinator {
		t.Errorf("without the topic: %s", code.Name())
	}
}

func TestOffsetsOfDeletedTopicsAreForgotten(t *testing.T) {
	r := newRig(t)
	<-r.commit("g", simple("gone", 0, 1))
	<-r.commit("g", simple("stays", 0, 1))
	<-r.commit("h", simple("gone", 0, 1))
	r.s.forgetTopics([]string{"gone"})
	r.restart()
	if r.offset("g", "gone", 0) != -1 || r.offset("g", "stays", 0) != 1 {
		t.Error("the wrong offsets are forgotten")
	}
	if _, code := r.c.Describe("h"); code != protocol.CodeGroupIDNotFound {
		t.Errorf("a group with nothing left: %s", code.Name())
	}
}

// TestBadAndForeignRecordsDoNotStopTheLoad: what cannot be read costs itself alone, and offsets
// of transactions count when those commit.
func TestBadAndForeignRecordsDoNotStopTheLoad(t *testing.T) {
	r := newRig(t)
	put := func(o record.BuilderOptions, recs ...journal.Record) {
		b := record.NewBuilder(o)
		for _, rec := range recs {
			b.Append(1, rec.Key, rec.Value)
		}
		batch, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		r.log.Produce(batch, -1, 0, 0, nil, 0, 0)
	}
	offset := func(topic string, at int64) journal.Record {
		return journal.OffsetRecord("g", topic, 0, &journal.Offset{Offset: at, ExpireTimeMs: -1})
	}
	put(record.BuilderOptions{}, journal.Record{Key: []byte{0, 1, 9}, Value: []byte{1}}, journal.Record{Key: []byte{0, 77, 1}, Value: []byte{1}},
		journal.Record{Key: journal.GroupKey("bad"), Value: []byte{0, 99}}, offset("plain", 1))
	for id, end := range []record.ControlType{record.ControlCommit, record.ControlAbort} {
		p := &record.Producer{ID: int64(id), BaseSequence: 0}
		put(record.BuilderOptions{Producer: p, Transactional: true}, offset([]string{"committed", "aborted"}[id], 5))
		marker, err := record.EndTxnMarker(end, *p, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		r.log.Produce(marker, -1, 0, 0, nil, 0, 0)
	}
	put(record.BuilderOptions{Producer: &record.Producer{ID: 7}, Transactional: true}, offset("open", 5))
	r.restart()
	for topic, want := range map[string]int64{"plain": 1, "committed": 5, "aborted": -1, "open": -1} {
		if got := r.offset("g", topic, 0); got != want {
			t.Errorf("%s: %d, want %d", topic, got, want)
		}
	}
	var seen []CommittedOffset
	r.c.Offsets(func(o *CommittedOffset) bool { seen = append(seen, *o); return true })
	if len(seen) != 2 || seen[0].Group != "g" || seen[0].GroupState != "Empty" {
		t.Errorf("observed: %+v", seen)
	}
}

// TestOneTimerWakesAllGroups: sessions end in time, and no timer is armed for each.
func TestOneTimerWakesAllGroups(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"a", "b", "c", "d"} {
		r.member(id)
	}
	if n := r.clock.Pending(); n != 2 {
		t.Errorf("%d timers for four groups, want one, and that of retention", n)
	}
	late := r.member("late")
	r.clock.Advance(9 * time.Second)
	if code := r.c.Heartbeat("late", late, "", 1); code != protocol.CodeNone {
		t.Fatal(code.Name())
	}
	r.clock.Advance(2 * time.Second)
	states := map[string]int{}
	r.c.Groups(func(g Info) bool { states[g.State]++; return true })
	if states["Empty"] != 4 || states["Stable"] != 1 {
		t.Errorf("%v, want the session of one group to last", states)
	}
}

func TestManyTombstonesTakeSeveralBatches(t *testing.T) {
	r := newRig(t)
	q := &CommitRequest{Generation: -1, RetentionMs: -1}
	long := string(make([]byte, 200))
	for p := range int32(4000) {
		q.Offsets = append(q.Offsets, CommitOffset{Topic: long, Partition: p, Offset: 1})
	}
	if code := <-r.commit("g", q); code != protocol.CodeNone {
		t.Fatal(code.Name())
	}
	before := r.log.appends
	done := make(chan protocol.ErrorCode, 1)
	r.log.hold = true
	r.c.Delete("g", func(code protocol.ErrorCode) { done <- code })
	if n := r.log.appends - before; n < 2 {
		t.Errorf("%d batches", n)
	}
	r.log.release(nil)
	if code := <-done; code != protocol.CodeNone {
		t.Error(code.Name())
	}
	if left := r.log.last(t); len(left) != 0 {
		t.Errorf("%d records are left", len(left))
	}
}
