package perf

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/pace"
	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/tools/cli"
)

// flushAfterStop is how long records that are on their way may take when the user or the
// clock has ended a run.
const flushAfterStop = 10 * time.Second

// franzSender is one producer: a client of its own and the goroutine that feeds it.
type franzSender struct {
	run         *sendRun
	client      *kgo.Client
	source      *workload.Source
	gate        *gate
	items       sync.Pool
	topics      []string
	stable      bool  // values need not be copied
	quota       int64 // records to send; math.MaxInt64: until the end
	warm        int64 // of them, so many for the warm-up
	rate        float64
	headerBytes int64   // of each record
	offset      float64 // of this sender in the interval between two records, 0..1

	latency, uncorrected, lateness *hist.Shard // used by one goroutine each: promises, promises, the sender
}

// item is a record on its way. It is made once and used again and again.
type item struct {
	s        *franzSender
	rec      kgo.Record
	key, val []byte
	own      []byte // val, when it must be a copy
	intended int64
	sent     int64
	size     int64 // key, value and headers
	phase    int32
	done     func(*kgo.Record, error)
}

// sendFranz runs the load with franz-go and returns when everything is acknowledged or given
// up. Errors of single records are counted in r.
func sendFranz(ctx context.Context, r *sendRun, hooks ...kgo.Hook) error {
	senders, err := newFranzSenders(ctx, r, hooks)
	defer func() {
		for _, s := range senders {
			s.client.Close()
		}
	}()
	if err != nil {
		return err
	}
	finish := r.start(ctx)
	defer finish()
	// The records' context outlives Ctrl-C: what is on its way may still arrive.
	sending, give := context.WithCancelCause(context.WithoutCancel(ctx))
	defer give(nil)
	unhook := context.AfterFunc(ctx, func() {
		for _, s := range senders {
			s.gate.unlock()
		}
		time.AfterFunc(flushAfterStop, func() { give(context.Canceled) })
	})
	defer unhook()
	var wg sync.WaitGroup
	errs := make([]error, len(senders))
	for i, s := range senders {
		wg.Go(func() {
			err := s.loop(sending)
			if flushErr := s.client.Flush(sending); err == nil {
				err = flushErr
			}
			errs[i] = err
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

func newFranzSenders(ctx context.Context, r *sendRun, hooks []kgo.Hook) ([]*franzSender, error) {
	spec, senders := r.spec, []*franzSender(nil)
	n := int64(spec.producers)
	for i := range n {
		settings := spec.settings
		if settings.transactionalID != "" && n > 1 {
			settings.transactionalID += fmt.Sprintf("-%d", i)
		}
		opts, err := settings.options(r.stderr, spec.source.MaxValueBytes())
		if err != nil {
			return senders, err
		}
		client, err := kgo.NewClient(append(opts, kgo.WithHooks(hooks...))...)
		if err != nil {
			return senders, err
		}
		s := &franzSender{
			run: r, client: client, topics: spec.topics, gate: newGate(int64(settings.bufferBytes)),
			quota: math.MaxInt64, rate: spec.rate / float64(n), offset: float64(i) / float64(n),
			latency: r.latency.Shard(), uncorrected: r.uncorrected.Shard(), lateness: r.lateness.Shard(),
		}
		first := int64(0)
		if spec.records > 0 {
			s.quota = share(spec.records, n, i)
			first = i * (spec.records / n)
			s.warm = share(spec.warmupRecords, n, i)
		}
		s.source = spec.source.Fork(uint64(i), first)
		s.stable = s.source.StableValues()
		for _, h := range s.source.Headers() {
			s.headerBytes += int64(len(h.Key) + len(h.Value))
		}
		s.items.New = func() any { return s.newItem() }
		senders = append(senders, s)
	}
	return senders, cli.WaitForCluster(ctx, senders[0].client, spec.settings.bootstrap, cli.DefaultTimeout)
}

// share is part i of n of total.
func share(total, n, i int64) int64 {
	part := total / n
	if i < total%n {
		part++
	}
	return part
}

func (s *franzSender) newItem() *item {
	it := &item{s: s}
	for _, h := range s.source.Headers() {
		it.rec.Headers = append(it.rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	it.done = it.finished
	return it
}

// loop sends until the quota, the end of the run, or ctx.
func (s *franzSender) loop(ctx context.Context) error {
	var when func(i int64) int64 // intended time of record i; nil: at once
	pacer := pace.NewPacer()
	if s.rate > 0 {
		when = due(s.run.startNs, s.rate, s.offset)
		if s.rate*group.Seconds() <= 1 {
			pacer.Lock()
			defer pacer.Unlock()
		}
	}
	t := txn{client: s.client, every: s.run.spec.txnDuration}
	for i := int64(0); i < s.quota; i++ {
		if s.warm > 0 && i == s.warm {
			s.run.beginSteady()
		}
		now := pace.Now()
		intended := now
		if when != nil {
			intended = when(i)
			if !s.wait(pacer, intended) {
				break
			}
			now = pace.Now()
		}
		if now >= s.run.endNs.Load() {
			break
		}
		if err := t.before(now); err != nil {
			return err
		}
		s.send(ctx, i, intended, now)
		if err := t.after(ctx, now); err != nil {
			return err
		}
	}
	return t.end(ctx)
}

// wait returns at ns; false when the run ends before.
func (s *franzSender) wait(p *pace.Pacer, ns int64) bool {
	const patience = int64(50 * time.Millisecond) // how late an end may be noticed
	for now := pace.Now(); ns > now; now = pace.Now() {
		if end := s.run.endNs.Load(); end <= now || end <= ns && end < math.MaxInt64 && end-now < patience {
			return false
		}
		p.Until(min(ns, now+patience))
	}
	return true
}

// due says when record i of a sender is due: in a steady stream at rate records/s, in groups
// when that would be more often than group.
func due(startNs int64, rate, offset float64) func(i int64) int64 {
	size := int64(math.Max(1, math.Ceil(rate*group.Seconds()-1e-9)))
	schedule := pace.Every(startNs+int64(offset/rate*1e9), rate)
	if size == 1 {
		return schedule.At
	}
	return func(i int64) int64 { return schedule.At(i - i%size) }
}

func (s *franzSender) send(ctx context.Context, i, intended, now int64) {
	next := s.source.Next()
	it := s.items.Get().(*item)
	it.val = next.Value
	if !s.stable {
		it.own = append(it.own[:0], next.Value...)
		it.val = it.own
	}
	headers := it.rec.Headers
	it.rec = kgo.Record{Topic: s.topics[i%int64(len(s.topics))], Value: it.val, Headers: headers}
	if next.Key != nil {
		it.key = append(it.key[:0], next.Key...)
		it.rec.Key = it.key
	}
	it.size = int64(len(it.key)+len(it.val)) + s.headerBytes
	it.intended, it.sent, it.phase = intended, now, s.run.phase.Load()
	if it.phase == steady && s.rate > 0 {
		s.lateness.Record(now - intended)
	}
	s.gate.enter(it.size + recordOverhead)
	s.client.Produce(ctx, &it.rec, it.done)
}

// recordOverhead is what a record costs a producer's memory beside its bytes.
const recordOverhead = 64

// finished is the promise of a record.
func (it *item) finished(_ *kgo.Record, err error) {
	s := it.s
	s.gate.leave(it.size + recordOverhead)
	if err != nil {
		s.run.fail(err)
		s.items.Put(it)
		return
	}
	now := pace.Now()
	if it.phase == steady {
		s.uncorrected.Record(now - it.sent)
		if s.rate > 0 {
			s.latency.Record(now - it.intended)
		}
	}
	s.run.ack(it.phase, it.sent, now, 1, int64(len(it.val)), it.size)
	s.items.Put(it)
}

// txn keeps one sender's transactions going; every 0: there are none.
type txn struct {
	client  *kgo.Client
	every   time.Duration
	open    bool
	beganNs int64
}

func (t *txn) before(now int64) error {
	if t.every == 0 || t.open {
		return nil
	}
	t.open, t.beganNs = true, now
	return t.client.BeginTransaction()
}

func (t *txn) after(ctx context.Context, now int64) error {
	if t.every == 0 || now-t.beganNs < int64(t.every) {
		return nil
	}
	return t.end(ctx)
}

// end commits what is open.
func (t *txn) end(ctx context.Context) error {
	if !t.open {
		return nil
	}
	t.open = false
	if err := t.client.Flush(ctx); err != nil {
		return err
	}
	return t.client.EndTransaction(ctx, kgo.TryCommit)
}
