package broker

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// admin is franz-go's admin client on a node.
type admin struct {
	*kadm.Client
	t   testing.TB
	ctx context.Context
}

func (n *node) admin() *admin {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	n.t.Cleanup(cancel)
	return &admin{kadm.NewClient(n.client()), n.t, ctx}
}

// changes reads key=value as SET, and key alone as DELETE.
func changes(settings ...string) []kadm.AlterConfig {
	var list []kadm.AlterConfig
	for _, s := range settings {
		name, value, set := strings.Cut(s, "=")
		c := kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name}
		if set {
			c.Op, c.Value = kadm.SetConfig, &value
		}
		list = append(list, c)
	}
	return list
}

func (a *admin) topic(topic string, settings ...string) {
	a.t.Helper()
	r, err := a.AlterTopicConfigs(a.ctx, changes(settings...), topic)
	if err != nil || r[0].Err != nil {
		a.t.Fatalf("%v: %v %+v", settings, err, r)
	}
}

// brokers changes the settings of all brokers; of broker 1 with only.
func (a *admin) brokers(only bool, settings ...string) {
	a.t.Helper()
	var ids []int32
	if only {
		ids = append(ids, 1)
	}
	r, err := a.AlterBrokerConfigs(a.ctx, changes(settings...), ids...)
	if err != nil || r[0].Err != nil {
		a.t.Fatalf("%v: %v %+v", settings, err, r)
	}
}

