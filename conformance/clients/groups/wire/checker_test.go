package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var topicID = [16]byte{7}

func checker() *Checker { return NewChecker(map[[16]byte]string{topicID: "t"}) }

// exchange shows a request and its reply.
func exchange(c *Checker, client string, q kmsg.Request, resp kmsg.Response) {
	call := &Call{Client: client, Request: q}
	c.Sent(call)
	c.Replied(call, resp)
}

func commitAt(c *Checker, generation int32, offset int64, code int16) {
	q, resp := commitCall(generation, offset, code)
	exchange(c, "a", q, resp)
}

func commitCall(generation int32, offset int64, code int16) (kmsg.Request, kmsg.Response) {
	q, resp := kmsg.NewPtrOffsetCommitRequest(), kmsg.NewPtrOffsetCommitResponse()
	q.Version, q.Group, q.Generation = 9, "g", generation
	q.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: offset}}}}
	resp.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{ErrorCode: code}}}}
	return q, resp
}

func fetchAt(c *Checker, offset int64) {
	q, resp := kmsg.NewPtrOffsetFetchRequest(), kmsg.NewPtrOffsetFetchResponse()
	q.Version, q.Groups = 10, []kmsg.OffsetFetchRequestGroup{{Group: "g"}}
	resp.Groups = []kmsg.OffsetFetchResponseGroup{{Group: "g", Topics: []kmsg.OffsetFetchResponseGroupTopic{
		{TopicID: topicID, Partitions: []kmsg.OffsetFetchResponseGroupTopicPartition{{Offset: offset}}},
	}}}
	exchange(c, "a", q, resp)
}

func joinIn(c *Checker, generation int32) {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.Generation = generation
	exchange(c, "a", &kmsg.JoinGroupRequest{Group: "g"}, resp)
}

func syncIn(c *Checker, client string, generation int32, partitions ...int32) {
	a := kmsg.ConsumerMemberAssignment{Topics: []kmsg.ConsumerMemberAssignmentTopic{{Topic: "t", Partitions: partitions}}}
	exchange(c, client, &kmsg.SyncGroupRequest{Group: "g", MemberID: client, Generation: generation}, &kmsg.SyncGroupResponse{MemberAssignment: a.AppendTo(nil)})
}

// beat is a heartbeat of the new protocol: what the member has, and what it is given; nil
// for neither.
func beat(c *Checker, client string, epoch int32, has, given []int32) {
	q, resp := &kmsg.ConsumerGroupHeartbeatRequest{Group: "g", MemberID: client, MemberEpoch: epoch}, &kmsg.ConsumerGroupHeartbeatResponse{MemberID: &client}
	if has != nil {
		q.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: topicID, Partitions: has}}
	}
	if given != nil {
		resp.Assignment = &kmsg.ConsumerGroupHeartbeatResponseAssignment{Topics: []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{{TopicID: topicID, Partitions: given}}}
	}
	exchange(c, client, q, resp)
}

// TestBrokenRulesAreSeen: each script breaks the rule that it names, or none.
func TestBrokenRulesAreSeen(t *testing.T) {
	for _, test := range []struct {
		name   string
		want   string // part of what is found; "" for nothing
		script func(c *Checker)
	}{
		{"commits go on", "", func(c *Checker) { commitAt(c, 1, 5, 0); commitAt(c, 1, 5, 0); commitAt(c, 1, 9, 0) }},
		{"commit goes back", "offset 3 after offset 5", func(c *Checker) { commitAt(c, 1, 5, 0); commitAt(c, 1, 3, 0) }},
		{"commit that goes back is refused", "", func(c *Checker) { commitAt(c, 1, 5, 0); commitAt(c, 1, 3, 22) }},
		{"commits that overtake each other", "", func(c *Checker) {
			q, resp := commitCall(1, 3, 0)
			early := &Call{Request: q}
			c.Sent(early)
			commitAt(c, 1, 5, 0)
			c.Replied(early, resp)
		}},
		{"fetch goes back", "tells offset 4", func(c *Checker) { commitAt(c, 1, 5, 0); fetchAt(c, 5); fetchAt(c, 4) }},
		{"committed offset is lost", "tells offset -1", func(c *Checker) { commitAt(c, 1, 5, 0); fetchAt(c, -1) }},
		{"old generation is refused", "", func(c *Checker) { joinIn(c, 1); joinIn(c, 2); commitAt(c, 1, 5, 22) }},
		{"old generation commits", "in generation 1 after generation 2", func(c *Checker) { joinIn(c, 1); joinIn(c, 2); commitAt(c, 1, 5, 0) }},
		{"generation goes back", "joined generation 1 after generation 2", func(c *Checker) { joinIn(c, 2); joinIn(c, 1) }},
		{"one owner each", "", func(c *Checker) { syncIn(c, "a", 1, 0, 1); syncIn(c, "b", 1, 2); syncIn(c, "b", 2, 0) }},
		{"two owners", "two owners in generation 1: a and b", func(c *Checker) { syncIn(c, "a", 1, 0, 1); syncIn(c, "b", 1, 1) }},
		{"handed over", "", func(c *Checker) {
			beat(c, "a", 0, []int32{}, []int32{0, 1})
			beat(c, "a", 1, []int32{0, 1}, []int32{0})
			beat(c, "b", 0, []int32{}, []int32{})
			beat(c, "a", 1, []int32{0}, nil)
			beat(c, "b", 2, nil, []int32{1})
		}},
		{"handed over too early", "is given to b", func(c *Checker) {
			beat(c, "a", 0, []int32{}, []int32{0, 1})
			beat(c, "a", 1, []int32{0, 1}, []int32{0})
			beat(c, "b", 0, []int32{}, []int32{1})
		}},
		{"left", "", func(c *Checker) {
			beat(c, "a", 0, []int32{}, []int32{0})
			beat(c, "a", -1, nil, nil)
			beat(c, "b", 0, []int32{}, []int32{0})
		}},
		{"killed", "", func(c *Checker) {
			beat(c, "a", 0, []int32{}, []int32{0})
			c.Killed("a")
			beat(c, "b", 0, []int32{}, []int32{0})
		}},
		{"expired while a heartbeat is on its way", "", func(c *Checker) {
			c.SessionTimeout = time.Nanosecond
			beat(c, "a", 0, []int32{}, []int32{0})
			c.Sent(&Call{Client: "a", Request: &kmsg.ConsumerGroupHeartbeatRequest{Group: "g", MemberID: "a", MemberEpoch: 1}})
			beat(c, "b", 0, []int32{}, []int32{0})
		}},
		{"the new protocol ends while a commit is on its way", "", func(c *Checker) {
			joinIn(c, 2)
			beat(c, "b", 0, []int32{}, []int32{})
			q, resp := commitCall(1, 3, 0)
			call := &Call{Request: q}
			c.Sent(call)
			beat(c, "b", -1, nil, nil)
			c.Replied(call, resp)
		}},
		{"expired", "", func(c *Checker) {
			c.SessionTimeout = -time.Second
			beat(c, "a", 0, []int32{}, []int32{0})
			beat(c, "b", 0, []int32{}, []int32{0})
		}},
	} {
		c := checker()
		test.script(c)
		broken := strings.Join(c.Broken(), "\n")
		if (test.want == "") != (broken == "") || !strings.Contains(broken, test.want) {
			t.Errorf("%s: found %q, want %q", test.name, broken, test.want)
		}
	}
}
