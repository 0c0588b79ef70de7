package powercut

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/conformance/history"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

const (
	dataDir      = "/data"
	producerIDs  = 3
	largeBytes   = 40_000 // of a value, now and then: large batches are written another way
	baseTimeMs   = 1_700_000_000_000
	appendsALife = 150 // per producer, when no cut comes before
)

// world is one disk through its lives, with what producers remember.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	disk  *memfs.FS
	h     *history.History
	specs map[string]engine.Config
	epoch int32

	// maxStart is how far deletion may have moved each log's start.
	maxStart  map[history.Place]int64
	sessions  [producerIDs]map[history.Place]*session
	nextPID   int64
	timestamp atomic.Int64
}

// session is what one producer knows of one log.
type session struct {
	pid     int64
	nextSeq int32          // Kafka's sequence number
	nextID  int64          // history's
	recent  []record.Batch // the last batches that survived, oldest first, at most 5
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: testkit.NewRand(seed), disk: memfs.NewWith(memfs.Options{ReserveBytes: 1 << 20}), h: history.New(),
		specs: map[string]engine.Config{}, maxStart: map[history.Place]int64{}, nextPID: 1000}
	for i := range w.sessions {
		w.sessions[i] = map[history.Place]*session{}
	}
	w.timestamp.Store(baseTimeMs)
	for name, change := range map[string]func(*engine.Config){
		"always":   func(c *engine.Config) { c.FlushMessages = 1 },
		"tenth":    func(c *engine.Config) { c.FlushMessages = 10 },
		"timed":    func(c *engine.Config) { c.FlushMs = 5 },
		"never":    func(*engine.Config) {},
		"retained": func(c *engine.Config) { c.FlushMessages = 3; c.RetentionBytes = 40_000 },
	} {
		c := engine.DefaultConfig()
		c.SegmentBytes = int64(8<<10 + 8<<10*w.rng.IntN(12))
		c.SegmentBytes = max(c.SegmentBytes, largeBytes+4096)
		c.IndexIntervalBytes = 1 + w.rng.IntN(4096)
		c.IndexMaxBytes = 120 + 12*w.rng.IntN(100)
		c.RetentionMs, c.FileDeleteDelayMs = -1, int64(w.rng.IntN(5))
		c.Preallocate = w.rng.IntN(4) == 0
		change(&c)
		w.specs[name] = c
	}
	return w
}

// life is the time between two power cuts.
type life struct {
	*world
	store *engine.Store
	logs  map[history.Place]*engine.Log
	track map[history.Place]*tracker

	mu   sync.RWMutex // held for writing by the cut: no acknowledgement is noted across it
	dead bool
	next *memfs.FS // what the cut left
}

// cut clones the disk and stops the old one.
func (l *life) cut(rng *rand.Rand, percent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return
	}
	l.dead = true
	l.next = l.disk.CrashClone(rng, percent)
	l.disk.PowerOff()
}

func (l *life) isDead() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dead
}

// open opens the store with a cut at its n-th call to the disk; n < 0 means none.
func (w *world) open(n int64, percent int) (*life, error) {
	w.epoch++
	l := &life{world: w, logs: map[history.Place]*engine.Log{}, track: map[history.Place]*tracker{}}
	cutRNG := testkit.NewRand(w.rng.Uint64())
	var calls atomic.Int64
	fsys := errorfs.Wrap(w.disk, func(errorfs.Op) errorfs.Fault {
		if calls.Add(1)-1 == n {
			l.cut(cutRNG, percent)
		}
		return errorfs.Fault{}
	})
	o := engine.StoreOptions{
		FS: fsys, Clock: clock.Real{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Dirs: []string{dataDir}, BrokerID: 1,
		DefaultConfig: engine.DefaultConfig(), ConfigFor: func(topic string) engine.Config { return w.specs[topic] },
		RecoveryThreads: 2, FlushSchedulerMs: 1, CheckpointMs: 5, StartOffsetCheckpointMs: 5, HighWatermarkMs: 5, IdleAfterMs: 4,
		Random: rand.Int64N,
	}
	var err error
	if l.store, err = engine.OpenStore(context.Background(), o); err != nil {
		return l, err
	}
	for topic := range w.specs {
		place := history.Place{Topic: topic}
		log, err := l.store.Create(engine.TopicPartition{Topic: topic}, [16]byte{15: topic[0]}, w.specs[topic])
		if err != nil {
			return l, err
		}
		if err := log.AssignEpochStart(w.epoch, log.LogEndOffset()); err != nil {
			return l, err
		}
		log.SetHighWatermark(log.LogEndOffset())
		l.logs[place], l.track[place] = log, &tracker{life: l, place: place}
	}
	return l, nil
}

// tracker knows what was appended to a log in this life and is not known to be durable.
type tracker struct {
	life  *life
	place history.Place

	mu      sync.Mutex
	pending []appended
}

type appended struct {
	id     history.ID
	offset int64
}

func (tr *tracker) add(ids []history.ID, first int64) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for i, id := range ids {
		tr.pending = append(tr.pending, appended{id, first + int64(i)})
	}
}

