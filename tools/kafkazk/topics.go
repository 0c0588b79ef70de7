package kafkazk

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/metadata"
)

// Names of exceptions of Kafka 1.0.
const (
	invalidTopic       = "org.apache.kafka.common.errors.InvalidTopicException"
	topicExists        = "org.apache.kafka.common.errors.TopicExistsException"
	invalidPartitions  = "org.apache.kafka.common.errors.InvalidPartitionsException"
	invalidFactor      = "org.apache.kafka.common.errors.InvalidReplicationFactorException"
	invalidAssignment  = "org.apache.kafka.common.errors.InvalidReplicaAssignmentException"
	invalidConfig      = "org.apache.kafka.common.errors.InvalidConfigurationException"
	adminOperation     = "kafka.admin.AdminOperationException"
	maxTopicNameLength = 249
)

// IsTopicExists tells whether CreateTopic found a topic of that name.
func IsTopicExists(err error) bool {
	var e *Exception
	return errors.As(err, &e) && e.Name == topicExists
}

// CreateTopic writes a topic's settings and then its assignment; the controller does the rest.
func (a *Admin) CreateTopic(ctx context.Context, topic string, assignment [][]int32, settings map[string]string) error {
	if err := a.validateTopic(ctx, topic, assignment); err != nil {
		return err
	}
	if err := validateConfig(settings); err != nil {
		return err
	}
	if err := a.put(ctx, metadata.TopicConfigPath(topic), metadata.EncodeConfig(settings)); err != nil {
		return err
	}
	return a.create(ctx, metadata.TopicPath(topic), encodeAssignment(assignment), 0)
}

func encodeAssignment(assignment [][]int32) []byte {
	partitions := make(map[string][]int32, len(assignment))
	for i, replicas := range assignment {
		partitions[strconv.Itoa(i)] = replicas
	}
	data, _ := json.Marshal(struct { // numbers and strings: it cannot fail
		Version    int                `json:"version"`
		Partitions map[string][]int32 `json:"partitions"`
	}{1, partitions})
	return data
}

func (a *Admin) validateTopic(ctx context.Context, topic string, assignment [][]int32) error {
	if err := validateName(topic); err != nil {
		return err
	}
	topics, err := a.Topics(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(topics, topic) {
		return refuse(topicExists, "Topic '%s' already exists.", topic)
	}
	if strings.ContainsAny(topic, "._") {
		var colliding []string
		for _, other := range topics {
			if strings.ReplaceAll(other, ".", "_") == strings.ReplaceAll(topic, ".", "_") {
				colliding = append(colliding, other)
			}
		}
		if len(colliding) > 0 {
			return refuse(invalidTopic, "Topic '%s' collides with existing topics: %s", topic, strings.Join(colliding, ", "))
		}
	}
	for _, replicas := range assignment {
		if len(replicas) != len(assignment[0]) {
			return refuse(invalidAssignment, "All partitions should have the same number of replicas")
		}
	}
	return nil
}

func validateName(topic string) error {
	switch {
	case topic == "":
		return refuse(invalidTopic, "Topic name is illegal, it can't be empty")
	case topic == "." || topic == "..":
		return refuse(invalidTopic, "Topic name cannot be \".\" or \"..\"")
	case len(topic) > maxTopicNameLength:
		return refuse(invalidTopic, "Topic name is illegal, it can't be longer than %d characters, topic name: %s", maxTopicNameLength, topic)
	}
	for _, c := range []byte(topic) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return refuse(invalidTopic, "Topic name \"%s\" is illegal, it contains a character other than ASCII alphanumerics, '.', '_' and '-'", topic)
		}
	}
	return nil
}

// validateConfig checks settings as a broker does.
func validateConfig(settings map[string]string) error {
	cfg, _, err := config.Load(config.Input{FS: osfs.FS{}})
	if err != nil {
		return err
	}
	if err := cfg.ValidateTopic(settings); err != nil {
		return refuse(invalidConfig, "%v", err)
	}
	return nil
}

