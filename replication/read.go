package replication

import (
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/vfs"
)

// ReadRequest is one partition of a fetch.
type ReadRequest struct {
	Offset   int64
	MaxBytes int
	// MinOne returns the first batch whatever MaxBytes says.
	MinOne bool
	// ReplicaID is a follower's broker id, which reads to the log's end; -1 for a consumer,
	// which reads to the high watermark.
	ReplicaID     int32
	ReadCommitted bool
	// CurrentLeaderEpoch is the leader epoch that the reader knows, LastFetchedEpoch that of
	// the last batch that it holds; -1 for none.
	CurrentLeaderEpoch int32
	LastFetchedEpoch   int32
	LogStartOffset     int64 // of a follower's log, -1 otherwise
}

// ReadResult is what a read found. Range must be released.
type ReadResult struct {
	Range         vfs.Range
	HighWatermark int64
	LastStable    int64
	LogStart      int64
	// Diverging is set, and Range empty, when the reader's log is not a prefix of this one:
	// it truncates to EndOffset at most (KIP-595).
	Diverging *EpochEnd
	// PreferredReplica is another replica that the reader should ask, or -1.
	PreferredReplica int32
	// Aborted has the aborted transactions of a read_committed read, in order.
	Aborted []AbortedTxn
}

// EpochEnd is a leader epoch and the offset at which it ended.
type EpochEnd struct {
	Epoch     int32
	EndOffset int64
}

// AbortedTxn is an aborted transaction: its producer and its first offset.
type AbortedTxn struct{ ProducerID, FirstOffset int64 }

// Read serves a fetch. Errors: ErrNotLeader, ErrUnknownTopicOrPartition,
// *FencedEpochError, *UnknownEpochError, *engine.OffsetOutOfRangeError, and the log's.
func (p *Partition) Read(q ReadRequest) (ReadResult, error) {
	r := p.role.Load()
	if err := r.access(q.CurrentLeaderEpoch); err != nil {
		return ReadResult{}, err
	}
	follower := q.ReplicaID >= 0
	if follower && !r.isReplica(q.ReplicaID) {
		return ReadResult{}, ErrNotLeader // as Kafka: it follows a partition that is not its
	}
	res := ReadResult{HighWatermark: p.log().HighWatermark(), LastStable: p.log().LastStableOffset(), LogStart: p.log().LogStartOffset(), PreferredReplica: -1}
	if q.LastFetchedEpoch >= 0 {
		diverging, err := p.diverging(q)
		if err != nil || diverging != nil {
			res.Diverging = diverging
			return res, err
		}
	}
	upTo := res.HighWatermark
	switch {
	case follower:
		upTo = p.log().LogEndOffset()
	case q.ReadCommitted:
		upTo = res.LastStable
	}
	log := p.log()
	var err error
	res.Range, err = log.Read(q.Offset, q.MaxBytes, upTo, q.MinOne)
	if err != nil && p.log() != log { // it was moved under the read
		res.Range, err = p.log().Read(q.Offset, q.MaxBytes, upTo, q.MinOne)
	}
	if err != nil {
		return ReadResult{}, err
	}
	if q.ReadCommitted && res.Range.LenBytes > 0 {
		if res.Aborted, err = p.aborted(q.Offset, upTo); err != nil {
			res.Range.Release()
			return ReadResult{}, err
		}
	}
	if follower && q.ReplicaID != r.self {
		p.followerAt(q.ReplicaID, q.Offset)
	}
	return res, nil
}

// diverging finds out whether the reader's last batch is one of ours (KIP-320, KIP-595).
func (p *Partition) diverging(q ReadRequest) (*EpochEnd, error) {
	epoch, end := p.log().EndOffsetForEpoch(q.LastFetchedEpoch)
	switch {
	case epoch < 0 || end < 0:
		return nil, &engine.OffsetOutOfRangeError{Offset: q.Offset, Start: p.log().LogStartOffset(), End: p.log().LogEndOffset()}
	case epoch < q.LastFetchedEpoch || end < q.Offset:
		return &EpochEnd{Epoch: epoch, EndOffset: end}, nil
	}
	return nil, nil
}

