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
//   - controller_mutation_rate counts as for CreateTopics, strictly from version 5 on.
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
	quota := r.mutations(5)
	for i, ref := range refs {
		out := protocol.DeleteTopicsResponseResult{Name: protocol.StrOrNull(ref.Name), TopicID: ref.ID}
		name, partitions := ref.Name, 0
		t, ok := b.loader.Image().TopicByID(ref.ID)
		if !ok {
			t, ok = b.loader.Image().Topic(name)
		}
		if ok {
			name, partitions = t.Name, len(t.Partitions)
		}
		err := r.mayDelete(quota, name, partitions)
		if err == nil {
			allowed, at = append(allowed, ref), append(at, i)
		} else {
			out.ErrorCode, out.ErrorMessage = r.answer(err)
		}
		resp.Responses = append(resp.Responses, out)
	}
	resp.ThrottleTimeMs = quota.told(resp.ThrottleTimeMs)
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

func (r *request) mayDelete(quota *mutations, topic string, partitions int) error {
	if !r.b.auth.Allowed(r.caller, OpDelete, ResourceTopic, topic) {
		return errTopicDenied
	}
	if partitions == 0 || !quota.limited() {
		return nil
	}
	return quota.take(partitions)
}
