package broker

import "github.com/millrace/millrace/protocol"

// InitProducerId, versions 0-5.
//
//   - Without a transactional id: a new producer id with epoch 0. Versions 3 and later may
//     name the id and epoch that the producer had; it gets a new id all the same, as from
//     Apache Kafka.
//   - With a transactional id: UNSUPPORTED_VERSION, which clients take as final, and a line
//     in the log. The transaction APIs (24-28) and FindCoordinator are not listed by
//     ApiVersions, so that most clients say so before they ask.
//   - An id without an epoch, or the reverse: INVALID_REQUEST.

func initProducerID(r *request, q *protocol.InitProducerIdRequest) protocol.Message {
	resp := protocol.NewInitProducerIdResponse()
	resp.ProducerEpoch = -1
	resp.ThrottleTimeMs = r.charge(len(r.body))
	id, err := r.newProducerID(q)
	if err != nil {
		resp.ErrorCode, _ = r.answer(err, "client", r.caller.ClientID)
		return &resp
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return &resp
}

func (r *request) newProducerID(q *protocol.InitProducerIdRequest) (int64, error) {
	switch {
	case q.TransactionalID.Valid:
		r.b.log.Warn("a transactional producer was refused: transactions are not supported",
			"transactional.id", q.TransactionalID.Value, "client", r.caller.ClientID, "remote", r.caller.Address.String())
		return 0, errTransactions
	case !r.b.auth.Allowed(r.caller, OpIdempotentWrite, ResourceCluster, clusterName):
		return 0, errClusterDenied
	case (q.ProducerID < 0) != (q.ProducerEpoch < 0):
		return 0, &codedError{protocol.CodeInvalidRequest, "producer id and epoch come together or not at all"}
	}
	return r.b.producerIDs.Next(r.b.ctx)
}
