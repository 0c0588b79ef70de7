package kafkazk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
)

// Timeout is how long the tools of Kafka 1.0 wait for ZooKeeper, and their session's timeout.
const Timeout = 30 * time.Second

// Admin is a session at the ensemble of a cluster.
type Admin struct {
	Connect string
	c       *client.Client
}

// Exception is a refusal, with the name of the exception that Kafka's tool throws for it.
type Exception struct{ Name, Message string }

func (e *Exception) Error() string { return e.Message }

// ExceptionName is what stderr calls it.
func (e *Exception) ExceptionName() string { return e.Name }

func refuse(name, format string, args ...any) error {
	return &Exception{Name: name, Message: fmt.Sprintf(format, args...)}
}

// Dial connects to "host:port,host:port/chroot" and checks that the chroot is there.
func Dial(ctx context.Context, connect string) (*Admin, error) {
	var d net.Dialer
	c, err := client.New(client.Config{
		Servers: connect, SessionTimeout: Timeout, Clock: clock.Real{}, Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		Dial: func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) },
	})
	if err != nil {
		return nil, err
	}
	a := &Admin{Connect: connect, c: c}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	if err := c.WaitConnected(ctx); err != nil {
		a.Close()
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, refuse("org.I0Itec.zkclient.exception.ZkTimeoutException", "Unable to connect to zookeeper server within timeout: %d", Timeout.Milliseconds())
		}
		return nil, err
	}
	there, _, err := c.Exists(ctx, "/")
	if err == nil && !there {
		err = refuse("org.apache.kafka.common.config.ConfigException", "Zookeeper namespace does not exist")
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Close ends the session.
func (a *Admin) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = a.c.Close(ctx) // it ends by itself, too
}

// children lists a node's children, none when there is no such node.
func (a *Admin) children(ctx context.Context, path string) ([]string, error) {
	names, _, err := a.c.Children(ctx, path)
	if errors.Is(err, jute.NoNode) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}

