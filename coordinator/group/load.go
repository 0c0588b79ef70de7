package group

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/coordinator/group/offsets"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/replication"
)

// loadBytes is how much is read of a partition at once.
const loadBytes = 1 << 20

// load reads the partition and opens the shard for requests.
func (s *shard) load() {
	began := s.c.o.Clock.Now()
	p, err := s.c.open(s.index)
	r := replayer{s: s, now: s.c.now(), txns: map[int64][]change{}}
	if err == nil {
		err = r.run(p)
	}
	s.mu.Lock()
	defer s.exit()
	if s.state != loading {
		return
	}
	if err != nil {
		s.state = gone
		s.groups = map[string]*entry{}
		s.c.o.Log.Error("groups could not be read; their members are sent away until they can, which is tried again",
			"topic", OffsetsTopic, "partition", s.index, "err", err)
		return
	}
	s.log, s.state = p, serving
	offsets := 0
	for _, e := range s.groups {
		offsets += e.offsets.Len()
		e.members.loaded(s, e, r.now)
		s.changed(e)
	}
	if r.records > 0 {
		took := s.c.o.Clock.Now().Sub(began)
		n := len(s.groups)
		s.later(func() {
			s.c.o.Log.Info("groups are loaded", "topic", OffsetsTopic, "partition", s.index, "epoch", s.epoch, "groups", n, "offsets", offsets, "records", r.records, "bad", r.bad, "took", took)
		})
	}
}

// failed tells whether the shard could not be loaded.
func (s *shard) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == gone
}

// unload ends the shard: everybody who waits is sent to look for the coordinator again.
func (s *shard) unload() {
	s.mu.Lock()
	defer s.exit()
	if s.state == gone {
		return
	}
	s.state = gone
	if s.timer != nil {
		s.timer.Stop()
	}
	for a := range s.pending {
		s.log.CancelProduce(a)
		delete(s.pending, a)
		a.entry.writes--
		a.done(-1, errUnloaded)
	}
	for _, e := range s.groups {
		e.members.unload(s, e)
	}
	s.groups = map[string]*entry{}
	s.wakes = nil
}

// replayer reads a partition into a shard that serves nobody yet.
type replayer struct {
	s       *shard
	now     classic.Now
	txns    map[int64][]change // of transactions that did not end, by producer
	records int
	bad     int
}

// change is a record of a transaction, which counts once that commits.
type change struct {
	key, value []byte
	offset     int64
}

// run reads from the partition's start to its end. Nobody appends meanwhile.
func (r *replayer) run(p journalLog) error {
	self := r.s.c.o.BrokerID
	start, err := p.ListOffset(replication.ListRequest{Timestamp: replication.EarliestTimestamp, ReplicaID: self, CurrentLeaderEpoch: r.s.epoch})
	if err != nil {
		return err
	}
	var buf []byte
	for at := start.Offset; ; {
		if err := r.s.c.ctx.Err(); err != nil {
			return err
		}
		res, err := p.Read(replication.ReadRequest{
			Offset: at, MaxBytes: loadBytes, MinOne: true, ReplicaID: self, CurrentLeaderEpoch: r.s.epoch, LastFetchedEpoch: -1, LogStartOffset: -1,
		})
		if err != nil {
			return err
		}
		n := res.Range.LenBytes
		if n == 0 {
			res.Range.Release()
			return nil
		}
		if cap(buf) < n {
			buf = make([]byte, n)
		}
		err = res.Range.CopyTo(buf[:n])
		res.Range.Release()
		if err != nil {
			return err
		}
		if at, err = r.batches(buf[:n], at); err != nil {
			return err
		}
	}
}

// batches replays whole batches and returns the offset after them. A batch that is cut off
// at the end is read again.
func (r *replayer) batches(buf []byte, at int64) (next int64, err error) {
	next = at
	for len(buf) > 0 {
		b, rest, err := record.Next(buf)
		if errors.Is(err, record.ErrShort) && next > at {
			return next, nil
		}
		if err != nil {
			return next, fmt.Errorf("offset %d: %w", next, err)
		}
		if err := r.batch(b); err != nil {
			return next, fmt.Errorf("offset %d: %w", next, err)
		}
		next, buf = b.NextOffset(), rest
	}
	return next, nil
}

func (r *replayer) batch(b record.Batch) error {
	if b.IsControl() {
		return r.endTxn(b)
	}
	return b.Iterate(nil, func(rec *record.Record) error {
		r.records++
		if b.IsTransactional() {
			id := b.ProducerID()
			r.txns[id] = append(r.txns[id], change{append([]byte(nil), rec.Key...), cloned(rec.Value), rec.Offset})
			return nil
		}
		r.apply(rec.Key, rec.Value, rec.Offset)
		return nil
	})
}

func cloned(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

// endTxn counts the offsets of a transaction, or not.
func (r *replayer) endTxn(b record.Batch) error {
	id := b.ProducerID()
	err := b.Iterate(nil, func(rec *record.Record) error {
		c, err := record.ParseControl(rec)
		if err == nil && c.Type == record.ControlCommit {
			for _, t := range r.txns[id] {
				r.apply(t.key, t.value, t.offset)
			}
		}
		return err
	})
	delete(r.txns, id)
	return err
}

// apply replays one record. One that cannot be read is left out, and the log says so.
func (r *replayer) apply(key, value []byte, offset int64) {
	if err := r.s.replay(key, value, offset, r.now); err != nil {
		r.bad++
		r.s.c.o.Log.Error("a record of a group cannot be read and is left out", "topic", OffsetsTopic, "partition", r.s.index, "offset", offset, "err", err)
	}
}

// replay puts one record into force. Kinds that are not known come from a newer broker and
// are none of this one's business.
func (s *shard) replay(key, value []byte, offset int64, now classic.Now) error {
	kind, err := journal.KindOf(key)
	if err != nil {
		return err
	}
	switch kind {
	case journal.KindOffsetOld, journal.KindOffset:
		return s.replayOffset(key, value, offset, now)
	case journal.KindGroup:
		return s.replayGroup(key, value)
	}
	if kind.IsConsumer() {
		return s.replayConsumer(key, value)
	}
	return nil
}

func (s *shard) replayOffset(key, value []byte, offset int64, now classic.Now) error {
	k, err := journal.ReadKey(key)
	if err != nil {
		return err
	}
	if value == nil {
		if e, ok := s.groups[k.Group]; ok {
			e.offsets.Remove(k.Topic, k.Partition)
			s.dropIfNothing(e)
		}
		return nil
	}
	v, err := journal.ReadOffset(value)
	if err != nil {
		return err
	}
	s.groupOrNew(k.Group, now).offsets.Set(k.Topic, k.Partition, offsets.Committed{Offset: v, RecordOffset: offset})
	return nil
}

func (s *shard) replayGroup(key, value []byte) error {
	k, err := journal.ReadKey(key)
	if err != nil {
		return err
	}
	if value == nil {
		if e, ok := s.groups[k.Group]; ok && e.members.kind() == Classic {
			e.members = &classicGroup{classic.New(s.c.now())}
			s.dropIfNothing(e)
		}
		return nil
	}
	v, err := journal.ReadGroup(value)
	if err != nil {
		return err
	}
	s.groupOrNew(k.Group, s.c.now()).members = &classicGroup{classic.Restore(&v)}
	return nil
}

// dropIfNothing forgets a group of which nothing is left while the log is replayed.
func (s *shard) dropIfNothing(e *entry) {
	if e.offsets.Len() == 0 && e.members.generation() == 0 && e.members.size() == 0 {
		s.forget(e)
	}
}
