package broker

import (
	"github.com/millrace/millrace/broker/conn"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/replication"
)

// Fetch, versions 4-18.
//
//   - Sessions from version 7 on (fetch_session.go), topic ids from 13 on.
//   - Records leave as ranges of files (decision 3): below the copy threshold inside the one
//     buffer of the response, above it by sendfile.
//   - A fetch that finds less than min bytes parks its slot until one of its partitions
//     moves or max wait is over (fetch_wait.go). Any error answers at once.
//   - max bytes of a partition and of the response bound what is read, but never so that
//     nothing moves: the first batch of the first partition that has one is always whole.
//   - Leader epochs: FENCED_LEADER_EPOCH and UNKNOWN_LEADER_EPOCH (KIP-320); from version 12
//     on a diverging epoch, and the current leader when this broker is not it.
//   - Above a quota the answer comes without records, and says how long to wait.
//   - A replica id (in the tagged state from version 15 on) makes it a follower's fetch: it
//     takes the same path through replication.Partition, up to the log end.
//   - The rack id is accepted; there is no other replica to prefer.

// copyBelowBytes: ranges shorter than this are copied into the response.
const copyBelowBytes = 32 << 10

// fetchOp is a Fetch request from its decoding to the last byte of its reply. It is pooled.
type fetchOp struct {
	r           request
	q           protocol.FetchRequest
	session     *fetchSession
	incremental bool
	replicaID   int32
	maxBytes    int
	wants       []fetchPart  // by value: the session's may change while this one is parked
	refs        []*fetchPart // the session's, in the same order; empty without one
	denied      []bool
	data        []protocol.FetchPartitionData
	parts       []*replication.Partition // of data, nil where there is none
	writer      protocol.FetchResponseWriter
	onSent      func(bool) // free, made once
	bytes       int
}

func serveFetch(r *request) error {
	op, ok := r.b.fetchOps.Get().(*fetchOp)
	if !ok {
		op = &fetchOp{writer: protocol.FetchResponseWriter{InlineBelowBytes: copyBelowBytes}}
		op.onSent = func(bool) { op.free() }
	}
	op.r = *r
	if err := op.q.Decode(r.body, r.h.Version); err != nil {
		op.free()
		return err
	}
	op.r.open()
	if code := op.enter(); code != protocol.CodeNone {
		r.b.metrics.refused(r.h.Key, code)
		op.r.slot.Reply(op.reply(code))
		return nil
	}
	if op.read() || op.q.MaxWaitMs <= 0 || len(op.wants) == 0 {
		op.r.slot.Reply(op.reply(protocol.CodeNone))
		return nil
	}
	op.giveBack()
	parkFetch(op)
	return nil
}

// enter finds the session and lists what is wanted.
func (op *fetchOp) enter() protocol.ErrorCode {
	q, b := &op.q, op.r.b
	op.replicaID = q.ReplicaID
	if q.ReplicaState != nil {
		op.replicaID = q.ReplicaState.ReplicaID
	}
	op.maxBytes = int(min(q.MaxBytes, b.config().Broker.FetchMaxBytes))
	follower := op.replicaID >= 0
	if !follower {
		op.maxBytes = min(op.maxBytes, b.quota.FetchLimit(op.r.caller))
		op.q.MinBytes = min(op.q.MinBytes, int32(op.maxBytes))
	}
	if follower && !b.auth.Allowed(op.r.caller, OpClusterAction, ResourceCluster, clusterName) {
		return protocol.CodeClusterAuthorizationFailed
	}
	s, incremental, code := b.sessions.enter(q, op.r.h.Version, follower, op.r.received)
	if code != protocol.CodeNone {
		return code
	}
	op.session, op.incremental = s, incremental
	op.list()
	op.denied = grown(op.denied, len(op.wants))
	for i := range op.wants {
		w := &op.wants[i]
		name, err := op.r.topicName(w.topic, w.id, op.r.h.Version >= 13)
		op.denied[i] = err == nil && !follower && !b.auth.Allowed(op.r.caller, OpRead, ResourceTopic, name)
	}
	return protocol.CodeNone
}

