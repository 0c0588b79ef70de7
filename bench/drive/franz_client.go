package drive

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/record/compress"
	"github.com/millrace/millrace/tools/cli"
)

// counters is what one direction of a run has done so far. Its fields only grow.
type counters struct {
	records, bytes, payload, requests, errors int64
}

func (c counters) minus(o counters) counters {
	return counters{c.records - o.records, c.bytes - o.bytes, c.payload - o.payload, c.requests - o.requests, c.errors - o.errors}
}

// side is one direction of a Franz run: its clients add to it from many goroutines.
type side struct {
	records, bytes, payload, requests atomic.Int64
	errors                            errorCounts
	latency, uncorrected, lateness    *hist.Recorder
	request                           *hist.Recorder // of one request, as the client saw it
}

func newSide() *side {
	return &side{latency: hist.NewRecorder(), uncorrected: hist.NewRecorder(), lateness: hist.NewRecorder(), request: hist.NewRecorder()}
}

func (s *side) now() counters {
	return counters{s.records.Load(), s.bytes.Load(), s.payload.Load(), s.requests.Load(), s.errors.total.Load()}
}

func (s *side) reset() {
	for _, r := range []*hist.Recorder{s.latency, s.uncorrected, s.lateness, s.request} {
		r.Reset()
	}
}

// hooks counts what one client does on the wire. The library calls each hook from several
// goroutines, so the shards are locked by themselves.
type hooks struct {
	side   *side
	key    int16 // of the requests that count
	silent bool  // they have no answers: acks=0
	timing *hist.Shard
}

func newHooks(s *side, key kmsg.Key, silent bool) *hooks {
	return &hooks{side: s, key: key.Int16(), silent: silent, timing: s.request.Shard()}
}

var (
	_ kgo.HookBrokerWrite         = (*hooks)(nil)
	_ kgo.HookBrokerE2E           = (*hooks)(nil)
	_ kgo.HookProduceBatchWritten = (*hooks)(nil)
	_ kgo.HookFetchBatchRead      = (*hooks)(nil)
)

// OnBrokerWrite counts requests that nobody answers.
func (h *hooks) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if h.silent && key == h.key && err == nil {
		h.side.requests.Add(1)
	}
}

// OnBrokerE2E counts answered requests.
func (h *hooks) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if h.silent || key != h.key || e2e.Err() != nil {
		return
	}
	h.side.requests.Add(1)
	h.timing.Record(int64(e2e.DurationE2E()))
}

// OnProduceBatchWritten counts records with their framing, before compression.
func (h *hooks) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	h.side.bytes.Add(int64(m.UncompressedBytes))
}

// OnFetchBatchRead does the same for what comes back.
func (h *hooks) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	h.side.bytes.Add(int64(m.UncompressedBytes))
}

// franzOptions are those that all clients of a run share.
func franzOptions(s *Spec, h *hooks) ([]kgo.Opt, error) {
	opts, err := cli.ClientOptions(s.Bootstrap, "millrace-bench", s.Props, io.Discard)
	if err != nil {
		return nil, err
	}
	return append(opts, kgo.WithHooks(h), kgo.DisableClientMetrics()), nil
}

// leastBatch is the smallest batch that the library agrees to, in bytes.
const leastBatch = 512

// deliveryTimeout is Kafka's delivery.timeout.ms.
const deliveryTimeout = 2 * time.Minute

func produceOptions(s *Spec, h *hooks) ([]kgo.Opt, error) {
	opts, err := franzOptions(s, h)
	if err != nil {
		return nil, err
	}
	acks := map[int16]kgo.Acks{-1: kgo.AllISRAcks(), 0: kgo.NoAck(), 1: kgo.LeaderAck()}[s.Acks]
	opts = append(opts,
		kgo.RequiredAcks(acks),
		kgo.ProducerBatchMaxBytes(int32(max(s.BatchBytes, leastBatch))),
		kgo.ProducerLinger(time.Duration(s.LingerMs)*time.Millisecond),
		kgo.ProducerBatchCompression(codecOf(s.Codec)),
		kgo.ProduceRequestTimeout(time.Duration(s.TimeoutMs)*time.Millisecond),
		kgo.RecordDeliveryTimeout(deliveryTimeout),
		kgo.MaxBufferedRecords(s.BufferedRecords+1),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	)
	if !s.Idempotent || s.Acks != -1 {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(s.depth(5)))
	}
	return opts, nil
}

func codecOf(c compress.Codec) kgo.CompressionCodec {
	switch c {
	case compress.Gzip:
		return kgo.GzipCompression()
	case compress.Snappy:
		return kgo.SnappyCompression()
	case compress.LZ4:
		return kgo.Lz4Compression()
	case compress.Zstd:
		return kgo.ZstdCompression()
	default:
		return kgo.NoCompression()
	}
}

func consumeOptions(s *Spec, h *hooks) ([]kgo.Opt, error) {
	opts, err := franzOptions(s, h)
	if err != nil {
		return nil, err
	}
	opts = append(opts,
		kgo.FetchMaxBytes(int32(s.FetchBytes)),
		kgo.FetchMaxPartitionBytes(int32(s.FetchPartitionBytes)),
		kgo.FetchMinBytes(int32(s.MinBytes)),
		kgo.FetchMaxWait(time.Duration(s.MaxWaitMs)*time.Millisecond),
		kgo.BrokerMaxReadBytes(int32(min(int64(s.FetchBytes)+int64(s.FetchPartitionBytes)+100<<20, 1<<31-1))),
	)
	if s.ReadCommitted {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	return opts, nil
}
