package group

import (
	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/coordinator/group/consumer"
	"github.com/millrace/millrace/record/compress"
)

// OffsetsTopic is the topic that groups are kept in.
const OffsetsTopic = "__consumer_offsets"

// Config is the broker's settings for groups.
type Config struct {
	Classic classic.Config
	// Consumer is for groups of the new protocol; ConsumerOf returns that of a group with
	// settings of its own.
	Consumer   consumer.Config
	ConsumerOf func(settings map[string]string) *consumer.Config
	// CommitTimeoutMs bounds how long a write to the log may take (offsets.commit.timeout.ms).
	CommitTimeoutMs int32
	// MetadataMaxBytes is the longest text that a commit may carry (offset.metadata.max.bytes).
	MetadataMaxBytes int
	// RetentionMs is how long offsets of groups without members are kept
	// (offsets.retention.minutes), CheckMs how often that is looked at
	// (offsets.retention.check.interval.ms).
	RetentionMs int64
	CheckMs     int64
	// Codec compresses what is written (offsets.topic.compression.codec).
	Codec compress.Codec
}