func (a *Admin) get(ctx context.Context, path string) (data []byte, there bool, err error) {
	data, _, err = a.c.Get(ctx, path)
	if errors.Is(err, jute.NoNode) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// create makes a persistent node, and its parents where they are missing.
func (a *Admin) create(ctx context.Context, path string, data []byte, mode jute.CreateMode) error {
	_, err := a.c.Create(ctx, path, data, nil, mode)
	if !errors.Is(err, jute.NoNode) {
		return err
	}
	parent := path[:strings.LastIndexByte(path, '/')]
	if parent == "" {
		return err
	}
	if err := a.create(ctx, parent, nil, jute.Persistent); err != nil && !errors.Is(err, jute.NodeExists) {
		return err
	}
	_, err = a.c.Create(ctx, path, data, nil, mode)
	return err
}

// put writes a node, whether it is there or not.
func (a *Admin) put(ctx context.Context, path string, data []byte) error {
	_, err := a.c.Set(ctx, path, data, -1)
	if !errors.Is(err, jute.NoNode) {
		return err
	}
	if err = a.create(ctx, path, data, jute.Persistent); errors.Is(err, jute.NodeExists) {
		_, err = a.c.Set(ctx, path, data, -1)
	}
	return err
}

// Topics lists all topics, sorted.
func (a *Admin) Topics(ctx context.Context) ([]string, error) {
	return a.children(ctx, metadata.TopicsPath)
}

// Marked tells whether a topic is marked for deletion.
func (a *Admin) Marked(ctx context.Context, topic string) (bool, error) {
	there, _, err := a.c.Exists(ctx, metadata.DeleteTopicPath(topic))
	return there, err
}

// MarkForDeletion asks the controller to delete a topic. It returns false when the topic is
// marked already.
func (a *Admin) MarkForDeletion(ctx context.Context, topic string) (bool, error) {
	err := a.create(ctx, metadata.DeleteTopicPath(topic), nil, jute.Persistent)
	if errors.Is(err, jute.NodeExists) {
		return false, nil
	}
	return err == nil, err
}

// Partition is one partition as the nodes say.
type Partition struct {
	ID       int32
	Replicas []int32
	Leader   *int32 // nil while there is no state
	ISR      []int32
}

// Partitions reads a topic's assignment, sorted by number; there is false when there is no
// such topic.
func (a *Admin) Partitions(ctx context.Context, topic string) (list []Partition, there bool, err error) {
	data, there, err := a.get(ctx, metadata.TopicPath(topic))
	if err != nil || !there {
		return nil, there, err
	}
	var j struct {
		Partitions map[string][]int32 `json:"partitions"`
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, true, refuse("kafka.common.KafkaException", "Can't parse json string: %s", data)
	}
	for id, replicas := range j.Partitions {
		n, err := strconv.ParseInt(id, 10, 32)
		if err != nil {
			return nil, true, refuse("java.lang.NumberFormatException", "For input string: %q", id)
		}
		list = append(list, Partition{ID: int32(n), Replicas: replicas})
	}
	slices.SortFunc(list, func(x, y Partition) int { return cmp.Compare(x.ID, y.ID) })
	return list, true, nil
}

// ReadState fills in leader and in-sync replicas of a topic's partition.
func (a *Admin) ReadState(ctx context.Context, topic string, p *Partition) error {
	data, there, err := a.get(ctx, metadata.PartitionStatePath(topic, p.ID))
	if err != nil || !there {
		return err
	}
	state, err := metadata.DecodeStateNode(data)
	if err != nil {
		return refuse("kafka.common.KafkaException", "Can't parse json string: %s", data)
	}
	p.Leader, p.ISR = &state.Leader, state.ISR
	return nil
}

// Broker is a registered broker.
type Broker struct {
	ID   int32
	Rack string
}

// Brokers lists the registered brokers, sorted by id.
func (a *Admin) Brokers(ctx context.Context) ([]Broker, error) {
	names, err := a.children(ctx, metadata.BrokerIDsPath)
	if err != nil {
		return nil, err
	}
	var out []Broker
	for _, name := range names {
		id, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			continue
		}
		data, there, err := a.get(ctx, metadata.BrokerPath(int32(id)))
		if err != nil {
			return nil, err
		}
		if !there {
			continue // it went meanwhile
		}
		var j struct {
			Rack string `json:"rack"`
		}
		if err := json.Unmarshal(data, &j); err != nil {
			return nil, refuse("kafka.common.KafkaException", "Failed to parse the broker info from zookeeper: %s", data)
		}
		out = append(out, Broker{ID: int32(id), Rack: j.Rack})
	}
	slices.SortFunc(out, func(x, y Broker) int { return cmp.Compare(x.ID, y.ID) })
	return out, nil
}

// TopicConfig reads a topic's settings.
func (a *Admin) TopicConfig(ctx context.Context, topic string) (map[string]string, error) {
	data, there, err := a.get(ctx, metadata.TopicConfigPath(topic))
	if err != nil || !there || len(data) == 0 {
		return map[string]string{}, err
	}
	var j struct {
		Version int               `json:"version"`
		Config  map[string]string `json:"config"`
	}
	if json.Unmarshal(data, &j) != nil || j.Version != 1 || j.Config == nil {
		return nil, refuse("java.lang.IllegalArgumentException", "requirement failed: Unexpected value in config: %s, entity_config_path: topics/%s", data, topic)
	}
	return j.Config, nil
}

// ConfiguredTopics lists the topics that have a node for their settings, sorted.
func (a *Admin) ConfiguredTopics(ctx context.Context) ([]string, error) {
	return a.children(ctx, metadata.TopicConfigsPath)
}

// ChangeTopicConfig replaces a topic's settings, and notes it for the brokers.
func (a *Admin) ChangeTopicConfig(ctx context.Context, topic string, config map[string]string) error {
	there, _, err := a.c.Exists(ctx, metadata.TopicPath(topic))
	if err != nil {
		return err
	}
	if !there {
		return refuse("kafka.admin.AdminOperationException", "Topic \"%s\" does not exist.", topic)
	}
	if err := validateConfig(config); err != nil {
		return err
	}
	path := metadata.TopicConfigPath(topic)
	if err := a.put(ctx, path, metadata.EncodeConfig(config)); err != nil {
		return err
	}
	return a.create(ctx, metadata.ConfigChangesPath+"/config_change_", metadata.EncodeConfigChange(path), jute.PersistentSequential)
}
