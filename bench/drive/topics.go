package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/raw"
	"github.com/millrace/millrace/tools/cli"
)

// Bounds of what is asked of the cluster beside the load.
const (
	topicTimeout  = 2 * time.Minute       // ten thousand partitions take a while
	topicPause    = 20 * time.Millisecond // between two looks at the metadata
	deleteTimeout = 30 * time.Second      // cleaning up after an interrupt
)

// cluster is what a run asks of the target beside its load.
type cluster struct {
	spec   *Spec
	client *kgo.Client
	admin  *kadm.Client
	made   []string // topics that this run created
}

func openCluster(ctx context.Context, s *Spec) (*cluster, error) {
	opts, err := cli.ClientOptions(s.Bootstrap, "millrace-bench", s.Props, io.Discard)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	if err := cli.WaitForCluster(ctx, client, s.Bootstrap, cli.DefaultTimeout); err != nil {
		client.Close()
		return nil, err
	}
	admin := kadm.NewClient(client)
	admin.SetTimeoutMillis(int32(topicTimeout.Milliseconds()))
	return &cluster{spec: s, client: client, admin: admin}, nil
}

func (c *cluster) close() { c.client.Close() }

// server is what the brokers say of themselves: the versions that they serve. Software and
// release are not in the protocol, and guesses from versions are wrong for all but Kafka.
func (c *cluster) server(ctx context.Context) string {
	brokers, err := c.admin.ApiVersions(ctx)
	if err != nil {
		return ""
	}
	for _, b := range brokers.Sorted() {
		var words []string
		for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch} {
			if highest, ok := b.KeyMaxVersion(key.Int16()); ok && b.Err == nil {
				words = append(words, fmt.Sprintf("%s v%d", key.Name(), highest))
			}
		}
		if len(words) > 0 {
			return "serves " + strings.Join(words, ", ")
		}
	}
	return ""
}

// prepare makes the topics as the Spec wants them and returns all their partitions that the
// run uses, once each has a leader.
func (c *cluster) prepare(ctx context.Context) ([]raw.Partition, error) {
	ctx, cancel := context.WithTimeout(ctx, topicTimeout)
	defer cancel()
	names := c.spec.Names()
	if c.spec.Recreate {
		if err := c.remove(ctx, names); err != nil {
			return nil, err
		}
	}
	if c.spec.Create || c.spec.Recreate {
		if err := c.create(ctx, names); err != nil {
			return nil, err
		}
	}
	return c.partitions(ctx, names)
}

// create makes the topics that are absent.
func (c *cluster) create(ctx context.Context, names []string) error {
	config := map[string]*string{}
	for k, v := range c.spec.TopicConfig {
		config[k] = kadm.StringPtr(v)
	}
	replication := c.spec.Replication
	if replication == 0 {
		replication = -1
	}
	for len(names) > 0 {
		made, err := c.admin.CreateTopics(ctx, int32(max(c.spec.Partitions, 1)), replication, config, names...)
		if err != nil {
			return fmt.Errorf("create topics: %w", err)
		}
		var again []string
		for _, name := range names {
			t := made[name]
			switch {
			case t.Err == nil:
				c.made = append(c.made, name)
			case errors.Is(t.Err, kerr.InvalidReplicationFactor) && replication == -1: // Kafka before 2.4
				again = append(again, name)
			case errors.Is(t.Err, kerr.TopicAlreadyExists) && c.spec.Recreate: // its deletion goes on
				again = append(again, name)
				if err := pause(ctx); err != nil {
					return &TopicError{Topic: name, Err: t.Err}
				}
			case errors.Is(t.Err, kerr.TopicAlreadyExists):
			default:
				return &TopicError{Topic: name, Err: cli.NewBrokerError(codeOf(t.Err), &t.ErrMessage)}
			}
		}
		if len(again) > 0 && replication == -1 && !errors.Is(made[again[0]].Err, kerr.TopicAlreadyExists) {
			replication = 1
		}
		names = again
	}
	return nil
}

// remove deletes topics and waits until they are gone.
func (c *cluster) remove(ctx context.Context, names []string) error {
	gone, err := c.admin.DeleteTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	for name, t := range gone {
		if t.Err != nil && !errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			return &TopicError{Topic: name, Err: t.Err}
		}
	}
	for {
		list, err := c.admin.ListTopics(ctx)
		if err != nil {
			return fmt.Errorf("wait until topics are deleted: %w", err)
		}
		if !slices.ContainsFunc(names, list.Has) {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait until topics %s are deleted: %w", strings.Join(names, ", "), err)
		}
	}
}

