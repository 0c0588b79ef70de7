package metadata

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// fold builds the next Image from the last one and a transaction. It is pure; what it
// cannot read goes to problem, and the node counts as unchanged.
type fold struct {
	next    *Image
	problem func(path string, err error)
	topics  bool // next's topic maps and slice are its own
	edited  map[string]*Topic
	brokers bool
	configs bool
	marks   bool
	quotas  bool
}

// emptyImage is the image of a tree without nodes.
func emptyImage() *Image {
	return &Image{
		controller: Controller{BrokerID: -1}, epochVersion: -1,
		byName: map[string]*Topic{}, byID: map[TopicID]*Topic{}, deletions: map[string]struct{}{},
		config: configs{
			topics: map[string]map[string]string{}, brokers: map[string]map[string]string{},
			groups: map[string]map[string]string{}, clientMetrics: map[string]map[string]string{},
		},
	}
}

// applyTxn returns the image after a transaction.
func applyTxn(old *Image, txn Txn, problem func(path string, err error)) *Image {
	if txn.Snapshot {
		old = emptyImage()
	}
	next := *old
	next.zxid = txn.Zxid
	f := &fold{next: &next, problem: problem, edited: map[string]*Topic{}}
	for _, e := range txn.Events {
		if err := f.event(e); err != nil {
			problem(e.Path, err)
		}
	}
	f.finish()
	return &next
}

func (f *fold) event(e Event) error {
	switch e.Path {
	case ClusterIDPath:
		return f.scalar(e, func() (err error) { f.next.clusterID, err = DecodeClusterID(e.Data); return err },
			func() { f.next.clusterID = "" })
	case ControllerPath:
		return f.scalar(e, func() (err error) { f.next.controller, err = DecodeController(e.Data); return err },
			func() { f.next.controller = Controller{BrokerID: -1} })
	case ControllerEpochPath:
		return f.scalar(e, func() error { return f.controllerEpoch(e) },
			func() { f.next.epoch, f.next.epochVersion = 0, -1 })
	case FeaturePath:
		return f.scalar(e, func() error { return f.features(e) }, func() { f.next.features = Features{} })
	}
	parent, name := split(e.Path)
	switch parent {
	case BrokerIDsPath:
		return f.broker(name, e)
	case TopicsPath:
		return f.topic(name, e)
	case TopicConfigsPath:
		return f.config(&f.next.config.topics, name, e)
	case BrokerConfigsPath:
		return f.config(&f.next.config.brokers, name, e)
	case GroupConfigsPath:
		return f.escapedConfig(&f.next.config.groups, name, e)
	case ClientMetricsPath:
		return f.escapedConfig(&f.next.config.clientMetrics, name, e)
	case DeleteTopicsPath:
		f.mark(name, e)
		return nil
	}
	if rest, ok := strings.CutPrefix(e.Path, TopicsPath+"/"); ok {
		return f.state(rest, e)
	}
	return f.quota(e)
}

func (f *fold) scalar(e Event, read func() error, drop func()) error {
	if e.Kind == Deleted {
		drop()
		return nil
	}
	return read()
}

func (f *fold) controllerEpoch(e Event) error {
	epoch, ok := parseID(string(e.Data))
	if !ok {
		return fmt.Errorf("controller epoch %q", e.Data)
	}
	f.next.epoch, f.next.epochVersion = epoch, e.Stat.Version
	return nil
}

func (f *fold) broker(name string, e Event) error {
	id, ok := parseID(name)
	if !ok {
		return fmt.Errorf("broker id %q", name)
	}
	if !f.brokers {
		f.next.brokers, f.brokers = slices.Clone(f.next.brokers), true
	}
	at, found := slices.BinarySearchFunc(f.next.brokers, id, func(b *Broker, id int32) int { return cmp.Compare(b.ID, id) })
	if e.Kind == Deleted {
		if found {
			f.next.brokers = append([]*Broker(nil), slices.Delete(f.next.brokers, at, at+1)...)
		}
		return nil
	}
	b, err := DecodeBroker(e.Data)
	if err != nil {
		return err
	}
	b.ID, b.Epoch = id, e.Stat.Czxid
	if found {
		f.next.brokers[at] = &b
	} else {
		f.next.brokers = slices.Insert(f.next.brokers, at, &b)
	}
	return nil
}

func (f *fold) config(of *map[string]map[string]string, name string, e Event) error {
	if !f.configs {
		c := &f.next.config
		*c = configs{
			topics: maps.Clone(c.topics), brokers: maps.Clone(c.brokers),
			groups: maps.Clone(c.groups), clientMetrics: maps.Clone(c.clientMetrics),
		}
		f.configs = true
	}
	if e.Kind == Deleted {
		delete(*of, name)
		return nil
	}
	settings, err := DecodeConfig(e.Data)
	if err != nil {
		return err
	}
	if len(settings) == 0 {
		delete(*of, name)
	} else {
		(*of)[name] = settings
	}
	return nil
}

// escapedConfig is config for names that are no names of nodes.
func (f *fold) escapedConfig(of *map[string]map[string]string, node string, e Event) error {
	name, err := UnescapeName(node)
	if err != nil {
		return err
	}
	return f.config(of, name, e)
}

func (f *fold) features(e Event) error {
	levels, err := DecodeFeatures(e.Data)
	if err != nil {
		return err
	}
	f.next.features = Features{Epoch: int64(e.Stat.Version) + 1, Levels: levels}
	return nil
}

func (f *fold) mark(name string, e Event) {
	if !f.marks {
		f.next.deletions, f.marks = maps.Clone(f.next.deletions), true
	}
	if e.Kind == Deleted {
		delete(f.next.deletions, name)
	} else {
		f.next.deletions[name] = struct{}{}
	}
}

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
	t := *old
	t.Partitions = slices.Clone(old.Partitions)
	f.put(&t)
	return &t, true
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

func (f *fold) topic(name string, e Event) error {
	if e.Kind == Deleted {
		f.drop(name)
		return nil
	}
	n, err := DecodeTopicNode(e.Data)
	if err != nil {
		return err
	}
	t := &Topic{Name: name, CreatedZxid: e.Stat.Czxid}
	if old, ok := f.edit(name); ok {
		if f.next.byID[old.ID] == old {
			delete(f.next.byID, old.ID)
		}
		t = old
	}
	t.ID, t.Version = n.ID, e.Stat.Version
	if len(n.Partitions) < len(t.Partitions) {
		t.Partitions = t.Partitions[:len(n.Partitions)]
	}
	for i, replicas := range n.Partitions {
		if i == len(t.Partitions) {
			t.Partitions = append(t.Partitions, Partition{Index: int32(i), Leader: NoLeader, PartitionEpoch: -1})
		}
		t.Partitions[i].Replicas = replicas
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
	if !ok || int(index) >= len(t.Partitions) {
		return nil // the topic's node went first, or never named this partition
	}
	p := &t.Partitions[index]
	if e.Kind == Deleted {
		p.Leader, p.LeaderEpoch, p.PartitionEpoch, p.ISR = NoLeader, 0, -1, nil
		return nil
	}
	n, err := DecodeStateNode(e.Data)
	if err != nil {
		return err
	}
	p.Leader, p.LeaderEpoch, p.ControllerEpoch, p.ISR, p.PartitionEpoch = n.Leader, n.LeaderEpoch, n.ControllerEpoch, n.ISR, e.Stat.Version
	return nil
}

func (f *fold) finish() {
	if !f.topics {
		return
	}
	f.next.topics = slices.SortedFunc(maps.Values(f.next.byName), func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
}
