package producer

import (
	"cmp"
	"math"
	"slices"
)

// entry is what is known of one producer id.
type entry struct {
	id               int64
	lastTimestamp    int64 // of its last batch or marker, ms; -1 before any
	txnFirst         int64 // first offset of its open transaction, -1 when none is open
	coordinatorEpoch int32
	epoch            int16
	count            uint8 // of batches
	head             uint8 // oldest batch
	batches          [WindowBatches]batch
}

type batch struct {
	lastOffset  int64
	timestamp   int64
	lastSeq     int32
	offsetDelta int32
}

// firstSeq undoes the wrap of sequence numbers at 2^31-1, as Kafka's DefaultRecordBatch does.
func (b *batch) firstSeq() int32 { return decrementSequence(b.lastSeq, b.offsetDelta) }

func decrementSequence(seq, by int32) int32 {
	if seq < by {
		return math.MaxInt32 - (by - seq) + 1
	}
	return seq - by
}

// txn is an open transaction, or an ended one that is not replicated yet.
type txn struct {
	producerID int64
	first      int64
	last       int64 // offset of the marker
}

// Manager is one log's producer state.
type Manager struct {
	producers    map[int64]*entry // nil until the first producer: most logs have none
	open         []txn            // by first offset
	unreplicated []txn            // ended, but the marker is not below the high watermark; by first offset
	endOffset    int64
}

// EndOffset is the offset up to which the log has been applied.
func (m *Manager) EndOffset() int64 { return m.endOffset }

// SetEndOffset notes that the log has been applied up to offset, in which no batch had a
// producer id.
func (m *Manager) SetEndOffset(offset int64) { m.endOffset = offset }

// Len is the number of producer ids that are remembered.
func (m *Manager) Len() int { return len(m.producers) }

// Reset forgets everything and starts at offset.
func (m *Manager) Reset(offset int64) {
	*m = Manager{endOffset: offset}
}

// Check tells whether b may be appended now. A batch that is in the log already answers its
// offsets and timestamp with found set. b's own offsets are not looked at.
func (m *Manager) Check(b *Batch, origin Origin) (dup Stored, found bool, err error) {
	e := m.producers[b.ProducerID]
	if e == nil || origin == Replication {
		return Stored{}, false, nil
	}
	if origin == Client && !b.Control {
		if stored := e.find(b); stored != nil {
			return Stored{
				FirstOffset: stored.lastOffset - int64(stored.offsetDelta),
				LastOffset:  stored.lastOffset,
				Timestamp:   stored.timestamp,
			}, true, nil
		}
	}
	if b.Epoch < e.epoch {
		return Stored{}, false, &FencedError{ProducerID: e.id, Got: b.Epoch, Current: e.epoch}
	}
	if b.Control {
		if b.CoordinatorEpoch < e.coordinatorEpoch {
			return Stored{}, false, &CoordinatorFencedError{ProducerID: e.id, Got: b.CoordinatorEpoch, Current: e.coordinatorEpoch}
		}
		return Stored{}, false, nil
	}
	if origin == Client {
		if err := e.checkSequence(b); err != nil {
			return Stored{}, false, err
		}
	}
	if e.txnFirst >= 0 && !b.Transactional {
		return Stored{}, false, &TxnStateError{ProducerID: e.id, TxnFirstOffset: e.txnFirst}
	}
	return Stored{}, false, nil
}

// Stored is a batch that is in the log already.
type Stored struct {
	FirstOffset int64
	LastOffset  int64
	Timestamp   int64 // ms
}

func (e *entry) find(b *Batch) *batch {
	if b.Epoch != e.epoch {
		return nil
	}
	for i := range e.count {
		s := &e.batches[(e.head+i)%WindowBatches]
		if s.lastSeq == b.LastSequence && s.firstSeq() == b.BaseSequence {
			return s
		}
	}
	return nil
}

func (e *entry) checkSequence(b *Batch) error {
	if b.Epoch != e.epoch {
		if b.BaseSequence != 0 && e.epoch != NoProducerEpoch {
			return &SequenceError{Kind: OutOfOrder, ProducerID: e.id, Epoch: b.Epoch, Got: b.BaseSequence, Last: e.lastSeq()}
		}
		return nil
	}
	last := e.lastSeq()
	if int64(b.BaseSequence) == int64(last)+1 || (b.BaseSequence == 0 && last == math.MaxInt32) {
		return nil
	}
	kind := Gap
	// Sequence numbers are a circle of 2^31: what lies in the half behind was written before.
	if last >= 0 && uint32(last-b.BaseSequence)&math.MaxInt32 < 1<<30 {
		kind = Duplicate
	}
	return &SequenceError{Kind: kind, ProducerID: e.id, Epoch: b.Epoch, Got: b.BaseSequence, Last: last}
}

func (e *entry) lastSeq() int32 {
	if e.count == 0 {
		return NoSequence
	}
	return e.batches[(e.head+e.count-1)%WindowBatches].lastSeq
}

func (e *entry) lastOffset() int64 {
	return e.batches[(e.head+e.count-1)%WindowBatches].lastOffset
}

