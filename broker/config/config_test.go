package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/record/compress"
)

var update = flag.Bool("update", false, "write the golden files")

func load(t *testing.T, file string, in Input) (*Config, []Warning, error) {
	t.Helper()
	if file != "" {
		in.File = filepath.Join(t.TempDir(), "server.properties")
		in.FS = osfs.FS{}
		if err := os.WriteFile(in.File, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, w, err := Load(in)
	for i := range w {
		w[i].Place.Source = filepath.Base(w[i].Place.Source)
	}
	return c, w, err
}

func mustLoad(t *testing.T, file string, in Input) *Config {
	t.Helper()
	c, _, err := load(t, file, in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCatalogueIsConsistent(t *testing.T) {
	c := NewCatalogue()
	seen := map[string]bool{}
	for _, k := range c.keys {
		name := k.Name + "/" + k.Topic
		if seen[k.Name] && k.Name != "" {
			t.Errorf("%s stands twice", name)
		}
		seen[k.Name] = true
		if k.Doc == "" || k.Type == 0 || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s has no type or no sentence of documentation", name)
		}
		if !k.Null {
			if v, err := k.Normalize(k.Default); err != nil || v != k.Default {
				t.Errorf("%s: its default %q is not a value: %v", name, k.Default, err)
			}
		}
		for _, f := range k.Fallbacks {
			if other, ok := c.byName[f.Name]; !ok || other.Null && len(k.Fallbacks) == 1 {
				t.Errorf("%s falls back on %s, which does not exist or has no default", name, f.Name)
			}
		}
		if _, ok := c.others[k.Name]; ok {
			t.Errorf("%s is in both lists", name)
		}
	}
	if len(c.byEnv) != len(c.byName) {
		t.Errorf("%d names of variables for %d keys", len(c.byEnv), len(c.byName))
	}
}

// TestTopicKeys compares with Kafka 4.0's list (LogConfig and ServerTopicConfigSynonyms).
func TestTopicKeys(t *testing.T) {
	want := `cleanup.policy=log.cleanup.policy compression.gzip.level=compression.gzip.level compression.lz4.level=compression.lz4.level
compression.type=compression.type compression.zstd.level=compression.zstd.level delete.retention.ms=log.cleaner.delete.retention.ms
file.delete.delay.ms=log.segment.delete.delay.ms flush.messages=log.flush.interval.messages flush.ms=log.flush.interval.ms
follower.replication.throttled.replicas= index.interval.bytes=log.index.interval.bytes leader.replication.throttled.replicas=
local.retention.bytes= local.retention.ms= max.compaction.lag.ms=log.cleaner.max.compaction.lag.ms max.message.bytes=message.max.bytes
message.timestamp.after.max.ms=log.message.timestamp.after.max.ms message.timestamp.before.max.ms=log.message.timestamp.before.max.ms
message.timestamp.type=log.message.timestamp.type min.cleanable.dirty.ratio=log.cleaner.min.cleanable.ratio
min.compaction.lag.ms=log.cleaner.min.compaction.lag.ms min.insync.replicas=min.insync.replicas preallocate=log.preallocate
remote.storage.enable= retention.bytes=log.retention.bytes retention.ms=log.retention.ms segment.bytes=log.segment.bytes
segment.index.bytes=log.index.size.max.bytes segment.jitter.ms=log.roll.jitter.ms segment.ms=log.roll.ms
unclean.leader.election.enable=unclean.leader.election.enable`
	c := NewCatalogue()
	var got []string
	for _, name := range c.TopicKeys() {
		got = append(got, name+"="+c.byTopic[name].Name)
	}
	if w := strings.Fields(want); !reflect.DeepEqual(got, w) {
		t.Errorf("got  %v\nwant %v", got, w)
	}
}

// The defaults that the engine has by itself are those of the catalogue.
func TestDefaultsAreTheEngines(t *testing.T) {
	got := mustLoad(t, "", Input{}).Topic(nil).Log
	if want := engine.DefaultConfig(); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAllComplaintsComeAtOnce(t *testing.T) {
	_, _, err := load(t, "log.retention.ms=abc\n\nlog.segment.bytes=13\ncompression.type = brotli\nbroker.id=1\nnode.id=2\nlisteners=SSL://:9093\nssl.key.password=x\n",
		Input{Overrides: []string{"auto.create.topics.enable=yes", "oops"}, Environ: []string{"KAFKA_NUM_PARTITIONS=0"}})
	var p Problems
	if !errors.As(err, &p) {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, problem := range p {
		s := problem.String()
		got = append(got, s[strings.LastIndexByte(strings.SplitN(s, ": ", 2)[0], '/')+1:])
	}
	want := []string{
		"server.properties:1: log.retention.ms=abc; allowed: a whole number (ms), -1 for no limit, or at least 1",
		"server.properties:3: log.segment.bytes=13; allowed: a whole number (bytes), at least 14",
		"server.properties:4: compression.type=brotli; allowed: uncompressed, zstd, lz4, snappy, gzip, producer",
		"environment KAFKA_NUM_PARTITIONS: num.partitions=0; allowed: a whole number, at least 1",
		"--override: auto.create.topics.enable=yes; allowed: true, false",
		"--override: oops=: it has no =; allowed: key=value",
		"server.properties:7: listeners=SSL://:9093: SSL://:9093 asks for SSL, which is not built yet; allowed: listeners with the security protocol PLAINTEXT",
		"server.properties:6: node.id=2: broker.id is 1; allowed: the value of broker.id, or only one of the two",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWarnings(t *testing.T) {
	_, warnings, err := load(t, "log.retention.hour=1\nnum.io.threads=8\nretention.ms=5\nmetric.reporters=x\nnonsense.thing=1\nnum.partitions=1\nnum.partitions=2\n",
		Input{Environ: []string{"KAFKA_LOG_DIR=/x", "KAFKA_HEAP_OPTS=-Xmx1G", "KAFKA_PORT_9092_TCP=1", "MILLRACE_LOG_RETENTION_MINUTE=3"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.String())
	}
	want := []string{
		"server.properties:1: log.retention.hour: there is no such key; did you mean log.retention.hours or log.retention.ms?",
		"server.properties:2: num.io.threads: it has no effect: goroutines take the place of this pool",
		"server.properties:3: retention.ms: it is a setting of topics and has no effect here; the broker's is log.retention.ms",
		"server.properties:4: metric.reporters: Apache Kafka has it; it has no effect here",
		"server.properties:5: nonsense.thing: there is no such key",
		"server.properties:7: num.partitions: it was set in line 6 already; this line holds",
		"environment: MILLRACE_LOG_RETENTION_MINUTE: there is no such key; did you mean log.retention.minutes?",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPrecedence(t *testing.T) {
	in := Input{Defaults: map[string]string{"log.dirs": "/d"}}
	if got := mustLoad(t, "", in).Broker.LogDirs; !reflect.DeepEqual(got, []string{"/d"}) {
		t.Errorf("a default of the caller: %v", got)
	}
	if got := mustLoad(t, "log.dir=/f\n", in).Broker.LogDirs; !reflect.DeepEqual(got, []string{"/f"}) {
		t.Errorf("what somebody set wins over a default of a finer key: %v", got)
	}
	in.Environ = []string{"KAFKA_LOG_DIRS=/e1, /e2", "KAFKA_CFG_NUM_PARTITIONS=3", "KAFKA_NUM_PARTITIONS=2"}
	c := mustLoad(t, "log.dirs=/f\nnum.partitions=1\n", in)
	if got := c.Broker.LogDirs; !reflect.DeepEqual(got, []string{"/e1", "/e2"}) || c.Broker.NumPartitions != 3 {
		t.Errorf("environment over file: %v, %d", got, c.Broker.NumPartitions)
	}
	in.Environ = append(in.Environ, "MILLRACE_NUM_PARTITIONS=4")
	in.Overrides = []string{"log.dirs=/o", "log.dirs=/o2"}
	c = mustLoad(t, "log.dirs=/f\n", in)
	if got := c.Broker.LogDirs; !reflect.DeepEqual(got, []string{"/o2"}) || c.Broker.NumPartitions != 4 {
		t.Errorf("override over environment: %v, %d", got, c.Broker.NumPartitions)
	}
}

func TestSynonyms(t *testing.T) {
	for _, test := range []struct {
		file  string
		topic map[string]string
		want  int64
	}{
		{"", nil, 168 * 3_600_000},
		{"log.retention.hours=1\n", nil, 3_600_000},
		{"log.retention.hours=1\nlog.retention.minutes=2\n", nil, 120_000},
		{"log.retention.ms=5\nlog.retention.minutes=2\n", nil, 5},
		{"log.retention.hours=-1\n", nil, -1},
		{"log.retention.hours=2147483647\n", nil, 2147483647 * 3_600_000},
		{"log.retention.ms=5\n", map[string]string{"retention.ms": "0"}, 0},
		{"log.retention.ms=5\n", map[string]string{"retention.ms": "junk", "what": "ever"}, 5},
	} {
		c := mustLoad(t, "broker.id=1\n"+test.file, Input{})
		if got := c.Topic(test.topic).Log.RetentionMs; got != test.want {
			t.Errorf("%q, %v: got %d, want %d", test.file, test.topic, got, test.want)
		}
	}
	c := mustLoad(t, "log.roll.hours=2\nlog.flush.scheduler.interval.ms=9\ncompression.type=zstd\ncompression.zstd.level=7\n", Input{})
	log := c.Topic(map[string]string{"cleanup.policy": "compact, delete"}).Log
	if log.SegmentMs != 7_200_000 || log.FlushMs != 9 || log.Compression != compress.Zstd || log.CompressionLevel != 7 || !log.CleanupCompact || !log.CleanupDelete {
		t.Errorf("got %+v", log)
	}
}

func TestDynamic(t *testing.T) {
	c := mustLoad(t, "log.retention.ms=5\n", Input{})
	next, warnings := c.WithDynamic(map[string]string{"log.retention.ms": "7", "num.partitions": "2"}, map[string]string{"log.retention.ms": "6", "message.max.bytes": "x", "log.segment.bytes": "99"})
	if len(warnings) != 2 {
		t.Errorf("warnings: %v", warnings)
	}
	log := next.Topic(nil).Log
	if log.RetentionMs != 7 || log.SegmentBytes != 99 || log.MaxMessageBytes != 1048588 || c.Topic(nil).Log.RetentionMs != 5 {
		t.Errorf("got %+v", log)
	}
	if same, _ := next.WithDynamic(map[string]string{"log.retention.ms": "7"}, map[string]string{"log.retention.ms": "6", "log.segment.bytes": "99"}); same != next {
		t.Error("the same dynamic settings made another Config")
	}
	if rows := next.DescribeDefaults(); len(rows) != 2 || rows[0].Name != "log.retention.ms" || *rows[0].Value != "6" {
		t.Errorf("defaults of the cluster: %v", rows)
	}
}

func TestListeners(t *testing.T) {
	for _, test := range []struct{ file, listen, advertised, problem string }{
		{"", "PLAINTEXT://127.0.0.1:9092", "", ""},
		{"broker.id=1", "PLAINTEXT://:9092", "", ""},
		{"listeners=plaintext://[::1]:0, B://h:1\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,b:plaintext\nadvertised.listeners=B://x:2", "PLAINTEXT://[::1]:0 B://h:1", "B://x:2", ""},
		{"listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nadvertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093", "PLAINTEXT://:9092", "PLAINTEXT://localhost:9092", ""},
		{"listeners=X://:1", "", "", "X has no security protocol"},
		{"listeners=SASL_SSL://:1", "", "", "asks for SASL_SSL, which is not built yet"},
		{"listeners=PLAINTEXT://:1,PLAINTEXT://:2", "", "", "PLAINTEXT stands twice"},
		{"listeners=PLAINTEXT://:70000", "", "", "the port is not 0 to 65535"},
		{"listeners=:9092", "", "", "is not NAME://host:port"},
		{"listeners=", "", "", "no listener for clients"},
		{"advertised.listeners=PLAINTEXT://0.0.0.0:9092", "", "", "does not name a host"},
		{"advertised.listeners=PLAINTEXT://h:0", "", "", "does not name a port"},
		{"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,Y:PLAINTEXT\nadvertised.listeners=Y://h:1", "", "", "there is no listener Y"},
		{"listener.security.protocol.map=PLAINTEXT:TLS", "", "", `"PLAINTEXT:TLS"`},
		{"admin.listener=9644", "", "", "host:port, or empty for none"},
	} {
		c, _, err := load(t, test.file, Input{})
		if test.problem != "" {
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%q: got %v, want %q", test.file, err, test.problem)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", test.file, err)
			continue
		}
		if got := words(c.Broker.Listeners); got != test.listen {
			t.Errorf("%q: listens on %s, want %s", test.file, got, test.listen)
		}
		if got := words(c.Broker.Advertised); got != test.advertised {
			t.Errorf("%q: advertises %s, want %s", test.file, got, test.advertised)
		}
	}
}

func words(listeners []Listener) string {
	var s []string
	for _, l := range listeners {
		s = append(s, l.String())
	}
	return strings.Join(s, " ")
}

func TestValidateTopic(t *testing.T) {
	c := mustLoad(t, "", Input{})
	if err := c.ValidateTopic(map[string]string{"retention.ms": "-1", "segment.bytes": "14", "flush.messages": "1"}); err != nil {
		t.Error(err)
	}
	err := c.ValidateTopic(map[string]string{"retentoin.ms": "1", "segment.bytes": "13", "min.insync.replicas": "a"})
	want := "Invalid value a for configuration min.insync.replicas: allowed is a whole number, at least 1; " +
		"Unknown topic config name: retentoin.ms: there is no such key; did you mean retention.ms?; " +
		"Invalid value 13 for configuration segment.bytes: allowed is a whole number (bytes), at least 14"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := c.ValidateTopic(map[string]string{"min.compaction.lag.ms": "5", "max.compaction.lag.ms": "4"}); err == nil {
		t.Error("a lag of at least 5 and at most 4 was accepted")
	}
}

func TestDescribe(t *testing.T) {
	c := mustLoad(t, "log.retention.hours=1\nlog.segment.bytes=100\nsasl.jaas.config=secret\n", Input{})
	find := func(rows []Row, name string) Row {
		for _, r := range rows {
			if r.Name == name {
				return r
			}
		}
		t.Fatalf("no row %s", name)
		return Row{}
	}
	topic := c.DescribeTopic(map[string]string{"segment.bytes": "200"})
	r := find(topic, "segment.bytes")
	if *r.Value != "200" || r.Source != SourceTopic || len(r.Synonyms) != 3 || r.Synonyms[1].Name != "log.segment.bytes" || *r.Synonyms[1].Value != "100" || r.Synonyms[2].Source != SourceDefault {
		t.Errorf("segment.bytes: %+v", r)
	}
	if r = find(topic, "retention.ms"); *r.Value != "3600000" || r.Source != SourceStatic || r.Synonyms[0].Name != "log.retention.hours" {
		t.Errorf("retention.ms: %+v", r)
	}
	broker := c.DescribeBroker()
	if r = find(broker, "log.retention.ms"); r.Value != nil && *r.Value != "" || len(r.Synonyms) != 0 || r.ReadOnly {
		t.Errorf("log.retention.ms: %+v", r)
	}
	if r = find(broker, "log.retention.hours"); *r.Value != "1" || r.Source != SourceStatic || !r.ReadOnly || len(r.Synonyms) != 2 {
		t.Errorf("log.retention.hours: %+v", r)
	}
	if r = find(broker, "sasl.jaas.config"); r.Value != nil || !r.Sensitive || r.Synonyms[0].Value != nil {
		t.Errorf("sasl.jaas.config: %+v", r)
	}
}

// TestFilesOfKafkaStart has the keys of the server.properties that Kafka 1.0 and 4.0 ship.
func TestFilesOfKafkaStart(t *testing.T) {
	for _, file := range []string{
		"broker.id=0\nnum.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\nsocket.receive.buffer.bytes=102400\nsocket.request.max.bytes=104857600\n" +
			"log.dirs=/tmp/kafka-logs\nnum.partitions=1\nnum.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n" +
			"transaction.state.log.min.isr=1\nlog.retention.hours=168\nlog.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\nzookeeper.connect=localhost:2181\n" +
			"zookeeper.connection.timeout.ms=6000\ngroup.initial.rebalance.delay.ms=0\n",
		"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=localhost:9093\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n" +
			"advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\ncontroller.listener.names=CONTROLLER\n" +
			"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n" +
			"share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\nlog.dirs=/tmp/kraft-combined-logs\n",
	} {
		_, warnings, err := load(t, file, Input{})
		if err != nil {
			t.Error(err)
		}
		for _, w := range warnings {
			if strings.Contains(w.Text, "no such key") {
				t.Errorf("%s", w)
			}
		}
	}
}

func TestDocumentation(t *testing.T) {
	golden := filepath.Join("..", "..", "docs", "config.md")
	got := NewCatalogue().Document()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("docs/config.md is not what the catalogue says: run go generate ./broker/config")
	}
}

func TestCleanerSettings(t *testing.T) {
	c := mustLoad(t, "log.cleaner.threads=3\nlog.cleaner.dedupe.buffer.size=1000\nlog.cleaner.io.max.bytes.per.second=5e6\nlog.cleaner.min.cleanable.ratio=0.25\n", Input{})
	want := engine.CleanerConfig{Threads: 3, DedupeBufferBytes: 1000, IOBufferBytes: 524288, LoadFactor: 0.9, MaxBytesPerSecond: 5e6, BackoffMs: 15000}
	if got := c.Broker.Cleaner; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	next, _ := c.WithDynamic(nil, map[string]string{"log.cleaner.threads": "2", "log.cleaner.backoff.ms": "7"})
	if got := next.Broker.Cleaner; got.Threads != 2 || got.BackoffMs != 7 {
		t.Errorf("dynamic: %+v", got)
	}
	log := next.Topic(map[string]string{"cleanup.policy": "compact", "delete.retention.ms": "5", "max.compaction.lag.ms": "9", "min.compaction.lag.ms": "8"}).Log
	if !log.CleanupCompact || log.MinCleanableRatio != 0.25 || log.DeleteRetentionMs != 5 || log.MaxCompactionLagMs != 9 || log.MinCompactionLagMs != 8 {
		t.Errorf("topic: %+v", log)
	}
	if got := mustLoad(t, "log.cleaner.enable=false\n", Input{}).Broker.Cleaner.Threads; got != 0 {
		t.Errorf("%d threads of a cleaner that is off", got)
	}
	if got := mustLoad(t, "", Input{}).Broker.Cleaner.MaxBytesPerSecond; got != 0 {
		t.Errorf("limit %v", got)
	}
}
