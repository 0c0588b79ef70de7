package apis

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// session is a fetch session as a client keeps it (KIP-227).
type session struct {
	*client
	v         int16
	id, epoch int32
}

// begin starts a session and returns the first answer, which has all partitions.
func begin(c *client, v int16, t topic, parts ...kmsg.FetchRequestTopicPartition) (*session, *kmsg.FetchResponse) {
	c.Helper()
	req := fetchRequest(t, parts...)
	req.SessionEpoch = 0
	resp := c.fetch(v, req)
	code(c, resp.ErrorCode, nil)
	if resp.SessionID == 0 {
		c.Fatal("no session was made")
	}
	return &session{c, v, resp.SessionID, 1}, resp
}

// next asks for news, with partitions that changed and topics that are forgotten.
func (s *session) next(t topic, changed []kmsg.FetchRequestTopicPartition, forgotten ...int32) *kmsg.FetchResponse {
	s.Helper()
	req := fetchRequest(t, changed...)
	if len(changed) == 0 {
		req.Topics = nil
	}
	if len(forgotten) > 0 {
		f := kmsg.NewFetchRequestForgottenTopic()
		f.Topic, f.TopicID, f.Partitions = t.name, t.id, forgotten
		req.ForgottenTopics = append(req.ForgottenTopics, f)
	}
	req.SessionID, req.SessionEpoch = s.id, s.epoch
	s.epoch++
	return s.fetch(s.v, req)
}

// told is the partitions of one topic that an answer has, by number.
func told(resp *kmsg.FetchResponse) map[int32]kmsg.FetchResponseTopicPartition {
	out := map[int32]kmsg.FetchResponseTopicPartition{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			out[p.Partition] = p
		}
	}
	return out
}

func TestFetchSession(t *testing.T) {
	c := target(t)
	each(c, 7, 18, func(c *client, v int16) {
		made := c.create(3)
		s, first := begin(c, v, made, wanted(0, 0), wanted(1, 0))
		equal(c, "partitions of the first answer", len(told(first)), 2)

		quiet := s.next(made, nil)
		code(c, quiet.ErrorCode, nil)
		equal(c, "session", quiet.SessionID, s.id)
		equal(c, "partitions without news", len(quiet.Topics), 0)

		code(c, c.produceAt(9, produceRequest(made, 1, values("x").bytes())).ErrorCode, nil)
		news := told(s.next(made, nil))
		equal(c, "partitions with news", len(news), 1)
		equal(c, "batches of partition 1", len(split(c, news[1].RecordBatches)), 1)

		// The offset moves only when the client says so: the same records come again.
		equal(c, "batches once more", len(split(c, told(s.next(made, nil))[1].RecordBatches)), 1)
		equal(c, "after the offset moved", len(s.next(made, []kmsg.FetchRequestTopicPartition{wanted(1, 1)}).Topics), 0)

		// A partition that joins is told at once; one that left is told no more.
		joined := told(s.next(made, []kmsg.FetchRequestTopicPartition{wanted(2, 0)}))
		if _, ok := joined[2]; !ok {
			c.Error("a partition that joined is not told")
		}
		equal(c, "partitions after one left", len(s.next(made, nil, 1).Topics), 0)
		code(c, c.produceAt(9, produceRequest(made, 1, values("y").bytes())).ErrorCode, nil)
		equal(c, "news of one that left", len(s.next(made, nil).Topics), 0)

		// An error is told each time, and heals.
		out := []kmsg.FetchRequestTopicPartition{wanted(0, 99)}
		code(c, told(s.next(made, out))[0].ErrorCode, kerr.OffsetOutOfRange)
		code(c, told(s.next(made, nil))[0].ErrorCode, kerr.OffsetOutOfRange)
		healed := told(s.next(made, []kmsg.FetchRequestTopicPartition{wanted(0, 0)}))
		code(c, healed[0].ErrorCode, nil)

		// Nothing left: the session ends with the answer.
		last := s.next(made, nil, 0, 2)
		code(c, last.ErrorCode, nil)
		equal(c, "session with nothing in it", last.SessionID, 0)
		code(c, s.next(made, nil).ErrorCode, kerr.FetchSessionIDNotFound)
	})
}

