package doctor

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

	"github.com/millrace/millrace/tools/cli"
)

// reachTime is how long a broker that should run may take to answer.
func (o *options) reachTime() time.Duration { return o.timeout / 10 }

// offsetsTopic is where Kafka keeps groups and committed offsets.
const offsetsTopic = "__consumer_offsets"

// gatherCluster asks the Kafka port.
func (o *options) gatherCluster(ctx context.Context, f *facts) {
	props, err := cli.LoadProps(o.commandConfig)
	var client *kgo.Client
	if err == nil {
		client, err = connect(o.bootstrap, props)
	}
	if err == nil {
		defer client.Close()
		err = cli.WaitForCluster(ctx, client, o.bootstrap, o.reachTime())
	}
	if err != nil {
		f.skipped["reach"] = err.Error()
		for _, check := range []string{"network", "topics", "internal", "lag"} {
			f.skipped[check] = "no broker answered"
		}
		return
	}
	meta, err := askSeed(ctx, client)
	if err != nil {
		f.skipped["reach"] = fmt.Sprintf("%s does not tell its metadata: %v", o.bootstrap, err)
		return
	}
	c := &clusterFacts{}
	if meta.ClusterID != nil {
		c.id = *meta.ClusterID
	}
	f.cluster = c
	for _, b := range meta.Brokers {
		c.brokers = append(c.brokers, o.dialBack(ctx, props, c.id, b))
	}
	slices.SortFunc(c.brokers, func(a, b brokerFacts) int { return int(a.id - b.id) })
	for _, t := range meta.Topics {
		if t.Topic != nil && t.ErrorCode == 0 {
			one := takeTopic(t)
			c.topics = append(c.topics, one)
			if one.name == offsetsTopic {
				c.offsets = &offsetsFacts{partitions: one.partitions, factor: one.factor, cleanup: "compact"}
			}
		}
	}
	if slices.ContainsFunc(c.brokers, func(b brokerFacts) bool { return b.err != "" || b.wrongNode != "" }) {
		// Every further request would go to an address that leads nowhere.
		f.skipped["config"], f.skipped["lag"] = "not all brokers can be reached", "not all brokers can be reached"
		return
	}
	admin := kadm.NewClient(client)
	if c.offsets != nil {
		gatherCleanup(ctx, admin, c.offsets)
	}
	if len(c.brokers) == 1 {
		gatherLiveConfig(ctx, admin, c.brokers[0].id, f)
	}
	gatherGroups(ctx, client, admin, f)
}

// askSeed asks for the metadata at the address that was named, not at one that a broker
// advertises: that one is in question.
func askSeed(ctx context.Context, client *kgo.Client) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	resp, err := req.RequestWith(ctx, client.SeedBrokers()[0])
	if err != nil {
		return nil, err
	}
	return resp, kerr.ErrorForCode(resp.ErrorCode)
}

func takeTopic(t kmsg.MetadataResponseTopic) topicFacts {
	one := topicFacts{name: *t.Topic, partitions: len(t.Partitions)}
	for _, p := range t.Partitions {
		one.factor = max(one.factor, len(p.Replicas))
		switch {
		case p.Leader < 0:
			one.leaderless = append(one.leaderless, p.Partition)
		case len(p.ISR) < len(p.Replicas):
			one.under = append(one.under, p.Partition)
		}
	}
	slices.Sort(one.leaderless)
	slices.Sort(one.under)
	return one
}

// connect returns a client that says nothing itself: what fails becomes a finding.
func connect(at string, props cli.Props) (*kgo.Client, error) {
	opts, err := cli.ClientOptions(at, "millrace-doctor", props, io.Discard)
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(opts...)
}

// dialBack connects to the address that a broker gives to clients, and asks who is there.
func (o *options) dialBack(ctx context.Context, props cli.Props, cluster string, b kmsg.MetadataResponseBroker) brokerFacts {
	out := brokerFacts{id: b.NodeID, address: net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), loopback: isLoopback(b.Host)}
	ctx, cancel := context.WithTimeout(ctx, o.reachTime())
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", out.address)
	if err != nil {
		out.err = err.Error()
		return out
	}
	conn.Close()
	client, err := connect(out.address, props)
	if err != nil {
		out.err = err.Error()
		return out
	}
	defer client.Close()
	resp, err := askSeed(ctx, client)
	if err != nil {
		out.err = err.Error()
		return out
	}
	if resp.ClusterID != nil && *resp.ClusterID != cluster {
		out.wrongNode = "cluster " + *resp.ClusterID + ", not " + cluster
	}
	return out
}

// gatherCleanup fills in how __consumer_offsets is cleaned.
func gatherCleanup(ctx context.Context, admin *kadm.Client, o *offsetsFacts) {
	described, err := admin.DescribeTopicConfigs(ctx, offsetsTopic)
	if err != nil {
		return
	}
	for _, res := range described {
		for _, c := range res.Configs {
			if c.Key == "cleanup.policy" && c.Value != nil {
				o.cleanup = *c.Value
			}
		}
	}
}

// gatherLiveConfig takes the settings that the broker says it runs with: they win over
// those of a file.
func gatherLiveConfig(ctx context.Context, admin *kadm.Client, broker int32, f *facts) {
	described, err := admin.DescribeBrokerConfigs(ctx, broker)
	if err != nil || len(described) != 1 || described[0].Err != nil {
		if f.config == nil {
			f.skipped["config"] = "the broker does not tell its settings; name its server.properties"
		}
		return
	}
	if f.config == nil {
		f.config = &configFacts{}
	}
	c := f.config
	c.values, c.isSet, c.set = map[string]string{}, map[string]bool{}, 0
	c.from = "as the broker runs"
	for _, e := range described[0].Configs {
		if e.Value != nil {
			c.values[e.Key] = *e.Value
		}
		if e.Source != kmsg.ConfigSourceDefaultConfig {
			c.set++
			c.isSet[e.Key] = true
		}
	}
}

// gatherGroups asks for the lag of every group.
func gatherGroups(ctx context.Context, client *kgo.Client, admin *kadm.Client, f *facts) {
	if !cli.Serves(ctx, client, kmsg.ListGroups, 0) || !cli.Serves(ctx, client, kmsg.DescribeGroups, 0) {
		f.skipped["lag"] = "the broker serves no groups"
		return
	}
	listed, err := admin.ListGroups(ctx)
	if err != nil {
		f.skipped["lag"] = "groups cannot be listed: " + err.Error()
		return
	}
	f.askedGroups = true
	names := listed.Groups()
	if len(names) == 0 {
		return
	}
	lags, err := admin.Lag(ctx, names...)
	if err != nil && len(lags) == 0 {
		f.askedGroups = false
		f.skipped["lag"] = "the lag of groups cannot be told: " + err.Error()
		return
	}
	for _, l := range lags.Sorted() {
		g := groupFacts{name: l.Group, state: l.State, seconds: -1}
		if err := l.Error(); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			g.err = err.Error()
		}
		for _, p := range l.Lag.Sorted() {
			at := cli.Partition{Topic: p.Topic, Index: p.Partition}.String()
			if p.Lag > 0 {
				g.lag += p.Lag
			}
			if p.Lag > g.worstLag {
				g.worst, g.worstLag = at, p.Lag
			}
			if p.Commit.At >= 0 && p.Start.Err == nil && p.Commit.At < p.Start.Offset {
				g.lost = append(g.lost, at)
			}
		}
		f.groups = append(f.groups, g)
	}
	slices.SortStableFunc(f.groups, func(a, b groupFacts) int { return strings.Compare(a.name, b.name) })
}
