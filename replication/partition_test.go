package replication

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/record"
)

func TestProduceAndRead(t *testing.T) {
	p := newEnv(t).topic("")
	for i, acks := range []int16{1, -1, 0} {
		res, pending := p.Produce(batch("a", "b"), acks, -1, engine.Client, nil, 0, 1000)
		if pending || res.Err != nil || res.FirstOffset != int64(2*i) || res.LastOffset != int64(2*i+1) {
			t.Fatalf("acks %d: %+v, pending %v", acks, res, pending)
		}
	}
	got, res, err := read(t, p, consumer(0))
	if err != nil || got != "ababab" || res.HighWatermark != 6 || res.LastStable != 6 || res.LogStart != 0 || res.PreferredReplica != -1 {
		t.Errorf("%q, %+v, %v", got, res, err)
	}
	if got, _, err = read(t, p, consumer(6)); got != "" || err != nil {
		t.Errorf("at the end: %q, %v", got, err)
	}
	var out *engine.OffsetOutOfRangeError
	if _, _, err = read(t, p, consumer(7)); !errors.As(err, &out) {
		t.Errorf("beyond the end: %v", err)
	}
	if start, err := p.DeleteRecords(3); err != nil || start != 3 {
		t.Errorf("%d, %v", start, err)
	}
	if start, err := p.DeleteRecords(-1); err != nil || start != 6 {
		t.Errorf("%d, %v", start, err)
	}
	if _, _, err = read(t, p, consumer(0)); !errors.As(err, &out) || out.Start != 6 {
		t.Errorf("below the start: %v", err)
	}
}

func TestProduceAllocatesNothing(t *testing.T) {
	p := newEnv(t).topic("")
	b := batch("hello")
	var refused error
	allocs := testing.AllocsPerRun(200, func() {
		if res, pending := p.Produce(b, -1, 3, engine.Client, nil, 0, 1000); pending || res.Err != nil {
			refused = res.Err
		}
	})
	if refused != nil || allocs != 0 {
		t.Errorf("%v allocations, %v", allocs, refused)
	}
}

// With flush.messages=1 nothing is acknowledged or shown to a consumer before it is synced;
// a follower reads it at once.
func TestDurableTopic(t *testing.T) {
	e := newEnv(t)
	p := e.topic("durable")
	g := e.holdSyncs(nil)
	woken := make(chan struct{}, 100)
	w := NewFetchWaiter(func() { woken <- struct{}{} })
	p.AddFetchWaiter(w)
	done := newOutcomes()
	for slot, acks := range []int16{1, -1} {
		if _, pending := p.Produce(batch("x"), acks, -1, engine.Client, done, slot, 1000); !pending {
			t.Fatal("it was acknowledged before the sync")
		}
	}
	if res, pending := p.Produce(batch("x"), 0, -1, engine.Client, done, 9, 1000); pending || res.Err != nil {
		t.Fatalf("acks=0 waits for nothing: %+v", res)
	}
	<-g.entered
	if got, res, err := read(t, p, consumer(0)); got != "" || res.HighWatermark != 0 || err != nil {
		t.Errorf("a consumer sees %q, %+v, %v", got, res, err)
	}
	if got, _, err := read(t, p, follower(self, 0)); got != "xxx" || err != nil {
		t.Errorf("a replica sees %q, %v", got, err)
	}
	done.none(t)
	for len(woken) > 0 { // by the log's end
		<-woken
	}
	close(g.open)
	for range 2 {
		if slot, res := done.wait(t); res.Err != nil || res.FirstOffset != int64(slot) {
			t.Errorf("slot %d: %+v", slot, res)
		}
	}
	<-woken
	for p.Log().HighWatermark() < 3 {
		<-woken
	}
	if got, _, err := read(t, p, consumer(0)); got != "xxx" || err != nil {
		t.Errorf("a consumer sees %q, %v", got, err)
	}
	p.RemoveFetchWaiter(w)
	p.RemoveFetchWaiter(w)
}

