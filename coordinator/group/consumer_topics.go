package group

import (
	"iter"
	"sync"

	"github.com/millrace/millrace/coordinator/group/consumer"
	"github.com/millrace/millrace/metadata"
)

// topicView is the topics of an image, for consumer groups.
type topicView struct {
	image  *metadata.Image
	newest func() int64
}

var _ consumer.Topics = (*topicView)(nil)

func newTopicView(image *metadata.Image) *topicView {
	return &topicView{image: image, newest: sync.OnceValue(func() int64 {
		var newest int64
		for _, t := range image.Topics() {
			newest = max(newest, t.CreatedZxid)
		}
		return newest
	})}
}

// Version implements consumer.Topics.
func (v *topicView) Version() int64 { return v.image.Zxid() }

// Newest implements consumer.Topics.
func (v *topicView) Newest() int64 { return v.newest() }

// ByName implements consumer.Topics.
func (v *topicView) ByName(name string) (id consumer.TopicID, partitions int32, ok bool) {
	t, ok := v.image.Topic(name)
	if !ok {
		return id, 0, false
	}
	return t.ID, int32(len(t.Partitions)), true
}

// ByID implements consumer.Topics.
func (v *topicView) ByID(id consumer.TopicID) (string, bool) {
	t, ok := v.image.TopicByID(id)
	if !ok {
		return "", false
	}
	return t.Name, true
}

// Names implements consumer.Topics.
func (v *topicView) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, t := range v.image.Topics() {
			if !yield(t.Name) {
				return
			}
		}
	}
}
