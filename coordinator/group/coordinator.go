package group

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/replication"
)

// Options is what a Coordinator works with.
type Options struct {
	Manager  *replication.Manager
	BrokerID int32
	Clock    clock.Clock
	Log      *slog.Logger
	Random   io.Reader // member ids
	// Config is asked for each request, since settings may change. Nobody writes to it.
	Config func() *Config
}

// Coordinator is the group coordinator of one broker.
type Coordinator struct {
	o     Options
	start time.Time
	table atomic.Pointer[table]
	// topics is those of the newest image, for consumer groups.
	topics atomic.Pointer[topicView]
	// open returns a partition of __consumer_offsets; the Manager's, but for tests.
	open func(index int32) (journalLog, error)

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // the worker

	mu       sync.Mutex
	changed  sync.Cond
	target   *metadata.Image
	followed int64         // zxid of the image that the shards follow
	moved    chan struct{} // closed when followed moves
	closed   bool
	reloader clock.Timer
	random   sync.Mutex

	following sync.Mutex // one change of the table at a time

	sweeping sync.Mutex // one round of retention at a time
	sweeper  clock.Timer
}

// table is the shards by partition, nil where another broker leads. It never changes; a new
// one takes its place.
type table struct{ shards []*shard }

// New makes a Coordinator, which follows the images that Publish tells it.
func New(o Options) *Coordinator {
	c := idle(o)
	c.open = func(index int32) (journalLog, error) {
		p, err := o.Manager.Get(OffsetsTopic, index)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	c.wg.Go(c.work)
	c.scheduleSweep()
	return c
}

// idle is a Coordinator that follows nothing.
func idle(o Options) *Coordinator {
	c := &Coordinator{o: o, start: o.Clock.Now(), moved: make(chan struct{}), followed: -1}
	c.changed.L = &c.mu
	c.table.Store(&table{})
	c.topics.Store(newTopicView(new(metadata.Image)))
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close answers everybody who waits and stops. Writes that are on their way are ended by the
// partitions.
func (c *Coordinator) Close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	if c.sweeper != nil {
		c.sweeper.Stop()
	}
	if c.reloader != nil {
		c.reloader.Stop()
	}
	c.changed.Signal()
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	c.following.Lock() // a reload that runs ends first
	defer c.following.Unlock()
	for _, s := range c.table.Swap(&table{}).shards {
		if s != nil {
			s.unload()
		}
	}
	c.sweeping.Lock() // a round that runs ends first
	defer c.sweeping.Unlock()
	c.mu.Lock()
	close(c.moved)
	c.moved = make(chan struct{})
	c.mu.Unlock()
}

// now is the time, for deadlines and for what is written.
func (c *Coordinator) now() classic.Now {
	t := c.o.Clock.Now()
	return classic.Now{MonoMs: int64(t.Sub(c.start) / time.Millisecond), UnixMs: t.UnixMilli()}
}

// enter finds the shard of a group and locks it; exit ends that. With a code nothing is
// locked.
func (c *Coordinator) enter(group string) (*shard, protocol.ErrorCode) {
	shards := c.table.Load().shards
	if len(shards) == 0 {
		return nil, protocol.CodeNotCoordinator
	}
	s := shards[journal.Partition(group, int32(len(shards)))]
	if s == nil {
		return nil, protocol.CodeNotCoordinator
	}
	s.mu.Lock()
	switch s.state {
	case serving:
		return s, protocol.CodeNone
	case loading:
		s.mu.Unlock()
		return nil, protocol.CodeCoordinatorLoadInProgress
	}
	s.mu.Unlock()
	return nil, protocol.CodeNotCoordinator
}

// newID makes an id of a prefix and a random (version 4) UUID, as Kafka's member ids are.
func (c *Coordinator) newID(prefix string) (string, error) {
	var u [16]byte
	c.random.Lock()
	_, err := io.ReadFull(c.o.Random, u[:])
	c.random.Unlock()
	if err != nil {
		return "", err
	}
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	b := make([]byte, 0, len(prefix)+37)
	b = append(append(b, prefix...), '-')
	for i, part := range [...][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return string(b), nil
}
