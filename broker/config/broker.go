package config

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/millrace/millrace/engine"
)

// Broker is the typed values of the keys that act on the broker itself. Negative sizes and
// times mean what the key's documentation says.
type Broker struct {
	ID           int32 // -1: not set
	IDGenerated  bool  // broker.id.generation.enable
	ReservedID   int32 // reserved.broker.max.id
	Rack         string
	Listeners    []Listener
	Advertised   []Listener // empty: tell each client the address that it connected to
	AdminAddress string     // host:port, empty for none

	ZooKeeperConnect string // empty: the quorum is inside
	SessionMs        int64  // zookeeper.session.timeout.ms
	ConnectionMs     int64  // zookeeper.connection.timeout.ms
	QuorumInFlight   int    // zookeeper.max.in.flight.requests
	JuteMaxBuffer    int
	QuorumAddress    string // host:port of the client port of the quorum inside, empty for none
	QuorumDir        string // empty: in the first log directory

	NumPartitions     int32
	ReplicationFactor int16
	AutoCreateTopics  bool
	DeleteTopics      bool

	LogDirs                 []string
	RecoveryThreads         int // per log directory
	RetentionCheckMs        int64
	FlushSchedulerMs        int64
	CheckpointMs            int64
	StartOffsetCheckpointMs int64
	HighWatermarkMs         int64 // replica.high.watermark.checkpoint.interval.ms
	ProducerExpirationMs    int64
	ProducerExpiryCheckMs   int64
	Cleaner                 engine.CleanerConfig

	SocketRequestMaxBytes     int32
	SocketSendBufferBytes     int32
	SocketReceiveBufferBytes  int32
	SocketCongestionControl   string // "": the system's
	MaxConnections            int
	MaxConnectionsPerIP       int
	MaxConnectionsPerIPExcept map[string]int // by host
	MaxConnectionCreationRate int            // by the second; MaxInt32: no limit
	ConnectionsMaxIdleMs      int64
	QueuedMaxRequestBytes     int64 // -1: not set
	FetchMaxBytes             int32
	FetchSessionSlots         int
	PartitionsPerAnswer       int32 // max.request.partition.size.limit
	MoveBytesPerSecond        int64 // replica.alter.log.dirs.io.max.bytes.per.second

	TelemetryMaxBytes int32

	QuotaWindowNum, ControllerQuotaWindowNum         int
	QuotaWindowSeconds, ControllerQuotaWindowSeconds int64

	Groups Groups
}

// broker reads the typed values and checks what concerns several keys.
func (l *loader) broker() Broker {
	c := l.c
	b := c.typed()
	b.Listeners, b.Advertised = l.listeners()
	if a, ok := c.set("broker.id"); ok {
		if n, ok := c.set("node.id"); ok && a.value != n.value {
			l.problem(n.place, "node.id", n.value, "the value of broker.id, or only one of the two", fmt.Sprintf("broker.id is %s", a.value))
		}
	}
	if b.ID < 0 && !b.IDGenerated {
		l.problemAt("broker.id", "a number from 0", "broker.id.generation.enable is false")
	}
	if len(b.LogDirs) == 0 {
		l.problemAt("log.dirs", "at least one folder", "no folder is named")
	}
	for i, dir := range b.LogDirs {
		if slices.Contains(b.LogDirs[:i], dir) {
			l.problemAt("log.dirs", "each folder once", dir+" stands twice")
		}
	}
	if b.ConnectionMs == 0 {
		b.ConnectionMs = b.SessionMs
	}
	if b.ZooKeeperConnect != "" {
		for _, key := range []string{"quorum.client.listener", "quorum.dir"} {
			if s, ok := c.set(key); ok && s.value != "" {
				l.warn(s.place, key, "it has no effect: zookeeper.connect names the quorum, so there is none inside the broker")
			}
		}
	}
	if q := b.QueuedMaxRequestBytes; q > 0 && q < int64(b.SocketRequestMaxBytes) {
		l.problemAt("queued.max.request.bytes", "-1, or at least socket.request.max.bytes", fmt.Sprintf("socket.request.max.bytes is %d", b.SocketRequestMaxBytes))
	}
	if g := &b.Groups; g.MaxSessionMs < g.MinSessionMs {
		l.problemAt("group.max.session.timeout.ms", "at least group.min.session.timeout.ms", fmt.Sprintf("group.min.session.timeout.ms is %d", g.MinSessionMs))
	}
	l.consumerProblems(&b.Groups.Consumer)
	return b
}

