package metadata

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// MaxPartitions bounds a topic's partition count when a node is read: a lying index must
// not cost memory.
const MaxPartitions = 1 << 20

// IDString is Kafka's text form of a 128-bit id: 22 characters of URL-safe base64.
func IDString(id TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseID reads Kafka's text form of a 128-bit id.
func ParseID(s string) (TopicID, error) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil || len(raw) != 16 {
		return TopicID{}, fmt.Errorf("%q is not a 128-bit id in URL-safe base64", s)
	}
	return TopicID(raw), nil
}

// TopicNode is the content of /brokers/topics/T.
type TopicNode struct {
	ID         TopicID   // zero in nodes that old tools wrote
	Partitions [][]int32 // replicas by partition index
}

type topicJSON struct {
	Version          int                `json:"version"`
	TopicID          string             `json:"topic_id,omitempty"`
	Partitions       map[string][]int32 `json:"partitions"`
	AddingReplicas   map[string][]int32 `json:"adding_replicas"`
	RemovingReplicas map[string][]int32 `json:"removing_replicas"`
}

// Encode writes version 3 of the JSON (KIP-516).
func (n TopicNode) Encode() []byte {
	j := topicJSON{
		Version: 3, TopicID: IDString(n.ID), Partitions: make(map[string][]int32, len(n.Partitions)),
		AddingReplicas: map[string][]int32{}, RemovingReplicas: map[string][]int32{},
	}
	if n.ID == (TopicID{}) {
		j.TopicID = ""
	}
	for i, replicas := range n.Partitions {
		j.Partitions[itoa(int32(i))] = replicas
	}
	return mustJSON(j)
}

// DecodeTopicNode reads versions 1 to 3.
func DecodeTopicNode(data []byte) (TopicNode, error) {
	var j topicJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return TopicNode{}, fmt.Errorf("topic node: %w", err)
	}
	if j.Version < 1 || j.Version > 3 {
		return TopicNode{}, fmt.Errorf("topic node: version %d is not 1 to 3", j.Version)
	}
	var n TopicNode
	if j.TopicID != "" {
		id, err := ParseID(j.TopicID)
		if err != nil {
			return TopicNode{}, fmt.Errorf("topic node: %w", err)
		}
		n.ID = id
	}
	n.Partitions = make([][]int32, len(j.Partitions))
	for key, replicas := range j.Partitions {
		i, ok := parseID(key)
		if !ok || int(i) >= len(n.Partitions) || i >= MaxPartitions {
			return TopicNode{}, fmt.Errorf("topic node: partition %q of %d", key, len(j.Partitions))
		}
		if len(replicas) == 0 {
			return TopicNode{}, fmt.Errorf("topic node: partition %s has no replicas", key)
		}
		n.Partitions[i] = replicas
	}
	return n, nil
}

// StateNode is the content of a partition's state node.
type StateNode struct {
	Leader          int32
	LeaderEpoch     int32
	ControllerEpoch int32
	ISR             []int32
	Recovering      bool // leader_recovery_state 1: elected uncleanly, not yet recovered
}

type stateJSON struct {
	ControllerEpoch *int32  `json:"controller_epoch"`
	Leader          *int32  `json:"leader"`
	Version         int     `json:"version"`
	LeaderEpoch     *int32  `json:"leader_epoch"`
	ISR             []int32 `json:"isr"`
	Recovery        int     `json:"leader_recovery_state,omitempty"`
}

// Encode writes Kafka's JSON.
func (n StateNode) Encode() []byte {
	j := stateJSON{ControllerEpoch: &n.ControllerEpoch, Leader: &n.Leader, Version: 1, LeaderEpoch: &n.LeaderEpoch, ISR: n.ISR}
	if n.ISR == nil {
		j.ISR = []int32{}
	}
	if n.Recovering {
		j.Recovery = 1
	}
	return mustJSON(j)
}

