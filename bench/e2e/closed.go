package e2e

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/pace"
)

// closed sends one record at a time, until ctx ends or enough are measured. A nil error
// with ctx at its end is an interrupted run.
func (s *session) closed(ctx context.Context) error {
	records, sent := s.records.Shard(), &kgo.Record{}
	acks, warming := s.acks.Shard(), s.warming.Shard()
	start := pace.Now()
	warm := start + int64(s.o.warmup)
	s.phase("warm-up")
	var end int64
	for n := int64(0); ; {
		s.maker.next(sent)
		begin := pace.Now()
		if end == 0 && begin >= warm {
			s.beginSteady()
			begin = pace.Now()
			end = begin + int64(s.o.duration)
		}
		if end != 0 && (s.o.byRecords && n == s.o.records || s.o.duration > 0 && begin >= end) {
			return nil
		}
		acked, elapsed, err := s.one(ctx, sent, begin)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if end == 0 {
			warming.Record(elapsed)
			continue
		}
		acks.Record(acked)
		records.Record(elapsed)
		s.count(n, elapsed)
		n++
	}
}

// one sends r and waits until it is acknowledged and consumed; both times are ns since begin.
func (s *session) one(ctx context.Context, r *kgo.Record, begin int64) (acked, elapsed int64, err error) {
	if err := s.c.producer.ProduceSync(ctx, r).FirstErr(); err != nil {
		return 0, 0, err
	}
	acked = pace.Now() - begin
	wait, cancel := context.WithTimeout(ctx, s.o.patience)
	defer cancel()
	for {
		fetches := s.c.consumer.PollFetches(wait)
		elapsed = pace.Now() - begin
		if n := fetches.NumRecords(); n > 1 {
			return 0, 0, &CountError{n}
		}
		if fetches.NumRecords() == 1 {
			return acked, elapsed, same(r, fetches.Records()[0])
		}
		if wait.Err() != nil {
			return 0, 0, &LostError{1, s.o.patience.Milliseconds()}
		}
		if err := fetches.Err0(); err != nil {
			return 0, 0, err
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				return 0, 0, e.Err
			}
		}
	}
}