// Update applies a batch that was appended. When it is a marker that ended a transaction it
// says which; the transaction counts as open for the last stable offset until the high
// watermark has passed the marker.
func (m *Manager) Update(b *Batch) (done Completed, ended bool) {
	if b.EmptyControl {
		return Completed{}, false
	}
	e := m.producers[b.ProducerID]
	if e == nil {
		e = m.add(b.ProducerID)
	}
	e.setEpoch(b.Epoch)
	e.lastTimestamp = b.MaxTimestamp
	if b.Control {
		e.coordinatorEpoch = b.CoordinatorEpoch
		if e.txnFirst < 0 {
			return Completed{}, false
		}
		done = Completed{ProducerID: e.id, FirstOffset: e.txnFirst, LastOffset: b.LastOffset, Aborted: !b.Commit}
		e.txnFirst = -1
		m.end(&done)
		return done, true
	}
	if e.count > 0 && e.lastOffset() >= b.LastOffset {
		return Completed{}, false // in the snapshot already, see LoadSnapshot
	}
	e.push(batch{lastOffset: b.LastOffset, timestamp: b.MaxTimestamp, lastSeq: b.LastSequence, offsetDelta: int32(b.LastOffset - b.FirstOffset)})
	if b.Transactional && e.txnFirst < 0 {
		e.txnFirst = b.FirstOffset
		m.open = insertTxn(m.open, txn{producerID: e.id, first: b.FirstOffset})
	}
	return Completed{}, false
}

func (m *Manager) add(id int64) *entry {
	if m.producers == nil {
		m.producers = make(map[int64]*entry)
	}
	e := &entry{id: id, epoch: NoProducerEpoch, coordinatorEpoch: -1, lastTimestamp: -1, txnFirst: -1}
	m.producers[id] = e
	return e
}

func (e *entry) setEpoch(epoch int16) {
	if e.epoch != epoch {
		e.epoch, e.count, e.head = epoch, 0, 0
	}
}

func (e *entry) push(b batch) {
	if e.count == WindowBatches {
		e.batches[e.head] = b
		e.head = (e.head + 1) % WindowBatches
		return
	}
	e.batches[(e.head+e.count)%WindowBatches] = b
	e.count++
}

// end moves a transaction from the open ones to those that wait for the high watermark.
func (m *Manager) end(done *Completed) {
	done.LastStable = done.LastOffset + 1
	m.open = slices.DeleteFunc(m.open, func(t txn) bool { return t.first == done.FirstOffset })
	if len(m.open) > 0 {
		done.LastStable = m.open[0].first
	}
	m.unreplicated = insertTxn(m.unreplicated, txn{producerID: done.ProducerID, first: done.FirstOffset, last: done.LastOffset})
}

func insertTxn(list []txn, t txn) []txn {
	i, found := slices.BinarySearchFunc(list, t.first, func(have txn, first int64) int { return cmp.Compare(have.first, first) })
	if found {
		list[i] = t
		return list
	}
	return slices.Insert(list, i, t)
}

// FirstUnstable is the first offset that is not stable: of an open transaction, or of one
// whose marker the high watermark has not passed. math.MaxInt64 when all is stable.
func (m *Manager) FirstUnstable() int64 {
	first := int64(math.MaxInt64)
	if len(m.open) > 0 {
		first = m.open[0].first
	}
	if len(m.unreplicated) > 0 {
		first = min(first, m.unreplicated[0].first)
	}
	return first
}

// StartsTransaction tells whether appending b would open a transaction.
func (m *Manager) StartsTransaction(b *Batch) bool {
	if !b.Transactional || b.Control {
		return false
	}
	e := m.producers[b.ProducerID]
	return e == nil || e.txnFirst < 0
}

// HasUnreplicated tells whether OnHighWatermark has something to do.
func (m *Manager) HasUnreplicated() bool { return len(m.unreplicated) > 0 }

// OnHighWatermark lets go of the ended transactions whose markers are below hw.
func (m *Manager) OnHighWatermark(hw int64) {
	m.unreplicated = slices.DeleteFunc(m.unreplicated, func(t txn) bool { return t.last < hw })
}

// OnLogStart notes that the log begins at offset now. Producers are kept even when their
// batches are gone: a retry must still be recognised.
func (m *Manager) OnLogStart(offset int64) {
	m.OnHighWatermark(offset)
	m.endOffset = max(m.endOffset, offset)
}

// Expire forgets the producers that have written nothing for expirationMs, unless a
// transaction of theirs is open (producer.id.expiration.ms).
func (m *Manager) Expire(nowMs, expirationMs int64) (expired int) {
	for id, e := range m.producers {
		if e.txnFirst < 0 && nowMs-e.lastTimestamp >= expirationMs {
			delete(m.producers, id)
			expired++
		}
	}
	return expired
}

// Producer is one producer id as DescribeProducers shows it.
type Producer struct {
	ID               int64
	Epoch            int16
	LastSequence     int32
	LastTimestamp    int64
	CoordinatorEpoch int32
	TxnFirstOffset   int64 // -1 when no transaction is open
}

// Active lists the producers by id.
func (m *Manager) Active() []Producer {
	list := make([]Producer, 0, len(m.producers))
	for _, e := range m.producers {
		list = append(list, Producer{
			ID: e.id, Epoch: e.epoch, LastSequence: e.lastSeq(), LastTimestamp: e.lastTimestamp,
			CoordinatorEpoch: e.coordinatorEpoch, TxnFirstOffset: e.txnFirst,
		})
	}
	slices.SortFunc(list, func(a, b Producer) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// EachLast calls f with the offset of each producer's last batch, -1 when only markers are
// known, and its epoch: what a cleaning keeps of a producer.
func (m *Manager) EachLast(f func(id, dataOffset int64, epoch int16)) {
	for id, e := range m.producers {
		offset := int64(-1)
		if e.count > 0 {
			offset = e.lastOffset()
		}
		f(id, offset, e.epoch)
	}
}