func (n *node) logOf(topic string) *engine.Log {
	n.t.Helper()
	p, err := n.manager.Get(topic, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	return p.Log()
}

// produce sends one batch and returns the answer.
func (n *node) put(topic string, id [16]byte, o record.BuilderOptions, values ...string) kmsg.ProduceResponseTopicPartition {
	n.t.Helper()
	r := n.raw()
	defer r.c.Close()
	return r.do(produceRequest(9, -1, topic, id, 0, batchOf(n.t, o, values...))).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

// Each class of settings that Kafka changes at run time changes here, without a restart.
func TestDynamicTopicSettingsTakeEffect(t *testing.T) {
	n := startNode(t)
	a := n.admin()
	id := n.create("topic", 1)
	log := n.logOf("topic")
	code := func(what string, want int16, o record.BuilderOptions, values ...string) {
		t.Helper()
		if p := n.put("topic", id, o, values...); p.ErrorCode != want {
			t.Errorf("%s: code %d (%s), want %d", what, p.ErrorCode, deref(p.ErrorMessage), want)
		}
	}
	big := strings.Repeat("x", 3000)

	code("before", 0, record.BuilderOptions{}, big)
	a.topic("topic", "max.message.bytes=2000")
	code("max.message.bytes", 10, record.BuilderOptions{}, big)
	a.topic("topic", "max.message.bytes")
	code("max.message.bytes back", 0, record.BuilderOptions{}, big)

	a.topic("topic", "min.insync.replicas=2")
	code("min.insync.replicas", 19, record.BuilderOptions{}, "x")
	a.topic("topic", "min.insync.replicas")

	a.topic("topic", "compression.type=zstd")
	code("compression.type", 0, record.BuilderOptions{}, big)
	if b, err := log.ReadBatch(log.LogEndOffset()-1, nil); err != nil || b.Codec() != compress.Zstd {
		t.Errorf("compression.type: codec %v, %v", b.Codec(), err)
	}
	a.topic("topic", "compression.type", "message.timestamp.type=LogAppendTime")
	code("message.timestamp.type", 0, record.BuilderOptions{}, "x")
	if b, err := log.ReadBatch(log.LogEndOffset()-1, nil); err != nil || b.TimestampType() != record.LogAppendTime || b.Codec() != compress.None {
		t.Errorf("message.timestamp.type: %v, codec %v, %v", b.TimestampType(), b.Codec(), err)
	}

	a.topic("topic", "flush.messages=1")
	code("flush.messages", 0, record.BuilderOptions{}, "x")
	if synced, end := log.SyncedOffset(), log.LogEndOffset(); synced != end {
		t.Errorf("flush.messages: synced %d of %d", synced, end)
	}
	a.topic("topic", "flush.messages")
	code("without flush.messages", 0, record.BuilderOptions{}, "x")
	a.topic("topic", "flush.ms=1") // also what was appended before
	testkit.WaitFor(t, "flush.ms", func() bool { return log.SyncedOffset() == log.LogEndOffset() })

	a.topic("topic", "segment.bytes=4000", "retention.bytes=5000", "file.delete.delay.ms=0")
	for range 4 {
		code("segment.bytes", 0, record.BuilderOptions{}, big)
	}
	start := log.LogStartOffset()
	if n.store.EnforceRetention() == 0 || log.LogStartOffset() == start {
		t.Error("retention.bytes: no segment was deleted")
	}
	a.topic("topic", "segment.bytes", "retention.bytes", "retention.ms=1")
	code("retention.ms", 0, record.BuilderOptions{}, "x")
	testkit.WaitFor(t, "retention.ms", func() bool {
		n.store.EnforceRetention()
		return log.LogStartOffset() == log.LogEndOffset()
	})

	a.topic("topic", "cleanup.policy=compact")
	noKey := record.NewBuilder(record.BuilderOptions{})
	noKey.Append(time.Now().UnixMilli(), nil, []byte("x"))
	batch, err := noKey.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if p := n.raw().do(produceRequest(9, -1, "topic", id, 0, batch)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 87 {
		t.Errorf("cleanup.policy: a record without key: code %d, want 87", p.ErrorCode)
	}
	if n.logOf("topic") != log {
		t.Error("the log was opened anew")
	}
}

// A setting of a topic stands before one of the broker, that before one of all brokers, that
// before the file; each change acts on the logs that are there.
func TestOrderOfSettings(t *testing.T) {
	n := startNode(t, "log.retention.ms=1000")
	a := n.admin()
	n.create("plain", 1)
	n.create("own", 1, "retention.ms=7000")
	want := func(what string, plain, own int64, source kmsg.ConfigSource) {
		t.Helper()
		if got := n.logOf("plain").Config().RetentionMs; got != plain {
			t.Errorf("%s: retention.ms of plain is %d, want %d", what, got, plain)
		}
		if got := n.logOf("own").Config().RetentionMs; got != own {
			t.Errorf("%s: retention.ms of own is %d, want %d", what, got, own)
		}
		rows, err := a.DescribeTopicConfigs(a.ctx, "plain")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range rows[0].Configs {
			if c.Key == "retention.ms" && c.Source != source {
				t.Errorf("%s: source %v, want %v", what, c.Source, source)
			}
		}
	}
	want("file", 1000, 7000, kmsg.ConfigSourceStaticBrokerConfig)
	a.brokers(false, "log.retention.ms=2000")
	want("all brokers", 2000, 7000, kmsg.ConfigSourceDynamicDefaultBrokerConfig)
	a.brokers(true, "log.retention.ms=3000")
	want("broker", 3000, 7000, kmsg.ConfigSourceDynamicBrokerConfig)
	a.topic("plain", "retention.ms=4000")
	want("topic", 4000, 7000, kmsg.ConfigSourceDynamicTopicConfig)
	a.topic("own", "retention.ms")
	want("without own", 4000, 3000, kmsg.ConfigSourceDynamicTopicConfig)
	a.topic("plain", "retention.ms")
	a.brokers(true, "log.retention.ms")
	want("without broker", 2000, 2000, kmsg.ConfigSourceDynamicDefaultBrokerConfig)
	a.brokers(false, "log.retention.ms")
	want("file again", 1000, 1000, kmsg.ConfigSourceStaticBrokerConfig)
}

func TestDynamicBrokerSettingsTakeEffect(t *testing.T) {
	n := startNode(t)
	a := n.admin()
	id := n.create("topic", 1)
	settings := []string{
		"message.max.bytes=2000", "log.flush.interval.messages=5", "log.segment.bytes=5000", "log.roll.ms=6000", "log.retention.bytes=7000",
		"log.cleanup.policy=compact,delete", "compression.type=lz4", "min.insync.replicas=2", "log.index.interval.bytes=8", "producer.id.expiration.ms=9000",
		"log.cleaner.threads=2", "log.cleaner.backoff.ms=1", "log.cleaner.min.cleanable.ratio=0.1", "unclean.leader.election.enable=true",
		"background.threads=3", "num.io.threads=4", "num.network.threads=5", "num.recovery.threads.per.data.dir=6", "max.connections=70",
	}
	a.brokers(false, settings...)
	c := n.logOf("topic").Config()
	if c.MaxMessageBytes != 2000 || c.FlushMessages != 5 || c.SegmentBytes != 5000 || c.SegmentMs != 6000 || c.RetentionBytes != 7000 ||
		!c.CleanupCompact || !c.CleanupDelete || c.Compression != compress.LZ4 || c.IndexIntervalBytes != 8 {
		t.Errorf("the log has %+v", c)
	}
	if p := n.put("topic", id, record.BuilderOptions{}, "x"); p.ErrorCode != 19 {
		t.Errorf("min.insync.replicas: code %d, want 19", p.ErrorCode)
	}
	rows, err := a.DescribeBrokerConfigs(a.ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]kadm.Config{}
	for _, row := range rows[0].Configs {
		values[row.Key] = row
	}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		if row := values[name]; row.Value == nil || *row.Value != value || row.Source != kmsg.ConfigSourceDynamicDefaultBrokerConfig {
			t.Errorf("%s is described as %+v", s, row)
		}
	}

	// Connections: that of the admin client is open, and counts.
	a.brokers(false, "max.connections.per.ip=1")
	n.raw().wantClosed()
	a.brokers(false, "max.connections.per.ip=1", "max.connections.per.ip.overrides=127.0.0.1:100")
	n.raw().do(kmsg.NewPtrMetadataRequest())
	a.brokers(false, "max.connections.per.ip", "max.connections=1")
	n.raw().wantClosed()
	a.brokers(false, "max.connections")
	n.raw().do(kmsg.NewPtrMetadataRequest())

	// Addresses that clients are told.
	a.brokers(true, "advertised.listeners=PLAINTEXT://told.example:1234")
	resp := n.raw().do(kmsg.NewPtrMetadataRequest()).(*kmsg.MetadataResponse)
	if b := resp.Brokers[0]; b.Host != "told.example" || b.Port != 1234 {
		t.Errorf("advertised.listeners: told %s:%d", b.Host, b.Port)
	}
}

func TestRefusedChanges(t *testing.T) {
	n := startNode(t)
	n.create("topic", 1, "retention.ms=5")
	zxid := n.loader.Image().Zxid()
	type change struct {
		kind    int8
		name    string
		op      int8
		key     string
		value   string
		code    int16
		message string
	}
	for _, c := range []change{
		{2, "topic", 0, "retention.msec", "1", 40, "Unknown topic config name: retention.msec: there is no such key; did you mean retention.ms?"},
		{2, "topic", 0, "retention.ms", "abc", 40, "Invalid value abc for configuration retention.ms: allowed: a whole number (ms), at least -1"},
		{2, "topic", 0, "min.compaction.lag.ms", "9223372036854775807", 0, ""},
		{2, "topic", 0, "max.compaction.lag.ms", "1", 0, ""},
		{2, "topic", 2, "retention.ms", "1", 40, "Can't APPEND to key retention.ms because its type is not LIST."},
		{2, "topic", 3, "cleanup.policy", "delete", 40, "Invalid value  for configuration cleanup.policy"},
		{2, "topic", 4, "retention.ms", "1", 42, "Unknown operation type 4"},
		{2, "nope", 0, "retention.ms", "1", 3, "does not exist"},
		{2, "", 0, "retention.ms", "1", 42, "Default topic resources are not allowed"},
		{4, "1", 0, "log.dirs", "/x", 42, "Cannot update these configs dynamically: [log.dirs]"},
		{4, "1", 0, "num.partitions", "2", 42, "Cannot update these configs dynamically: [num.partitions]"},
		{4, "1", 0, "metric.reporters", "x", 42, "Apache Kafka has it; it has no effect here"},
		{4, "1", 0, "ssl.keystore.password", "x", 42, "not built yet"},
		{4, "", 0, "advertised.listeners", "PLAINTEXT://x:1", 42, "Cannot update these configs at default cluster level: [advertised.listeners]"},
		{4, "1", 0, "advertised.listeners", "OTHER://x:1", 42, "advertised.listeners"},
		{4, "1", 0, "log.retention.mss", "1", 42, "did you mean log.retention.ms"},
		{4, "", 0, "log.segment.bytes", "3", 42, "at least 14"},
		{4, "2", 0, "log.segment.bytes", "3000", 42, "Unexpected broker id, expected 1, but received 2"},
		{4, "x", 0, "log.segment.bytes", "3000", 42, "Node id must be an integer, but it is: x"},
		{8, "1", 0, "nobody", "DEBUG", 40, "Logger nobody does not exist!"},
		{8, "1", 0, "root", "LOUD", 40, "TRACE, DEBUG, INFO, WARN, ERROR, FATAL"},
		{8, "1", 2, "root", "DEBUG", 42, "APPEND operation is not allowed"},
		{8, "1", 1, "root", "", 42, "Removing the log level of the root logger is not allowed"},
		{16, "sub", 0, "interval.ms", "99", 40, "100 to 3600000"},
		{16, "sub", 0, "match", "client_id=[", 40, "match"},
		{16, "sub", 0, "match", "colour=red", 40, "match"},
		{16, "sub", 0, "interval", "100", 40, "Unknown client metrics config name"},
		{16, "", 0, "interval.ms", "100", 42, "not allowed"},
		{32, "group", 0, "consumer.session.timeout.ms", "1", 40, "45000 to 60000"},
		{32, "group", 0, "session.timeout.ms", "1", 40, "there are consumer.heartbeat.interval.ms, consumer.session.timeout.ms"},
		{32, "", 0, "consumer.session.timeout.ms", "45000", 42, "not allowed"},
		{3, "group", 0, "x", "y", 42, "cannot be changed"},
	} {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.SetVersion(1)
		req.ValidateOnly = c.code == 0
		res := kmsg.NewIncrementalAlterConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceType(c.kind), c.name
		cfg := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		cfg.Name, cfg.Op, cfg.Value = c.key, kmsg.IncrementalAlterConfigOp(c.op), &c.value
		res.Configs = append(res.Configs, cfg)
		req.Resources = append(req.Resources, res)
		got := n.raw().do(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
		if got.ErrorCode != c.code || !strings.Contains(deref(got.ErrorMessage), c.message) && c.code != 0 {
			t.Errorf("%+v: code %d: %s", c, got.ErrorCode, deref(got.ErrorMessage))
		}
	}
	if now := n.loader.Image().Zxid(); now != zxid {
		t.Errorf("something was written: %v, %v", n.loader.Image().TopicConfig("topic"), now)
	}
}

// Nothing of a resource is applied when one of its changes is refused, and the others of the
// request are.
func TestEachResourceIsAWhole(t *testing.T) {
	n := startNode(t)
	n.create("good", 1)
	n.create("bad", 1)
	a := n.admin()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.SetVersion(1)
	for _, name := range []string{"good", "bad"} {
		res := kmsg.NewIncrementalAlterConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, name
		for _, key := range []string{"retention.ms", map[string]string{"good": "segment.ms", "bad": "segment.mss"}[name]} {
			c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			c.Name, c.Value = key, kmsg.StringPtr("1000")
			res.Configs = append(res.Configs, c)
		}
		req.Resources = append(req.Resources, res)
	}
	resp := n.raw().do(req).(*kmsg.IncrementalAlterConfigsResponse)
	if resp.Resources[0].ErrorCode != 0 || resp.Resources[1].ErrorCode != 40 {
		t.Errorf("%+v", resp.Resources)
	}
	if c := n.logOf("good").Config(); c.RetentionMs != 1000 || c.SegmentMs != 1000 {
		t.Errorf("good has %+v", c)
	}
	if n.logOf("bad").Config().RetentionMs == 1000 || n.loader.Image().TopicConfig("bad") != nil {
		t.Error("a part of a refused change was applied")
	}
	// Lists: APPEND starts with the value that holds, and takes nothing twice.
	for _, step := range []struct {
		op    kadm.IncrementalOp
		value string
		want  string
	}{{kadm.AppendConfig, "compact", "delete,compact"}, {kadm.AppendConfig, "delete", "delete,compact"}, {kadm.SubtractConfig, "delete", "compact"}} {
		r, err := a.AlterTopicConfigs(a.ctx, []kadm.AlterConfig{{Op: step.op, Name: "cleanup.policy", Value: &step.value}}, "good")
		if err != nil || r[0].Err != nil {
			t.Fatalf("%+v: %v %v", step, err, r[0].Err)
		}
		if got := n.loader.Image().TopicConfig("good")["cleanup.policy"]; got != step.want {
			t.Errorf("%+v: got %s", step, got)
		}
	}
	// AlterConfigs: what is left out goes back.
	r, err := a.AlterTopicConfigsState(a.ctx, changes("retention.ms=77"), "good")
	if err != nil || r[0].Err != nil {
		t.Fatal(err, r)
	}
	if got := n.loader.Image().TopicConfig("good"); len(got) != 1 || got["retention.ms"] != "77" {
		t.Errorf("AlterConfigs left %v", got)
	}
}

func TestLogLevels(t *testing.T) {
	n := startNode(t)
	n.broker.levels.Logger("engine")
	set := func(op int8, name, value string) {
		t.Helper()
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.SetVersion(1)
		res := kmsg.NewIncrementalAlterConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeBrokerLogger, "1"
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = name, kmsg.IncrementalAlterConfigOp(op), &value
		res.Configs = append(res.Configs, c)
		req.Resources = append(req.Resources, res)
		if got := n.raw().do(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]; got.ErrorCode != 0 {
			t.Fatalf("%s=%s: %s", name, value, deref(got.ErrorMessage))
		}
	}
	described := func(name string) string {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.SetVersion(4)
		res := kmsg.NewDescribeConfigsRequestResource()
		res.ResourceType, res.ResourceName, res.ConfigNames = kmsg.ConfigResourceTypeBrokerLogger, "1", []string{name}
		req.Resources = append(req.Resources, res)
		got := n.raw().do(req).(*kmsg.DescribeConfigsResponse).Resources[0]
		if len(got.Configs) != 1 || got.Configs[0].Source != kmsg.ConfigSourceDynamicBrokerLoggerConfig {
			t.Fatalf("%s: %+v", name, got)
		}
		return deref(got.Configs[0].Value)
	}
	log := n.broker.levels.Logger("engine")
	set(0, "root", "WARN")
	set(0, "engine", "error")
	if described("root") != "WARN" || described("engine") != "ERROR" || log.Enabled(t.Context(), 4) {
		t.Error("the levels are not in force")
	}
	set(1, "engine", "")
	if described("engine") != "WARN" || !log.Enabled(t.Context(), 4) || log.Enabled(t.Context(), 0) {
		t.Error("the logger does not follow the root again")
	}
}