// DecodeStateNode reads Kafka's JSON.
func DecodeStateNode(data []byte) (StateNode, error) {
	var j stateJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return StateNode{}, fmt.Errorf("state node: %w", err)
	}
	if j.Leader == nil || j.LeaderEpoch == nil || j.ControllerEpoch == nil || j.ISR == nil {
		return StateNode{}, errors.New("state node: leader, leader_epoch, controller_epoch and isr are required")
	}
	return StateNode{
		Leader: *j.Leader, LeaderEpoch: *j.LeaderEpoch, ControllerEpoch: *j.ControllerEpoch,
		ISR: j.ISR, Recovering: j.Recovery == 1,
	}, nil
}

type configJSON struct {
	Version int               `json:"version"`
	Config  map[string]string `json:"config"`
}

// EncodeConfig writes the content of a /config node.
func EncodeConfig(config map[string]string) []byte {
	if config == nil {
		config = map[string]string{}
	}
	return mustJSON(configJSON{Version: 1, Config: config})
}

// DecodeConfig reads the content of a /config node; an empty node has no settings.
func DecodeConfig(data []byte) (map[string]string, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var j configJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, fmt.Errorf("config node: %w", err)
	}
	return j.Config, nil
}

// EncodeConfigChange writes the content of a node under /config/changes: the tools and
// brokers of Kafka look there for what to read anew. path is that of the config node.
func EncodeConfigChange(path string) []byte {
	return mustJSON(struct {
		Version int    `json:"version"`
		Path    string `json:"entity_path"`
	}{2, strings.TrimPrefix(path, "/config/")})
}

type featuresJSON struct {
	Features map[string]int16 `json:"features"`
	Status   int              `json:"status"`
	Version  int              `json:"version"`
}

// EncodeFeatures writes version 2 of /feature (KIP-584), status 1: enabled.
func EncodeFeatures(levels map[string]int16) []byte {
	if levels == nil {
		levels = map[string]int16{}
	}
	return mustJSON(featuresJSON{Features: levels, Status: 1, Version: 2})
}

// DecodeFeatures reads the content of /feature.
func DecodeFeatures(data []byte) (map[string]int16, error) {
	var j featuresJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, fmt.Errorf("feature node: %w", err)
	}
	if j.Version != 2 {
		return nil, fmt.Errorf("feature node: version %d is not 2", j.Version)
	}
	return j.Features, nil
}

type brokerJSON struct {
	Features    map[string]any    `json:"features"`
	ProtocolMap map[string]string `json:"listener_security_protocol_map"`
	Endpoints   []string          `json:"endpoints"`
	JMXPort     int32             `json:"jmx_port"`
	Port        int32             `json:"port"`
	Host        *string           `json:"host"`
	Version     int               `json:"version"`
	Timestamp   string            `json:"timestamp"`
	Rack        string            `json:"rack,omitempty"`
}

// EncodeBroker writes version 5 of a registration. Host and port are those of the
// plaintext endpoint, for the clients of Kafka 0.8 that know no endpoints; null and -1
// without one.
func EncodeBroker(b Broker, nowMs int64) []byte {
	j := brokerJSON{
		Features: map[string]any{}, ProtocolMap: map[string]string{}, Endpoints: []string{},
		JMXPort: -1, Port: -1, Version: 5, Timestamp: strconv.FormatInt(nowMs, 10), Rack: b.Rack,
	}
	for _, e := range b.Endpoints {
		j.ProtocolMap[e.Listener] = e.Protocol
		j.Endpoints = append(j.Endpoints, e.Listener+"://"+net.JoinHostPort(e.Host, itoa(e.Port)))
		if e.Protocol == "PLAINTEXT" && j.Host == nil {
			j.Host, j.Port = &e.Host, e.Port
		}
	}
	return mustJSON(j)
}

