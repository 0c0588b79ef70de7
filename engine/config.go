package engine

import (
	"math"

	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
	"github.com/millrace/millrace/segment"
)

// CompressionProducer keeps what the producer sent (compression.type=producer).
const CompressionProducer compress.Codec = -1

// Config is a topic's configuration as far as its logs are concerned.
type Config struct {
	SegmentBytes       int64
	SegmentMs          int64
	SegmentJitterMs    int64
	IndexIntervalBytes int
	IndexMaxBytes      int

	RetentionMs    int64 // -1: keep
	RetentionBytes int64 // of one partition; -1: keep
	CleanupDelete  bool
	CleanupCompact bool

	MinCleanableRatio  float64 // min.cleanable.dirty.ratio: cleaned when more of the log was not cleaned yet
	MinCompactionLagMs int64   // records stay untouched at least this long
	MaxCompactionLagMs int64   // and are cleaned after this long, whatever the ratio
	DeleteRetentionMs  int64   // how long a cleaning keeps tombstones and markers

	FlushMessages int64 // an append that makes this many unflushed records must be synced
	FlushMs       int64 // a record is synced at the latest this long after its append

	MaxMessageBytes int // largest batch, as sent and as stored

	Compression      compress.Codec // or CompressionProducer
	CompressionLevel int            // of that codec; 0: its default

	TimestampType        record.TimestampType
	TimestampBeforeMaxMs int64
	TimestampAfterMaxMs  int64

	FileDeleteDelayMs int64
	Preallocate       bool
}

// DefaultConfig has the defaults of Kafka 4.0.
func DefaultConfig() Config {
	const hourMs = 60 * 60 * 1000
	return Config{
		SegmentBytes:         1 << 30,
		SegmentMs:            7 * 24 * hourMs,
		IndexIntervalBytes:   4096,
		IndexMaxBytes:        10 << 20,
		RetentionMs:          7 * 24 * hourMs,
		RetentionBytes:       -1,
		CleanupDelete:        true,
		MinCleanableRatio:    0.5,
		MaxCompactionLagMs:   math.MaxInt64,
		DeleteRetentionMs:    24 * hourMs,
		FlushMessages:        math.MaxInt64,
		FlushMs:              math.MaxInt64,
		MaxMessageBytes:      1<<20 + 12,
		Compression:          CompressionProducer,
		TimestampType:        record.CreateTime,
		TimestampBeforeMaxMs: math.MaxInt64,
		TimestampAfterMaxMs:  hourMs,
		FileDeleteDelayMs:    60_000,
	}
}

func (c *Config) segmentConfig() segment.Config {
	return segment.Config{
		SegmentBytes:       c.SegmentBytes,
		SegmentMs:          c.segmentMs(),
		SegmentJitterMs:    c.SegmentJitterMs,
		IndexIntervalBytes: c.IndexIntervalBytes,
		IndexMaxBytes:      c.IndexMaxBytes,
		SyncEveryAppend:    c.FlushMessages == 1,
		Preallocate:        c.Preallocate,
		FileDeleteDelayMs:  c.FileDeleteDelayMs,
	}
}

// segmentMs is how long a segment is filled at most: a record in the active one cannot be
// compacted.
func (c *Config) segmentMs() int64 {
	if c.CleanupCompact && c.MaxCompactionLagMs > 0 {
		return min(c.SegmentMs, c.MaxCompactionLagMs)
	}
	return c.SegmentMs
}
