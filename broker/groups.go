package broker

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/coordinator/group"
	"github.com/millrace/millrace/coordinator/group/assignor"
	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/coordinator/group/consumer"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record/compress"
)

// GroupConfig gives the group coordinator its part of the settings in force.
func GroupConfig(current func() *config.Config) func() *group.Config {
	type made struct {
		from *config.Config
		to   group.Config
	}
	var last atomic.Pointer[made]
	return func() *group.Config {
		c := current()
		if m := last.Load(); m != nil && m.from == c {
			return &m.to
		}
		g := &c.Broker.Groups
		m := &made{from: c, to: group.Config{
			Classic:         classic.Config{MinSessionMs: g.MinSessionMs, MaxSessionMs: g.MaxSessionMs, InitialDelayMs: g.InitialDelayMs, MaxSize: g.MaxSize},
			CommitTimeoutMs: g.CommitTimeoutMs, MetadataMaxBytes: g.MetadataMaxBytes,
			RetentionMs: g.RetentionMinutes * 60_000, CheckMs: g.RetentionCheckMs, Codec: compress.Codec(g.TopicCodec),
			Consumer: consumerConfig(&g.Consumer),
			ConsumerOf: func(settings map[string]string) *consumer.Config {
				own, of := consumerConfig(&g.Consumer), c.Group(settings)
				own.SessionTimeout, own.HeartbeatInterval = millis(of.SessionTimeoutMs), millis(of.HeartbeatIntervalMs)
				return &own
			},
		}}
		last.Store(m)
		return &m.to
	}
}

// consumerConfig is the settings of groups of the new protocol.
func consumerConfig(g *config.ConsumerGroups) consumer.Config {
	c := consumer.Config{
		SessionTimeout: millis(g.SessionMs), HeartbeatInterval: millis(g.HeartbeatMs), MaxSize: g.MaxSize,
		RegexRefreshInterval: millis(g.RegexRefreshEveryMs),
	}
	for _, name := range g.Assignors {
		c.Assignors = append(c.Assignors, assignor.ByName(name))
	}
	switch g.Migration {
	case "upgrade":
		c.Migration = consumer.MigrationUpgrade
	case "downgrade":
		c.Migration = consumer.MigrationDowngrade
	case "bidirectional":
		c.Migration = consumer.MigrationBidirectional
	}
	return c
}

func millis(n int32) time.Duration { return time.Duration(n) * time.Millisecond }

// groupAllowed asks the Authorizer about a group.
func (r *request) groupAllowed(op Operation, name string) bool {
	return r.b.auth.Allowed(r.caller, op, ResourceGroup, name)
}

// refused counts a code that a group answered with.
func (r *request) refused(code protocol.ErrorCode) {
	if code != protocol.CodeNone {
		r.b.metrics.refused(r.h.Key, code)
	}
}

// clientHost is the client's address as Kafka shows it, Java's InetAddress.toString.
func (r *request) clientHost() string { return "/" + r.caller.Address.Addr().String() }

// minSegmentBytes is the least that topics take as segment.bytes.
const minSegmentBytes = 1 << 20

// offsetsTopic returns __consumer_offsets, which it makes when nobody has yet. It gets as many
// replicas as brokers live: a group that can be lost with its broker serves better than none.
func (b *Broker) offsetsTopic() (*metadata.Topic, error) {
	if t, ok := b.loader.Image().Topic(group.OffsetsTopic); ok {
		return t, nil
	}
	g := &b.config().Broker.Groups
	live := len(b.loader.Image().Brokers())
	factor := min(g.TopicReplicationFactor, int16(max(live, 1)))
	settings := map[string]string{
		"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": itoa(max(g.TopicSegmentBytes, minSegmentBytes)),
	}
	if b.config().Topic(nil).MinInSyncReplicas > int32(factor) {
		settings["min.insync.replicas"] = itoa(int32(factor)) // or no commit would ever be taken
	}
	made, zxid := b.controller.CreateTopics(b.ctx, []controller.NewTopic{{
		Name: group.OffsetsTopic, NumPartitions: g.TopicPartitions, ReplicationFactor: factor, Config: settings,
	}}, false)
	if err := made[0].Err; err != nil {
		if kind, ok := controller.KindOf(err); !ok || kind != controller.TopicExists {
			return nil, err
		}
		zxid = b.loader.Image().Zxid() // another request made it a moment ago
	} else if factor < g.TopicReplicationFactor {
		b.log.Warn("the internal topic has fewer replicas than configured, because fewer brokers live; add replicas when there are more",
			"topic", group.OffsetsTopic, "replicas", factor, "offsets.topic.replication.factor", g.TopicReplicationFactor, "brokers", live)
	}
	if err := b.settled(zxid); err != nil {
		return nil, err
	}
	if err := b.groups.WaitFollowed(b.ctx, zxid); err != nil {
		return nil, err
	}
	t, ok := b.loader.Image().Topic(group.OffsetsTopic)
	if !ok {
		return nil, fmt.Errorf("%s was deleted at the moment it was made", group.OffsetsTopic)
	}
	return t, nil
}
