package engine

import (
	"github.com/millrace/millrace/engine/producer"
	"github.com/millrace/millrace/record"
)

// windowTailBytes is about how much of a log's end is read for the batches that producers
// may send again: five of each that was writing when the broker stopped.
const windowTailBytes = 2 << 20

// fillWindows completes the producers' windows from the log's tail. A snapshot, whose layout
// is Kafka's, holds the last batch of each producer only. A client that had several under
// way sends them all again after a restart; for the earlier ones it would be told of a gap,
// take a new epoch, and write them twice.
func (l *Log) fillWindows(end int64) error {
	if !l.producers.LacksBatches() {
		return nil
	}
	var tail producer.Manager
	err := l.chain.Scan(l.tailStart(), func(b record.Batch, _, _ int64) error {
		if b.BaseOffset() >= end || !b.HasProducerID() || b.IsControl() {
			return nil
		}
		pb, err := producerBatch(b)
		if err == nil {
			tail.Update(&pb)
		}
		return err
	})
	if err != nil && partitionOnly(err) {
		// What is damaged is served or refused as always; here it only ends the look back.
		l.host.log.Warn("producer windows were not completed", "partition", l.tp.String(), "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	l.producers.FillWindows(&tail)
	return nil
}

// tailStart is an offset about windowTailBytes before the end of the log.
func (l *Log) tailStart() int64 {
	segments := l.chain.Segments()
	left := int64(windowTailBytes)
	for i := len(segments) - 1; i >= 0; i-- {
		s := segments[i]
		if s.SizeBytes > left {
			return s.Next - max(1, int64(float64(s.Next-s.Base)*float64(left)/float64(s.SizeBytes)))
		}
		left -= s.SizeBytes
	}
	return l.chain.StartOffset()
}
