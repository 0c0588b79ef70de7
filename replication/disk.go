package replication

import (
	"log/slog"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/metadata"
)

// OnDisk is a topic as the log directories hold it.
type OnDisk struct {
	Name       string
	ID         metadata.TopicID // zero when no partition knows it
	Partitions int32            // one more than the largest index
	// LeaderEpoch is above every leader epoch in its logs, 0 when they have none.
	LeaderEpoch int32
}

// FindOnDisk lists the topics that lie in the log directories, for a tree that has none: a
// directory of Apache Kafka's opened in place. A topic whose partitions have different ids
// is reported and left out, and so is Kafka's own metadata log.
func FindOnDisk(s *engine.Store, log *slog.Logger) []OnDisk {
	var found []OnDisk
	mixed := map[string]bool{}
	for l := range s.Logs() { // sorted by topic
		tp := l.TopicPartition()
		if tp.Topic == "__cluster_metadata" {
			continue
		}
		if len(found) == 0 || found[len(found)-1].Name != tp.Topic {
			found = append(found, OnDisk{Name: tp.Topic})
		}
		t := &found[len(found)-1]
		t.Partitions = max(t.Partitions, tp.Partition+1)
		if epoch, ok := l.LatestEpoch(); ok {
			t.LeaderEpoch = max(t.LeaderEpoch, epoch+1)
		}
		switch id := l.TopicID(); {
		case id == (metadata.TopicID{}) || id == t.ID:
		case t.ID == (metadata.TopicID{}):
			t.ID = id
		default:
			mixed[tp.Topic] = true
		}
	}
	kept := found[:0]
	for _, t := range found {
		if mixed[t.Name] {
			log.Error("the partitions of a topic on disk have different topic ids: it is left alone", "topic", t.Name)
			continue
		}
		kept = append(kept, t)
	}
	return kept
}

// reportStrays names the logs on disk that belong to no partition of the tree. They are
// left alone, by retention too: deleting what somebody may miss is for a person to decide.
// Later none come up: topics that go take their logs with them.
func (m *Manager) reportStrays(image *metadata.Image) {
	for l := range m.o.Store.Logs() {
		tp := l.TopicPartition()
		if t, ok := image.Topic(tp.Topic); ok && int(tp.Partition) < len(t.Partitions) {
			continue
		}
		m.keepStray(l)
	}
}

// keepStray leaves a log alone that no partition owns.
func (m *Manager) keepStray(l *engine.Log) {
	keep := l.Config()
	keep.RetentionMs, keep.RetentionBytes = -1, -1
	l.SetConfig(keep)
	m.o.Log.Warn("stray log: the metadata has no such partition; it is left alone and not served",
		"partition", l.TopicPartition().String(), "topicId", metadata.IDString(l.TopicID()), "dir", l.Dir(), "sizeBytes", l.SizeBytes())
}
