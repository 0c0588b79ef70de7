package group

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/replication"
)

// loaders is how many partitions are read at once.
const loaders = 4

// Publish implements metadata.Publisher: it hands the newest image to the worker.
func (c *Coordinator) Publish(_, image *metadata.Image) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = image
	c.topics.Store(newTopicView(image))
	c.changed.Signal()
}

// WaitFollowed returns once the groups of transaction zxid are here: partitions of
// __consumer_offsets that this broker leads by it are loaded.
func (c *Coordinator) WaitFollowed(ctx context.Context, zxid int64) error {
	for {
		c.mu.Lock()
		followed, moved, closed := c.followed, c.moved, c.closed
		c.mu.Unlock()
		if followed >= zxid {
			return nil
		}
		if closed {
			return replication.ErrClosed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// work is the worker's goroutine: it follows the images one by one.
func (c *Coordinator) work() {
	var current *metadata.Image
	for {
		c.mu.Lock()
		for !c.closed && c.target == current {
			c.changed.Wait()
		}
		image, closed := c.target, c.closed
		c.mu.Unlock()
		if closed {
			return
		}
		if err := c.o.Manager.WaitApplied(c.ctx, image.Zxid()); err != nil {
			return // the broker stops
		}
		c.follow(image)
		if current != nil {
			c.forgetTopics(current, image)
		}
		current = image
		c.mu.Lock()
		c.followed = image.Zxid()
		close(c.moved)
		c.moved = make(chan struct{})
		c.mu.Unlock()
	}
}

// follow makes the shards those of the partitions that this broker leads in the image. The
// new ones refuse requests as loading until they are.
func (c *Coordinator) follow(image *metadata.Image) {
	c.following.Lock()
	defer c.following.Unlock()
	old := c.table.Load().shards
	var next []*shard
	var fresh []*shard
	if t, ok := image.Topic(OffsetsTopic); ok {
		next = make([]*shard, len(t.Partitions))
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if p.Leader != c.o.BrokerID {
				continue
			}
			if i < len(old) && old[i] != nil && old[i].topicID == t.ID && old[i].epoch == p.LeaderEpoch && !old[i].failed() {
				next[i] = old[i]
				continue
			}
			next[i] = newShard(c, p.Index, t.ID, p.LeaderEpoch)
			fresh = append(fresh, next[i])
		}
	}
	c.table.Store(&table{next})
	for i, s := range old {
		if s != nil && (i >= len(next) || next[i] != s) {
			s.unload()
		}
	}
	c.load(fresh)
}

// reload tries again what could not be read.
func (c *Coordinator) reload() {
	c.following.Lock()
	defer c.following.Unlock()
	old := c.table.Load().shards
	next := slices.Clone(old)
	var fresh []*shard
	for i, s := range old {
		if s != nil && s.failed() {
			next[i] = newShard(c, s.index, s.topicID, s.epoch)
			fresh = append(fresh, next[i])
		}
	}
	if len(fresh) == 0 || c.ctx.Err() != nil {
		return
	}
	c.table.Store(&table{next})
	c.load(fresh)
}

// reloadAfter is how long a partition that could not be read is left alone.
const reloadAfter = 10 * time.Second

// load reads partitions, some at a time. What fails is tried again later.
func (c *Coordinator) load(fresh []*shard) {
	defer func() {
		if slices.ContainsFunc(fresh, (*shard).failed) {
			c.scheduleReload()
		}
	}()
	var wg sync.WaitGroup
	slots := make(chan struct{}, loaders)
	for _, s := range fresh {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			s.load()
		})
	}
	wg.Wait()
}

func (c *Coordinator) scheduleReload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.reloader = c.o.Clock.AfterFunc(reloadAfter, c.reload)
	}
}

// forgetTopics forgets the offsets of topics that were deleted, also when one of the same name
// was made since.
func (c *Coordinator) forgetTopics(old, image *metadata.Image) {
	var gone []string
	for _, t := range old.Topics() {
		if now, ok := image.Topic(t.Name); (!ok || now.ID != t.ID) && t.Name != OffsetsTopic {
			gone = append(gone, t.Name)
		}
	}
	if len(gone) == 0 {
		return
	}
	for _, s := range c.table.Load().shards {
		if s != nil {
			s.forgetTopics(gone)
		}
	}
}