// typed reads the values that need no check across keys.
func (c *Config) typed() Broker {
	return Broker{
		ID: c.int32("broker.id"), IDGenerated: c.bool("broker.id.generation.enable"), ReservedID: c.int32("reserved.broker.max.id"),
		Rack: c.text("broker.rack"), AdminAddress: c.text("admin.listener"),

		ZooKeeperConnect: c.text("zookeeper.connect"), SessionMs: c.int64("zookeeper.session.timeout.ms"), ConnectionMs: c.int64("zookeeper.connection.timeout.ms"),
		QuorumInFlight: c.int("zookeeper.max.in.flight.requests"), JuteMaxBuffer: c.int("jute.maxbuffer"),
		QuorumAddress: c.text("quorum.client.listener"), QuorumDir: c.text("quorum.dir"),

		NumPartitions: c.int32("num.partitions"), ReplicationFactor: int16(c.int64("default.replication.factor")),
		AutoCreateTopics: c.bool("auto.create.topics.enable"), DeleteTopics: c.bool("delete.topic.enable"),

		LogDirs: c.list("log.dirs"), RecoveryThreads: c.int("num.recovery.threads.per.data.dir"),
		RetentionCheckMs: c.int64("log.retention.check.interval.ms"), FlushSchedulerMs: c.int64("log.flush.scheduler.interval.ms"),
		CheckpointMs: c.int64("log.flush.offset.checkpoint.interval.ms"), StartOffsetCheckpointMs: c.int64("log.flush.start.offset.checkpoint.interval.ms"),
		HighWatermarkMs:      c.int64("replica.high.watermark.checkpoint.interval.ms"),
		ProducerExpirationMs: c.int64("producer.id.expiration.ms"), ProducerExpiryCheckMs: c.int64("producer.id.expiration.check.interval.ms"),
		Cleaner: c.cleaner(),

		SocketRequestMaxBytes: c.int32("socket.request.max.bytes"), SocketSendBufferBytes: c.int32("socket.send.buffer.bytes"),
		SocketCongestionControl:  c.text("socket.congestion.control"),
		SocketReceiveBufferBytes: c.int32("socket.receive.buffer.bytes"), MaxConnections: c.int("max.connections"),
		MaxConnectionsPerIP: c.int("max.connections.per.ip"), MaxConnectionsPerIPExcept: parseOverrides(c.text("max.connections.per.ip.overrides")),
		ConnectionsMaxIdleMs:  c.int64("connections.max.idle.ms"),
		QueuedMaxRequestBytes: c.int64("queued.max.request.bytes"), FetchMaxBytes: c.int32("fetch.max.bytes"),
		FetchSessionSlots: c.int("max.incremental.fetch.session.cache.slots"), PartitionsPerAnswer: c.int32("max.request.partition.size.limit"),
		MoveBytesPerSecond: c.int64("replica.alter.log.dirs.io.max.bytes.per.second"), MaxConnectionCreationRate: c.int("max.connection.creation.rate"),

		TelemetryMaxBytes: c.int32("telemetry.max.bytes"),

		QuotaWindowNum: c.int("quota.window.num"), QuotaWindowSeconds: c.int64("quota.window.size.seconds"),
		ControllerQuotaWindowNum: c.int("controller.quota.window.num"), ControllerQuotaWindowSeconds: c.int64("controller.quota.window.size.seconds"),

		Groups: c.groups(),
	}
}

// cleaner reads the limits on compaction.
func (c *Config) cleaner() engine.CleanerConfig {
	cfg := engine.CleanerConfig{
		Threads:           c.int("log.cleaner.threads"),
		DedupeBufferBytes: c.int64("log.cleaner.dedupe.buffer.size"), IOBufferBytes: c.int("log.cleaner.io.buffer.size"),
		LoadFactor: asFloat(c.text("log.cleaner.io.buffer.load.factor")), MaxBytesPerSecond: asFloat(c.text("log.cleaner.io.max.bytes.per.second")),
		BackoffMs: max(c.int64("log.cleaner.backoff.ms"), 1),
	}
	if !c.bool("log.cleaner.enable") {
		cfg.Threads = 0
	}
	if cfg.MaxBytesPerSecond == math.MaxFloat64 {
		cfg.MaxBytesPerSecond = 0 // Kafka's way to say that there is no limit
	}
	return cfg
}

// WithDynamic returns the settings with dynamic ones on top: those of this broker and those
// of all brokers. A value that its key does not take, or that cannot change while the
// broker runs, is left out and reported. Listeners stay as they were.
func (c *Config) WithDynamic(broker, all map[string]string) (*Config, []Warning) {
	next := *c
	var warnings []Warning
	keep := func(from map[string]string, what string, perBroker bool) map[string]string {
		out := map[string]string{}
		for _, name := range sorted(from) {
			k, ok := c.catalogue.byName[name]
			if !ok || k.Dynamic == ReadOnly || k.Dynamic == PerBroker && !perBroker {
				warnings = append(warnings, Warning{Place{Source: what}, name, "it cannot be set while the broker runs"})
				continue
			}
			v, err := k.Normalize(from[name])
			if err != nil {
				warnings = append(warnings, Warning{Place{Source: what}, name, fmt.Sprintf("%q is left out: %v", from[name], err)})
				continue
			}
			out[name] = v
		}
		return out
	}
	next.dynamic = keep(broker, "dynamic setting of the broker", true)
	next.cluster = keep(all, "dynamic setting of all brokers", false)
	if maps.Equal(next.dynamic, c.dynamic) && maps.Equal(next.cluster, c.cluster) {
		return c, warnings
	}
	next.Broker = next.typed()
	next.Broker.Listeners, next.Broker.Advertised = c.Broker.Listeners, c.Broker.Advertised
	for _, name := range listenerKeys {
		if c.text(name) == next.text(name) {
			continue
		}
		l := &loader{c: &next}
		listen, advertised := l.listeners()
		if len(l.problems) == 0 {
			next.Broker.Listeners, next.Broker.Advertised = listen, advertised
		}
		for _, p := range l.problems {
			warnings = append(warnings, Warning{p.Place, p.Key, fmt.Sprintf("%q is left out: %s", p.Value, p.Reason)})
		}
		break
	}
	return &next, warnings
}

// Catalogue returns all keys.
func (c *Config) Catalogue() *Catalogue { return c.catalogue }