// A repeated batch is acknowledged no earlier than the first one, whose sync it waits for.
func TestDuplicateWaitsForTheSyncOfTheFirst(t *testing.T) {
	for _, use := range []string{"durable", "everySecond"} {
		e := newEnv(t)
		p := e.topic(use)
		done := newOutcomes()
		sent := func() record.Batch {
			b := record.NewBuilder(record.BuilderOptions{Producer: &record.Producer{ID: 5}})
			for range 2 {
				b.Append(1_700_000_000_000, nil, []byte("x"))
			}
			out, err := b.Finish()
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		g := e.holdSyncs(nil)
		for slot, acks := range []int16{1, 1, -1} {
			if res, pending := p.Produce(sent(), acks, -1, engine.Client, done, slot, 60_000); !pending {
				t.Fatalf("%s: slot %d was acknowledged before the sync: %+v", use, slot, res)
			}
		}
		<-g.entered
		done.none(t)
		close(g.open)
		for range 3 {
			if slot, res := done.wait(t); res.Err != nil || res.FirstOffset != 0 || res.Duplicate != (slot > 0) {
				t.Errorf("%s: slot %d: %+v", use, slot, res)
			}
		}
		if res, pending := p.Produce(sent(), -1, -1, engine.Client, done, 9, 1000); pending || res.Err != nil || !res.Duplicate {
			t.Errorf("%s: after the sync: %+v, %v", use, res, pending)
		}
		e.fs.SetRule(nil)
	}
}

func TestProduceTimesOut(t *testing.T) {
	e := newEnv(t)
	p := e.topic("durable")
	g := e.holdSyncs(nil)
	done := newOutcomes()
	p.Produce(batch("x"), 1, -1, engine.Client, done, 1, 500)
	p.Produce(batch("x"), 1, -1, engine.Client, done, 2, 60_000)
	<-g.entered
	e.clock.Advance(499 * time.Millisecond)
	done.none(t)
	e.clock.Advance(30 * time.Millisecond)
	if slot, res := done.wait(t); slot != 1 || res.Err != ErrTimedOut || res.FirstOffset != 0 {
		t.Errorf("slot %d: %+v", slot, res)
	}
	close(g.open)
	if slot, res := done.wait(t); slot != 2 || res.Err != nil {
		t.Errorf("slot %d: %+v", slot, res)
	}
	e.clock.Advance(time.Hour)
	done.none(t)
}

func TestCancelProduce(t *testing.T) {
	e := newEnv(t)
	p := e.topic("durable")
	g := e.holdSyncs(nil)
	gone, stays := newOutcomes(), newOutcomes()
	p.Produce(batch("x"), 1, -1, engine.Client, gone, 1, 500)
	p.Produce(batch("x"), 1, -1, engine.Client, stays, 2, 500)
	p.Produce(batch("x"), 1, -1, engine.Client, gone, 3, 500)
	<-g.entered
	p.CancelProduce(gone)
	p.CancelProduce(gone)
	close(g.open)
	if slot, res := stays.wait(t); slot != 2 || res.Err != nil {
		t.Errorf("slot %d: %+v", slot, res)
	}
	e.clock.Advance(time.Minute)
	gone.none(t)
	if p.queued.Load() != 0 || p.wheel.count != 0 {
		t.Errorf("%d queued, %d in the wheel", p.queued.Load(), p.wheel.count)
	}
}

func TestFailedSyncIsToldAndFinal(t *testing.T) {
	e := newEnv(t)
	p := e.topic("durable")
	g := e.holdSyncs(syscall.EIO)
	done := newOutcomes()
	for slot := range 3 {
		p.Produce(batch("x"), 1, -1, engine.Client, done, slot, 60_000)
	}
	close(g.open)
	for range 3 {
		if slot, res := done.wait(t); res.Err == nil {
			t.Errorf("slot %d was acknowledged by a failed sync", slot)
		}
	}
	var failed *engine.DirFailedError
	if res, pending := p.Produce(batch("x"), 1, -1, engine.Client, done, 9, 1000); pending || !errors.As(res.Err, &failed) {
		t.Errorf("after it: %+v, %v", res, pending)
	}
}

func TestLeadershipLost(t *testing.T) {
	e := newEnv(t)
	p := e.topic("durable", self, 2)
	e.setState(state(self, 4, self))
	g := e.holdSyncs(nil)
	defer close(g.open)
	done := newOutcomes()
	woken := make(chan struct{}, 100)
	w := NewFetchWaiter(func() { woken <- struct{}{} })
	p.AddFetchWaiter(w)
	defer p.RemoveFetchWaiter(w)
	p.Produce(batch("x"), 1, 4, engine.Client, done, 0, 60_000)
	for len(woken) > 0 {
		<-woken
	}
	e.setState(state(2, 5, self, 2))
	if _, res := done.wait(t); res.Err != ErrNotLeader {
		t.Errorf("got %v", res.Err)
	}
	if len(woken) == 0 {
		t.Error("fetches were not told")
	}
	if res, _ := p.Produce(batch("x"), 1, -1, engine.Client, done, 0, 1); res.Err != ErrNotLeader {
		t.Errorf("got %v", res.Err)
	}
	if _, err := p.Read(consumer(0)); err != ErrNotLeader {
		t.Errorf("got %v", err)
	}
	e.setState(state(self, 6, self))
	var fenced *FencedEpochError
	if res, _ := p.Produce(batch("x"), 1, 4, engine.Client, done, 0, 1); !errors.As(res.Err, &fenced) {
		t.Errorf("got %v", res.Err)
	}
}

// A higher epoch of the same leader, as after a restart, ends nothing.
func TestSameLeaderNewEpoch(t *testing.T) {
	e := newEnv(t)
	p := e.topic("durable")
	g := e.holdSyncs(nil)
	done := newOutcomes()
	p.Produce(batch("x"), 1, 3, engine.Client, done, 0, 60_000)
	<-g.entered
	e.setState(state(self, 7, self))
	done.none(t)
	close(g.open)
	if _, res := done.wait(t); res.Err != nil {
		t.Error(res.Err)
	}
	if res, pending := p.Produce(batch("y"), 1, 7, engine.Client, done, 1, 60_000); !pending && res.Err != nil {
		t.Error(res.Err)
	} else if pending {
		done.wait(t)
	}
	for _, test := range []struct{ ask, epoch, end int64 }{{3, 3, 1}, {5, 3, 1}, {7, 7, 2}, {9, -1, -1}, {-1, -1, -1}, {2, 2, 0}} {
		epoch, end, err := p.EndOffsetForEpoch(int32(test.ask), 7)
		if err != nil || int64(epoch) != test.epoch || end != test.end {
			t.Errorf("epoch %d: got %d, %d, %v, want %d, %d", test.ask, epoch, end, err, test.epoch, test.end)
		}
	}
	var unknown *UnknownEpochError
	if _, _, err := p.EndOffsetForEpoch(3, 8); !errors.As(err, &unknown) {
		t.Errorf("got %v", err)
	}
	q := consumer(1)
	q.LastFetchedEpoch = 5
	if _, res, err := read(t, p, q); err != nil || res.Diverging == nil || *res.Diverging != (EpochEnd{3, 1}) {
		t.Errorf("a reader of an epoch that is not ours: %+v, %v", res, err)
	}
	q.LastFetchedEpoch = 3
	if got, res, err := read(t, p, q); err != nil || res.Diverging != nil || got != "y" {
		t.Errorf("%q, %+v, %v", got, res, err)
	}
}

func TestMinInSyncReplicas(t *testing.T) {
	e := newEnv(t)
	p := e.topic("two")
	if res, _ := p.Produce(batch("x"), -1, -1, engine.Client, nil, 0, 1); res.Err != ErrNotEnoughReplicas || p.Log().LogEndOffset() != 0 {
		t.Errorf("got %v, log end %d", res.Err, p.Log().LogEndOffset())
	}
	if res, pending := p.Produce(batch("x"), 1, -1, engine.Client, nil, 0, 1); res.Err != nil || pending || p.Log().HighWatermark() != 1 {
		t.Errorf("acks=1: %+v, high watermark %d", res, p.Log().HighWatermark())
	}
}

// Two replicas in sync: acks=all waits for the follower's next fetch.
func TestFollowerMovesTheHighWatermark(t *testing.T) {
	e := newEnv(t)
	p := e.topic("", self, 2)
	done := newOutcomes()
	if _, pending := p.Produce(batch("x"), -1, -1, engine.Client, done, 0, 60_000); !pending {
		t.Fatal("acknowledged by one of two replicas")
	}
	if res, pending := p.Produce(batch("y"), 1, -1, engine.Client, done, 1, 60_000); pending || res.Err != nil {
		t.Fatal("acks=1 waits for nobody")
	}
	if got, res, _ := read(t, p, consumer(0)); got != "" || res.HighWatermark != 0 {
		t.Errorf("a consumer sees %q, %+v", got, res)
	}
	if got, _, err := read(t, p, follower(2, 0)); got != "xy" || err != nil {
		t.Errorf("the follower gets %q, %v", got, err)
	}
	done.none(t)
	if _, _, err := read(t, p, follower(3, 0)); err != ErrNotLeader {
		t.Errorf("a replica that is none: %v", err)
	}
	if _, _, err := read(t, p, follower(2, 1)); err != nil {
		t.Fatal(err)
	}
	if _, res := done.wait(t); res.Err != nil {
		t.Error(res.Err)
	}
	if got, res, _ := read(t, p, consumer(0)); got != "x" || res.HighWatermark != 1 {
		t.Errorf("a consumer sees %q, %+v", got, res)
	}
	// The follower leaves the replicas in sync: the rest of the log is committed.
	e.setState(state(self, 3, self))
	if got, _, _ := read(t, p, consumer(0)); got != "xy" {
		t.Errorf("a consumer sees %q", got)
	}
}

func TestListOffset(t *testing.T) {
	e := newEnv(t)
	p := e.topic("")
	list := func(ts int64) ListedOffset {
		t.Helper()
		o, err := p.ListOffset(ListRequest{Timestamp: ts, ReplicaID: -1, CurrentLeaderEpoch: 3})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	none := ListedOffset{-1, -1, -1}
	if got := list(LatestTimestamp); got != (ListedOffset{0, -1, 3}) {
		t.Errorf("latest of an empty log: %+v", got)
	}
	if got := list(MaxTimestamp); got != none {
		t.Errorf("largest timestamp of an empty log: %+v", got)
	}
	p.Produce(batch("a", "b", "c"), 1, -1, engine.Client, nil, 0, 1)
	for ts, want := range map[int64]ListedOffset{
		LatestTimestamp: {3, -1, 3}, EarliestTimestamp: {0, -1, 3}, EarliestLocalTimestamp: {0, -1, 3},
		MaxTimestamp: {0, 1_700_000_000_000, 3}, 5: {0, 1_700_000_000_000, 3}, 1_700_000_000_001: none,
	} {
		if got := list(ts); got != want {
			t.Errorf("%d: got %+v, want %+v", ts, got, want)
		}
	}
	var fenced *FencedEpochError
	if _, err := p.ListOffset(ListRequest{Timestamp: -1, ReplicaID: -1, CurrentLeaderEpoch: 2}); !errors.As(err, &fenced) {
		t.Errorf("got %v", err)
	}
}

// A leader that does not know how far its predecessor had come tells no latest offset.
func TestLatestOffsetNeverGoesBack(t *testing.T) {
	e := newEnv(t)
	p := e.topic("", self, 2)
	p.Produce(batch("x", "y"), 1, -1, engine.Client, nil, 0, 1)
	e.setState(state(self, 4, self, 2))
	q := ListRequest{Timestamp: LatestTimestamp, ReplicaID: -1, CurrentLeaderEpoch: -1}
	if _, err := p.ListOffset(q); err != ErrOffsetNotAvailable {
		t.Errorf("got %v", err)
	}
	if _, _, err := read(t, p, follower(2, 2)); err != nil {
		t.Fatal(err)
	}
	if got, err := p.ListOffset(q); err != nil || got.Offset != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDeleteRecordsOfCompactedTopic(t *testing.T) {
	p := newEnv(t).topic("compact")
	if _, err := p.DeleteRecords(-1); err != ErrPolicyViolation {
		t.Errorf("got %v", err)
	}
}

// The settings of a topic change while it is in use: what waited for a sync to be shown is
// shown.
func TestDurableNoMore(t *testing.T) {
	e := newEnv(t)
	p := e.topic("durable")
	g := e.holdSyncs(nil)
	defer close(g.open)
	p.Produce(batch("x"), 0, -1, engine.Client, nil, 0, 1)
	<-g.entered
	if hw := p.Log().HighWatermark(); hw != 0 {
		t.Fatalf("high watermark %d", hw)
	}
	e.settle(metadata.Set(metadata.TopicConfigPath("t"), metadata.EncodeConfig(nil), -1))
	if hw := p.Log().HighWatermark(); hw != 1 || p.Log().Config().FlushMessages == 1 {
		t.Errorf("high watermark %d, %+v", hw, p.Log().Config())
	}
}
