package broker

import (
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/protocol"
)

// DeleteTopics, versions 0-6.
//
//   - By name; from version 6 on by name or id.
//   - delete.topic.enable=false: INVALID_REQUEST up to version 2, TOPIC_DELETION_DISABLED
//     from 3 on.
//   - A topic that the client may not see is TOPIC_AUTHORIZATION_FAILED; by id its name is
//     not told.

func deleteTopics(r *request, q *protocol.DeleteTopicsRequest) protocol.Message {
	b := r.b
	resp := new(protocol.DeleteTopicsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	refs := make([]controller.TopicRef, 0, len(q.Topics)+len(q.TopicNames))
	for _, name := range q.TopicNames {
		refs = append(refs, controller.TopicRef{Name: name})
	}
	for i := range q.Topics {
		refs = append(refs, controller.TopicRef{Name: q.Topics[i].Name.Value, ID: q.Topics[i].TopicID})
	}
	allowed := make([]controller.TopicRef, 0, len(refs))
	var at []int
	for i, ref := range refs {
		out := protocol.DeleteTopicsResponseResult{Name: protocol.StrOrNull(ref.Name), TopicID: ref.ID}
		name := ref.Name
		if t, ok := b.loader.Image().TopicByID(ref.ID); ok {
			name = t.Name
		}
		if b.auth.Allowed(r.caller, OpDelete, ResourceTopic, name) {
			allowed, at = append(allowed, ref), append(at, i)
		} else {
			out.ErrorCode, out.ErrorMessage = r.answer(errTopicDenied)
		}
		resp.Responses = append(resp.Responses, out)
	}
	gone, zxid := b.controller.DeleteTopics(b.ctx, allowed)
	settled := b.settled(zxid)
	for j := range gone {
		out := &resp.Responses[at[j]]
		err := gone[j].Err
		if err == nil {
			err = settled
		}
		out.Name, out.TopicID = protocol.StrOrNull(gone[j].Name), gone[j].ID
		out.ErrorCode, out.ErrorMessage = r.answer(err, "topic", gone[j].Name)
		if out.ErrorCode == protocol.CodeTopicDeletionDisabled && r.h.Version < 3 {
			out.ErrorCode = protocol.CodeInvalidRequest
		}
	}
	return resp
}
