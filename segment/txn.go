package segment

import (
	"errors"

	"github.com/millrace/millrace/index"
)

// AppendAborted notes an aborted transaction in the .txnindex of the segment that holds its
// marker (LastOffset). One that is there already is not added again, so that a caller may
// replay what recovery visited.
func (c *Chain) AppendAborted(t index.AbortedTxn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failure(); err != nil {
		return err
	}
	list := c.segments()
	s := list[max(0, floor(list, t.LastOffset))]
	txns, err := s.aborted()
	if err != nil {
		return c.refuse(err)
	}
	if n := len(txns); n > 0 && t.LastOffset <= txns[n-1].LastOffset {
		return nil
	}
	if err := index.WriteTxn(c.o.FS, s.name(txnSuffix), len(txns), t); err != nil {
		return c.refuse(err)
	}
	grown := append(txns[:len(txns):len(txns)], t)
	s.txns.Store(&grown)
	return nil
}

// Aborted returns the aborted transactions that overlap [from, to), in the order of their
// markers, as Kafka's collectAbortedTxns does.
func (c *Chain) Aborted(from, to int64) ([]index.AbortedTxn, error) {
	for {
		list := c.segments()
		found, err := abortedIn(list, from, to)
		if err != nil || !c.moved(list) {
			return found, err
		}
		// A segment that was replaced may have lost its index before it was read.
	}
}

func abortedIn(list []*segment, from, to int64) ([]index.AbortedTxn, error) {
	var found []index.AbortedTxn
	for _, s := range list[max(0, floor(list, from)):] {
		txns, err := s.aborted()
		if err != nil {
			return nil, err
		}
		for _, t := range txns {
			if t.LastOffset >= from && t.FirstOffset < to {
				found = append(found, t)
			}
			if t.LastStableOffset >= to {
				return found, nil
			}
		}
	}
	return found, nil
}

// aborted returns the entries of the segment's .txnindex, which is read once. A file that
// is damaged keeps the entries before the damage.
func (s *segment) aborted() ([]index.AbortedTxn, error) {
	if p := s.txns.Load(); p != nil {
		return *p, nil
	}
	if s.gone.Load() {
		return nil, nil
	}
	txns, err := index.ReadTxns(s.c.o.FS, s.name(txnSuffix))
	var corrupt *index.CorruptError
	if err != nil && !errors.As(err, &corrupt) {
		return nil, err
	}
	s.txns.CompareAndSwap(nil, &txns)
	return *s.txns.Load(), nil
}

// truncateTxns forgets the transactions whose markers lie at or above offset.
func (s *segment) truncateTxns(offset int64) error {
	txns, err := s.aborted()
	if err != nil {
		return err
	}
	n := 0
	for n < len(txns) && txns[n].LastOffset < offset {
		n++
	}
	kept := txns[:n:n]
	s.txns.Store(&kept)
	return index.TruncateTxns(s.c.o.FS, s.name(txnSuffix), n)
}
