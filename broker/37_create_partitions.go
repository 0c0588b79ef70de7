package broker

import (
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/protocol"
)

// CreatePartitions, versions 0-3.
//
//   - Count is the new total. Not more than now: INVALID_PARTITIONS.
//   - The answer comes when the new partitions can be used.

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
	errs, zxid := b.controller.CreatePartitions(b.ctx, wants, q.ValidateOnly)
	settled := b.settled(zxid)
	for j, err := range errs {
		if err == nil {
			err = settled
		}
		out := &resp.Results[at[j]]
		out.ErrorCode, out.ErrorMessage = r.answer(err, "topic", out.Name)
	}
	return resp
}
