package config

import (
	"math"
	"strconv"
)

const maxLong = math.MaxInt64

func long(n int64) string { return strconv.FormatInt(n, 10) }

// logKeys are the keys of the log and of its directories; most have a name for topics.
func logKeys() []Key {
	const hour = 3_600_000
	return []Key{
		{Name: "log.dirs", Type: String, Null: true, Rule: notEmpty(), Fallbacks: []Fallback{{Name: "log.dir"}},
			Doc: "Folders that hold the logs, separated by commas. One that fails takes only its own partitions offline."},
		{Name: "log.dir", Type: String, Default: "/tmp/kafka-logs", Rule: notEmpty(), Doc: "Folder that holds the logs when log.dirs is not set."},
		{Name: "log.segment.bytes", Type: Int, Default: "1073741824", Unit: "bytes", Rule: atLeast(14), Dynamic: ClusterWide, Topic: "segment.bytes",
			Doc: "A segment file is closed and a new one begun before it would grow past this size."},
		{Name: "log.roll.ms", Type: Long, Null: true, Unit: "ms", Rule: atLeast(1), Dynamic: ClusterWide, Topic: "segment.ms",
			Fallbacks: []Fallback{{"log.roll.hours", hour}}, Doc: "A segment is closed this long after its first record even if it is not full."},
		{Name: "log.roll.hours", Type: Int, Default: "168", Unit: "hours", Rule: atLeast(1), Doc: "As log.roll.ms, in hours."},
		{Name: "log.roll.jitter.ms", Type: Long, Null: true, Unit: "ms", Rule: atLeast(0), Dynamic: ClusterWide, Topic: "segment.jitter.ms",
			Fallbacks: []Fallback{{"log.roll.jitter.hours", hour}}, Doc: "At most this much is taken off the age at which a segment is closed, so that not all close at once."},
		{Name: "log.roll.jitter.hours", Type: Int, Default: "0", Unit: "hours", Rule: atLeast(0), Doc: "As log.roll.jitter.ms, in hours."},
		{Name: "log.retention.ms", Type: Long, Null: true, Unit: "ms", Rule: foreverOr(1), TopicRule: atLeast(-1), Dynamic: ClusterWide, Topic: "retention.ms",
			Fallbacks: []Fallback{{"log.retention.minutes", 60_000}, {"log.retention.hours", hour}},
			Doc:       "A closed segment whose newest record is older than this is deleted."},
		{Name: "log.retention.minutes", Type: Int, Null: true, Unit: "minutes", Rule: foreverOr(1), Doc: "A closed segment whose newest record is older than this is deleted. Where records claim a time in the future, the time of the segment's last write counts instead."},
		{Name: "log.retention.hours", Type: Int, Default: "168", Unit: "hours", Rule: foreverOr(1), Doc: "As log.retention.ms, in hours."},
		{Name: "log.retention.bytes", Type: Long, Default: "-1", Unit: "bytes", Dynamic: ClusterWide, Topic: "retention.bytes",
			Doc: "The oldest closed segments of a partition are deleted while the others hold at least this much. -1: no limit."},
		{Name: "log.retention.check.interval.ms", Type: Long, Default: "300000", Unit: "ms", Rule: atLeast(1), Doc: "How often retention is enforced."},
		{Name: "log.cleanup.policy", Type: List, Default: "delete", Rule: eachOf("compact", "delete"), Dynamic: ClusterWide, Topic: "cleanup.policy",
			Doc: "What happens to old records: delete removes whole segments by age and size, compact keeps the newest record of each key (records then need one), compact,delete does both."},
		{Name: "log.segment.delete.delay.ms", Type: Long, Default: "60000", Unit: "ms", Rule: atLeast(0), Dynamic: ClusterWide, Topic: "file.delete.delay.ms",
			Doc: "How long the files of a deleted segment stay, renamed, before they are removed."},
		{Name: "log.index.interval.bytes", Type: Int, Default: "4096", Unit: "bytes", Rule: atLeast(0), Dynamic: ClusterWide, Topic: "index.interval.bytes",
			Doc: "An index gets an entry each time this much was appended."},
		{Name: "log.index.size.max.bytes", Type: Int, Default: "10485760", Unit: "bytes", Rule: atLeast(4), Dynamic: ClusterWide, Topic: "segment.index.bytes",
			Doc: "Largest size of a segment's index; a full index closes its segment."},
		{Name: "log.preallocate", Type: Boolean, Default: "false", Dynamic: ClusterWide, Topic: "preallocate",
			Doc: "Take the whole space of a segment when it is begun."},
		{Name: "log.flush.interval.messages", Type: Long, Default: long(maxLong), Unit: "messages", Rule: atLeast(1), Dynamic: ClusterWide, Topic: "flush.messages",
			Doc: "After this many messages a log is flushed to the disk, and the append that reached it is acknowledged after the flush. 1: no record is acknowledged, or shown to a consumer, before it is durable."},
		{Name: "log.flush.interval.ms", Type: Long, Null: true, Unit: "ms", Rule: atLeast(0), Dynamic: ClusterWide, Topic: "flush.ms",
			Fallbacks: []Fallback{{"log.flush.scheduler.interval.ms", 1}}, Doc: "A log is flushed to the disk this long after a message that was not flushed yet. Unlike in Kafka it acts by itself, without log.flush.scheduler.interval.ms."},
		{Name: "log.flush.scheduler.interval.ms", Type: Long, Default: long(maxLong), Unit: "ms", Rule: atLeast(1), Doc: "Flush times by log.flush.interval.ms and flush.ms are rounded up to a multiple of this, so that logs share a wake-up; by default they are kept exactly. It is also the value of log.flush.interval.ms when that is not set."},
		{Name: "log.flush.offset.checkpoint.interval.ms", Type: Int, Default: "60000", Unit: "ms", Rule: atLeast(0), Doc: "How often the recovery points are written: they bound what a start after a crash reads."},
		{Name: "log.flush.start.offset.checkpoint.interval.ms", Type: Int, Default: "60000", Unit: "ms", Rule: atLeast(0), Doc: "How often the log start offsets are written."},
		{Name: "num.recovery.threads.per.data.dir", Type: Int, Default: "2", Rule: atLeast(1), Dynamic: ClusterWide, Doc: "How many logs of a folder are recovered at once at the start."},
		{Name: "message.max.bytes", Type: Int, Default: "1048588", Unit: "bytes", Rule: atLeast(0), Dynamic: ClusterWide, Topic: "max.message.bytes",
			Doc: "Largest batch, as it is stored: after compression."},
		{Name: "compression.type", Type: String, Default: "producer", Rule: oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), Dynamic: ClusterWide, Topic: "compression.type",
			Doc: "Codec of stored batches. producer keeps what the producer sent."},
		{Name: "compression.gzip.level", Type: Int, Default: "-1", Rule: minusOneOr(1, 9), Dynamic: ClusterWide, Topic: "compression.gzip.level", Doc: "Level of gzip when compression.type is gzip."},
		{Name: "compression.lz4.level", Type: Int, Default: "9", Rule: between(1, 17), Dynamic: ClusterWide, Topic: "compression.lz4.level", Doc: "Level of lz4 when compression.type is lz4."},
		{Name: "compression.zstd.level", Type: Int, Default: "3", Rule: between(-131072, 22), Dynamic: ClusterWide, Topic: "compression.zstd.level", Doc: "Level of zstd when compression.type is zstd."},
		{Name: "log.message.timestamp.type", Type: String, Default: "CreateTime", Rule: oneOf("CreateTime", "LogAppendTime"), Dynamic: ClusterWide, Topic: "message.timestamp.type",
			Doc: "Whether a record keeps the time that its producer gave it, or gets that of its append."},
		{Name: "log.message.timestamp.before.max.ms", Type: Long, Default: long(maxLong), Unit: "ms", Rule: atLeast(0), Dynamic: ClusterWide, Topic: "message.timestamp.before.max.ms",
			Doc: "A record that is older than this when it is appended is refused (CreateTime only)."},
		{Name: "log.message.timestamp.after.max.ms", Type: Long, Default: "3600000", Unit: "ms", Rule: atLeast(0), Dynamic: ClusterWide, Topic: "message.timestamp.after.max.ms",
			Doc: "A record whose time lies further than this in the future is refused (CreateTime only)."},
		{Name: "log.message.timestamp.difference.max.ms", Type: Long, Default: long(maxLong), Unit: "ms", Rule: atLeast(0), Dynamic: ClusterWide,
			NoEffect: "Kafka 4.0 removed it: use log.message.timestamp.before.max.ms and .after.max.ms", Doc: "Largest difference between a record's time and the broker's."},
		{Name: "log.message.format.version", Type: String, Default: "3.0-IV1", Dynamic: ReadOnly, NoEffect: "batches are always stored in format 2", Doc: "Format of stored records."},
		{Name: "log.message.downconversion.enable", Type: Boolean, Default: "true", Dynamic: ClusterWide, NoEffect: "formats 0 and 1 are not served", Doc: "Whether records are converted for old consumers."},
		{Name: "log.dir.failure.timeout.ms", Type: Long, Default: "30000", Unit: "ms", Rule: atLeast(1), NoEffect: noPeers, Doc: "How long the broker waits for the controller to learn of a failed folder."},
		{Name: "producer.id.expiration.ms", Type: Int, Default: "86400000", Unit: "ms", Rule: atLeast(1), Dynamic: ClusterWide, Doc: "A partition forgets an idempotent producer that was silent for this long."},
		{Name: "producer.id.expiration.check.interval.ms", Type: Int, Default: "600000", Unit: "ms", Rule: atLeast(1), Doc: "How often silent producers are looked for."},
	}
}

