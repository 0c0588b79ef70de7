package replication

import (
	"sort"
	"sync"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/record"
)

// ProduceDone is told the outcome of a produce that was pending.
type ProduceDone interface {
	// ProduceDone is called exactly once, from any goroutine, perhaps before Produce has
	// returned, and only if Produce returns pending and CancelProduce did not come first.
	// It must not block.
	ProduceDone(slot int, r ProduceResult)
}

// ProduceResult is the outcome of a produce. With ErrTimedOut and
// ErrNotEnoughReplicasAfterAppend the batch is in the log, at the offsets given; with any
// other error of a result that was not pending nothing was appended.
type ProduceResult struct {
	engine.Appended
	Err error
}

// Produce appends one batch, which is changed in place and not kept. Either the outcome is
// known at once, or it is pending: the batch is appended, and done is told when it may be
// acknowledged. acks is 0, 1 or -1 (all). requiredEpoch is the leader epoch that the caller
// knows, or -1. timeoutMs bounds the wait (ErrTimedOut). Nothing is allocated when the
// result is not pending.
func (p *Partition) Produce(b record.Batch, acks int16, requiredEpoch int32, origin engine.Origin, done ProduceDone, slot int, timeoutMs int32) (res ProduceResult, pending bool) {
	p.lead.RLock()
	r := p.role.Load()
	err := r.access(requiredEpoch)
	if err == nil && acks == -1 && !r.enough() {
		err = ErrNotEnoughReplicas
	}
	if err == nil {
		res.Appended, err = p.log().AppendAsLeader(b, r.epoch, origin)
	}
	p.lead.RUnlock()
	if err != nil {
		return ProduceResult{Err: err}, false
	}
	if !p.advance() {
		p.wakeFetches() // followers wait for the log's end
	}
	n := needs(acks, res.LastOffset, res.MustSync).left(p.log().HighWatermark(), p.log().SyncedOffset())
	if n.met() {
		if r.durable && res.MustSync && p.log().HighWatermark() <= res.LastOffset {
			p.log().WhenSynced(res.LastOffset+1, p) // acks=0: only the high watermark waits
		}
		return res, false
	}
	p.park(n, res.Appended, done, slot, timeoutMs)
	return ProduceResult{}, true
}

// parked is a produce that waits. It is in one queue of its partition, and in the wheel.
type parked struct {
	partition *Partition
	need      need
	acksAll   bool
	result    engine.Appended
	done      ProduceDone
	slot      int
	// generation tells one use of the struct from the next. It changes after the entry
	// left queue and wheel, and is looked at only where it is in one of them.
	generation uint64

	// Of the wheel, under its lock.
	next, prev *parked
	dueTick    int64
	inWheel    bool
}

// parkedPool is a cache: what an entry held before makes no difference.
var parkedPool = sync.Pool{New: func() any { return new(parked) }}

// park queues the produce and arms what will end it. The order matters: a sync or a move
// of the high watermark after the queueing finds it, one before it is seen by the look
// afterwards.
func (p *Partition) park(n need, a engine.Appended, done ProduceDone, slot int, timeoutMs int32) {
	e := parkedPool.Get().(*parked)
	e.partition, e.need, e.acksAll, e.result, e.done, e.slot = p, n, n.committed, a, done, slot
	p.mu.Lock()
	if n.synced {
		p.synced.push(e)
	} else {
		p.committed.push(e)
	}
	p.queued.Add(1)
	p.wheel.add(e, timeoutMs)
	p.mu.Unlock()
	// From here on e may be ended, and used again, at any time.
	switch r := p.role.Load(); {
	case n.synced:
		p.log().WhenSynced(n.offset, p)
	case !r.leads():
		p.failAll(ErrNotLeader)
		return
	}
	p.complete()
	if !p.role.Load().leads() {
		p.failAll(ErrNotLeader)
	}
}