func (p *Partition) aborted(from, to int64) ([]AbortedTxn, error) {
	txns, err := p.log().Aborted(from, to)
	if err != nil || len(txns) == 0 {
		return nil, err
	}
	out := make([]AbortedTxn, len(txns))
	for i := range txns {
		out[i] = AbortedTxn{ProducerID: txns[i].ProducerID, FirstOffset: txns[i].FirstOffset}
	}
	return out, nil
}

// Special timestamps of ListOffset.
const (
	LatestTimestamp        int64 = -1
	EarliestTimestamp      int64 = -2
	MaxTimestamp           int64 = -3
	EarliestLocalTimestamp int64 = -4
)

// ListRequest is one partition of a ListOffsets.
type ListRequest struct {
	Timestamp          int64 // ms, or a special one
	ReplicaID          int32 // -1 for a consumer
	ReadCommitted      bool
	CurrentLeaderEpoch int32 // -1 for none
}

// ListedOffset is an offset with its timestamp and the leader epoch that wrote it; each is
// -1 where there is none.
type ListedOffset struct {
	Offset      int64
	Timestamp   int64
	LeaderEpoch int32
}

// ListOffset finds an offset by time. A record that the reader may not see yet is not
// found. Errors: as Read's, and ErrOffsetNotAvailable.
func (p *Partition) ListOffset(q ListRequest) (ListedOffset, error) {
	none := ListedOffset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}
	r := p.role.Load()
	if err := r.access(q.CurrentLeaderEpoch); err != nil {
		return none, err
	}
	if err := p.log().Failure(); err != nil {
		return none, err
	}
	bound := p.log().HighWatermark()
	switch {
	case q.ReplicaID >= 0:
		bound = p.log().LogEndOffset()
	case bound < r.epochStart:
		// The high watermark of a former epoch may lie above what is known here: what is
		// told now must never go back (KIP-207).
		if q.Timestamp != EarliestTimestamp && q.Timestamp != EarliestLocalTimestamp {
			return none, ErrOffsetNotAvailable
		}
	case q.ReadCommitted:
		bound = p.log().LastStableOffset()
	}
	var found bool
	var err error
	out := none
	switch q.Timestamp {
	case LatestTimestamp:
		return ListedOffset{Offset: bound, Timestamp: -1, LeaderEpoch: r.epoch}, nil
	case EarliestTimestamp, EarliestLocalTimestamp:
		start := p.log().LogStartOffset()
		return ListedOffset{Offset: start, Timestamp: -1, LeaderEpoch: p.log().EpochForOffset(start)}, nil
	case MaxTimestamp:
		out.Offset, out.Timestamp, out.LeaderEpoch, found, err = p.log().OffsetOfMaxTimestamp()
	default:
		out.Offset, out.Timestamp, out.LeaderEpoch, found, err = p.log().OffsetForTimestamp(q.Timestamp)
	}
	if err != nil || !found || out.Offset >= bound {
		return none, err
	}
	return out, nil
}

// EndOffsetForEpoch answers OffsetForLeaderEpoch: the largest epoch not above the asked one
// and where it ended, -1 and -1 when that is not known (KIP-279). currentEpoch is the epoch
// that the reader knows, or -1.
func (p *Partition) EndOffsetForEpoch(epoch, currentEpoch int32) (foundEpoch int32, endOffset int64, err error) {
	if err := p.role.Load().access(currentEpoch); err != nil {
		return -1, -1, err
	}
	if err := p.log().Failure(); err != nil {
		return -1, -1, err
	}
	if epoch < 0 {
		return -1, -1, nil
	}
	foundEpoch, endOffset = p.log().EndOffsetForEpoch(epoch)
	return foundEpoch, endOffset, nil
}
