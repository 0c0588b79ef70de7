package metadata

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// This file folds topics and their partitions. Tools of older Kafkas write topics' nodes
// themselves, and what they leave out costs nobody an id or a log: a topic keeps its id and
// its partitions for as long as its node lives, whatever is written to that.

// ownTopics makes the topic maps of the next image writable.
func (f *fold) ownTopics() {
	if !f.topics {
		f.next.byName, f.next.byID, f.topics = maps.Clone(f.next.byName), maps.Clone(f.next.byID), true
	}
}

// edit returns a topic that belongs to the next image and may be written to.
func (f *fold) edit(name string) (*Topic, bool) {
	if t, ok := f.edited[name]; ok {
		return t, true
	}
	old, ok := f.next.byName[name]
	if !ok {
		return nil, false
	}
	t := old.clone()
	f.put(t)
	return t, true
}

func (t *Topic) clone() *Topic {
	c := *t
	c.Partitions = slices.Clone(t.Partitions)
	return &c
}

func (f *fold) put(t *Topic) {
	f.ownTopics()
	f.edited[t.Name] = t
	f.next.byName[t.Name] = t
	if t.ID != (TopicID{}) {
		f.next.byID[t.ID] = t
	}
}

func (f *fold) drop(name string) {
	t, ok := f.next.byName[name]
	if !ok {
		return
	}
	f.ownTopics()
	delete(f.next.byName, name)
	delete(f.edited, name)
	if f.next.byID[t.ID] == t {
		delete(f.next.byID, t.ID)
	}
}

// known is the topic as it was before its node was written, nil when that node is new.
func (f *fold) known(name string, czxid int64) *Topic {
	if t, ok := f.edit(name); ok {
		if t.CreatedZxid == czxid {
			return t
		}
		f.drop(name)
		return nil
	}
	if f.former == nil {
		return nil
	}
	if t, ok := f.former.byName[name]; ok && t.CreatedZxid == czxid {
		c := t.clone()
		for i := range c.Partitions { // their states follow in the snapshot
			c.Partitions[i] = noState(int32(i), c.Partitions[i].Replicas)
		}
		return c
	}
	return nil
}

func noState(index int32, replicas []int32) Partition {
	return Partition{Index: index, Leader: NoLeader, PartitionEpoch: -1, Replicas: replicas}
}

func (f *fold) topic(name string, e Event) error {
	if e.Kind == Deleted {
		if t, ok := f.next.byName[name]; ok {
			f.dropped = append(f.dropped, t)
		}
		f.drop(name)
		return nil
	}
	t := f.known(name, e.Stat.Czxid)
	n, err := DecodeTopicNode(e.Data)
	if err != nil {
		if t != nil {
			t.Version, t.Amend = e.Stat.Version, true
			f.put(t)
		}
		return err
	}
	if t == nil {
		t = &Topic{Name: name, CreatedZxid: e.Stat.Czxid, ID: n.ID}
	}
	if t.ID == (TopicID{}) {
		t.ID = n.ID
	}
	t.Version = e.Stat.Version
	t.Amend = n.ID != t.ID || n.ID == (TopicID{}) || len(n.Partitions) < len(t.Partitions)
	for i, replicas := range n.Partitions {
		switch {
		case i == len(t.Partitions):
			t.Partitions = append(t.Partitions, noState(int32(i), replicas))
		case n.ID == t.ID && n.ID != (TopicID{}): // not an old tool's, which only adds
			t.Partitions[i].Replicas = replicas
		}
	}
	f.put(t)
	return nil
}

// state folds T/partitions/N/state.
func (f *fold) state(rest string, e Event) error {
	parts := strings.Split(rest, "/")
	if len(parts) != 4 || parts[1] != "partitions" || parts[3] != "state" {
		return nil
	}
	index, ok := parseID(parts[2])
	if !ok {
		return fmt.Errorf("partition %q", parts[2])
	}
	t, ok := f.edit(parts[0])
	if !ok {
		return nil // the topic's node went first
	}
	if e.Kind == Deleted {
		if int(index) < len(t.Partitions) {
			t.Partitions[index] = noState(index, t.Partitions[index].Replicas)
		}
		return nil
	}
	n, err := DecodeStateNode(e.Data)
	if err != nil {
		return err
	}
	if int(index) >= len(t.Partitions) {
		f.orphan(t.Name, index, orphan{n, e.Stat})
		return nil
	}
	t.Partitions[index].read(n, e.Stat)
	return nil
}

func (p *Partition) read(n StateNode, stat Stat) {
	p.Leader, p.LeaderEpoch, p.ControllerEpoch, p.ISR = n.Leader, n.LeaderEpoch, n.ControllerEpoch, n.ISR
	p.PartitionEpoch, p.WrittenZxid = stat.Version, stat.Mzxid
}

// orphan is the state of a partition that its topic's node does not name.
type orphan struct {
	node StateNode
	stat Stat
}

func (f *fold) orphan(topic string, index int32, o orphan) {
	if f.orphans == nil {
		f.orphans = map[string]map[int32]orphan{}
	}
	if f.orphans[topic] == nil {
		f.orphans[topic] = map[int32]orphan{}
	}
	f.orphans[topic][index] = o
}

// adoptOrphans gives topics back the partitions that a foreign write took from their nodes:
// a partition with a state has a log.
func (f *fold) adoptOrphans() {
	for name, states := range f.orphans {
		t, ok := f.edit(name)
		if !ok {
			continue
		}
		for {
			index := int32(len(t.Partitions))
			o, ok := states[index]
			if !ok || len(o.node.ISR) == 0 {
				break
			}
			p := noState(index, o.node.ISR)
			p.read(o.node, o.stat)
			t.Partitions, t.Amend = append(t.Partitions, p), true
		}
	}
}

// noteRemovals finds the topics whose node was removed by hand.
func (f *fold) noteRemovals() {
	gone := f.dropped
	if f.former != nil {
		for _, t := range f.former.topics {
			if _, still := f.next.byName[t.Name]; !still {
				gone = append(gone, t)
			}
		}
	}
	for _, t := range gone {
		_, marked := f.marked[t.Name]
		asked := marked || f.touched[t.Name]
		if f.former != nil {
			asked = !f.touched[t.Name] // its settings went too
		}
		if asked || t.ID == (TopicID{}) {
			continue
		}
		byHand := maps.Clone(f.next.byHand)
		if byHand == nil {
			byHand = map[TopicID]struct{}{}
		}
		byHand[t.ID] = struct{}{}
		f.next.byHand = byHand
	}
}

func (f *fold) finish() {
	f.adoptOrphans()
	f.noteRemovals()
	if !f.topics {
		return
	}
	f.next.topics = slices.SortedFunc(maps.Values(f.next.byName), func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
}
