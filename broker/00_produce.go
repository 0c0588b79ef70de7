package broker

import (
	"fmt"
	"sync/atomic"

	"github.com/millrace/millrace/broker/conn"
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
	"github.com/millrace/millrace/replication"
)

// Produce, versions 3-13 (advertised from 0).
//
//   - Versions 0-2 are advertised because librdkafka before 2.11 takes their presence for
//     support of compression (KAFKA-18659); a real one closes the connection (session.go).
//   - Each partition has exactly one batch of magic 2 (INVALID_RECORD otherwise), and zstd
//     only from version 7 on (UNSUPPORTED_COMPRESSION_TYPE).
//   - acks other than -1, 0, 1: INVALID_REQUIRED_ACKS for all partitions, nothing is appended.
//   - acks=0: no reply; any error closes the connection, so that the client learns of it.
//   - Topic ids from version 13 on (UNKNOWN_TOPIC_ID).
//   - An internal topic: INVALID_TOPIC_EXCEPTION, but from client id __admin_client.
//   - Every batch is appended before the next request is looked at. A request whose acks
//     must wait is parked; the batches of later ones share its sync.
//   - Duplicates of an idempotent producer answer with the first offset and no error.
//   - Transactions are not built: a transactional id is refused (see 22_init_producer_id.go),
//     and so is a batch that claims to be part of a transaction.
//
// The records of the request are stamped in the read buffer and copied once, into the log.
// A request with one batch allocates nothing here in steady use.

// produceOp is a Produce request from its decoding to its reply. It is pooled; one that was
// parked only if its slot took the reply, for else a cancellation may still hold it.
type produceOp struct {
	r        request
	in       protocol.ProduceInput
	outcomes []protocol.ProduceOutcome
	parts    []*replication.Partition
	// waiting counts the answers that are to come, and one more while the handler runs.
	waiting    atomic.Int32
	throttleMs int32
	parked     bool
}

func serveProduce(r *request) error {
	op, ok := r.b.produceOps.Get().(*produceOp)
	if !ok {
		op = new(produceOp)
	}
	op.r = *r
	if err := op.in.Decode(r.body, r.h.Version, &r.s.names); err != nil {
		op.free()
		return err
	}
	acks := op.in.Acks
	if acks != 0 {
		op.r.open()
	}
	op.throttleMs = r.throttle(r.b.quota.Charge(r.caller, Cost{Key: r.h.Key, Bytes: len(r.body), Exempt: acks == 0}))
	op.start()
	if acks == 0 {
		err := op.firstError()
		op.r.b.metrics.answered(&op.r)
		op.free()
		return err
	}
	if op.waiting.Load() > 1 {
		op.parked = true
		if !op.r.slot.Park(op) {
			op.Cancel()
		}
	}
	slot := op.r.slot
	if op.waiting.Add(-1) == 0 {
		op.done(slot.Reply(op.reply()))
	}
	return nil
}

// start appends all batches.
func (op *produceOp) start() {
	n := len(op.in.Partitions)
	op.outcomes, op.parts = grown(op.outcomes, n), grown(op.parts, n)
	op.waiting.Store(1)
	refused := op.refusal()
	for i := range op.in.Partitions {
		out := &op.outcomes[i]
		if refused != nil {
			op.fail(i, refused)
			continue
		}
		p, batch, err := op.admit(i)
		if err != nil {
			op.fail(i, err)
			continue
		}
		op.parts[i] = p
		op.waiting.Add(1)
		result, pending := p.Produce(batch, op.in.Acks, -1, engine.Client, op, i, op.in.TimeoutMs)
		if pending {
			p.Traffic.Produced(len(batch), int(batch.Count()))
			continue
		}
		op.waiting.Add(-1)
		op.parts[i] = nil
		if result.Err != nil {
			op.fail(i, result.Err)
			continue
		}
		success(out, result)
		if !result.Duplicate {
			p.Traffic.Produced(len(batch), int(batch.Count()))
		}
	}
}

// refusal is what is wrong with the request as a whole.
func (op *produceOp) refusal() error {
	if a := op.in.Acks; a < -1 || a > 1 {
		return &codedError{protocol.CodeInvalidRequiredAcks, fmt.Sprintf("acks is %d: -1 (all), 0 and 1 are allowed", a)}
	}
	if op.in.TransactionalID.Valid {
		return errTransactions
	}
	return nil
}

