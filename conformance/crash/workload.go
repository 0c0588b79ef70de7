// Package crash kills brokers under load and checks what they kept.
//
// A Load is a set of franz-go producers, idempotent ones and others, that write records
// with ids and checksums and live through the broker's restarts; Read reads partitions
// back. Both write into one history.History, which decides. Only tests use this package.
package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/conformance/history"
)

// Topic is what a load writes to.
type Topic struct {
	Name       string
	Partitions int32
	Config     map[string]string
}

// Producer describes one producer of a load.
type Producer struct {
	Idempotent bool
	// Pipelined lets an idempotent producer have several requests in the air, all of which it
	// may send again after a restart.
	Pipelined bool
	Codec     kgo.CompressionCodec
	MaxBytes  int // of a value; most are much smaller
}

// Load is producers at work. Stop ends them.
type Load struct {
	History *history.History

	topics   []Topic
	clients  []*kgo.Client
	cancel   context.CancelFunc
	stopping atomic.Bool
	done     sync.WaitGroup
	acked    atomic.Int64
	dataLoss atomic.Int64
	mu       sync.Mutex
	failures map[string]int // answers other than success, by their text
}

// CreateTopics makes the topics, each with its configuration.
func CreateTopics(ctx context.Context, addr string, topics []Topic) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer c.Close()
	for _, t := range topics {
		config := map[string]*string{}
		for k, v := range t.Config {
			config[k] = &v
		}
		if _, err := kadm.NewClient(c).CreateTopic(ctx, t.Partitions, 1, config, t.Name); err != nil {
			return fmt.Errorf("create %s: %w", t.Name, err)
		}
	}
	return nil
}

// StartLoad starts producers that write to all topics until Stop.
func StartLoad(addr string, seed uint64, topics []Topic, producers []Producer) (*Load, error) {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{History: history.New(), topics: topics, cancel: cancel, failures: map[string]int{}}
	for i, p := range producers {
		c, err := kgo.NewClient(l.options(addr, p)...)
		if err != nil {
			return nil, errors.Join(err, l.Stop(time.Second))
		}
		l.clients = append(l.clients, c)
		if !p.Idempotent {
			l.History.MayRepeat(int32(i))
		}
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		l.done.Go(func() { l.produce(ctx, c, int32(i), p, rng) })
	}
	return l, nil
}

func (l *Load) options(addr string, p Producer) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(addr),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(p.Codec),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(200_000), // below the segments' size
		kgo.MaxBufferedRecords(500),
		kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }),
		kgo.DialTimeout(2 * time.Second),
	}
	if !p.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	if !p.Pipelined {
		opts = append(opts, kgo.MaxProduceRequestsInflightPerBroker(1),
			kgo.ProducerOnDataLossDetected(func(string, int32) { l.dataLoss.Add(1) }))
	}
	return opts
}

func (l *Load) produce(ctx context.Context, c *kgo.Client, producer int32, p Producer, rng *rand.Rand) {
	next := map[history.Place]int64{}
	for ctx.Err() == nil && !l.stopping.Load() {
		topic := l.topics[rng.IntN(len(l.topics))]
		place := history.Place{Topic: topic.Name, Partition: rng.Int32N(topic.Partitions)}
		for range 1 + rng.IntN(20) {
			id := history.ID{Producer: producer, Seq: next[place]}
			next[place]++
			l.send(ctx, c, place, id, sizeOf(rng, p.MaxBytes))
		}
	}
}

// sizeOf is small mostly, and now and then large enough for the other ways that a log
// has of writing.
func sizeOf(rng *rand.Rand, maxBytes int) int {
	if rng.IntN(50) == 0 {
		return rng.IntN(maxBytes + 1)
	}
	return rng.IntN(200)
}

// send hands one record to the client, which blocks while too many wait.
func (l *Load) send(ctx context.Context, c *kgo.Client, place history.Place, id history.ID, sizeBytes int) {
	l.History.Sent(place, id)
	r := &kgo.Record{Topic: place.Topic, Partition: place.Partition, Value: history.Encode(place, id, sizeBytes)}
	c.Produce(ctx, r, func(r *kgo.Record, err error) {
		switch {
		case err == nil:
			l.History.Acked(place, id, r.Offset)
			l.acked.Add(1)
		case definite(err):
			l.History.Refused(place, id)
			fallthrough
		default:
			l.failed(err)
		}
	})
}

// definite reports whether an error promises that the record is not and will not be there.
func definite(err error) bool {
	for _, e := range []error{kerr.MessageTooLarge, kerr.InvalidRecord, kerr.RecordListTooLarge, kerr.InvalidTimestamp, kerr.UnsupportedCompressionType} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (l *Load) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures[err.Error()]++
}

// Failures counts the answers other than success, by their text.
func (l *Load) Failures() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]int{}
	for text, n := range l.failures {
		out[text] = n
	}
	return out
}

// Acked counts the acknowledged records.
func (l *Load) Acked() int64 { return l.acked.Load() }

// DataLoss counts how often a client that is not pipelined concluded from the broker's answers that
// acknowledged records are gone.
func (l *Load) DataLoss() int64 { return l.dataLoss.Load() }

// Stop ends the producers after everything they sent was answered, or with an error
// when that takes too long.
func (l *Load) Stop(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	// A producer that is stuck in a full buffer is freed when time is up. Before, its
	// context must stay: the outcome of what is buffered matters.
	defer context.AfterFunc(ctx, l.cancel)()
	l.stopping.Store(true)
	l.done.Wait()
	defer l.cancel()
	var err error
	for _, c := range l.clients {
		err = errors.Join(err, c.Flush(ctx))
		c.Close()
	}
	return err
}