func TestFetchSessionEpochs(t *testing.T) {
	c := target(t)
	made := c.create(1)
	each(c, 7, 18, func(c *client, v int16) {
		s, _ := begin(c, v, made, wanted(0, 0))
		for _, wrong := range []int32{2, 7, 1 << 30} {
			req := fetchRequest(made)
			req.Topics, req.SessionID, req.SessionEpoch = nil, s.id, wrong
			resp := c.fetch(v, req)
			code(c, resp.ErrorCode, kerr.InvalidFetchSessionEpoch)
			equal(c, "topics", len(resp.Topics), 0)
		}
		// A wrong epoch costs nothing: the right one goes on.
		code(c, s.next(made, nil).ErrorCode, nil)
		// Any connection may go on with it.
		other := &session{c.another(), v, s.id, s.epoch}
		code(c, other.next(made, nil).ErrorCode, nil)
		code(c, s.next(made, nil).ErrorCode, kerr.InvalidFetchSessionEpoch)

		unknown := fetchRequest(made, wanted(0, 0))
		unknown.SessionID, unknown.SessionEpoch = 123456789, 5
		code(c, c.fetch(v, unknown).ErrorCode, kerr.FetchSessionIDNotFound)

		// Epoch -1 ends the session and answers in full.
		final := fetchRequest(made, wanted(0, 0))
		final.SessionID, final.SessionEpoch = s.id, -1
		resp := c.fetch(v, final)
		code(c, resp.ErrorCode, nil)
		equal(c, "session", resp.SessionID, 0)
		equal(c, "partitions", len(told(resp)), 1)
		s.epoch = other.epoch
		code(c, s.next(made, nil).ErrorCode, kerr.FetchSessionIDNotFound)

		// Epoch 0 with an id replaces that session by a new one.
		old, _ := begin(c, v, made, wanted(0, 0))
		again := fetchRequest(made, wanted(0, 0))
		again.SessionID, again.SessionEpoch = old.id, 0
		resp = c.fetch(v, again)
		code(c, resp.ErrorCode, nil)
		if resp.SessionID == 0 || resp.SessionID == old.id {
			c.Errorf("session %d after %d", resp.SessionID, old.id)
		}
		code(c, old.next(made, nil).ErrorCode, kerr.FetchSessionIDNotFound)
	})
}

// A session is either by names or by ids (KIP-516).
func TestFetchSessionKeepsToNamesOrIDs(t *testing.T) {
	c := target(t)
	made := c.create(1)
	byName, _ := begin(c, 12, made, wanted(0, 0))
	byName.v = 13
	code(t, byName.next(made, nil).ErrorCode, kerr.FetchSessionTopicIDError)
	byID, _ := begin(c, 13, made, wanted(0, 0))
	byID.v = 12
	code(t, byID.next(made, nil).ErrorCode, kerr.FetchSessionTopicIDError)
}

// When all slots are taken by others that are young, a fetch is answered in full, without
// a session.
func TestFetchSessionsAreBounded(t *testing.T) {
	_, c := launch(t, map[string]string{"max.incremental.fetch.session.cache.slots": "2"})
	made := c.create(1)
	first, _ := begin(c, 12, made, wanted(0, 0))
	begin(c, 12, made, wanted(0, 0))
	req := fetchRequest(made, wanted(0, 0))
	req.SessionEpoch = 0
	resp := c.fetch(12, req)
	code(t, resp.ErrorCode, nil)
	equal(t, "session beyond the bound", resp.SessionID, 0)
	equal(t, "partitions", len(told(resp)), 1)
	code(t, first.next(made, nil).ErrorCode, nil)
}

// A topic that is deleted and made again under its name is another one to a session by id.
func TestFetchSessionOfADeletedTopic(t *testing.T) {
	c := target(t)
	for v, want := range map[int16]*kerr.Error{12: kerr.UnknownTopicOrPartition, 13: kerr.UnknownTopicID, 18: kerr.UnknownTopicID} {
		made := c.create(1)
		s, _ := begin(c, v, made, wanted(0, 0))
		c.deleteTopic(made)
		code(t, told(s.next(made, nil))[0].ErrorCode, want)
		c.createTopics(7, false, newTopic(made.name, 1))
		if v < 13 {
			want = nil
		}
		code(t, told(s.next(made, nil))[0].ErrorCode, want)
	}
}