func (op *fetchOp) list() {
	op.wants, op.refs = op.wants[:0], op.refs[:0]
	if s := op.session; s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, p := range s.parts {
			op.wants = append(op.wants, *p)
			op.refs = append(op.refs, p)
		}
		return
	}
	for i := range op.q.Topics {
		t := &op.q.Topics[i]
		for j := range t.Partitions {
			p := fetchPart{topic: t.Topic, id: t.TopicID, index: t.Partitions[j].Partition}
			p.want(&t.Partitions[j])
			op.wants = append(op.wants, p)
		}
	}
}

// read fills op.data from the partitions, in order, and tells whether that is an answer.
func (op *fetchOp) read() (enough bool) {
	op.data = op.data[:0]
	op.parts = grown(op.parts, len(op.wants))
	op.bytes = 0
	left, nothingYet, urgent := op.maxBytes, true, false
	for i := range op.wants {
		w := &op.wants[i]
		d := protocol.NewFetchPartitionData(w.topic, w.id, w.index)
		n, err := op.readOne(i, w, &d, min(int(w.maxBytes), left), nothingYet)
		if err != nil {
			op.failed(&d, w, err)
			urgent = true
		}
		if n > 0 {
			nothingYet = false
			left = max(0, left-n)
			op.bytes += n
		}
		urgent = urgent || d.DivergingEpoch != nil || d.PreferredReadReplica >= 0
		op.data = append(op.data, d)
	}
	return urgent || op.bytes >= int(op.q.MinBytes)
}

func (op *fetchOp) readOne(i int, w *fetchPart, d *protocol.FetchPartitionData, maxBytes int, minOne bool) (int, error) {
	if op.denied[i] {
		return 0, errTopicDenied
	}
	p, err := op.partition(w)
	op.parts[i] = p
	if err != nil {
		return 0, err
	}
	res, err := p.Read(replication.ReadRequest{
		Offset: w.offset, MaxBytes: maxBytes, MinOne: minOne, ReplicaID: op.replicaID,
		ReadCommitted: op.q.IsolationLevel == 1, CurrentLeaderEpoch: w.leaderEpoch,
		LastFetchedEpoch: w.lastEpoch, LogStartOffset: w.logStart,
	})
	if err != nil {
		return 0, err
	}
	d.HighWatermark, d.LastStableOffset, d.LogStartOffset = res.HighWatermark, res.LastStable, res.LogStart
	d.PreferredReadReplica = res.PreferredReplica
	if op.q.IsolationLevel == 1 {
		d.Aborted = []protocol.FetchResponseAbortedTransaction{}
		for _, a := range res.Aborted {
			d.Aborted = append(d.Aborted, protocol.FetchResponseAbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.FirstOffset})
		}
	}
	if e := res.Diverging; e != nil {
		d.DivergingEpoch = &protocol.FetchResponseEpochEnd{Epoch: e.Epoch, EndOffset: e.EndOffset}
	}
	d.Records = res.Range
	return res.Range.LenBytes, nil
}

func (op *fetchOp) partition(w *fetchPart) (*replication.Partition, error) {
	if op.r.h.Version >= 13 {
		return op.r.b.partitionByID(w.id, w.index)
	}
	return op.r.b.manager.Get(w.topic, w.index)
}

func (op *fetchOp) failed(d *protocol.FetchPartitionData, w *fetchPart, err error) {
	d.ErrorCode, _ = codeOf(err)
	if d.ErrorCode == protocol.CodeUnknownServerError {
		op.r.b.log.Error("a fetch failed", "topic", w.topic, "partition", w.index, "offset", w.offset, "err", err)
	}
	if d.ErrorCode == protocol.CodeNotLeaderOrFollower || d.ErrorCode == protocol.CodeFencedLeaderEpoch {
		if l, ok := op.r.b.leaderHint(w.topic, w.id, w.index); ok {
			d.CurrentLeader = &protocol.FetchResponseLeader{LeaderID: l.Leader, LeaderEpoch: l.LeaderEpoch}
		}
	}
	op.r.b.metrics.refused(op.r.h.Key, d.ErrorCode)
}

