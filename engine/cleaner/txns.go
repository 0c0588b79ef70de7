package cleaner

import (
	"cmp"
	"errors"
	"slices"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/record"
)

// txns follows the transactions of a log while its batches are read in order (Kafka's
// CleanedTransactionMetadata). The producer states of engine would not do: what was cleaned
// before has lost batches and markers.
type txns struct {
	waiting   []index.AbortedTxn // by first offset, not reached yet
	aborted   map[int64]*abortedTxn
	committed map[int64]bool // producers of open transactions that will commit
	kept      func(index.AbortedTxn)
}

type abortedTxn struct {
	index.AbortedTxn
	seen bool // batches of it are left
}

func newTxns(kept func(index.AbortedTxn)) *txns {
	return &txns{aborted: make(map[int64]*abortedTxn), committed: make(map[int64]bool), kept: kept}
}

// add tells of aborted transactions; one may be told again.
func (t *txns) add(list []index.AbortedTxn) {
	t.waiting = append(t.waiting, list...)
	slices.SortFunc(t.waiting, func(a, b index.AbortedTxn) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	t.waiting = slices.CompactFunc(t.waiting, func(a, b index.AbortedTxn) bool {
		return a.FirstOffset == b.FirstOffset && a.ProducerID == b.ProducerID
	})
}

// upTo opens the aborted transactions that begin at or before offset.
func (t *txns) upTo(offset int64) {
	n := 0
	for ; n < len(t.waiting) && t.waiting[n].FirstOffset <= offset; n++ {
		if a := t.waiting[n]; t.aborted[a.ProducerID] == nil {
			t.aborted[a.ProducerID] = &abortedTxn{AbortedTxn: a}
		}
	}
	t.waiting = t.waiting[n:]
}

// onBatch tells whether a batch of data belongs to an aborted transaction.
func (t *txns) onBatch(b record.Batch) bool {
	t.upTo(b.LastOffset())
	if !b.IsTransactional() {
		return false
	}
	if a := t.aborted[b.ProducerID()]; a != nil {
		a.seen = true
		return true
	}
	t.committed[b.ProducerID()] = true
	return false
}

// onMarker tells whether nothing is left of the transaction that a control batch ends.
func (t *txns) onMarker(b record.Batch) (empty bool, err error) {
	t.upTo(b.LastOffset())
	kind, err := markerType(b)
	if err != nil {
		return false, err
	}
	id := b.ProducerID()
	switch kind {
	case markerGone:
		return true, nil
	case markerAbort:
		a := t.aborted[id]
		delete(t.aborted, id)
		if a == nil || !a.seen {
			return true, nil
		}
		t.kept(a.AbortedTxn)
		return false, nil
	case markerCommit:
		open := t.committed[id]
		delete(t.committed, id)
		return !open, nil
	}
	return false, nil
}

type marker uint8

const (
	markerOther marker = iota
	markerGone         // the control record was cleaned before
	markerAbort
	markerCommit
)

func markerType(b record.Batch) (kind marker, err error) {
	kind = markerGone
	err = b.Iterate(nil, func(r *record.Record) error {
		c, err := record.ParseControl(r)
		if err != nil {
			return err
		}
		switch c.Type {
		case record.ControlAbort:
			kind = markerAbort
		case record.ControlCommit:
			kind = markerCommit
		default:
			kind = markerOther
		}
		return record.ErrStop
	})
	if errors.Is(err, record.ErrStop) {
		err = nil
	}
	return kind, err
}
