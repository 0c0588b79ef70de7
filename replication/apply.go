package replication

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/metadata"
)

const (
	// creators is how many logs are made at a time: making one waits for the disk.
	creators = 8
	// retryAfter is when a partition that could not be made is tried again.
	retryAfter = time.Second
)

// apply makes the partitions what the image says. Topics that did not change since the last
// image are left alone; with all those are, whose settings are still the same and whose
// partitions are all served.
func (m *Manager) apply(image *metadata.Image, all bool) {
	old := m.table.Load()
	next := &table{topics: make(map[string]*localTopic, len(image.Topics()))}
	var jobs []job
	failed := false
	for _, t := range image.Topics() {
		if t.ID == (metadata.TopicID{}) {
			continue // a tool wrote it; the controller gives it an id
		}
		have := old.topics[t.Name]
		if have != nil && have.id != t.ID {
			have = nil // deleted and made again: the old one goes below
		}
		same := have != nil && !m.changedSince(image, t)
		if same && !all {
			next.topics[t.Name] = have
			continue
		}
		config := m.o.TopicConfig(image.TopicConfig(t.Name))
		if same && config == have.config && have.whole() {
			next.topics[t.Name] = have
			continue
		}
		local := &localTopic{id: t.ID, parts: make([]slot, len(t.Partitions)), config: config}
		next.topics[t.Name] = local
		jobs = m.plan(jobs, t, have, local)
	}
	m.discard(image, old, next)
	m.run(jobs)
	m.table.Store(next)
	for _, j := range jobs {
		failed = failed || j.slot.err != nil && j.mayComeBack()
	}
	if failed {
		m.retryLater()
	}
	if m.current == nil {
		m.reportStrays(image)
		m.resumeMoves()
	}
}

// changedSince tells whether a topic or its settings differ from the image before.
func (m *Manager) changedSince(image *metadata.Image, t *metadata.Topic) bool {
	if m.current == nil {
		return true
	}
	before, ok := m.current.Topic(t.Name)
	return !ok || before != t || !sameMap(m.current.TopicConfig(t.Name), image.TopicConfig(t.Name))
}

// sameMap compares by identity: an image shares what did not change with the one before.
func sameMap(a, b map[string]string) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// job brings one partition to what its topic says.
type job struct {
	topic     *metadata.Topic
	partition *metadata.Partition
	config    *TopicConfig
	have      *Partition // nil: its log must be found or made
	before    error      // why it was offline until now
	slot      *slot
}

// mayComeBack tells whether it is worth trying again to open an offline partition: a full
// disk may have room again, but a directory that failed is gone until the next start, with
// what lies in it.
func (j *job) mayComeBack() bool {
	var failed *engine.DirFailedError
	return j.slot.isNew || !errors.As(j.slot.err, &failed)
}

func (m *Manager) plan(jobs []job, t *metadata.Topic, have, local *localTopic) []job {
	for i := range t.Partitions {
		p := &t.Partitions[i]
		var before slot
		if have != nil && i < len(have.parts) {
			before = have.parts[i]
		}
		if !slices.Contains(p.Replicas, m.o.BrokerID) {
			local.parts[i].err = ErrNotLeader
			continue
		}
		local.parts[i].isNew = before.isNew || m.isNew(t, i)
		jobs = append(jobs, job{topic: t, partition: p, config: &local.config, have: before.partition, before: before.err, slot: &local.parts[i]})
	}
	return jobs
}

// isNew tells whether a partition was not there in the image before.
func (m *Manager) isNew(t *metadata.Topic, i int) bool {
	if m.current == nil {
		return false
	}
	before, ok := m.current.Topic(t.Name)
	return !ok || before.ID != t.ID || i >= len(before.Partitions)
}

// run does the jobs, those that make logs a few at a time.
func (m *Manager) run(jobs []job) {
	var wg sync.WaitGroup
	next := make(chan *job)
	for range min(creators, len(jobs)) {
		wg.Go(func() {
			for j := range next {
				m.do(j)
			}
		})
	}
	for i := range jobs {
		next <- &jobs[i]
	}
	close(next)
	wg.Wait()
}