// admit finds the partition and looks at what the log does not check.
func (op *produceOp) admit(i int) (*replication.Partition, record.Batch, error) {
	r, in := &op.r, &op.in.Partitions[i]
	topic := &op.in.Topics[in.Topic]
	name, err := r.topicName(topic.Name, topic.ID, r.h.Version >= 13)
	if err != nil {
		return nil, nil, err
	}
	if !r.b.auth.Allowed(r.caller, OpWrite, ResourceTopic, name) {
		return nil, nil, errTopicDenied
	}
	if controller.Internal(name) && r.caller.ClientID != adminClientID {
		return nil, nil, errInternalTopic
	}
	p, err := r.b.manager.Get(name, in.Index)
	if err != nil {
		return nil, nil, err
	}
	if len(in.Records) == 0 {
		return nil, nil, errNotOneBatch
	}
	batch, rest, err := record.Next(in.Records)
	if err != nil {
		return nil, nil, err
	}
	if len(rest) != 0 {
		return nil, nil, errNotOneBatch
	}
	if batch.IsTransactional() {
		return nil, nil, errTransactions // without the request's transactional id nobody would ever end it
	}
	if batch.Codec() == compress.Zstd && r.h.Version < 7 {
		return nil, nil, &codedError{protocol.CodeUnsupportedCompressionType, "zstd needs Produce version 7 or later"}
	}
	return p, batch, nil
}

// adminClientID is the one client id that may write to internal topics, as in Kafka
// (AdminUtils): what is there belongs to the coordinators, and nobody else's records do.
const adminClientID = "__admin_client"

var (
	errInternalTopic = &codedError{protocol.CodeInvalidTopicException, "internal topics are written by the broker alone"}
	errNotOneBatch   = &codedError{protocol.CodeInvalidRecord, "a Produce request has exactly one record batch for each partition"}
	errTransactions  = &codedError{protocol.CodeUnsupportedVersion, "transactional producers are not supported; leave transactional.id out (idempotent producers work)"}
)

func success(out *protocol.ProduceOutcome, res replication.ProduceResult) {
	*out = protocol.ProduceOutcome{BaseOffset: res.FirstOffset, LogAppendTimeMs: res.AppendTimeMs, LogStartOffset: res.LogStartOffset}
}

// fail fills in an outcome; it may run on any goroutine, for its own i.
func (op *produceOp) fail(i int, err error) {
	code, message := codeOf(err)
	if code == protocol.CodeUnknownServerError {
		in := &op.in.Partitions[i]
		op.r.b.log.Error("a produce failed", "topic", op.in.Topics[in.Topic].Name, "partition", in.Index, "err", err)
	}
	out := &op.outcomes[i]
	out.Fail(code, message)
	out.RecordErrors = recordErrors(err)
	if code == protocol.CodeNotLeaderOrFollower || code == protocol.CodeFencedLeaderEpoch {
		t, in := &op.in.Topics[op.in.Partitions[i].Topic], &op.in.Partitions[i]
		if l, ok := op.r.b.leaderHint(t.Name, t.ID, in.Index); ok {
			out.CurrentLeader = &protocol.ProduceResponseLeader{LeaderID: l.Leader, LeaderEpoch: l.LeaderEpoch}
		}
	}
	op.r.b.metrics.refused(op.r.h.Key, code)
}

// ProduceDone implements replication.ProduceDone.
func (op *produceOp) ProduceDone(i int, res replication.ProduceResult) {
	if res.Err != nil {
		op.fail(i, res.Err)
	} else {
		success(&op.outcomes[i], res)
	}
	slot := op.r.slot
	if op.waiting.Add(-1) == 0 {
		op.done(slot.FinishAsync(op.reply()))
	}
}

// reply encodes the response; done, with what became of it, is the last call of an op.
func (op *produceOp) reply() *conn.Reply {
	var nodes []protocol.ProduceResponseNodeEndpoint
	for i := range op.outcomes {
		if l := op.outcomes[i].CurrentLeader; l != nil {
			nodes = op.r.appendProduceNode(nodes, l.LeaderID)
		}
	}
	out := op.r.newReply()
	out.Buf = op.in.AppendResponse(out.Buf, op.outcomes, op.throttleMs, nodes)
	op.r.b.metrics.answered(&op.r)
	return out
}

func (op *produceOp) done(replied bool) {
	if replied || !op.parked {
		op.parked = false
		op.free()
	}
}

func (op *produceOp) firstError() error {
	for i := range op.outcomes {
		if o := &op.outcomes[i]; o.ErrorCode != protocol.CodeNone {
			return fmt.Errorf("acks=0 for %s-%d: %s", op.in.Topics[op.in.Partitions[i].Topic].Name, op.in.Partitions[i].Index, o.ErrorMessage)
		}
	}
	return nil
}

// Cancel implements conn.Parked: the peer is gone. The appends stand; nobody is told.
func (op *produceOp) Cancel() {
	for _, p := range op.parts {
		if p != nil {
			p.CancelProduce(op)
		}
	}
}

// Hurry implements conn.Parked: acks come when they come.
func (op *produceOp) Hurry() {}

func (op *produceOp) free() {
	b := op.r.b
	op.in.Reset()
	clear(op.outcomes)
	clear(op.parts)
	op.r = request{}
	b.produceOps.Put(op)
}

// grown returns s with length n, its elements zero if they are new or were cleared.
func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