// AddPartitions enlarges a topic: to count, or by the assignments given. It writes the topic's
// node as Kafka 1.0 does, which knows no ids of topics; the controller keeps the id.
func (a *Admin) AddPartitions(ctx context.Context, topic string, existing []Partition, count int, assignment [][]int32) error {
	if err := checkNumbers(existing); err != nil {
		return err
	}
	more := count - len(existing)
	if more <= 0 {
		return refuse(invalidPartitions, "The number of partitions for a topic can only be increased. Topic %s currently has %d partitions, %d would not be an increase.", topic, len(existing), count)
	}
	brokers, err := a.Brokers(ctx)
	if err != nil {
		return err
	}
	added := assignment
	if len(added) == 0 {
		first := slices.IndexFunc(brokers, func(b Broker) bool { return b.ID == existing[0].Replicas[0] })
		if added, err = Assign(brokers, more, len(existing[0].Replicas), max(first, 0), len(existing)); err != nil {
			return err
		}
	}
	all := make([][]int32, 0, count)
	for _, p := range existing {
		all = append(all, p.Replicas)
	}
	for _, replicas := range added {
		if len(replicas) != len(existing[0].Replicas) {
			return refuse(invalidAssignment, "Inconsistent replication factor between partitions, partition 0 has %d while partitions %d has replication factor %d",
				len(existing[0].Replicas), len(all), len(replicas))
		}
		for _, id := range replicas {
			if !slices.ContainsFunc(brokers, func(b Broker) bool { return b.ID == id }) {
				return refuse(invalidAssignment, "Unknown broker(s) in replica assignment: %d.", id)
			}
		}
		all = append(all, replicas)
	}
	return a.put(ctx, metadata.TopicPath(topic), encodeAssignment(all))
}

// checkNumbers: a topic that can be enlarged has partitions 0 to n-1, with replicas.
func checkNumbers(existing []Partition) error {
	for i, p := range existing {
		if int(p.ID) != i || len(p.Replicas) == 0 {
			return refuse(adminOperation, "Unexpected existing replica assignment: partition %d, replicas %v", p.ID, p.Replicas)
		}
	}
	return nil
}

// Assign spreads replicas over brokers as AdminUtils does: round robin from a broker, the
// followers of each round shifted by one more. first is the broker to begin with, -1 a random
// one; start the number of the first partition. Brokers of different racks take turns.
func Assign(brokers []Broker, partitions, factor, first, start int) ([][]int32, error) {
	switch {
	case partitions <= 0:
		return nil, refuse(invalidPartitions, "Number of partitions must be larger than 0.")
	case factor <= 0:
		return nil, refuse(invalidFactor, "Replication factor must be larger than 0.")
	case factor > len(brokers):
		return nil, refuse(invalidFactor, "Replication factor: %d larger than available brokers: %d.", factor, len(brokers))
	}
	ids := alternate(brokers)
	n := len(ids)
	begin, shift := first, first
	if first < 0 {
		begin, shift = rand.IntN(n), rand.IntN(n)
	}
	out := make([][]int32, 0, partitions)
	for i := range partitions {
		number := start + i
		if number > 0 && number%n == 0 {
			shift++
		}
		leader := (number + begin) % n
		replicas := []int32{ids[leader]}
		for j := range factor - 1 {
			replicas = append(replicas, ids[(leader+1+(shift+j)%(n-1))%n])
		}
		out = append(out, replicas)
	}
	return out, nil
}

// alternate orders the ids of brokers so that neighbours stand in different racks.
func alternate(brokers []Broker) []int32 {
	byRack := map[string][]int32{}
	var racks []string
	for _, b := range brokers {
		if byRack[b.Rack] == nil {
			racks = append(racks, b.Rack)
		}
		byRack[b.Rack] = append(byRack[b.Rack], b.ID)
	}
	slices.Sort(racks)
	out := make([]int32, 0, len(brokers))
	for round := 0; len(out) < len(brokers); round++ {
		for _, rack := range racks {
			if round < len(byRack[rack]) {
				out = append(out, byRack[rack][round])
			}
		}
	}
	return out
}

// CheckRacks refuses brokers of which only some say where they stand.
func CheckRacks(brokers []Broker) error {
	with := 0
	for _, b := range brokers {
		if b.Rack != "" {
			with++
		}
	}
	if with > 0 && with < len(brokers) {
		return refuse(adminOperation, "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica assignment without rack information.")
	}
	return nil
}
