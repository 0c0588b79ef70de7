package offsets

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli/clitest"
)

func TestOffsets(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(11, "many"), kfake.SeedTopics(2, "two"))
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(at, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range 7 {
		rec := &kgo.Record{Topic: "two", Partition: int32(i % 2), Value: []byte("v"), Timestamp: time.UnixMilli(int64(1000 * (i + 1)))}
		if err := client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var many []string
	for _, p := range []int{0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9} {
		many = append(many, fmt.Sprintf("many:%d:0\n", p))
	}
	for _, c := range []struct {
		words, out string
	}{
		{"--topic two", "two:0:4\ntwo:1:3\n"},
		{"--topic many", strings.Join(many, "")},
		{"--topic two --time earliest", "two:0:0\ntwo:1:0\n"},
		{"--topic two --time -2", "two:0:0\ntwo:1:0\n"},
		{"--topic two --time -1", "two:0:4\ntwo:1:3\n"},
		{"--topic two --time 5000", "two:0:2\ntwo:1:2\n"},
		{"--topic two --time 7000", "two:0:3\n"},
		{"--topic two --partitions 1", "two:1:3\n"},
		{"--topic-partitions two:0", "two:0:4\n"},
		{"--topic-partitions tw.:1-,many:-1,many:9-10", "many:0:0\nmany:9:0\ntwo:1:3\n"},
		{"--topic-partitions :1", "many:1:0\ntwo:1:3\n"},
	} {
		words := append(strings.Fields(c.words), "--bootstrap-server", at)
		if got := clitest.Run(t.Context(), Command("kafka-get-offsets.sh"), "", words...); got.Out != c.out || got.Code != 0 {
			t.Errorf("%s: printed %q, stderr %q, code %d; want %q", c.words, got.Out, got.Err, got.Code, c.out)
		}
	}
	for words, part := range map[string]string{
		"--topic nope":                       "Error occurred: Could not match any topic-partitions with the specified filters\n",
		"--topic two --topic-partitions two": "Error occurred: --topic-partitions cannot be used with --topic or --partitions\n",
		"--topic two --time noon":            "Error occurred: Malformed time argument noon. Please use -1 or latest",
		"--topic two --partitions a":         "--partitions expects a comma separated list of numeric partition ids, but received: a",
		"--topic-partitions two:x":           "Invalid rule specification: two:x",
	} {
		got := clitest.Run(t.Context(), Command("kafka-get-offsets.sh"), "", append(strings.Fields(words), "--bootstrap-server", at)...)
		if got.Code != 1 || !strings.Contains(got.Err, part) || got.Out != "" {
			t.Errorf("%s: %+v, want %q", words, got, part)
		}
	}
}
