package powercut

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/millrace/millrace/conformance/history"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/producer"
	"github.com/millrace/millrace/record"
)

// found is one record as a scan finds it.
type found struct {
	id          history.ID
	offset      int64
	timestampMs int64
}

// scan reads a log from its start to its end in small pieces.
func scan(log *engine.Log, place history.Place, f func(b record.Batch, recs []found) error) error {
	next, end := log.LogStartOffset(), log.LogEndOffset()
	for next < end {
		rng, err := log.Read(next, 8<<10, end, true)
		if err != nil {
			return fmt.Errorf("read at %d of [%d, %d): %w", next, log.LogStartOffset(), end, err)
		}
		buf := make([]byte, rng.LenBytes)
		err = rng.CopyTo(buf)
		rng.Release()
		if err != nil {
			return err
		}
		if len(buf) == 0 {
			return fmt.Errorf("nothing at %d, though the log ends at %d", next, end)
		}
		for len(buf) > 0 {
			b, rest, err := record.Next(buf)
			if err == nil {
				err = b.CheckCRC()
			}
			if err != nil {
				return fmt.Errorf("batch at %d: %w", next, err)
			}
			if b.BaseOffset() > next || b.NextOffset() <= next {
				return fmt.Errorf("a batch of [%d, %d) where %d comes next", b.BaseOffset(), b.NextOffset(), next)
			}
			recs, err := decode(b, place)
			if err != nil {
				return err
			}
			if err := f(b, recs); err != nil {
				return err
			}
			next, buf = b.NextOffset(), rest
		}
	}
	return nil
}

func decode(b record.Batch, place history.Place) ([]found, error) {
	var recs []found
	err := b.Iterate(nil, func(r *record.Record) error {
		id, err := history.Decode(place, r.Value)
		recs = append(recs, found{id, r.Offset, r.Timestamp})
		return err
	})
	return recs, err
}

// look is a reader at work beside the producers: whole batches with right checksums, at
// the offset asked for.
func (l *life) look(rng *rand.Rand, log *engine.Log, place history.Place) error {
	start, hw := log.LogStartOffset(), log.HighWatermark()
	if hw <= start {
		return nil
	}
	at := start + rng.Int64N(hw-start)
	r, err := log.Read(at, 1+rng.IntN(10_000), hw, true)
	var moved *engine.OffsetOutOfRangeError
	if errors.As(err, &moved) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	defer r.Release()
	buf := make([]byte, r.LenBytes)
	if err := r.CopyTo(buf); err != nil {
		return err
	}
	for next := at; len(buf) > 0; {
		b, rest, err := record.Next(buf)
		if err == nil {
			err = b.CheckCRC()
		}
		if err == nil {
			_, err = decode(b, place)
		}
		if err != nil {
			return fmt.Errorf("read of %v at %d: %w", place, at, err)
		}
		if b.BaseOffset() > next || b.NextOffset() <= next || b.NextOffset() > hw {
			return fmt.Errorf("read of %v at %d, high watermark %d: batch [%d, %d)", place, at, hw, b.BaseOffset(), b.NextOffset())
		}
		next, buf = b.NextOffset(), rest
	}
	return nil
}

// verify checks everything that a recovered log shows, and takes it as promised from
// here on: it was read from the disk.
func (l *life) verify(place history.Place) error {
	log := l.logs[place]
	start := log.LogStartOffset()
	if start > l.maxStart[place] {
		return fmt.Errorf("the log starts at %d, but was deleted to %d only", start, l.maxStart[place])
	}
	l.h.ForgetBelow(place, start)
	fresh := [producerIDs]*session{}
	for i := range fresh {
		fresh[i] = &session{pid: -1, nextID: l.nextID(i, place)}
	}
	var all []found
	err := scan(log, place, func(b record.Batch, recs []found) error {
		// What was deleted on purpose may be back, without its epoch.
		if got := log.EpochForOffset(b.BaseOffset()); b.BaseOffset() >= l.maxStart[place] && got != b.LeaderEpoch() {
			return fmt.Errorf("batch at %d has leader epoch %d, the cache says %d", b.BaseOffset(), b.LeaderEpoch(), got)
		}
		s := fresh[recs[0].id.Producer]
		if b.ProducerID() != s.pid {
			s.pid, s.recent = b.ProducerID(), nil
		}
		s.nextSeq = b.LastSequence() + 1
		s.recent = append(s.recent, b)
		s.recent = s.recent[max(0, len(s.recent)-5):]
		all = append(all, recs...)
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.offset >= start {
			l.h.Read(place, r.offset, history.Encode(place, r.id, 0))
			l.h.Acked(place, r.id, r.offset)
		}
	}
	if err := l.lookUp(log, all, start); err != nil {
		return err
	}
	return l.resend(place, log, fresh)
}

func (w *world) nextID(producer int, place history.Place) int64 {
	if s := w.sessions[producer][place]; s != nil {
		return s.nextID
	}
	return 0
}

// lookUp compares lookups with the scan.
func (l *life) lookUp(log *engine.Log, all []found, start int64) error {
	if len(all) == 0 || all[0].offset < start {
		return nil // what the first batch holds below the start is no answer
	}
	for range 5 {
		want := all[l.rng.IntN(len(all))]
		ts := want.timestampMs
		for _, r := range all {
			if r.timestampMs >= ts {
				want = r
				break
			}
		}
		offset, got, _, ok, err := log.OffsetForTimestamp(ts)
		if err != nil || !ok || offset != want.offset || got != want.timestampMs {
			return fmt.Errorf("the first record at %d ms is %d, a lookup finds %d (%v, %v)", ts, want.offset, offset, ok, err)
		}
		b, err := log.ReadBatch(want.offset, nil)
		if err != nil || len(b) == 0 {
			return fmt.Errorf("the batch of offset %d: %d bytes, %v", want.offset, len(b), err)
		}
		if b.BaseOffset() > want.offset || b.LastOffset() < want.offset {
			return fmt.Errorf("the batch of offset %d is [%d, %d]: %v", want.offset, b.BaseOffset(), b.LastOffset(), err)
		}
	}
	return nil
}

// resend repeats surviving batches as a producer does that did not get the answer. The
// last one is recognised with its offset. For the others Kafka's snapshots, which hold
// one batch for each producer, may leave only the knowledge that they are there.
func (l *life) resend(place history.Place, log *engine.Log, fresh [producerIDs]*session) error {
	for i, s := range fresh {
		if len(s.recent) == 0 {
			s.pid, s.nextSeq = l.nextPID, 0
			l.nextPID++
		}
		for n := l.rng.IntN(len(s.recent) + 1); n < len(s.recent); n++ {
			b := s.recent[n]
			again := append(record.Batch(nil), b...)
			a, err := log.AppendAsLeader(again, l.epoch, engine.Client)
			var known *engine.SequenceError
			if n < len(s.recent)-1 && errors.As(err, &known) && known.Kind == producer.Duplicate {
				continue
			}
			if err != nil || !a.Duplicate || a.FirstOffset != b.BaseOffset() {
				return fmt.Errorf("a repeated batch of producer %d, sequence %d, first at %d: appended at %d, duplicate %v, %v",
					b.ProducerID(), b.BaseSequence(), b.BaseOffset(), a.FirstOffset, a.Duplicate, err)
			}
		}
		l.sessions[i][place] = s
	}
	return nil
}
