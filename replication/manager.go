package replication

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
)

// TopicConfig is a topic's settings as far as its partitions are concerned.
type TopicConfig struct {
	Log               engine.Config
	MinInSyncReplicas int32
}

// Options is what a Manager works with.
type Options struct {
	Store    *engine.Store
	BrokerID int32
	Clock    clock.Clock
	Log      *slog.Logger
	// TopicConfig reads a topic's settings, over those of the broker. It is called from the
	// worker's goroutines.
	TopicConfig func(settings map[string]string) TopicConfig
	// MoveBytesPerSecond is how fast logs are copied to other directories, all together
	// (replica.alter.log.dirs.io.max.bytes.per.second). It is asked for each piece; nil: as
	// fast as they can.
	MoveBytesPerSecond func() int64
}

// Manager holds this broker's partitions and makes them follow the metadata.
type Manager struct {
	o     Options
	wheel *wheel
	table atomic.Pointer[table]
	moves *moves
	gone  Traffic // of partitions that are here no more

	mu       sync.Mutex
	changed  sync.Cond // with mu: the worker has something to do
	target   *metadata.Image
	again    bool // look at all topics: settings of the broker changed, or a retry is due
	applied  int64
	moved    chan struct{} // closed when applied moves
	closed   bool
	retry    clock.Timer
	finished chan struct{}

	current *metadata.Image // the worker's
}

// table is what the handlers see. It never changes; a new one takes its place.
type table struct{ topics map[string]*localTopic }

// localTopic is a topic's partitions on this broker, by index.
type localTopic struct {
	id     metadata.TopicID
	parts  []slot
	config TopicConfig // that its partitions have
}

// whole tells whether all partitions that belong here are served.
func (t *localTopic) whole() bool {
	return !slices.ContainsFunc(t.parts, func(s slot) bool { return s.err != nil && s.err != ErrNotLeader })
}

// slot is one partition of a topic: here, elsewhere, or offline.
type slot struct {
	partition *Partition
	err       error // why it is not served: ErrNotLeader when it lies elsewhere
	isNew     bool  // it came into being while this broker ran, and has no log yet
}

// NewManager starts a manager without partitions; add it to a metadata.Loader.
func NewManager(o Options) *Manager {
	m := &Manager{
		o: o, wheel: newWheel(o.Clock), moved: make(chan struct{}), finished: make(chan struct{}),
		applied: -1,
	}
	m.moves = newMoves(m)
	m.changed.L = &m.mu
	m.table.Store(&table{topics: map[string]*localTopic{}})
	go m.work()
	return m
}

// Get returns a partition. Errors: ErrUnknownTopicOrPartition, ErrNotLeader when it lies on
// other brokers only, ErrOffline. It takes no lock.
func (m *Manager) Get(topic string, partition int32) (*Partition, error) {
	t, ok := m.table.Load().topics[topic]
	if !ok || partition < 0 || int(partition) >= len(t.parts) {
		return nil, ErrUnknownTopicOrPartition
	}
	s := &t.parts[partition]
	return s.partition, s.err
}

// GetByID returns a partition of the topic with this id.
func (m *Manager) GetByID(image *metadata.Image, id metadata.TopicID, partition int32) (*Partition, error) {
	t, ok := image.TopicByID(id)
	if !ok {
		return nil, ErrUnknownTopicOrPartition
	}
	p, err := m.Get(t.Name, partition)
	if err == nil && p.topicID != id {
		return nil, ErrUnknownTopicOrPartition
	}
	return p, err
}

// Partitions calls f for each partition on this broker, in no order.
func (m *Manager) Partitions(f func(*Partition)) {
	for _, t := range m.table.Load().topics {
		for i := range t.parts {
			if p := t.parts[i].partition; p != nil {
				f(p)
			}
		}
	}
}

// Publish implements metadata.Publisher: it hands the newest image to the worker.
func (m *Manager) Publish(_, image *metadata.Image) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.target = image
	m.changed.Signal()
}

// Reconfigure reads the settings of all topics anew: those of the broker have changed. Topics
// for which nothing changed by it are left alone.
func (m *Manager) Reconfigure() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.again = true
	m.changed.Signal()
}

// WaitApplied returns once transaction zxid is in force here: logs of new topics can be
// written to, those of deleted ones are gone. A partition that could not be made counts as
// applied; Get tells.
func (m *Manager) WaitApplied(ctx context.Context, zxid int64) error {
	for {
		m.mu.Lock()
		applied, moved, closed := m.applied, m.moved, m.closed
		m.mu.Unlock()
		if applied >= zxid {
			return nil
		}
		if closed {
			return ErrClosed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close stops the worker and fails what waits with ErrNotLeader, so that clients look for
// another broker. The logs belong to the Store and stay open.
func (m *Manager) Close() {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		<-m.finished
		return
	}
	m.closed = true
	if m.retry != nil {
		m.retry.Stop()
	}
	m.changed.Signal()
	m.mu.Unlock()
	<-m.finished
	m.moves.close()
	m.wheel.close()
	m.Partitions(func(p *Partition) { p.remove(ErrNotLeader) })
	m.mu.Lock()
	close(m.moved)
	m.moved = make(chan struct{})
	m.mu.Unlock()
}

// work is the worker's goroutine.
func (m *Manager) work() {
	defer close(m.finished)
	for {
		m.mu.Lock()
		for !m.closed && !m.again && m.target == m.current {
			m.changed.Wait()
		}
		image, again, closed := m.target, m.again, m.closed
		m.again = false
		m.mu.Unlock()
		if closed {
			return
		}
		if image == nil {
			continue
		}
		m.apply(image, again)
		m.current = image
		m.mu.Lock()
		m.applied = image.Zxid()
		close(m.moved)
		m.moved = make(chan struct{})
		m.mu.Unlock()
	}
}
