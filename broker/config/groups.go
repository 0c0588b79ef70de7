package config

// Groups is the typed values of the keys about consumer groups.
type Groups struct {
	TopicPartitions        int32
	TopicReplicationFactor int16
	TopicSegmentBytes      int32
	TopicCodec             int8 // as in a batch's attributes
	CommitTimeoutMs        int32
	RetentionMinutes       int64
	RetentionCheckMs       int64
	MetadataMaxBytes       int
	InitialDelayMs         int64
	MinSessionMs           int32
	MaxSessionMs           int32
	MaxSize                int
	Consumer               ConsumerGroups
}

func (c *Config) groups() Groups {
	return Groups{
		TopicPartitions: c.int32("offsets.topic.num.partitions"), TopicReplicationFactor: int16(c.int64("offsets.topic.replication.factor")),
		TopicSegmentBytes: c.int32("offsets.topic.segment.bytes"), TopicCodec: int8(c.int64("offsets.topic.compression.codec")),
		CommitTimeoutMs: c.int32("offsets.commit.timeout.ms"), RetentionMinutes: c.int64("offsets.retention.minutes"),
		RetentionCheckMs: c.int64("offsets.retention.check.interval.ms"), MetadataMaxBytes: c.int("offset.metadata.max.bytes"),
		InitialDelayMs: c.int64("group.initial.rebalance.delay.ms"), MinSessionMs: c.int32("group.min.session.timeout.ms"),
		MaxSessionMs: c.int32("group.max.session.timeout.ms"), MaxSize: c.int("group.max.size"),
		Consumer: c.consumerGroups(),
	}
}
