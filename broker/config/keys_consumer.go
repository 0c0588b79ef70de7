package config

import (
	"fmt"
	"slices"
	"strings"
)

// consumerKeys are about groups of the new protocol (KIP-848).
func consumerKeys() []Key {
	return []Key{
		{Name: "group.coordinator.rebalance.protocols", Type: List, Default: "classic,consumer", Rule: Rule{Allowed: "a list of classic, consumer, with classic among them", ok: func(v string) bool {
			return eachOf("classic", "consumer", "share", "streams").ok(v) && slices.Contains(splitList(v), "classic")
		}}, Doc: "Group protocols that are served. Without consumer, clients of the new protocol (group.protocol=consumer) are refused with UNSUPPORTED_VERSION; share and streams are accepted and not served yet."},
		{Name: "group.consumer.session.timeout.ms", Type: Int, Default: "45000", Unit: "ms", Rule: atLeast(1), Doc: "How long a member of the new protocol may be silent before it is removed. Members do not choose it themselves."},
		{Name: "group.consumer.min.session.timeout.ms", Type: Int, Default: "45000", Unit: "ms", Rule: atLeast(1), Doc: "Shortest session timeout that a group of the new protocol may be given."},
		{Name: "group.consumer.max.session.timeout.ms", Type: Int, Default: "60000", Unit: "ms", Rule: atLeast(1), Doc: "Longest session timeout that a group of the new protocol may be given."},
		{Name: "group.consumer.heartbeat.interval.ms", Type: Int, Default: "5000", Unit: "ms", Rule: atLeast(1), Doc: "How often members of the new protocol are told to send heartbeats."},
		{Name: "group.consumer.min.heartbeat.interval.ms", Type: Int, Default: "5000", Unit: "ms", Rule: atLeast(1), Doc: "Shortest heartbeat interval that a group of the new protocol may be given."},
		{Name: "group.consumer.max.heartbeat.interval.ms", Type: Int, Default: "15000", Unit: "ms", Rule: atLeast(1), Doc: "Longest heartbeat interval that a group of the new protocol may be given."},
		{Name: "group.consumer.max.size", Type: Int, Default: maxInt, Rule: atLeast(1), Doc: "Most members of a group of the new protocol; further ones are refused."},
		{Name: "group.consumer.assignors", Type: List, Default: "uniform,range", Rule: eachOf("uniform", "range", uniformClass, rangeClass), Doc: "Assignors that members of the new protocol may ask for; the first is taken where none asks. uniform gives all members equally many partitions and moves as few as it can, range gives each a contiguous range of each topic."},
		{Name: "group.consumer.migration.policy", Type: String, Default: "bidirectional", Rule: Rule{Allowed: "disabled, upgrade, downgrade or bidirectional", ok: func(v string) bool {
			return oneOf("disabled", "upgrade", "downgrade", "bidirectional").ok(strings.ToLower(v))
		}}, Doc: "Whether a group of consumers may change its protocol while it has members: from classic to the new one when a member of the new protocol joins (upgrade), back when the last one leaves (downgrade), both or neither. Empty groups always may."},
		{Name: "group.consumer.regex.refresh.interval.ms", Type: Int, Default: "600000", Unit: "ms", Rule: atLeast(10_000), Doc: "How often the regular expressions of a group of the new protocol are matched again although there are no new topics: what a member may see changes too."},
	}
}

// Kafka's names of the assignors' classes, which its configuration takes too.
const (
	uniformClass = "org.apache.kafka.coordinator.group.assignor.UniformAssignor"
	rangeClass   = "org.apache.kafka.coordinator.group.assignor.RangeAssignor"
)

// ConsumerGroups is the typed values of these keys.
type ConsumerGroups struct {
	Served              bool
	SessionMs           int32
	HeartbeatMs         int32
	MinSessionMs        int32
	MaxSessionMs        int32
	MinHeartbeatMs      int32
	MaxHeartbeatMs      int32
	MaxSize             int
	Assignors           []string
	Migration           string // in lower case
	RegexRefreshEveryMs int32
}

func (c *Config) consumerGroups() ConsumerGroups {
	return ConsumerGroups{
		Served:    slices.Contains(c.list("group.coordinator.rebalance.protocols"), "consumer"),
		SessionMs: c.int32("group.consumer.session.timeout.ms"), MinSessionMs: c.int32("group.consumer.min.session.timeout.ms"), MaxSessionMs: c.int32("group.consumer.max.session.timeout.ms"),
		HeartbeatMs: c.int32("group.consumer.heartbeat.interval.ms"), MinHeartbeatMs: c.int32("group.consumer.min.heartbeat.interval.ms"), MaxHeartbeatMs: c.int32("group.consumer.max.heartbeat.interval.ms"),
		MaxSize: c.int("group.consumer.max.size"), Assignors: c.list("group.consumer.assignors"), Migration: strings.ToLower(c.text("group.consumer.migration.policy")),
		RegexRefreshEveryMs: c.int32("group.consumer.regex.refresh.interval.ms"),
	}
}

// consumerProblems checks what concerns several of these keys.
func (l *loader) consumerProblems(g *ConsumerGroups) {
	const session, heartbeat = "group.consumer.session.timeout.ms", "group.consumer.heartbeat.interval.ms"
	between := func(key string, value, least, most int32, leastKey, mostKey string) {
		switch {
		case most < least:
			l.problemAt(mostKey, "at least "+leastKey, fmt.Sprintf("%s is %d", leastKey, least))
		case value < least || value > most:
			l.problemAt(key, fmt.Sprintf("from %s to %s", leastKey, mostKey), fmt.Sprintf("they are %d and %d", least, most))
		}
	}
	between(session, g.SessionMs, g.MinSessionMs, g.MaxSessionMs, "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms")
	between(heartbeat, g.HeartbeatMs, g.MinHeartbeatMs, g.MaxHeartbeatMs, "group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms")
	if g.HeartbeatMs >= g.SessionMs {
		l.problemAt(heartbeat, "less than "+session, fmt.Sprintf("%s is %d", session, g.SessionMs))
	}
}
