package drive

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/pace"
	"github.com/millrace/millrace/bench/workload"
)

// Where a producer that is paced waits.
const (
	// finePace is the shortest time between records for which it wakes up for each; closer
	// ones are sent together, at most so late, because a thread that spins between them
	// would take a core from the broker.
	finePace = 200 * time.Microsecond
	// longWait is where it waits for the end of the run too, not only for the time.
	longWait = 20 * time.Millisecond
	// lockedProducers is how many producers may have a thread each for exact waiting.
	lockedProducers = 4
)

// producer is one instance of the client library that sends.
type producer struct {
	f       *franz
	client  *kgo.Client
	source  *workload.Source
	topics  []string
	headers []kgo.RecordHeader
	free    chan *item // what is not in here waits for its answer
	pace    pace.Schedule
	quota   int64 // records to send in the steady phase; 0: no limit

	latency, uncorrected, lateness *hist.Shard
}

// item is one record under way. Items go round, so that a record costs no memory.
type item struct {
	p              *producer
	record         kgo.Record
	bytes          []byte // key and value
	intended, sent int64
	warm           bool
	promise        func(*kgo.Record, error) // i.done, made once
}

// producers makes the sending clients and their share of the work.
func (f *franz) producers() ([]*producer, error) {
	if f.sent == nil {
		return nil, nil
	}
	s := f.spec
	source, err := workload.New(s.Workload)
	if err != nil {
		return nil, err
	}
	n := int64(s.Producers)
	items := max(2, min(int64(s.BufferedRecords), s.BufferedBytes/int64(max(source.MaxValueBytes(), 1))))
	var all []*producer
	for i := range n {
		opts, err := produceOptions(s, newHooks(f.sent, kmsg.Produce, s.Acks == 0))
		if err == nil {
			var client *kgo.Client
			if client, err = kgo.NewClient(opts...); err == nil {
				all = append(all, f.producer(client, source.Fork(uint64(i), i<<40), i, items))
			}
		}
		if err != nil {
			for _, p := range all {
				p.client.Close()
			}
			return nil, err
		}
	}
	return all, nil
}

func (f *franz) producer(client *kgo.Client, source *workload.Source, i, items int64) *producer {
	s, n := f.spec, int64(f.spec.Producers)
	p := &producer{
		f: f, client: client, source: source, topics: s.Names(), free: make(chan *item, items),
		latency: f.sent.latency.Shard(), uncorrected: f.sent.uncorrected.Shard(), lateness: f.sent.lateness.Shard(),
	}
	for _, h := range source.Headers() {
		p.headers = append(p.headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	if s.Records > 0 {
		p.quota = max(1, (s.Records+n-1-i)/n)
	}
	for range items {
		it := &item{p: p}
		it.promise = it.done
		p.free <- it
	}
	return p
}

// run sends until the steady phase is over or its share is sent, and answered then.
func (p *producer) run(ctx context.Context) {
	s := p.f.spec
	pacer := pace.NewPacer()
	if s.Rate > 0 {
		if s.Producers <= lockedProducers {
			pacer.Lock()
			defer pacer.Unlock()
		}
		p.pace = pace.Every(pace.Now(), s.Rate/float64(s.Producers))
	}
	left := p.quota
	for i := int64(0); ; i++ {
		var intended int64
		if s.Rate > 0 {
			if intended = p.pace.At(i); !p.wait(ctx, pacer, intended) {
				return
			}
		}
		var it *item
		select {
		case <-p.f.stopping:
			return
		case <-ctx.Done():
			return
		case it = <-p.free:
		}
		it.warm = p.f.warm.Load()
		if !it.warm && p.quota > 0 {
			if left == 0 {
				p.free <- it
				break
			}
			left--
		}
		p.send(ctx, it, i, intended)
	}
	p.awaitAnswers(ctx)
}

// wait is for the time of the next record; false when the run is over before it.
func (p *producer) wait(ctx context.Context, pacer *pace.Pacer, at int64) bool {
	now := pace.Now()
	rest := time.Duration(at - now)
	if rest <= 0 {
		return true
	}
	if p.pace.At(1)-p.pace.At(0) < int64(finePace) {
		at = max(at, now+int64(finePace))
	}
	if rest > longWait {
		timer := time.NewTimer(rest - longWait/2)
		defer timer.Stop()
		select {
		case <-p.f.stopping:
			return false
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
	}
	pacer.Until(at)
	return true
}

func (p *producer) send(ctx context.Context, it *item, i, intended int64) {
	r := p.source.Next()
	it.bytes = append(append(it.bytes[:0], r.Key...), r.Value...)
	it.record = kgo.Record{Topic: p.topics[int(i)%len(p.topics)], Value: it.bytes[len(r.Key):], Headers: p.headers}
	if r.Key != nil {
		it.record.Key = it.bytes[:len(r.Key):len(r.Key)]
	}
	it.intended, it.sent = intended, pace.Now()
	p.client.Produce(ctx, &it.record, it.promise)
}

// done is called by the library when the record's fate is known.
func (i *item) done(_ *kgo.Record, err error) {
	p, now := i.p, pace.Now()
	side := p.f.sent
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed): // the run is over
	case err != nil:
		side.errors.add(err)
	default:
		side.records.Add(1)
		side.payload.Add(int64(len(i.bytes)))
		p.f.marks.mark(i.record.Topic, i.record.Partition)
		if i.warm && !p.f.warm.Load() {
			break // sent in the warm-up
		}
		p.uncorrected.Record(now - i.sent)
		if i.intended != 0 {
			p.latency.Record(now - i.intended)
			p.lateness.Record(i.sent - i.intended)
		}
	}
	p.free <- i
}

// awaitAnswers returns when nothing is under way.
func (p *producer) awaitAnswers(ctx context.Context) {
	p.client.Flush(ctx) //nolint:errcheck // ctx's error, which ends the run elsewhere
}