// cleanerKeys are those of log compaction.
func cleanerKeys() []Key {
	return []Key{
		{Name: "log.cleaner.enable", Type: Boolean, Default: "true", Doc: "Whether compacted topics are cleaned. false: they keep everything, the broker's own too."},
		{Name: "log.cleaner.threads", Type: Int, Default: "1", Rule: atLeast(0), Dynamic: ClusterWide, Doc: "How many logs are cleaned at once. 0: none."},
		{Name: "log.cleaner.min.cleanable.ratio", Type: Double, Default: "0.5", Rule: ratio(), Dynamic: ClusterWide, Topic: "min.cleanable.dirty.ratio", Doc: "A log is cleaned when more than this part of its closed segments was not cleaned yet."},
		{Name: "log.cleaner.delete.retention.ms", Type: Long, Default: "86400000", Unit: "ms", Rule: atLeast(0), Dynamic: ClusterWide, Topic: "delete.retention.ms", Doc: "How long tombstones and markers of transactions stay after the first cleaning that met them: the time in which a consumer that reads from the start must get to the end."},
		{Name: "log.cleaner.min.compaction.lag.ms", Type: Long, Default: "0", Unit: "ms", Rule: atLeast(0), Dynamic: ClusterWide, Topic: "min.compaction.lag.ms", Doc: "Segments with records that are younger than this are not compacted."},
		{Name: "log.cleaner.max.compaction.lag.ms", Type: Long, Default: long(maxLong), Unit: "ms", Rule: atLeast(1), Dynamic: ClusterWide, Topic: "max.compaction.lag.ms", Doc: "A log is cleaned when a record has waited for it this long, whatever part of the log that is; active segments are closed in time."},
		{Name: "log.cleaner.dedupe.buffer.size", Type: Long, Default: "134217728", Unit: "bytes", Rule: atLeast(1), Dynamic: ClusterWide, Doc: "Memory for keys, of all cleaner threads; 24 bytes a key. What does not go in is left to the next cleaning. It is taken while a log is cleaned, and no more of it than the log's records can need."},
		{Name: "log.cleaner.io.buffer.size", Type: Int, Default: "524288", Unit: "bytes", Rule: atLeast(0), Dynamic: ClusterWide, Doc: "Memory for reading and writing, of all cleaner threads. A batch that is larger takes what it needs."},
		{Name: "log.cleaner.io.buffer.load.factor", Type: Double, Default: "0.9", Dynamic: ClusterWide, Doc: "How full the table of keys may get, from 0 to 1. More keys are compacted at once when it is high, and each is found a little slower."},
		{Name: "log.cleaner.io.max.bytes.per.second", Type: Double, Default: "1.7976931348623157E308", Unit: "bytes/s", Dynamic: ClusterWide, Doc: "Limit on what all cleaner threads read and write in a second."},
		{Name: "log.cleaner.backoff.ms", Type: Long, Default: "15000", Unit: "ms", Rule: atLeast(0), Dynamic: ClusterWide, Doc: "Pause of a cleaner thread that found nothing to clean."},
	}
}
