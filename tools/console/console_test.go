package console

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli/clitest"
)

func produce(t *testing.T, at, input string, words ...string) clitest.Result {
	t.Helper()
	return clitest.Run(t.Context(), Producer("kafka-console-producer.sh"), input, append([]string{"--bootstrap-server", at}, words...)...)
}

func consume(t *testing.T, at string, words ...string) clitest.Result {
	t.Helper()
	return clitest.Run(t.Context(), Consumer("kafka-console-consumer.sh"), "", append([]string{"--bootstrap-server", at}, words...)...)
}

func TestLinesInLinesOut(t *testing.T) {
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd", ""} {
		_, at := clitest.Cluster(t, kfake.SeedTopics(1, "lines"))
		words := []string{"--topic", "lines", "--compression-codec"}
		if codec != "" {
			words = append(words, codec)
		}
		if got := produce(t, at, "one\ntwo words\r\n\nlast without newline", words...); got.Code != 0 || got.Out != "" || got.Err != "" {
			t.Fatalf("%s: %+v", codec, got)
		}
		got := consume(t, at, "--topic", "lines", "--from-beginning", "--max-messages", "4")
		if got.Out != "one\ntwo words\n\nlast without newline\n" || got.Err != "Processed a total of 4 messages\n" || got.Code != 0 {
			t.Fatalf("%s: %+v", codec, got)
		}
	}
}

func TestOldAndNewWords(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "w"))
	for _, property := range []string{"--property", "--reader-property"} {
		got := clitest.Run(t.Context(), Producer("x"), "k:v\n", "--broker-list", at, "--topic", "w", property, "parse.key=true", property, "key.separator=:",
			"--sync", "--request-required-acks", "all", "--timeout", "5", "--producer-property", "client.id=me")
		if got.Code != 0 || got.Err != "" {
			t.Fatalf("%+v", got)
		}
	}
	for _, property := range []string{"--property", "--formatter-property"} {
		got := consume(t, at, "-topic", "w", "--partition", "0", "--offset", "earliest", "--timeout-ms", "60000", "--max-messages", "2", property, "print.key=true", "--consumer-property", "fetch.max.wait.ms=50")
		if got.Out != "k\tv\nk\tv\n" || got.Code != 0 {
			t.Fatalf("%+v", got)
		}
	}
	if got := consume(t, at, "--whitelist", "w|z", "--from-beginning", "--max-messages", "1"); got.Out != "v\n" {
		t.Fatalf("%+v", got)
	}
}

func TestEverythingOfARecordIsPrinted(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(2, "t"))
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(at, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	rec := &kgo.Record{Topic: "t", Partition: 1, Key: []byte{0, 0, 1, 0}, Value: nil, Timestamp: time.UnixMilli(1790000000123),
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}}}
	if err := client.ProduceSync(t.Context(), rec, &kgo.Record{Topic: "t", Partition: 1, Value: []byte("v"), Timestamp: time.UnixMilli(1790000000124)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	all := "print.timestamp=true print.partition=true print.offset=true print.epoch=true print.headers=true print.key=true key.separator=| null.literal=NIL key.deserializer=org.apache.kafka.common.serialization.IntegerDeserializer"
	words := []string{"--topic", "t", "--partition", "1", "--offset", "0", "--max-messages", "2"}
	for _, p := range strings.Fields(all) {
		words = append(words, "--property", p)
	}
	got := consume(t, at, words...)
	if want := "CreateTime:1790000000123|Partition:1|Offset:0|Epoch:0|a:1,b:NIL|256|NIL\nCreateTime:1790000000124|Partition:1|Offset:1|Epoch:0|NO_HEADERS|NIL|v\n"; got.Out != want {
		t.Fatalf("%+v, want %q", got, want)
	}
	got = consume(t, at, "--topic", "t", "--partition", "1", "--offset", "1", "--max-messages", "1", "--value-deserializer", "LongDeserializer")
	if got.Code != 1 || !strings.Contains(got.Err, "Size of data received by LongDeserializer is not 8") {
		t.Fatalf("%+v", got)
	}
	got = consume(t, at, "--topic", "t", "--partition", "1", "--offset", "1", "--max-messages", "1", "--value-deserializer", "LongDeserializer", "--skip-message-on-error")
	if got.Code != 0 || got.Out != "" || !strings.HasSuffix(got.Err, "Processed a total of 1 messages\n") {
		t.Fatalf("%+v", got)
	}
}

func TestGroupRemembersWhatWasPrinted(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "g"))
	produce(t, at, "1\n2\n3\n", "--topic", "g")
	first := consume(t, at, "--topic", "g", "--group", "us", "--from-beginning", "--max-messages", "2")
	second := consume(t, at, "--topic", "g", "--group", "us", "--from-beginning", "--max-messages", "1")
	if first.Out != "1\n2\n" || second.Out != "3\n" {
		t.Fatalf("%+v then %+v", first, second)
	}
}

