package perf

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/raw"
	"github.com/millrace/millrace/tools/cli"
)

// rawTopics is the way to a cluster over bare connections: it makes topics that do not exist
// yet, where the cluster does that on its own, and finds the leaders of their partitions.
func rawTopics(ctx context.Context, stderr io.Writer, props cli.Props, bootstrap, clientID string, create bool, topics []string) (*raw.Target, []raw.Partition, error) {
	if protocol := strings.ToUpper(props.Or("security.protocol", "PLAINTEXT")); protocol != "PLAINTEXT" {
		return nil, nil, cli.Usagef("--client raw speaks PLAINTEXT only, not security.protocol=%s: use --client %s", protocol, clientFranz)
	}
	if err := touchTopics(ctx, stderr, props, bootstrap, clientID, create, topics); err != nil {
		return nil, nil, err
	}
	target, err := raw.Dial(ctx, bootstrap, raw.Options{ClientID: clientID})
	if err != nil {
		return nil, nil, err
	}
	var all []raw.Partition
	for _, topic := range topics {
		waiting, cancel := context.WithTimeout(ctx, cli.DefaultTimeout)
		found, err := target.Partitions(waiting, topic, 0)
		cancel()
		if err != nil {
			target.Close()
			return nil, nil, fmt.Errorf("topic %s: %w", topic, err)
		}
		all = append(all, found...)
	}
	return target, all, nil
}

// touchTopics waits for the cluster and asks it for topics, so that it makes them when it is
// set to (auto.create.topics.enable).
func touchTopics(ctx context.Context, stderr io.Writer, props cli.Props, bootstrap, clientID string, create bool, topics []string) error {
	opts, err := cli.ClientOptions(bootstrap, clientID, props, stderr)
	if err != nil {
		return err
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := cli.WaitForCluster(ctx, c, bootstrap, cli.DefaultTimeout); err != nil {
		return err
	}
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = create
	for _, topic := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, c)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := cli.NewBrokerError(t.ErrorCode, nil); err != nil && !(create && retriable(err)) {
			return fmt.Errorf("topic %s: %s", *t.Topic, cli.ErrorText(err))
		}
	}
	return nil
}

// lines collects the points of a raw run into the windows of Kafka's tool.
type lines struct {
	every   time.Duration
	print   func(w rawWindow)
	current rawWindow
}

// rawWindow is what came in since the last line.
type rawWindow struct {
	seconds, records, bytes float64
	latencySum, maxMs       float64 // ms
	warmup                  bool
}

// interval of the points that lines wants.
func (l *lines) interval() time.Duration { return min(time.Second, l.every) }

func (l *lines) add(records, bytes, seconds, meanMs, maxMs float64, warmup bool) {
	w := &l.current
	if w.warmup && !warmup {
		*w = rawWindow{} // the steady phase has lines of its own
	}
	w.warmup = warmup
	w.seconds += seconds
	w.records += records
	w.bytes += bytes
	w.latencySum += meanMs * records
	w.maxMs = max(w.maxMs, maxMs)
	if w.seconds >= l.every.Seconds()-1e-3 {
		l.print(*w)
		*w = rawWindow{}
	}
}
