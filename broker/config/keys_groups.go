package config

// coordinatorKeys are about consumer groups.
func coordinatorKeys() []Key {
	return []Key{
		{Name: "offsets.topic.num.partitions", Type: Int, Default: "50", Rule: between(1, 10_000), Doc: "Partitions of __consumer_offsets, the topic that groups and committed offsets are kept in, when the first client that looks for a group makes it. It must not change afterwards."},
		{Name: "offsets.topic.replication.factor", Type: Short, Default: "3", Rule: atLeast(1), Doc: "Replicas of that topic. Where fewer brokers live, it gets as many as there are, and the log says so; Kafka does not make it then, and consumers wait for ever."},
		{Name: "offsets.topic.segment.bytes", Type: Int, Default: "104857600", Unit: "bytes", Rule: atLeast(1), Doc: "Segment size of that topic; small ones are compacted and loaded sooner. Less than 1 MiB counts as 1 MiB."},
		{Name: "offsets.topic.compression.codec", Type: Int, Default: "0", Rule: between(0, 4), Doc: "Compression of what the broker writes to that topic: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd."},
		{Name: "offsets.commit.timeout.ms", Type: Int, Default: "5000", Unit: "ms", Rule: atLeast(1), Doc: "How long a commit waits until all replicas in sync of that topic have it."},
		{Name: "offsets.retention.minutes", Type: Int, Default: "10080", Unit: "minutes", Rule: atLeast(1), Doc: "How long offsets are kept after their group lost its last member; after their commit, for a group that never had members and for topics that a group of consumers does not read any more."},
		{Name: "offsets.retention.check.interval.ms", Type: Long, Default: "600000", Unit: "ms", Rule: atLeast(1), Doc: "How often expired offsets are looked for."},
		{Name: "offset.metadata.max.bytes", Type: Int, Default: "4096", Unit: "bytes", Rule: atLeast(0), Doc: "Largest text that a client stores with an offset."},
		{Name: "group.initial.rebalance.delay.ms", Type: Int, Default: "3000", Unit: "ms", Rule: atLeast(0), Doc: "How long an empty group waits for more members when the first one joins; each that comes while a new group waits prolongs it, up to the rebalance timeout."},
		{Name: "group.min.session.timeout.ms", Type: Int, Default: "6000", Unit: "ms", Rule: atLeast(1), Doc: "Shortest session timeout of a member."},
		{Name: "group.max.session.timeout.ms", Type: Int, Default: "1800000", Unit: "ms", Rule: atLeast(1), Doc: "Longest session timeout of a member."},
		{Name: "group.max.size", Type: Int, Default: maxInt, Rule: atLeast(1), Doc: "Most members of a group; further ones are refused."},
	}
}