// durable notes that everything below upTo was acknowledged, unless the power is off.
func (tr *tracker) durable(upTo int64) {
	tr.life.mu.RLock()
	defer tr.life.mu.RUnlock()
	if tr.life.dead {
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	rest := tr.pending[:0]
	for _, a := range tr.pending {
		if a.offset < upTo {
			tr.life.h.Acked(tr.place, a.id, a.offset)
		} else {
			rest = append(rest, a)
		}
	}
	tr.pending = rest
}

// waiter is a parked acknowledgement.
type waiter struct {
	tr   *tracker
	upTo int64
	done *sync.WaitGroup
}

func (w waiter) Synced(err error) {
	defer w.done.Done()
	if err == nil {
		w.tr.durable(w.upTo)
	} else if !w.tr.life.isDead() {
		w.tr.life.t.Errorf("sync of %v: %v", w.tr.place, err)
	}
}

// build makes a producer's next batch for a log.
func (w *world) build(rng *rand.Rand, producer int, place history.Place, s *session) (record.Batch, []history.ID, error) {
	codec := compress.None
	if rng.IntN(4) == 0 {
		codec = compress.LZ4
	}
	b := record.NewBuilder(record.BuilderOptions{Codec: codec, Producer: &record.Producer{ID: s.pid, Epoch: 0, BaseSequence: s.nextSeq}})
	var ids []history.ID
	for range 1 + rng.IntN(4) {
		id := history.ID{Producer: int32(producer), Seq: s.nextID}
		s.nextID++
		size := rng.IntN(200)
		if rng.IntN(60) == 0 && len(ids) == 0 {
			size = rng.IntN(largeBytes)
		}
		w.h.Sent(place, id)
		ids = append(ids, id)
		b.Append(w.timestamp.Add(1), nil, history.Encode(place, id, size))
	}
	batch, err := b.Finish()
	return batch, ids, err
}

// produce is one producer's work in one life.
func (l *life) produce(rng *rand.Rand, producer int) {
	var parked sync.WaitGroup
	defer parked.Wait()
	for range appendsALife {
		place := l.anyPlace(rng)
		if err := l.appendOne(rng, producer, place, &parked); err != nil {
			if !l.isDead() {
				l.t.Errorf("append to %v: %v", place, err)
			}
			return
		}
		if err := l.housekeep(rng, l.anyPlace(rng)); err != nil && !l.isDead() {
			l.t.Errorf("housekeeping: %v", err)
		}
	}
}

func (l *life) anyPlace(rng *rand.Rand) history.Place {
	topics := []string{"always", "tenth", "timed", "never", "retained"}
	return history.Place{Topic: topics[rng.IntN(len(topics))]}
}

func (l *life) appendOne(rng *rand.Rand, producer int, place history.Place, parked *sync.WaitGroup) error {
	s, log, tr := l.sessions[producer][place], l.logs[place], l.track[place]
	batch, ids, err := l.build(rng, producer, place, s)
	if err != nil {
		return err
	}
	a, err := log.AppendAsLeader(batch, l.epoch, engine.Client)
	if err != nil {
		return err
	}
	if a.Duplicate {
		return errors.New("a new batch was taken for a repeated one")
	}
	s.nextSeq += int32(len(ids))
	tr.add(ids, a.FirstOffset)
	if a.MustSync || place.Topic == "timed" && rng.IntN(8) == 0 {
		parked.Add(1)
		log.WhenSynced(a.NextOffset, waiter{tr, a.NextOffset, parked})
	}
	if place.Topic == "always" {
		log.SetHighWatermark(log.SyncedOffset())
	} else {
		log.SetHighWatermark(a.NextOffset)
	}
	return nil
}

// housekeep does what others than producers do to a log.
func (l *life) housekeep(rng *rand.Rand, place history.Place) error {
	log := l.logs[place]
	switch rng.IntN(100) {
	case 0, 8: // not by the clock: it would go on while the log is verified
		l.store.EnforceRetention()
	case 1:
		if place.Topic == "retained" {
			start, hw := log.LogStartOffset(), log.HighWatermark()
			_, err := log.DeleteRecordsBefore(start + rng.Int64N(hw-start+1))
			var moved *engine.OffsetOutOfRangeError
			if !errors.As(err, &moved) {
				return err
			}
		}
	case 2, 3:
		end := log.LogEndOffset()
		if err := log.Sync(); err != nil {
			return err
		}
		l.track[place].durable(end)
	case 4, 5, 6, 7:
		return l.look(rng, log, place)
	}
	return nil
}
