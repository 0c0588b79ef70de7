package config

import (
	"regexp"
	"strings"
)

// This file is the settings of what is neither broker nor topic: groups and subscriptions to
// the metrics of clients.

// groupNames are the settings that a group has, with the broker's key for all groups
// (org.apache.kafka.coordinator.group.GroupConfig).
var groupNames = map[string]string{
	"consumer.session.timeout.ms":    "group.consumer.session.timeout.ms",
	"consumer.heartbeat.interval.ms": "group.consumer.heartbeat.interval.ms",
}

// Bounds of a group's settings where the broker has no keys for them: Kafka's defaults.
const (
	minGroupSessionMs, maxGroupSessionMs     = 45_000, 60_000
	minGroupHeartbeatMs, maxGroupHeartbeatMs = 5_000, 15_000
)

// Group is the typed values of one group.
type Group struct {
	SessionTimeoutMs    int32
	HeartbeatIntervalMs int32
}

// Group returns the values of a group with these settings of its own, over the broker's.
func (c *Config) Group(settings map[string]string) Group {
	return Group{
		SessionTimeoutMs:    int32(asInt(c.groupValue("consumer.session.timeout.ms", settings))),
		HeartbeatIntervalMs: int32(asInt(c.groupValue("consumer.heartbeat.interval.ms", settings))),
	}
}

func (c *Config) groupValue(name string, settings map[string]string) string {
	k := c.catalogue.byName[groupNames[name]]
	if v, ok := settings[name]; ok {
		if v, err := k.normalize(v, c.groupRule(name)); err == nil {
			return v
		}
	}
	return c.text(k.Name)
}

// groupRule is the range that the broker allows a group.
func (c *Config) groupRule(name string) Rule {
	bound := func(key string, otherwise int64) int64 {
		if _, ok := c.catalogue.byName[key]; ok {
			return c.int64(key)
		}
		return otherwise
	}
	if name == "consumer.session.timeout.ms" {
		return between(bound("group.consumer.min.session.timeout.ms", minGroupSessionMs), bound("group.consumer.max.session.timeout.ms", maxGroupSessionMs))
	}
	return between(bound("group.consumer.min.heartbeat.interval.ms", minGroupHeartbeatMs), bound("group.consumer.max.heartbeat.interval.ms", maxGroupHeartbeatMs))
}

func (c *Config) groupSchema(s *schema) {
	s.noun = "group"
	s.key = func(name string) (*Key, Rule, bool) {
		k, ok := c.catalogue.byName[groupNames[name]]
		if !ok {
			return nil, Rule{}, false
		}
		return k, c.groupRule(name), true
	}
	s.names = func() []string { return sorted(groupNames) }
	s.effective = func(name string) string { return c.groupValue(name, nil) }
	s.across = func(settings map[string]string) error {
		if g := c.Group(settings); g.SessionTimeoutMs <= g.HeartbeatIntervalMs {
			return badConfig("consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms: they are %d and %d", g.SessionTimeoutMs, g.HeartbeatIntervalMs)
		}
		return nil
	}
}

// DescribeGroup returns a group's rows by name.
func (c *Config) DescribeGroup(settings map[string]string) []Row {
	var rows []Row
	for _, name := range sorted(groupNames) {
		k := c.catalogue.byName[groupNames[name]]
		value := c.groupValue(name, settings)
		row := Row{Name: name, Value: &value, Type: k.Type, Source: SourceDefault, Doc: k.document()}
		if _, own := settings[name]; own {
			row.Synonyms = append(row.Synonyms, Synonym{Name: name, Value: &value, Source: SourceGroup})
		}
		row.Synonyms = append(row.Synonyms, c.synonyms(k)...)
		row.Source = row.Synonyms[0].Source
		rows = append(rows, row)
	}
	return rows
}

// The settings of a subscription to the metrics of clients (KIP-714,
// org.apache.kafka.server.metrics.ClientMetricsConfigs).
const (
	MetricsIntervalMs = "interval.ms"
	MetricsNames      = "metrics"
	MetricsMatch      = "match"
)

