package group

import (
	"sync"

	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/replication"
)

// journalLog is what a shard needs of its replication.Partition.
type journalLog interface {
	Produce(b record.Batch, acks int16, requiredEpoch int32, origin engine.Origin, done replication.ProduceDone, slot int, timeoutMs int32) (replication.ProduceResult, bool)
	Read(q replication.ReadRequest) (replication.ReadResult, error)
	ListOffset(q replication.ListRequest) (replication.ListedOffset, error)
	CancelProduce(done replication.ProduceDone)
}

// appending is an append that is not acknowledged yet.
type appending struct {
	s     *shard
	entry *entry
	done  func(firstOffset int64, err error)
}

// acknowledged are outcomes that a partition has told and the shard has not taken yet. Its
// lock is a leaf: outcomes are told under the locks of the partition's caller, which may be
// the shard itself.
type acknowledged struct {
	mu       sync.Mutex
	list     []outcome
	draining bool
}

type outcome struct {
	a   *appending
	res replication.ProduceResult
}

// append writes records as one batch. done is called once, with the lock held: before append
// returns when the outcome is known at once, else by drain or when the shard is unloaded. It
// gets the offset of the first record.
func (s *shard) append(e *entry, records []journal.Record, done func(firstOffset int64, err error)) {
	if s.state != serving {
		done(-1, errUnloaded)
		return
	}
	cfg := s.config()
	s.builder.Reset(record.BuilderOptions{LeaderEpoch: record.NoLeaderEpoch, Codec: cfg.Codec})
	now := s.c.now().UnixMs
	for _, r := range records {
		s.builder.Append(now, r.Key, r.Value)
	}
	batch, err := s.builder.Finish()
	if err != nil {
		done(-1, err)
		return
	}
	a := &appending{s: s, entry: e, done: done}
	s.pending[a] = struct{}{}
	e.writes++
	res, pending := s.log.Produce(batch, -1, s.epoch, engine.Coordinator, a, 0, cfg.CommitTimeoutMs)
	if !pending {
		s.end(a, res)
	}
}

// end tells the outcome of an append, unless the shard was unloaded meanwhile.
func (s *shard) end(a *appending, res replication.ProduceResult) {
	if _, ok := s.pending[a]; !ok {
		return
	}
	delete(s.pending, a)
	a.entry.writes--
	if err := res.Err; err != nil {
		id := a.entry.id
		hint := "see the error"
		if tooLarge(err) {
			hint = "raise max.message.bytes of " + OffsetsTopic + ", or let offsets.topic.compression.codec make it smaller"
		}
		s.later(func() {
			s.c.o.Log.Error("a write of a group failed", "group", id, "partition", s.index, "err", err, "remedy", hint)
		})
	}
	a.done(res.FirstOffset, res.Err)
}

// ProduceDone implements replication.ProduceDone. It may run under the shard's own lock.
func (a *appending) ProduceDone(_ int, res replication.ProduceResult) {
	q := &a.s.acked
	q.mu.Lock()
	q.list = append(q.list, outcome{a, res})
	start := !q.draining
	q.draining = true
	q.mu.Unlock()
	if start {
		go a.s.drain()
	}
}

// drain takes outcomes in the order in which they were told.
func (s *shard) drain() {
	for {
		s.mu.Lock()
		q := &s.acked
		q.mu.Lock()
		list := q.list
		q.list = nil
		q.draining = len(list) > 0
		q.mu.Unlock()
		for _, o := range list {
			s.end(o.a, o.res)
		}
		s.exit()
		if len(list) == 0 {
			return
		}
	}
}

// maxBatchBytes is what appendAll puts into one batch: half of what topics take by default.
const maxBatchBytes = 512 << 10

// appendAll is append for any number of records that need not be in one batch; done is called
// once, with the offset of the last batch's last record or with the first error.
func (s *shard) appendAll(e *entry, records []journal.Record, done func(lastOffset int64, err error)) {
	if len(records) == 0 {
		done(-1, nil)
		return
	}
	left := 0
	var failed error
	var last int64
	var chunks [][]journal.Record
	start, size := 0, 0
	for i, r := range records {
		n := len(r.Key) + len(r.Value) + 16
		if size+n > maxBatchBytes && i > start {
			chunks, start, size = append(chunks, records[start:i]), i, 0
		}
		size += n
	}
	chunks = append(chunks, records[start:])
	left = len(chunks)
	for _, chunk := range chunks {
		s.append(e, chunk, func(first int64, err error) {
			if err != nil && failed == nil {
				failed = err
			}
			last = max(last, first+int64(len(chunk))-1)
			if left--; left == 0 {
				done(last, failed)
			}
		})
	}
}