// do finds or makes a partition and tells it its role.
func (m *Manager) do(j *job) {
	p := j.have
	if p == nil {
		tp := engine.TopicPartition{Topic: j.topic.Name, Partition: j.partition.Index}
		log, err := m.open(tp, j.topic.ID, j.config.Log, j.slot.isNew)
		if err != nil {
			j.slot.err = &OfflineError{Err: err}
			if j.before == nil || j.before.Error() != j.slot.err.Error() { // not again each second
				m.o.Log.Error("partition is offline", "partition", tp.String(), "err", err)
			}
			return
		}
		p = newPartition(j.topic.Name, j.partition.Index, j.topic.ID, log, m.wheel, m.o.BrokerID)
	} else {
		p.setConfig(j.config.Log)
	}
	j.slot.partition, j.slot.isNew = p, false
	c := &j.config.Log
	err := p.follow(j.partition, settings{
		minInSync: j.config.MinInSyncReplicas, durable: c.FlushMessages == 1, compactOnly: c.CleanupCompact && !c.CleanupDelete,
	})
	if err != nil {
		m.o.Log.Error("partition cannot be led", "partition", p.log().TopicPartition().String(), "err", err)
	}
}

// open finds the log of a partition on disk, or makes it. A folder of the same name that
// belongs to another topic id is the log of a topic that was deleted while this broker did
// not run: only one topic has the name, and it has this id. It makes room.
func (m *Manager) open(tp engine.TopicPartition, id metadata.TopicID, config engine.Config, isNew bool) (*engine.Log, error) {
	create := m.o.Store.Create
	if isNew {
		create = m.o.Store.CreateNew
	}
	log, err := create(tp, id, config)
	if !errors.Is(err, engine.ErrExists) {
		return log, err
	}
	stale, ok := m.o.Store.Get(tp)
	if !ok {
		return nil, err
	}
	m.o.Log.Warn("log of a deleted topic makes room for the new one of its name",
		"partition", tp.String(), "deletedId", metadata.IDString(stale.TopicID()), "id", metadata.IDString(id), "dir", stale.Dir())
	if err := m.o.Store.Delete(tp); err != nil {
		return nil, err
	}
	return m.o.Store.CreateNew(tp, id, config)
}

// discard ends partitions that the next table does not have, and deletes their logs. They
// are gone for the handlers first. Logs of a topic whose node somebody removed stay.
func (m *Manager) discard(image *metadata.Image, old, next *table) {
	var gone []*Partition
	without := &table{topics: make(map[string]*localTopic, len(old.topics))}
	for name, t := range old.topics {
		kept := next.topics[name]
		if kept == t {
			without.topics[name] = t
			continue
		}
		same := kept != nil && kept.id == t.id
		local := &localTopic{id: t.id, parts: slices.Clone(t.parts)}
		for i := range local.parts {
			p := local.parts[i].partition
			if p == nil || same && i < len(kept.parts) && kept.parts[i].err == nil {
				continue
			}
			gone = append(gone, p)
			local.parts[i] = slot{err: ErrNotLeader}
		}
		if same {
			without.topics[name] = local
		}
	}
	if len(gone) == 0 {
		return
	}
	m.table.Store(without)
	for _, p := range gone {
		p.remove(ErrUnknownTopicOrPartition)
		m.gone.add(p.Traffic.Totals())
		if image.RemovedByHand(p.topicID) {
			m.keepStray(p.log())
			continue
		}
		if err := m.o.Store.Delete(p.log().TopicPartition()); err != nil {
			m.o.Log.Error("log of a deleted partition could not be removed", "partition", p.log().TopicPartition().String(), "err", err)
		}
	}
}

// retryLater applies everything once more: a full disk may have room again.
func (m *Manager) retryLater() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if m.retry == nil {
		m.retry = m.o.Clock.AfterFunc(retryAfter, m.Reconfigure)
		return
	}
	m.retry.Reset(retryAfter)
}