// clientMetricsKeys are the settings of a subscription.
func clientMetricsKeys() []Key {
	return []Key{
		{Name: MetricsIntervalMs, Type: Int, Default: "300000", Unit: "ms", Rule: between(100, 3_600_000), Dynamic: ClusterWide, Doc: "How often a client that matches pushes its metrics."},
		{Name: MetricsMatch, Type: List, Default: "", Dynamic: ClusterWide, Rule: Rule{Allowed: "selector=regular expression, separated by commas; selectors: " + strings.Join(matchSelectors, ", "), ok: func(v string) bool {
			_, err := ParseMatch(v)
			return err == nil
		}}, Doc: "Which clients: all whose properties match every selector's regular expression. Empty: all."},
		{Name: MetricsNames, Type: List, Default: "", Dynamic: ClusterWide, Doc: "Prefixes of the names of metrics that are pushed. Empty: none. *: all."},
	}
}

// matchSelectors are the properties of a client that a subscription can look at.
var matchSelectors = []string{"client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port"}

// ParseMatch reads the match setting of a subscription: a regular expression, which must
// match all of the property, for each selector.
func ParseMatch(value string) (map[string]*regexp.Regexp, error) {
	out := map[string]*regexp.Regexp{}
	for _, item := range splitList(value) {
		name, pattern, ok := strings.Cut(item, "=")
		name, pattern = strings.TrimSpace(name), strings.TrimSpace(pattern)
		if !ok || !isSelector(name) {
			return nil, badConfig("Illegal client matching pattern: %s", item)
		}
		re, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			return nil, badConfig("Illegal client matching pattern: %s: %v", item, err)
		}
		out[name] = re
	}
	return out, nil
}

func isSelector(name string) bool {
	for _, s := range matchSelectors {
		if s == name {
			return true
		}
	}
	return false
}

func (c *Config) metricsSchema(s *schema) {
	s.noun = "client metrics"
	s.key = func(name string) (*Key, Rule, bool) {
		k, ok := c.catalogue.byMetrics[name]
		if !ok {
			return nil, Rule{}, false
		}
		return k, k.Rule, true
	}
	s.names = func() []string { return sorted(c.catalogue.byMetrics) }
	s.effective = func(name string) string { return c.catalogue.byMetrics[name].Default }
}

// ClientMetrics is the typed values of a subscription to the metrics of clients.
type ClientMetrics struct {
	IntervalMs int32
	Metrics    []string // prefixes of names; "*": all
	Match      map[string]*regexp.Regexp
}

// ClientMetrics reads a subscription; what its keys do not take counts as not set.
func (c *Config) ClientMetrics(settings map[string]string) ClientMetrics {
	match, _ := ParseMatch(c.metricsValue(MetricsMatch, settings)) // it was checked, or is empty
	return ClientMetrics{
		IntervalMs: int32(asInt(c.metricsValue(MetricsIntervalMs, settings))),
		Metrics:    splitList(c.metricsValue(MetricsNames, settings)), Match: match,
	}
}

func (c *Config) metricsValue(name string, settings map[string]string) string {
	k := c.catalogue.byMetrics[name]
	if v, err := k.Normalize(settings[name]); err == nil && settings[name] != "" {
		return v
	}
	return k.Default
}

// DescribeClientMetrics returns a subscription's rows by name; none when there is no such
// subscription.
func (c *Config) DescribeClientMetrics(settings map[string]string) []Row {
	if len(settings) == 0 {
		return nil
	}
	var rows []Row
	for _, name := range sorted(c.catalogue.byMetrics) {
		k := c.catalogue.byMetrics[name]
		value := c.metricsValue(name, settings)
		row := Row{Name: name, Value: &value, Type: k.Type, Source: SourceDefault, Doc: k.Doc}
		if _, own := settings[name]; own {
			row.Synonyms = append(row.Synonyms, Synonym{Name: name, Value: &value, Source: SourceClientMetrics})
		}
		row.Synonyms = append(row.Synonyms, Synonym{Name: name, Value: &k.Default, Source: SourceDefault})
		row.Source = row.Synonyms[0].Source
		rows = append(rows, row)
	}
	return rows
}
