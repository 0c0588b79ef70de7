package e2e

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/pace"
)

// leadNs is the time between the beginning of an open loop and its first record: enough for
// the consumer's first fetch to stand at the broker.
const leadNs = int64(200 * time.Millisecond)

// openLoop is one run at a fixed rate.
type openLoop struct {
	*session
	schedule    pace.Schedule
	warm, total int64 // records that do not count; all records

	sent    atomic.Int64 // handed to the client
	acked   atomic.Int64
	failed  atomic.Int64
	first   atomic.Pointer[error] // why the sender ends early
	seen    []uint64              // a bit for each record that was consumed
	arrived atomic.Int64
	twice   int64

	free sync.Pool // *kgo.Record whose value is to be written over
}

// open sends records at their times until ctx ends or all are sent, and waits until those
// that were acknowledged are consumed.
func (s *session) open(ctx context.Context) error {
	rate := s.o.throughput
	l := &openLoop{session: s, warm: int64(math.Ceil(rate * s.o.warmup.Seconds()))}
	counted := s.o.records
	if !s.o.byRecords || s.o.duration > 0 {
		within := int64(math.Ceil(rate * s.o.duration.Seconds()))
		if !s.o.byRecords || within < counted {
			counted = within
		}
	}
	l.total = l.warm + max(counted, 1)
	l.seen = make([]uint64, l.total/64+1)
	l.free.New = func() any { return &kgo.Record{Value: make([]byte, 0, s.o.size)} }
	l.schedule = pace.Every(pace.Now()+leadNs, rate)
	s.phase("warm-up")

	consuming, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var ends sync.WaitGroup
	sending := make(chan struct{})
	ends.Go(func() { defer close(sending); l.send(ctx) })
	ends.Go(func() {
		if l.waitUntil(ctx, l.schedule.At(l.warm)) {
			s.beginSteady()
		}
	})
	ends.Go(func() { l.settle(ctx, sending, stop) })
	err := l.receive(consuming)
	if err != nil {
		l.first.CompareAndSwap(nil, &err) // ends the sender
	}
	ends.Wait()
	return l.verdict(ctx, err)
}

// send is the generator: it never waits for the broker.
func (l *openLoop) send(ctx context.Context) {
	p := pace.NewPacer()
	p.Lock()
	defer p.Unlock()
	late, acks := l.late.Shard(), l.acks.Shard()
	promise := l.promise(acks)
	for i := int64(0); i < l.total && l.first.Load() == nil; i++ {
		due := l.schedule.At(i)
		if !l.sleep(ctx, p, due) {
			return
		}
		now := pace.Now()
		if i >= l.warm {
			late.Record(now - due)
		}
		r := l.free.Get().(*kgo.Record)
		l.maker.nextStamped(r, i, now)
		l.sent.Add(1)
		l.c.producer.Produce(ctx, r, promise)
	}
}

// sleep waits until due; false when ctx ended before. A long wait is cut in pieces, as
// nothing wakes a thread that sleeps in the kernel.
func (l *openLoop) sleep(ctx context.Context, p *pace.Pacer, due int64) bool {
	const piece = int64(50 * time.Millisecond)
	for due-pace.Now() > 2*piece {
		p.Until(pace.Now() + piece)
		if ctx.Err() != nil {
			return false
		}
	}
	p.Until(due)
	return ctx.Err() == nil
}

// waitUntil waits, not to the microsecond; false when ctx ended before.
func (l *openLoop) waitUntil(ctx context.Context, ns int64) bool {
	t := time.NewTimer(time.Duration(ns - pace.Now()))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// promise takes the acknowledgements, one at a time.
func (l *openLoop) promise(acks *hist.Shard) func(*kgo.Record, error) {
	return func(r *kgo.Record, err error) {
		now := pace.Now()
		if err != nil {
			l.failed.Add(1)
			l.first.CompareAndSwap(nil, &err)
			return
		}
		l.acked.Add(1)
		if seq, _, ok := l.maker.stamp(r.Value); ok && seq >= l.warm {
			acks.Record(now - l.schedule.At(seq))
		}
		l.free.Put(r)
	}
}

// settle calls stop once everything that was sent has arrived or failed, or had its time to.
func (l *openLoop) settle(ctx context.Context, sending <-chan struct{}, stop func()) {
	defer stop()
	<-sending
	patience := l.o.patience
	if ctx.Err() != nil { // interrupted: what is under way, and no more
		patience = min(patience, time.Second)
	}
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for l.arrived.Load()+l.failed.Load() < l.sent.Load() && time.Now().Before(deadline) {
		<-tick.C
	}
}

// receive consumes until ctx ends.
func (l *openLoop) receive(ctx context.Context) error {
	to := shards{l.records.Shard(), l.uncorrected.Shard(), l.warming.Shard()}
	for ctx.Err() == nil {
		fetches := l.c.consumer.PollFetches(ctx)
		now := pace.Now()
		if ctx.Err() == nil {
			for _, e := range fetches.Errors() {
				return e.Err
			}
		}
		fetches.EachRecord(func(r *kgo.Record) { l.take(r, now, to) })
	}
	return nil
}

// shards are where the consumer records.
type shards struct{ records, uncorrected, warming *hist.Shard }

// take counts a record that was consumed at now.
func (l *openLoop) take(r *kgo.Record, now int64, to shards) {
	seq, sentNs, ok := l.maker.stamp(r.Value)
	if !ok || seq < 0 || seq >= l.total {
		l.strangers++
		return
	}
	if l.seen[seq/64]&(1<<(seq%64)) != 0 {
		l.twice++
		return
	}
	l.seen[seq/64] |= 1 << (seq % 64)
	l.arrived.Add(1)
	latency := now - l.schedule.At(seq)
	if seq < l.warm {
		to.warming.Record(latency)
		return
	}
	to.records.Record(latency)
	to.uncorrected.Record(now - sentNs)
	l.count(l.counted, latency)
}

// verdict is what went wrong, from worst to least.
func (l *openLoop) verdict(ctx context.Context, err error) error {
	l.failures = l.failed.Load()
	switch missing := l.acked.Load() - l.arrived.Load(); {
	case err != nil:
		return err
	case l.first.Load() != nil && ctx.Err() == nil:
		return *l.first.Load()
	case missing > 0 && ctx.Err() == nil:
		return &LostError{missing, l.o.patience.Milliseconds()}
	case l.twice > 0:
		return &DuplicateError{l.twice}
	}
	return nil
}
