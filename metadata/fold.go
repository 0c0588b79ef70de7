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
	next *Image
	// former is the image before a snapshot, else nil: what it knows of a topic and the
	// topic's node does not say is kept.
	former  *Image
	orphans map[string]map[int32]orphan // states of partitions that their topic does not name
	problem func(path string, err error)
	marked  map[string]struct{} // topics that were marked for deletion before
	dropped []*Topic            // whose node was removed
	touched map[string]bool     // topics whose settings or mark were removed too; in a snapshot, that have settings
	topics  bool                // next's topic maps and slice are its own
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
	var former *Image
	if txn.Snapshot {
		former, old = old, emptyImage()
	}
	next := *old
	next.zxid = txn.Zxid
	f := &fold{next: &next, former: former, problem: problem, edited: map[string]*Topic{}, marked: old.deletions, touched: map[string]bool{}}
	if former != nil {
		next.byHand = former.byHand
	}
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
		return f.scalar(e, func() error { return f.controller(e) },
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
		f.touched[name] = f.former != nil || e.Kind == Deleted
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

func (f *fold) controller(e Event) error {
	c, err := DecodeController(e.Data)
	if err != nil {
		return err
	}
	c.Session = e.Stat.EphemeralOwner
	f.next.controller = c
	return nil
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
		f.touched[name] = true
		delete(f.next.deletions, name)
	} else {
		f.next.deletions[name] = struct{}{}
	}
}
