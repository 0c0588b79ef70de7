package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/protocol"
)

// A session, request by request: what is sent, and which partitions answer.
func TestFetchSession(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 3)
	r := n.raw()
	var session, epoch int32
	fetch := func(change func(q *kmsg.FetchRequest)) *kmsg.FetchResponse {
		t.Helper()
		q := fetchRequest(12, "topic", id, 0, 0)
		q.Topics = nil
		q.SessionID, q.SessionEpoch = session, epoch
		change(q)
		return r.do(q).(*kmsg.FetchResponse)
	}
	add := func(q *kmsg.FetchRequest, partition int32, offset int64) {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
		if len(q.Topics) == 0 {
			q.Topics = []kmsg.FetchRequestTopic{{Topic: "topic"}}
		}
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, p)
	}
	want := func(resp *kmsg.FetchResponse, partitions ...int32) {
		t.Helper()
		var got []int32
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				got = append(got, p.Partition)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(partitions) || resp.ErrorCode != 0 {
			t.Fatalf("partitions %v answered (code %d), want %v", got, resp.ErrorCode, partitions)
		}
	}
	nothing := func(*kmsg.FetchRequest) {}

	full := fetch(func(q *kmsg.FetchRequest) { add(q, 0, 0); add(q, 1, 0); add(q, 2, 0) })
	want(full, 0, 1, 2)
	if session = full.SessionID; session == 0 {
		t.Fatal("no session was made")
	}
	epoch = 1
	want(fetch(nothing)) // no news
	n.produce("topic", id, 1, "x")
	epoch++
	want(fetch(nothing), 1)
	epoch++
	want(fetch(nothing), 1) // its offset did not move: the records come again
	epoch++
	want(fetch(func(q *kmsg.FetchRequest) { add(q, 1, 1) })) // it did: no news
	epoch++
	want(fetch(func(q *kmsg.FetchRequest) {
		q.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "topic", Partitions: []int32{1}}}
	}))
	n.produce("topic", id, 0, "x")
	n.produce("topic", id, 1, "x")
	n.produce("topic", id, 2, "x")
	epoch++
	want(fetch(nothing), 0, 2)
	// Both sent records: they stand in the same order again, and in front of nobody.
	epoch++
	want(fetch(func(q *kmsg.FetchRequest) { add(q, 0, 1) }), 2)
	n.produce("topic", id, 0, "y")
	epoch++
	want(fetch(nothing), 0, 2) // 2 had its turn last: 0 goes first
	epoch++
	q := fetch(func(q *kmsg.FetchRequest) { q.SessionEpoch = 3 })
	if q.ErrorCode != 71 {
		t.Fatalf("a request of a wrong epoch: code %d, want INVALID_FETCH_SESSION_EPOCH", q.ErrorCode)
	}
	if q = fetch(func(q *kmsg.FetchRequest) { q.SessionID++ }); q.ErrorCode != 70 {
		t.Fatalf("an unknown session: code %d, want FETCH_SESSION_ID_NOT_FOUND", q.ErrorCode)
	}
	if q = fetch(func(q *kmsg.FetchRequest) { q.SetVersion(13) }); q.ErrorCode != 106 {
		t.Fatalf("topic ids in a session of names: code %d, want FETCH_SESSION_TOPIC_ID_ERROR", q.ErrorCode)
	}
	// The end: a full fetch without a session closes it.
	q = fetch(func(q *kmsg.FetchRequest) { q.SessionEpoch = -1; add(q, 0, 0) })
	want(q, 0)
	if sessions, _ := n.broker.sessions.stats(); q.SessionID != 0 || sessions != 0 {
		t.Fatalf("session %d, %d cached", q.SessionID, sessions)
	}
}

func TestFullFetchSessionCacheEvictsWhatIsLeastUsed(t *testing.T) {
	next := int64(0)
	c := newFetchSessions(2, func(int64) int64 { next++; return next })
	now := time.Unix(1000, 0)
	enter := func(partitions int, follower bool) *fetchSession {
		q := protocol.NewFetchRequest()
		q.SessionEpoch = sessionEpochInitial
		topic := protocol.FetchRequestTopic{Topic: "t"}
		for i := range partitions {
			p := protocol.NewFetchRequestPartition()
			p.Partition = int32(i)
			topic.Partitions = append(topic.Partitions, p)
		}
		q.Topics = []protocol.FetchRequestTopic{topic}
		s, incremental, code := c.enter(&q, 12, follower, now)
		if incremental || code != protocol.CodeNone {
			t.Fatalf("a first fetch: incremental %v, %v", incremental, code)
		}
		return s
	}
	cached := func(s *fetchSession) bool { return s != nil && c.byID[s.id] == s }
	a, b := enter(1, false), enter(5, false)
	if !cached(a) || !cached(b) {
		t.Fatal("two slots do not hold two sessions")
	}
	if enter(9, false) != nil {
		t.Error("a new session took the place of one that is fresh")
	}
	now = now.Add(evictAfter + time.Second)
	c.get(a.id, now)
	c.get(b.id, now)
	if enter(1, false) != nil {
		t.Error("a session with no more partitions took another's place")
	}
	big := enter(2, false)
	if !cached(big) || cached(a) || !cached(b) {
		t.Error("the larger session did not take the smallest one's place")
	}
	follower := enter(1, true)
	if !cached(follower) || cached(b) {
		t.Error("a follower did not get a consumer's place")
	}
	now = now.Add(evictAfter / 2)
	c.get(follower.id, now)
	now = now.Add(evictAfter/2 + 2*time.Second)
	last := enter(1, false)
	if !cached(last) || !cached(follower) || cached(big) {
		t.Error("what nobody used did not make room")
	}
	if _, evicted := c.stats(); evicted != 3 {
		t.Errorf("%d evictions were counted, want 3", evicted)
	}
}
