package broker

import (
	"errors"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/replication"
)

// DescribeProducers, version 0.
//
//   - The idempotent and transactional producers that a partition remembers, as its leader
//     knows them: NOT_LEADER_OR_FOLLOWER elsewhere.
//   - A producer without an open transaction has -1 for where that began.

func describeProducers(r *request, q *protocol.DescribeProducersRequest) protocol.Message {
	resp := new(protocol.DescribeProducersResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	for i := range q.Topics {
		t := &q.Topics[i]
		out := protocol.DescribeProducersResponseTopic{Name: t.Name}
		allowed := r.b.auth.Allowed(r.caller, OpRead, ResourceTopic, t.Name)
		for _, index := range t.PartitionIndexes {
			p := protocol.DescribeProducersResponsePartition{PartitionIndex: index}
			err := error(errTopicDenied)
			if allowed {
				p.ActiveProducers, err = r.producersOf(t.Name, index)
			}
			p.ErrorCode, p.ErrorMessage = r.answer(err, "topic", t.Name, "partition", index)
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func (r *request) producersOf(topic string, index int32) ([]protocol.DescribeProducersResponseActiveProducer, error) {
	p, err := r.b.manager.Get(topic, index)
	if err != nil {
		return nil, err
	}
	if !p.Leads() {
		return nil, replication.ErrNotLeader
	}
	// What a log in an old format remembers is nothing.
	var old *engine.UnavailableError
	if err := p.Log().Failure(); err != nil && !errors.As(err, &old) {
		return nil, err
	}
	var list []protocol.DescribeProducersResponseActiveProducer
	for _, known := range p.Log().ActiveProducers() {
		out := protocol.NewDescribeProducersResponseActiveProducer()
		out.ProducerID, out.ProducerEpoch = known.ID, int32(known.Epoch)
		out.LastSequence, out.LastTimestamp = known.LastSequence, known.LastTimestamp
		out.CoordinatorEpoch, out.CurrentTxnStartOffset = known.CoordinatorEpoch, known.TxnFirstOffset
		list = append(list, out)
	}
	return list, nil
}
