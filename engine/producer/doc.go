// Package producer holds a log's producer state (Kafka's ProducerStateManager): what is
// known of each producer id that wrote to the log, so that a repeated batch is answered
// instead of stored twice, a gap is refused, a producer of an old epoch is fenced, and the
// last stable offset is known while transactions are open (KIP-98, KIP-360).
//
// Invariants:
//   - State follows the log and nothing else: applying the batches of the log in order to an
//     empty Manager, or those behind a snapshot to what the snapshot holds, gives the same
//     state but for the batches that a snapshot does not list (it keeps one per producer).
//   - EndOffset is the offset up to which the log has been applied.
//   - Check changes nothing; Update follows a successful append. Neither allocates for a
//     producer that is known.
//
// It does no I/O and has no clock and no lock: engine.Log calls it under its append lock,
// hands it what it needs of a batch, and stores the snapshots that it encodes.
package producer

import "fmt"

// Constants of the protocol.
const (
	NoProducerID    = -1
	NoProducerEpoch = -1
	NoSequence      = -1
	// WindowBatches is how many batches of a producer are remembered: as many as Kafka's
	// clients keep in flight.
	WindowBatches = 5
)

// Origin says where a batch comes from, which decides how much of it is checked.
type Origin uint8

const (
	// Client batches are checked in full.
	Client Origin = iota
	// Coordinator batches (offset commits, markers) carry no sequence: the epoch is checked.
	Coordinator
	// Replication batches were checked by the leader and are taken as they are.
	Replication
)

// Batch is what the state needs of a record batch.
type Batch struct {
	ProducerID       int64
	Epoch            int16
	BaseSequence     int32
	LastSequence     int32
	FirstOffset      int64
	LastOffset       int64
	MaxTimestamp     int64
	Transactional    bool
	Control          bool
	Commit           bool  // of a control batch: commit, else abort
	CoordinatorEpoch int32 // of a control batch
	EmptyControl     bool  // a control batch whose record was compacted away
}

// Completed is a transaction that a marker has just ended.
type Completed struct {
	ProducerID  int64
	FirstOffset int64 // of its first record
	LastOffset  int64 // of the marker
	Aborted     bool
	// LastStable is the last stable offset as of the marker, for the transaction index.
	LastStable int64
}

// SequenceKind tells what is wrong with a sequence number.
type SequenceKind uint8

const (
	// Gap: batches before this one are missing.
	Gap SequenceKind = iota
	// OutOfOrder: a new epoch did not begin at sequence 0.
	OutOfOrder
	// Duplicate: the batch was stored, but so long ago that its offset is forgotten.
	Duplicate
)

func (k SequenceKind) String() string {
	switch k {
	case Gap:
		return "gap"
	case OutOfOrder:
		return "out of order"
	default:
		return "duplicate older than the window"
	}
}

// SequenceError refuses a batch whose sequence number does not follow the last one. Kafka 4
// answers OUT_OF_ORDER_SEQUENCE_NUMBER to all kinds.
type SequenceError struct {
	Kind       SequenceKind
	ProducerID int64
	Epoch      int16
	Got        int32 // the batch's first sequence number
	Last       int32 // the last one that is in the log, -1 for none
}

func (e *SequenceError) Error() string {
	return fmt.Sprintf("producer %d, epoch %d: sequence number %d after %d (%s)", e.ProducerID, e.Epoch, e.Got, e.Last, e.Kind)
}

// FencedError refuses a batch of an epoch older than the last one seen
// (INVALID_PRODUCER_EPOCH).
type FencedError struct {
	ProducerID int64
	Got        int16
	Current    int16
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("producer %d: epoch %d is fenced by epoch %d", e.ProducerID, e.Got, e.Current)
}

// TxnStateError refuses a plain batch of a producer whose transaction is open
// (INVALID_TXN_STATE).
type TxnStateError struct {
	ProducerID     int64
	TxnFirstOffset int64
}

func (e *TxnStateError) Error() string {
	return fmt.Sprintf("producer %d: a plain batch inside the transaction that began at offset %d", e.ProducerID, e.TxnFirstOffset)
}

// CoordinatorFencedError refuses a marker of a coordinator that was replaced
// (TRANSACTION_COORDINATOR_FENCED).
type CoordinatorFencedError struct {
	ProducerID int64
	Got        int32
	Current    int32
}

func (e *CoordinatorFencedError) Error() string {
	return fmt.Sprintf("producer %d: marker of coordinator epoch %d, but %d wrote already", e.ProducerID, e.Got, e.Current)
}