// DecodeBroker reads a registration of version 2 or later; the caller sets ID and Epoch.
func DecodeBroker(data []byte) (Broker, error) {
	var j struct {
		ProtocolMap map[string]string `json:"listener_security_protocol_map"`
		Endpoints   []string          `json:"endpoints"`
		Version     int               `json:"version"`
		Rack        string            `json:"rack"`
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return Broker{}, fmt.Errorf("broker node: %w", err)
	}
	if j.Version < 2 || j.Version > 5 {
		return Broker{}, fmt.Errorf("broker node: version %d is not 2 to 5", j.Version)
	}
	b := Broker{Rack: j.Rack}
	for _, s := range j.Endpoints {
		listener, address, ok := strings.Cut(s, "://")
		host, port, err := net.SplitHostPort(address)
		number, err2 := strconv.ParseUint(port, 10, 16)
		if !ok || err != nil || err2 != nil {
			return Broker{}, fmt.Errorf("broker node: endpoint %q", s)
		}
		protocol := j.ProtocolMap[listener]
		if protocol == "" {
			protocol = listener
		}
		b.Endpoints = append(b.Endpoints, Endpoint{Listener: listener, Protocol: protocol, Host: host, Port: int32(number)})
	}
	return b, nil
}

// EncodeController writes the content of /controller.
func EncodeController(brokerID int32, nowMs int64) []byte {
	return mustJSON(struct {
		Version    int    `json:"version"`
		BrokerID   int32  `json:"brokerid"`
		Timestamp  string `json:"timestamp"`
		KRaftEpoch int    `json:"kraftControllerEpoch"`
	}{2, brokerID, strconv.FormatInt(nowMs, 10), -1})
}

// DecodeController reads the content of /controller.
func DecodeController(data []byte) (Controller, error) {
	var j struct {
		BrokerID *int32 `json:"brokerid"`
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return Controller{}, fmt.Errorf("controller node: %w", err)
	}
	if j.BrokerID == nil {
		return Controller{}, errors.New("controller node: brokerid is missing")
	}
	return Controller{BrokerID: *j.BrokerID}, nil
}

// EncodeClusterID writes the content of /cluster/id.
func EncodeClusterID(id string) []byte {
	return mustJSON(struct {
		Version string `json:"version"`
		ID      string `json:"id"`
	}{"1", id})
}

// DecodeClusterID reads the content of /cluster/id.
func DecodeClusterID(data []byte) (string, error) {
	var j struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return "", fmt.Errorf("cluster id node: %w", err)
	}
	if j.ID == "" {
		return "", errors.New("cluster id node: id is missing")
	}
	return j.ID, nil
}

// ProducerIDBlock is a range of producer ids that one broker hands out, both ends in it.
type ProducerIDBlock struct {
	BrokerID    int32
	First, Last int64
}

// Encode writes Kafka's JSON.
func (b ProducerIDBlock) Encode() []byte {
	return mustJSON(struct {
		Version int    `json:"version"`
		Broker  int32  `json:"broker"`
		Start   string `json:"block_start"`
		End     string `json:"block_end"`
	}{1, b.BrokerID, strconv.FormatInt(b.First, 10), strconv.FormatInt(b.Last, 10)})
}

// DecodeProducerIDBlock reads Kafka's JSON.
func DecodeProducerIDBlock(data []byte) (ProducerIDBlock, error) {
	var j struct {
		Broker int32  `json:"broker"`
		Start  string `json:"block_start"`
		End    string `json:"block_end"`
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return ProducerIDBlock{}, fmt.Errorf("producer id block: %w", err)
	}
	first, err := strconv.ParseInt(j.Start, 10, 64)
	last, err2 := strconv.ParseInt(j.End, 10, 64)
	if err = errors.Join(err, err2); err != nil {
		return ProducerIDBlock{}, fmt.Errorf("producer id block: %w", err)
	}
	if first < 0 || last < first {
		return ProducerIDBlock{}, fmt.Errorf("producer id block: %d to %d", first, last)
	}
	return ProducerIDBlock{BrokerID: j.Broker, First: first, Last: last}, nil
}

// mustJSON encodes values whose types cannot fail to encode. HTML characters stay as they
// are, as Kafka's encoder leaves them.
func mustJSON(v any) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // unreachable: strings, numbers and maps of them
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}
