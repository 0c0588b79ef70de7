package group

import (
	"container/heap"
	"math"
	"sync"
	"time"

	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/coordinator/group/offsets"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/record"
)

// shardState is where a shard stands.
type shardState uint8

const (
	loading shardState = iota
	serving
	gone
)

// shard is one partition of __consumer_offsets with its groups.
type shard struct {
	c       *Coordinator
	index   int32
	topicID metadata.TopicID
	epoch   int32 // the leader epoch that it was loaded in

	mu      sync.Mutex
	state   shardState
	log     journalLog // nil while loading
	groups  map[string]*entry
	wakes   wakeHeap
	timer   clock.Timer
	armedMs int64    // what the timer is set for
	touched []*entry // whose wakeMs may have moved
	after   []func() // to be run without the lock
	pending map[*appending]struct{}
	builder record.Builder

	acked acknowledged
}

// entry is one group.
type entry struct {
	id      string
	members members // never nil
	offsets offsets.Table
	// writes counts appends of the group that are not acknowledged yet: it is not deleted under
	// them.
	writes int

	wakeMs int64 // as the heap has it
	place  int   // in the heap, -1 when it is not there
	dirty  bool  // in shard.touched
}

func newShard(c *Coordinator, index int32, id metadata.TopicID, epoch int32) *shard {
	return &shard{c: c, index: index, topicID: id, epoch: epoch, groups: map[string]*entry{}, armedMs: math.MaxInt64, pending: map[*appending]struct{}{}}
}

func (s *shard) config() *Config { return s.c.o.Config() }

// exit ends a step: it arms the timer for what changed, unlocks, and runs what was queued.
func (s *shard) exit() {
	if len(s.touched) > 0 {
		s.rearmLocked()
	}
	after := s.after
	s.after = nil
	s.mu.Unlock()
	for _, f := range after {
		f()
	}
}

// later queues what must not run under the lock: answers, log lines.
func (s *shard) later(f func()) { s.after = append(s.after, f) }

// changed notes that a group's wakeMs may have moved.
func (s *shard) changed(e *entry) {
	if !e.dirty {
		e.dirty = true
		s.touched = append(s.touched, e)
	}
}

// groupOrNew returns a group; one that is new has no members.
func (s *shard) groupOrNew(id string, now classic.Now) *entry {
	e, ok := s.groups[id]
	if !ok {
		e = &entry{id: id, members: &classicGroup{classic.New(now)}, wakeMs: math.MaxInt64, place: -1}
		s.groups[id] = e
	}
	return e
}

// forget drops a group from memory.
func (s *shard) forget(e *entry) {
	if s.groups[e.id] == e {
		delete(s.groups, e.id)
	}
	if e.place >= 0 {
		heap.Remove(&s.wakes, e.place)
	}
	e.wakeMs = math.MaxInt64
}

func (s *shard) rearmLocked() {
	for i, e := range s.touched {
		e.dirty = false
		s.touched[i] = nil
		if s.groups[e.id] != e {
			continue
		}
		at := e.members.wakeMs()
		switch {
		case at == e.wakeMs:
		case at == math.MaxInt64:
			heap.Remove(&s.wakes, e.place)
			e.wakeMs = at
		case e.place < 0:
			e.wakeMs = at
			heap.Push(&s.wakes, e)
		default:
			e.wakeMs = at
			heap.Fix(&s.wakes, e.place)
		}
	}
	s.touched = s.touched[:0]
	s.armLocked()
}

// armLocked sets the timer when something is due before it would fire.
func (s *shard) armLocked() {
	if s.state == gone || len(s.wakes) == 0 || s.wakes[0].wakeMs >= s.armedMs {
		return
	}
	s.armedMs = s.wakes[0].wakeMs
	d := time.Duration(max(s.armedMs-s.c.now().MonoMs, 0)) * time.Millisecond
	if s.timer == nil {
		s.timer = s.c.o.Clock.AfterFunc(d, s.fire)
		return
	}
	s.timer.Reset(d)
}

// fire is the timer's.
func (s *shard) fire() {
	s.mu.Lock()
	defer s.exit()
	if s.state != serving {
		return
	}
	s.armedMs = math.MaxInt64
	now := s.c.now()
	for len(s.wakes) > 0 && s.wakes[0].wakeMs <= now.MonoMs {
		e := s.wakes[0]
		e.members.tick(s, e, now)
		e.wakeMs = e.members.wakeMs()
		switch {
		case e.place < 0: // the tick forgot it
		case e.wakeMs == math.MaxInt64:
			heap.Remove(&s.wakes, e.place)
		default:
			e.wakeMs = max(e.wakeMs, now.MonoMs+1) // whatever a tick leaves due is looked at again, not at once
			heap.Fix(&s.wakes, e.place)
		}
	}
	s.armLocked()
}

// wakeHeap has the group that is due first at its top.
type wakeHeap []*entry

func (h wakeHeap) Len() int           { return len(h) }
func (h wakeHeap) Less(i, j int) bool { return h[i].wakeMs < h[j].wakeMs }
func (h wakeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *wakeHeap) Push(x any) {
	e := x.(*entry)
	e.place = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *wakeHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.place = -1
	return e
}