// partitions waits until every partition of the topics has a leader.
func (c *cluster) partitions(ctx context.Context, names []string) ([]raw.Partition, error) {
	for {
		parts, missing, err := c.look(ctx, names)
		if err != nil || missing == nil {
			return parts, err
		}
		if err := pause(ctx); err != nil {
			return nil, missing
		}
	}
}

// look reads the metadata once; missing is what has to be waited for.
func (c *cluster) look(ctx context.Context, names []string) (parts []raw.Partition, missing, err error) {
	meta, err := c.admin.Metadata(ctx, names...)
	if err != nil {
		return nil, nil, fmt.Errorf("read metadata: %w", err)
	}
	address := map[int32]string{}
	for _, b := range meta.Brokers {
		address[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	for _, name := range names {
		topic := meta.Topics[name]
		absent := topic.Err != nil || len(topic.Partitions) == 0
		if absent && !slices.Contains(c.made, name) {
			if topic.Err == nil {
				topic.Err = kerr.UnknownTopicOrPartition
			}
			return nil, nil, &TopicError{Topic: name, Err: topic.Err}
		}
		if absent {
			return nil, &TopicError{Topic: name, Err: topic.Err}, nil
		}
		sorted := topic.Partitions.Sorted()
		if n := c.spec.Partitions; n > 0 {
			if n > len(sorted) {
				return nil, nil, &PartitionsError{Topic: name, Has: len(sorted), Want: n}
			}
			sorted = sorted[:n]
		}
		for _, p := range sorted {
			if p.Leader < 0 || address[p.Leader] == "" {
				return nil, &TopicError{Topic: name, Err: kerr.LeaderNotAvailable}, nil
			}
			parts = append(parts, raw.Partition{Topic: name, Index: p.Partition, LeaderID: p.Leader, Address: address[p.Leader]})
		}
	}
	return parts, nil, nil
}

// bounds reads where the partitions begin and end.
func (c *cluster) bounds(ctx context.Context, parts []raw.Partition) (map[string]map[int32]*position, error) {
	starts, err := c.admin.ListStartOffsets(ctx, c.spec.Names()...)
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	ends, err := c.admin.ListEndOffsets(ctx, c.spec.Names()...)
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	out := map[string]map[int32]*position{}
	for _, p := range parts {
		start, _ := starts.Lookup(p.Topic, p.Index)
		end, ok := ends.Lookup(p.Topic, p.Index)
		if err := errors.Join(start.Err, end.Err); err != nil || !ok {
			return nil, &TopicError{Topic: p.Topic, Err: err}
		}
		if out[p.Topic] == nil {
			out[p.Topic] = map[int32]*position{}
		}
		out[p.Topic][p.Index] = &position{start: start.Offset, end: end.Offset}
	}
	return out, nil
}

// cleanUp deletes what the run made, when the Spec says so, also after an interrupt.
func (c *cluster) cleanUp(ctx context.Context) error {
	if !c.spec.Delete {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	return c.remove(ctx, c.spec.Names())
}

// pause waits a moment; the error is ctx's.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(topicPause):
		return nil
	}
}

// codeOf is the number of a protocol error, or that of an unknown one.
func codeOf(err error) int16 {
	var k *kerr.Error
	if errors.As(err, &k) {
		return k.Code
	}
	return kerr.UnknownServerError.Code
}

// TopicError is a topic that cannot be used.
type TopicError struct {
	Topic string
	Err   error
}

func (e *TopicError) Error() string {
	if errors.Is(e.Err, kerr.UnknownTopicOrPartition) {
		return fmt.Sprintf("topic %s does not exist: create it (kafka-topics.sh --create --topic %s), or let the bench make it", e.Topic, e.Topic)
	}
	return fmt.Sprintf("topic %s: %s", e.Topic, cli.ErrorText(e.Err))
}

// Unwrap gives the broker's error.
func (e *TopicError) Unwrap() error { return e.Err }

// PartitionsError is a topic that exists with too few partitions.
type PartitionsError struct {
	Topic     string
	Has, Want int
}

func (e *PartitionsError) Error() string {
	return fmt.Sprintf("topic %s has %d partitions, the run wants %d: use another topic, fewer partitions, or let the bench create it anew", e.Topic, e.Has, e.Want)
}
