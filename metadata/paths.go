package metadata

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Kafka's paths (core/kafka/zk/ZkData.scala).
const (
	ClusterIDPath       = "/cluster/id"
	ControllerPath      = "/controller"
	ControllerEpochPath = "/controller_epoch"
	ProducerIDBlockPath = "/latest_producer_id_block"
	BrokerIDsPath       = "/brokers/ids"
	BrokerSeqIDPath     = "/brokers/seqid"
	TopicsPath          = "/brokers/topics"
	DeleteTopicsPath    = "/admin/delete_topics"
	TopicConfigsPath    = "/config/topics"
	BrokerConfigsPath   = "/config/brokers"
	GroupConfigsPath    = "/config/groups"
	ClientMetricsPath   = "/config/client-metrics"
	ConfigChangesPath   = "/config/changes"
	FeaturePath         = "/feature"
)

// DefaultEntity is the name of the config node that holds for all entities of its type.
const DefaultEntity = "<default>"

// PersistentPaths are the nodes that must be there before a broker or one of Kafka's own
// tools uses the tree, parents first. Tools create children of them without making them.
func PersistentPaths() []string {
	return []string{
		"/consumers",
		"/brokers", BrokerIDsPath, TopicsPath, BrokerSeqIDPath,
		"/config", ConfigChangesPath, TopicConfigsPath, "/config/clients", "/config/users", BrokerConfigsPath, "/config/ips", GroupConfigsPath, ClientMetricsPath,
		"/admin", DeleteTopicsPath,
		"/isr_change_notification", "/log_dir_event_notification", ProducerIDBlockPath,
		"/cluster",
	}
}

// BrokerPath is the registration of a broker.
func BrokerPath(id int32) string { return BrokerIDsPath + "/" + itoa(id) }

// TopicPath is a topic's assignment.
func TopicPath(topic string) string { return TopicsPath + "/" + topic }

// PartitionsPath is the parent of a topic's partitions.
func PartitionsPath(topic string) string { return TopicPath(topic) + "/partitions" }

// PartitionPath is the parent of a partition's state.
func PartitionPath(topic string, partition int32) string {
	return PartitionsPath(topic) + "/" + itoa(partition)
}

// PartitionStatePath is a partition's leadership.
func PartitionStatePath(topic string, partition int32) string {
	return PartitionPath(topic, partition) + "/state"
}

// TopicConfigPath is a topic's settings.
func TopicConfigPath(topic string) string { return TopicConfigsPath + "/" + topic }

// BrokerConfigPath is a broker's dynamic settings.
func BrokerConfigPath(id int32) string { return BrokerConfigsPath + "/" + itoa(id) }

// DefaultBrokerConfigPath is the dynamic settings of all brokers.
func DefaultBrokerConfigPath() string { return BrokerConfigsPath + "/" + DefaultEntity }

// GroupConfigPath is the settings of a group.
func GroupConfigPath(group string) string { return GroupConfigsPath + "/" + EscapeName(group) }

// ClientMetricsConfigPath is a subscription to the metrics of clients.
func ClientMetricsConfigPath(name string) string { return ClientMetricsPath + "/" + EscapeName(name) }

// EscapeName makes the name of a node of any name, as Kafka's Sanitizer does: all but
// letters, digits, '.', '-' and '_' is percent-encoded.
func EscapeName(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E") // no node may have this name
	}
	return strings.NewReplacer("+", "%20", "~", "%7E").Replace(url.QueryEscape(name))
}

// UnescapeName reads what EscapeName wrote.
func UnescapeName(node string) (string, error) {
	return url.QueryUnescape(strings.ReplaceAll(node, "+", "%2B"))
}

// DeleteTopicPath is the marker by which a tool asks for a topic's deletion.
func DeleteTopicPath(topic string) string { return DeleteTopicsPath + "/" + topic }

const maxPathBytes = 1 << 15

// checkPath holds ZooKeeper's rules for a path: absolute, no empty, "." or ".." part, no
// trailing slash, no control characters.
func checkPath(path string) error {
	bad := func() error { return &PathError{Path: path, Err: ErrBadArguments} }
	if path == "/" {
		return nil
	}
	if len(path) < 2 || len(path) > maxPathBytes || path[0] != '/' || path[len(path)-1] == '/' {
		return bad()
	}
	for part := range strings.SplitSeq(path[1:], "/") {
		if part == "" || part == "." || part == ".." {
			return bad()
		}
	}
	for _, r := range path {
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0xd800 && r <= 0xf8ff || r >= 0xfff0 && r <= 0xffff {
			return bad()
		}
	}
	return nil
}

// split cuts a path into its parent and its name.
func split(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '/')
	if i == 0 {
		return "/", path[1:]
	}
	return path[:i], path[i+1:]
}

func join(parent, name string) string {
	if parent == "/" {
		return "/" + name
	}
	return parent + "/" + name
}

func itoa(n int32) string { return strconv.FormatInt(int64(n), 10) }

// parseID reads a non-negative decimal number as Kafka writes it: no sign, no leading zero.
func parseID(s string) (int32, bool) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 || itoa(int32(n)) != s {
		return 0, false
	}
	return int32(n), true
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
