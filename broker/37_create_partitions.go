package broker

import (
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/protocol"
)

// CreatePartitions, versions 0-3.
//
//   - Count is the new total. Not more than now: INVALID_PARTITIONS.
//   - controller_mutation_rate counts as for CreateTopics, strictly from version 3 on.
//   - The answer comes when the new partitions can be used. Partitions whose logs cannot be
//     made stay, since a topic never shrinks; the answer then says why they are offline.

func createPartitions(r *request, q *protocol.CreatePartitionsRequest) protocol.Message {
	b := r.b
	resp := new(protocol.CreatePartitionsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	var wants []controller.MorePartitions
	var at []int
	for i := range q.Topics {
		t := &q.Topics[i]
		out := protocol.CreatePartitionsResponseResult{Name: t.Name}
		if b.auth.Allowed(r.caller, OpAlter, ResourceTopic, t.Name) {
			want := controller.MorePartitions{Topic: t.Name, Count: t.Count}
			for j := range t.Assignments {
				want.Assignments = append(want.Assignments, t.Assignments[j].BrokerIDs)
			}
			wants, at = append(wants, want), append(at, i)
		} else {
			out.ErrorCode, out.ErrorMessage = r.answer(errTopicDenied)
		}
		resp.Results = append(resp.Results, out)
	}
	quota := r.mutations(3)
	if quota.limited() {
		wants, at = r.affordablePartitions(quota, resp, wants, at)
	}
	resp.ThrottleTimeMs = quota.told(resp.ThrottleTimeMs)
	errs, zxid := b.controller.CreatePartitions(b.ctx, wants, q.ValidateOnly)
	settled := b.settled(zxid)
	for j, err := range errs {
		if err == nil {
			err = settled
		}
		out := &resp.Results[at[j]]
		if err == nil && zxid != 0 {
			err = r.withoutLogs(out.Name, wants[j].Count)
		}
		out.ErrorCode, out.ErrorMessage = r.answer(err, "topic", out.Name)
	}
	return resp
}

// affordablePartitions leaves out what the quota of mutations refuses.
func (r *request) affordablePartitions(quota *mutations, resp *protocol.CreatePartitionsResponse, wants []controller.MorePartitions, at []int) ([]controller.MorePartitions, []int) {
	img := r.b.loader.Image()
	dry, _ := r.b.controller.CreatePartitions(r.b.ctx, wants, true)
	n := 0
	for j := range dry {
		t, ok := img.Topic(wants[j].Topic)
		if dry[j] == nil && ok {
			if err := quota.take(int(wants[j].Count) - len(t.Partitions)); err != nil {
				out := &resp.Results[at[j]]
				out.ErrorCode, out.ErrorMessage = r.answer(err)
				continue
			}
		}
		wants[n], at[n] = wants[j], at[j]
		n++
	}
	return wants[:n], at[:n]
}

// withoutLogs tells of new partitions that are there and offline.
func (r *request) withoutLogs(topic string, count int32) error {
	err := r.b.logsMissing(topic, 0, count)
	if err == nil {
		return nil
	}
	code, message := codeOf(err)
	return &codedError{code, "the partitions were created and are offline until their logs can be made: " + message}
}
