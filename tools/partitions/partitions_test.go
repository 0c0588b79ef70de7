package partitions

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli/clitest"
)

// script runs testdata/name.golden; "FILE(text)" in it becomes a file with that text.
func script(t *testing.T, name, at string, tool func(string) *cobra.Command) {
	t.Helper()
	dir := t.TempDir()
	clitest.Script(t, name, strings.NewReplacer(at, "HOST:9092", dir, "DIR"), func(words ...string) clitest.Result {
		for i, w := range words {
			if text, ok := strings.CutPrefix(w, "FILE("); ok {
				words[i] = filepath.Join(dir, "file.json")
				if err := os.WriteFile(words[i], []byte(strings.TrimSuffix(text, ")")), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		return clitest.Run(t.Context(), tool("kafka-tool.sh"), "", append([]string{"--bootstrap-server", at}, words...)...)
	})
}

func cluster(t *testing.T) (*kfake.Cluster, string) {
	t.Helper()
	c, at := clitest.Cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "clicks"), kfake.SeedTopics(1, "orders"))
	client, err := kgo.NewClient(kgo.SeedBrokers(at), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 5 {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "clicks", Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return c, at
}

func TestScriptOfDeletedRecords(t *testing.T) {
	c, at := cluster(t)
	script(t, "records", at, DeleteRecords)
	if start := c.PartitionInfo("clicks", 0).LogStartOffset; start != 5 {
		t.Fatalf("the log starts at %d", start)
	}
}

func TestScriptOfElections(t *testing.T) {
	c, at := cluster(t)
	c.ControlKey(int16(kmsg.ElectLeaders), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		r := req.(*kmsg.ElectLeadersRequest)
		resp := r.ResponseKind().(*kmsg.ElectLeadersResponse)
		answer := func(topic string, partition int32) {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition = partition
			switch {
			case topic == "nowhere":
				p.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case r.ElectionType == 1:
				p.ErrorCode = kerr.EligibleLeadersNotAvailable.Code
			case partition == 1:
				p.ErrorCode = kerr.ElectionNotNeeded.Code
			}
			if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != topic {
				resp.Topics = append(resp.Topics, kmsg.ElectLeadersResponseTopic{Topic: topic})
			}
			last := &resp.Topics[len(resp.Topics)-1]
			last.Partitions = append(last.Partitions, p)
		}
		if r.Topics == nil {
			for _, p := range []int32{0, 1} {
				answer("clicks", p)
			}
			answer("orders", 0)
		}
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				answer(t.Topic, p)
			}
		}
		return resp, nil, true
	})
	script(t, "election", at, LeaderElection)
}

func TestScriptOfLogDirs(t *testing.T) {
	c, at := cluster(t)
	c.ControlKey(int16(kmsg.DescribeLogDirs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
		part := func(i int32, size int64, future bool) kmsg.DescribeLogDirsResponseDirTopicPartition {
			return kmsg.DescribeLogDirsResponseDirTopicPartition{Partition: i, Size: size, IsFuture: future}
		}
		resp.Dirs = []kmsg.DescribeLogDirsResponseDir{
			{Dir: "/data/b", Topics: []kmsg.DescribeLogDirsResponseDirTopic{{Topic: "clicks", Partitions: []kmsg.DescribeLogDirsResponseDirTopicPartition{part(10, 7, true), part(2, 1048576, false)}}}},
			{Dir: "/data/a", ErrorCode: kerr.KafkaStorageError.Code},
			{Dir: "/data/c", Topics: []kmsg.DescribeLogDirsResponseDirTopic{{Topic: "orders", Partitions: []kmsg.DescribeLogDirsResponseDirTopicPartition{part(0, 0, false)}}}},
		}
		return resp, nil, true
	})
	script(t, "logdirs", at, LogDirs)
}

func TestUsageErrors(t *testing.T) {
	tools := map[string]func(string) *cobra.Command{"r": DeleteRecords, "e": LeaderElection, "d": LogDirs}
	for line, part := range map[string]string{
		"r --offset-json-file f":                                       `Missing required argument "[bootstrap-server]"`,
		"r --bootstrap-server h:1":                                     `Missing required argument "[offset-json-file]"`,
		"d --describe":                                                 `Missing required argument "[bootstrap-server]"`,
		"d --bootstrap-server h:1":                                     `Missing required argument "[describe]"`,
		"e --all-topic-partitions":                                     "Missing required option(s): bootstrap-server, election-type",
		"e --bootstrap-server h:1 --election-type preferred":           "One and only one of the following options is required: topic, all-topic-partitions, path-to-json-file",
		"e --bootstrap-server h:1 --election-type preferred --topic t": "Missing required option(s): partition",
		"e --bootstrap-server h:1 --election-type preferred --all-topic-partitions --partition 1": "Option partition is only allowed if topic is used",
		"e --bootstrap-server h:1 --election-type best --all-topic-partitions":                    "it must be preferred or unclean",
	} {
		words := strings.Fields(line)
		got := clitest.Run(t.Context(), tools[words[0]]("kafka-tool.sh"), "", words[1:]...)
		if got.Code != 1 || !strings.Contains(got.Err, part) {
			t.Errorf("%s: %+v, want %q", line, got, part)
		}
	}
}
