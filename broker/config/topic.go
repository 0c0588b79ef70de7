package config

import (
	"maps"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/properties"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// Topic is the typed values of one topic: its own settings, where it has any, over the
// broker's.
type Topic struct {
	Log               engine.Config
	MinInSyncReplicas int32
}

// Topic returns the values of a topic with these settings of its own. A setting that
// ValidateTopic refuses counts as not made: the tree may hold what another broker wrote.
func (c *Config) Topic(settings map[string]string) Topic {
	return c.view(c.acceptable(settings))
}

// acceptable keeps the settings that topics have, with values that they take.
func (c *Config) acceptable(settings map[string]string) map[string]string {
	var out map[string]string
	for name, value := range settings {
		k, ok := c.catalogue.byTopic[name]
		if !ok {
			continue
		}
		v, err := k.NormalizeTopic(value)
		if err != nil {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = v
	}
	return out
}

// view reads the typed values of accepted settings.
func (c *Config) view(settings map[string]string) Topic {
	text := func(name string) string { v, _ := c.topicValue(name, settings); return v }
	number := func(name string) int64 { return asInt(text(name)) }
	policy := splitList(text("cleanup.policy"))
	has := func(want string) bool {
		for _, p := range policy {
			if p == want {
				return true
			}
		}
		return false
	}
	codec, level := codecOf(text("compression.type"), number)
	timestamps := record.CreateTime
	if text("message.timestamp.type") == "LogAppendTime" {
		timestamps = record.LogAppendTime
	}
	return Topic{
		MinInSyncReplicas: int32(number("min.insync.replicas")),
		Log: engine.Config{
			SegmentBytes: number("segment.bytes"), SegmentMs: number("segment.ms"), SegmentJitterMs: number("segment.jitter.ms"),
			IndexIntervalBytes: int(number("index.interval.bytes")), IndexMaxBytes: int(number("segment.index.bytes")),
			RetentionMs: number("retention.ms"), RetentionBytes: number("retention.bytes"),
			CleanupDelete: has("delete"), CleanupCompact: has("compact"),
			MinCleanableRatio: asFloat(text("min.cleanable.dirty.ratio")), DeleteRetentionMs: number("delete.retention.ms"),
			MinCompactionLagMs: number("min.compaction.lag.ms"), MaxCompactionLagMs: number("max.compaction.lag.ms"),
			FlushMessages: number("flush.messages"), FlushMs: number("flush.ms"), MaxMessageBytes: int(number("max.message.bytes")),
			Compression: codec, CompressionLevel: level,
			TimestampType:        timestamps,
			TimestampBeforeMaxMs: number("message.timestamp.before.max.ms"), TimestampAfterMaxMs: number("message.timestamp.after.max.ms"),
			FileDeleteDelayMs: number("file.delete.delay.ms"), Preallocate: text("preallocate") == "true",
		},
	}
}

// codecOf reads compression.type and the level of that codec; -1, gzip's own name for its
// default, is engine's 0.
func codecOf(name string, number func(string) int64) (compress.Codec, int) {
	if name == "producer" {
		return engine.CompressionProducer, 0
	}
	codec, err := compress.Parse(name)
	if err != nil || codec == compress.None || codec == compress.Snappy {
		return codec, 0
	}
	level := int(number("compression." + name + ".level"))
	if codec == compress.Gzip && level == -1 {
		level = 0
	}
	return codec, level
}

// topicValue returns a topic's value and whether it is the topic's own.
func (c *Config) topicValue(name string, settings map[string]string) (value string, own bool) {
	if v, ok := settings[name]; ok {
		return v, true
	}
	k := c.catalogue.byTopic[name]
	if k.TopicOnly {
		return k.Default, false
	}
	v, _ := c.lookup(k.Name)
	return v, false
}

// ValidateTopic checks the settings of a topic that is to be created or changed. Unlike at
// the start an unknown name is an error, as in Kafka. All complaints come at once.
func (c *Config) ValidateTopic(settings map[string]string) error {
	l := &loader{c: c}
	place := Place{Source: "topic"}
	for _, name := range sorted(settings) {
		k, ok := c.catalogue.byTopic[name]
		if !ok {
			l.problem(place, name, settings[name], "", unknown(properties.Suggest(name, sorted(c.catalogue.byTopic))))
			l.problems[len(l.problems)-1].unknownName = true
			continue
		}
		if _, err := k.NormalizeTopic(settings[name]); err != nil {
			l.problem(place, name, settings[name], k.allowed(k.topicRule()), "")
		}
	}
	if len(l.problems) == 0 {
		l.acrossTopic(maps.Clone(settings))
	}
	if len(l.problems) > 0 {
		return TopicProblems(l.problems)
	}
	return nil
}

// acrossTopic checks what concerns several settings of a topic.
func (l *loader) acrossTopic(settings map[string]string) {
	accepted := l.c.acceptable(settings)
	low, _ := l.c.topicValue("min.compaction.lag.ms", accepted)
	high, _ := l.c.topicValue("max.compaction.lag.ms", accepted)
	if asInt(low) > asInt(high) {
		l.problem(Place{Source: "topic"}, "min.compaction.lag.ms", low, "at most max.compaction.lag.ms", "max.compaction.lag.ms is "+high)
	}
}

// TopicProblems is everything that is wrong with a topic's settings.
type TopicProblems []Problem

func (p TopicProblems) Error() string {
	s := ""
	for i, problem := range p {
		if i > 0 {
			s += "; "
		}
		s += problem.forClients()
	}
	return s
}

// forClients is the problem without the place.
func (p Problem) forClients() string {
	if p.unknownName {
		return "Unknown topic config name: " + p.Key + ": " + p.Reason
	}
	s := "Invalid value " + p.Value + " for configuration " + p.Key
	if p.Reason != "" {
		s += ": " + p.Reason
	}
	if p.Allowed != "" {
		s += ": allowed is " + p.Allowed
	}
	return s
}