func TestNothingCameIsNoError(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "e"))
	produce(t, at, "before\n", "--topic", "e")
	if got := consume(t, at, "--topic", "e", "--timeout-ms", "200"); got.Code != 0 || got.Out != "" || got.Err != "Processed a total of 0 messages\n" {
		t.Fatalf("%+v", got)
	}
	if got := consume(t, at, "--topic", "e", "--from-beginning", "--timeout-ms", "60000", "--max-messages", "1"); got.Out != "before\n" || got.Err != "Processed a total of 1 messages\n" {
		t.Fatalf("%+v", got)
	}
}

// TestInterruptEndsCleanly presses Ctrl-C at each request that the consumer sends on its way:
// before a broker answered, while it asks for groups, while it waits for records.
func TestInterruptEndsCleanly(t *testing.T) {
	for _, at := range []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata, kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.ListOffsets, kmsg.Fetch} {
		for _, more := range [][]string{nil, {"--group", "us"}} {
			if more == nil && (at == kmsg.FindCoordinator || at == kmsg.JoinGroup) {
				continue // sent for a group only
			}
			t.Run(fmt.Sprint(at.Name(), more), func(t *testing.T) {
				cluster, addr := clitest.Cluster(t, kfake.SeedTopics(1, "i"))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				cluster.ControlKey(at.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
					cancel()
					return nil, nil, false
				})
				got := clitest.Run(ctx, Consumer("c"), "", append([]string{"--bootstrap-server", addr, "--topic", "i"}, more...)...)
				if got.Code != 130 || got.Err != "Processed a total of 0 messages\n" {
					t.Fatalf("%+v", got)
				}
			})
		}
	}
}

func TestLostRecordsAreTold(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "big"))
	got := produce(t, at, strings.Repeat("x", 3000)+"\nsmall\n", "--topic", "big", "--producer-property", "max.request.size=2000")
	if got.Code != 1 || !strings.Contains(got.Err, "Error when sending message to topic big with key: null, value: 3000 bytes with error: org.apache.kafka.common.errors.RecordTooLargeException") {
		t.Fatalf("%+v", got)
	}
	if got := consume(t, at, "--topic", "big", "--from-beginning", "--max-messages", "1"); got.Out != "small\n" {
		t.Fatalf("%+v", got)
	}
}

func TestUsageErrors(t *testing.T) {
	for words, part := range map[string]string{
		"p --bootstrap-server h:1": `Missing required argument "[topic]"`,
		"p --topic t":              `Missing required argument "[bootstrap-server]"`,
		"p --bootstrap-server h:1 --topic t --compression-codec brotli":                                    "Unknown compression name: brotli",
		"p --bootstrap-server h:1 --topic t --request-required-acks 2":                                     "Invalid value 2 for configuration acks",
		"p --bootstrap-server h:1 --topic t --property null.marker=, ":                                     "null.marker and headers.separator may not be equal",
		"c --bootstrap-server h:1":                                                                         "Exactly one of --include/--topic is required.",
		"c --bootstrap-server h:1 --topic t --include x":                                                   "Exactly one of --include/--topic is required.",
		"c --bootstrap-server h:1 --topic t --offset 4":                                                    "The partition is required when offset is specified.",
		"c --bootstrap-server h:1 --topic t --partition 0 --offset -4":                                     "The provided offset value '-4' is incorrect.",
		"c --bootstrap-server h:1 --topic t --partition 0 --group g":                                       "Options group and partition cannot be specified together.",
		"c --bootstrap-server h:1 --topic t --from-beginning --consumer-property auto.offset.reset=latest": "Can't simultaneously specify --from-beginning and 'auto.offset.reset=latest'",
		"c --bootstrap-server h:1 --topic t --group a --consumer-property group.id=b":                      "do not match",
		"c --zookeeper z:2181 --topic t":                                                                   "use --bootstrap-server",
		"c --bootstrap-server h:1 --topic t --isolation-level x":                                           "read_committed, read_uncommitted",
	} {
		f := strings.Fields(words)
		cmd := Producer("p")
		if f[0] == "c" {
			cmd = Consumer("c")
		}
		got := clitest.Run(t.Context(), cmd, "", f[1:]...)
		if got.Code != 1 || !strings.Contains(got.Err, part) {
			t.Errorf("%s: %+v, want %q", words, got, part)
		}
	}
}
