package metadata

import (
	"slices"
)

// TopicID is Kafka's 128-bit topic id (KIP-516).
type TopicID = [16]byte

// Image is an immutable view of the tree at one zxid. Everything it returns is shared and
// must not be written to.
type Image struct {
	zxid         int64
	clusterID    string
	controller   Controller
	epoch        int32
	epochVersion int32
	topics       []*Topic // sorted by name
	byName       map[string]*Topic
	byID         map[TopicID]*Topic
	brokers      []*Broker // sorted by id
	config       configs
	deletions    map[string]struct{}
	byHand       map[TopicID]struct{} // topics whose node somebody removed
	quotas       map[QuotaEntity]map[string]string
	features     Features
}

// configs holds /config/<type>/<name>.
type configs struct {
	topics        map[string]map[string]string
	brokers       map[string]map[string]string
	groups        map[string]map[string]string
	clientMetrics map[string]map[string]string
}

// Topic is one topic. A Topic never changes: a new Image has a new one.
type Topic struct {
	Name       string
	ID         TopicID
	Partitions []Partition // by index; Partitions[i].Index == i
	// Version is the version of the topic's node, for writes that must not lose another's.
	Version int32
	// CreatedZxid is the zxid that created the topic.
	CreatedZxid int64
	// Amend tells that the topic's node does not say what is known of the topic: a tool of
	// an older Kafka wrote it, without the id. The controller writes it anew.
	Amend bool
}

// Partition is one partition's assignment and leadership.
type Partition struct {
	Index int32
	// Leader is a broker id, or NoLeader.
	Leader          int32
	LeaderEpoch     int32
	ControllerEpoch int32
	// PartitionEpoch is the version of the partition's state node, or -1 while there is none.
	PartitionEpoch int32
	// WrittenZxid is the transaction that wrote the state node, 0 while there is none.
	WrittenZxid int64
	Replicas    []int32
	ISR         []int32
}

// NoLeader is the leader of a partition without one.
const NoLeader int32 = -1

// Controller is the elected controller.
type Controller struct {
	BrokerID int32 // -1 when there is none
	// Session owns the controller's node.
	Session int64
}

// Features are the finalized feature levels. What the map lacks has its default level.
type Features struct {
	Epoch  int64 // grows with each change; 0 before the first
	Levels map[string]int16
}

// Endpoint is one advertised listener of a broker.
type Endpoint struct {
	Listener string // upper case, as PLAINTEXT
	Protocol string // security protocol
	Host     string // without the brackets of an IPv6 address
	Port     int32
}

// Broker is one registered broker.
type Broker struct {
	ID        int32
	Epoch     int64 // czxid of its registration
	Rack      string
	Endpoints []Endpoint
}

// Endpoint returns the broker's endpoint on a listener.
func (b *Broker) Endpoint(listener string) (Endpoint, bool) {
	i := slices.IndexFunc(b.Endpoints, func(e Endpoint) bool { return e.Listener == listener })
	if i < 0 {
		return Endpoint{}, false
	}
	return b.Endpoints[i], true
}

// Zxid is the last transaction that the image contains.
func (m *Image) Zxid() int64 { return m.zxid }

// ClusterID is empty until the cluster has one.
func (m *Image) ClusterID() string { return m.clusterID }

// Controller returns the elected controller, or BrokerID -1.
func (m *Image) Controller() Controller { return m.controller }

// ControllerEpoch is the epoch of the last election, 0 before the first.
func (m *Image) ControllerEpoch() int32 { return m.epoch }

// Topic looks a topic up by name.
func (m *Image) Topic(name string) (*Topic, bool) { t, ok := m.byName[name]; return t, ok }

// TopicByID looks a topic up by id.
func (m *Image) TopicByID(id TopicID) (*Topic, bool) { t, ok := m.byID[id]; return t, ok }

// Topics returns all topics sorted by name.
func (m *Image) Topics() []*Topic { return m.topics }

// Brokers returns the registered brokers sorted by id.
func (m *Image) Brokers() []*Broker { return m.brokers }

// Broker looks a broker up.
func (m *Image) Broker(id int32) (*Broker, bool) {
	i, ok := slices.BinarySearchFunc(m.brokers, id, func(b *Broker, id int32) int { return int(b.ID) - int(id) })
	if !ok {
		return nil, false
	}
	return m.brokers[i], true
}

// TopicConfig returns the settings of a topic, nil when it has none.
func (m *Image) TopicConfig(topic string) map[string]string { return m.config.topics[topic] }

// BrokerConfig returns the dynamic settings of one broker.
func (m *Image) BrokerConfig(id int32) map[string]string { return m.config.brokers[itoa(id)] }

// DefaultBrokerConfig returns the dynamic settings of all brokers.
func (m *Image) DefaultBrokerConfig() map[string]string { return m.config.brokers[DefaultEntity] }

// GroupConfig returns the settings of a group, nil when it has none.
func (m *Image) GroupConfig(group string) map[string]string { return m.config.groups[group] }

// ConfiguredGroups returns the groups that have settings, sorted.
func (m *Image) ConfiguredGroups() []string { return sortedKeys(m.config.groups) }

// ClientMetrics returns a subscription to the metrics of clients, nil when there is none.
func (m *Image) ClientMetrics(name string) map[string]string { return m.config.clientMetrics[name] }

// ClientMetricsNames returns the names of the subscriptions, sorted.
func (m *Image) ClientMetricsNames() []string { return sortedKeys(m.config.clientMetrics) }

// Features returns what was finalized with UpdateFeatures.
func (m *Image) Features() Features { return m.features }

// DeletionMarked tells whether a tool asked for the topic's deletion by a marker under
// /admin/delete_topics.
func (m *Image) DeletionMarked(topic string) bool { _, ok := m.deletions[topic]; return ok }

// RemovedByHand tells of a topic that is no more whether its node was removed by somebody's
// hand: the controller removes its settings too, or has it marked for deletion. Nobody asked
// for the loss of its records then.
func (m *Image) RemovedByHand(id TopicID) bool { _, ok := m.byHand[id]; return ok }

// DeletionMarks returns the marked names, sorted.
func (m *Image) DeletionMarks() []string { return sortedKeys(m.deletions) }