// reply lays the response out. The op lives on until it is sent.
func (op *fetchOp) reply(code protocol.ErrorCode) *conn.Reply {
	head := protocol.FetchHead{Version: op.r.h.Version, CorrelationID: op.r.h.CorrelationID, ErrorCode: code}
	if code != protocol.CodeNone {
		op.data = op.data[:0]
	}
	if head.ThrottleTimeMs = op.charge(); head.ThrottleTimeMs > 0 {
		op.empty()
	} else {
		op.count()
		if op.session != nil {
			op.tell()
		}
	}
	if op.session != nil {
		head.SessionID = op.session.id
	}
	for i := range op.data {
		if l := op.data[i].CurrentLeader; l != nil {
			head.NodeEndpoints = op.r.appendFetchNode(head.NodeEndpoints, l.LeaderID)
		}
	}
	files := op.readFiles()
	sections, total := op.writer.Build(head, op.data)
	for i := range op.data {
		if err := op.data[i].ReadErr; err != nil {
			op.r.b.log.Error("records could not be read", "topic", op.data[i].Topic, "partition", op.data[i].Index, "err", err)
		}
	}
	out := op.r.s.c.NewReply()
	out.SetFramed(sections, total)
	out.Then(op.onSent)
	if files {
		out.FromFile()
	}
	op.r.b.metrics.answered(&op.r)
	return out
}

// manyParts is how many partitions keep a goroutine busy for some 10 us.
const manyParts = 64

// readFiles tells whether records come from files, not from memory that the log just wrote, or
// whether it took long all the same.
func (op *fetchOp) readFiles() bool {
	for i := range op.data {
		if r := &op.data[i].Records; r.LenBytes >= copyBelowBytes || r.LenBytes > 0 && r.Mem == nil {
			return true
		}
	}
	return len(op.wants) > manyParts
}

// charge asks whether the records may be sent now.
func (op *fetchOp) charge() (throttleMs int32) {
	cost := Cost{Key: op.r.h.Key, Bytes: op.bytes}
	if op.replicaID >= 0 {
		cost.Bytes, cost.Exempt = 0, true // replication has quotas of its own
	}
	return op.r.throttle(op.r.b.quota.Charge(op.r.caller, cost))
}

// count notes what consumers are sent.
func (op *fetchOp) count() {
	if op.replicaID >= 0 || op.bytes == 0 {
		return
	}
	for i := range op.data {
		if n := op.data[i].Records.LenBytes; n > 0 {
			op.parts[i].Traffic.Fetched(n)
		}
	}
}

// empty makes the answer one without partitions: the client is to ask again for the same
// later (KIP-219). A session that this very request would have begun is not begun.
func (op *fetchOp) empty() {
	op.giveBack()
	op.bytes = 0
	if op.session != nil && !op.incremental {
		op.r.b.sessions.remove(op.session.id)
		op.session = nil
	}
}

// tell keeps of an incremental answer what the client does not know yet, and notes in the
// session what it will know.
func (op *fetchOp) tell() {
	s := op.session
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := op.data[:0]
	var sent map[*fetchPart]bool
	for i := range op.data {
		d, ref := &op.data[i], op.refs[i]
		news := !op.incremental || d.Records.LenBytes > 0 || d.ErrorCode != 0 || d.DivergingEpoch != nil || d.PreferredReadReplica >= 0 ||
			d.HighWatermark != ref.sentHighWatermark || d.LogStartOffset != ref.sentLogStart
		if !news {
			continue
		}
		ref.sentHighWatermark, ref.sentLogStart = d.HighWatermark, d.LogStartOffset
		if d.Records.LenBytes > 0 && len(op.refs) > 1 {
			if sent == nil {
				sent = make(map[*fetchPart]bool, len(op.refs))
			}
			sent[ref] = true
		}
		kept = append(kept, *d)
	}
	op.data = kept
	s.rotateLocked(sent)
}

// giveBack releases what was read.
func (op *fetchOp) giveBack() {
	for i := range op.data {
		op.data[i].Records.Release()
	}
	op.data = op.data[:0]
}

// keepFetchParts bounds what a pooled op keeps.
const keepFetchParts = 1024

func (op *fetchOp) free() {
	b := op.r.b
	if cap(op.wants) > keepFetchParts {
		return
	}
	op.r, op.session, op.incremental, op.bytes = request{}, nil, false, 0
	clear(op.data[:cap(op.data)])
	clear(op.refs)
	clear(op.parts)
	b.fetchOps.Put(op)
}