// complete ends what the watermarks allow.
func (p *Partition) complete() {
	p.mu.Lock()
	hw, synced := p.log().HighWatermark(), p.log().SyncedOffset()
	var few [32]*parked
	ready := few[:0]
	for len(p.synced.list) > 0 && !p.synced.list[0].need.left(hw, synced).synced {
		e := p.synced.pop()
		if e.need = e.need.left(hw, synced); e.need.met() {
			ready = append(ready, e)
		} else {
			p.committed.push(e)
		}
	}
	for len(p.committed.list) > 0 && p.committed.list[0].need.left(hw, synced).met() {
		ready = append(ready, p.committed.pop())
	}
	p.mu.Unlock()
	enough := p.role.Load().enough()
	for _, e := range ready {
		var err error
		if !enough && e.acksAll {
			err = ErrNotEnoughReplicasAfterAppend
		}
		p.end(e, err)
	}
}

// end tells the outcome of an entry that was taken off its queue.
func (p *Partition) end(e *parked, err error) {
	p.queued.Add(-1)
	p.wheel.remove(e)
	done, slot, res := e.done, e.slot, ProduceResult{Appended: e.result, Err: err}
	*e = parked{generation: e.generation + 1}
	parkedPool.Put(e)
	if done != nil {
		done.ProduceDone(slot, res)
	}
}

// expire ends an entry that waited too long, if it still is the one that was due.
func (p *Partition) expire(e *parked, generation uint64) {
	p.mu.Lock()
	mine := p.committed.take(e, generation) || p.synced.take(e, generation)
	p.mu.Unlock()
	if mine {
		p.end(e, ErrTimedOut)
	}
}

// CancelProduce forgets the pending produces of done: the connection is gone. The batches
// stay in the log. An outcome that is being told at this moment may still arrive.
func (p *Partition) CancelProduce(done ProduceDone) {
	p.mu.Lock()
	canceled := append(p.committed.takeOf(done), p.synced.takeOf(done)...)
	p.mu.Unlock()
	for _, e := range canceled {
		e.done = nil
		p.end(e, nil)
	}
}

func (p *Partition) failAll(err error) {
	p.mu.Lock()
	failed := append(p.committed.takeAll(), p.synced.takeAll()...)
	p.mu.Unlock()
	for _, e := range failed {
		p.end(e, err)
	}
}

// failSynced ends those that wait for a sync that failed.
func (p *Partition) failSynced(err error) {
	p.mu.Lock()
	failed := p.synced.takeAll()
	p.mu.Unlock()
	for _, e := range failed {
		p.end(e, err)
	}
}

// queue holds parked produces by the offset that they wait for. What is taken from its front
// leaves room there, which serves again.
type queue struct {
	list []*parked
	room []*parked // list's array from its start, empty
}

// push puts e in its place, which nearly always is the end.
func (q *queue) push(e *parked) {
	at := len(q.list)
	if at > 0 && q.list[at-1].need.offset > e.need.offset {
		at = sort.Search(at, func(i int) bool { return q.list[i].need.offset > e.need.offset })
	}
	if len(q.list) == cap(q.list) {
		if cap(q.room) >= 2*len(q.list) {
			q.list = append(q.room[:0], q.list...)
		} else {
			q.room = make([]*parked, 0, max(2*len(q.list), 8))
			q.list = append(q.room, q.list...)
		}
	}
	q.list = append(q.list, nil)
	copy(q.list[at+1:], q.list[at:])
	q.list[at] = e
}

func (q *queue) pop() *parked {
	e := q.list[0]
	q.list[0] = nil
	if q.list = q.list[1:]; len(q.list) == 0 {
		q.list = q.room
	}
	return e
}

// take removes e and tells whether it was there, in this use of it.
func (q *queue) take(e *parked, generation uint64) bool {
	for i := range q.list {
		if q.list[i] == e && e.generation == generation {
			q.list = append(q.list[:i], q.list[i+1:]...)
			return true
		}
	}
	return false
}

func (q *queue) takeAll() []*parked {
	all := q.list
	q.list, q.room = nil, nil
	return all
}

func (q *queue) takeOf(done ProduceDone) []*parked {
	var taken []*parked
	kept := q.list[:0]
	for _, e := range q.list {
		if e.done == done {
			taken = append(taken, e)
		} else {
			kept = append(kept, e)
		}
	}
	clear(q.list[len(kept):])
	q.list = kept
	return taken
}
