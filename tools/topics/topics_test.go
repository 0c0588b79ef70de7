package topics

import (
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli/clitest"
)

func run(t *testing.T, bootstrap string, words ...string) clitest.Result {
	t.Helper()
	return clitest.Run(t.Context(), Command("kafka-topics.sh"), "", append([]string{"--bootstrap-server", bootstrap}, words...)...)
}

func expect(t *testing.T, got clitest.Result, code int, out string) {
	t.Helper()
	if got.Code != code || got.Out != out {
		t.Fatalf("code %d, stdout %q, stderr %q; want code %d, stdout %q", got.Code, got.Out, got.Err, code, out)
	}
}

func TestLifeOfATopic(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.DefaultNumPartitions(5))
	expect(t, run(t, at, "--create", "--topic", "clicks", "--partitions", "2", "--replication-factor", "3",
		"--config", "retention.ms=1000", "--config", "segment.bytes = 2000000"), 0, "Created topic clicks.\n")
	expect(t, run(t, at, "-create", "-topic", "plain"), 0, "Created topic plain.\n")
	expect(t, run(t, at, "--list"), 0, "clicks\nplain\n")
	expect(t, run(t, at, "--list", "--topic", "cl.*"), 0, "clicks\n")

	got := run(t, at, "--describe", "--topic", "clicks")
	want := regexp.MustCompile(`^Topic: clicks\tTopicId: [A-Za-z0-9_-]{22}\tPartitionCount: 2\tReplicationFactor: 3\tConfigs: ` +
		`retention.ms=1000,segment.bytes=2000000\n` +
		`\tTopic: clicks\tPartition: 0\tLeader: [0-2]\tReplicas: [0-2],[0-2],[0-2]\tIsr: [0-2],[0-2],[0-2]\tElr: \tLastKnownElr: \n` +
		`\tTopic: clicks\tPartition: 1\tLeader: [0-2]\tReplicas: [0-2],[0-2],[0-2]\tIsr: [0-2],[0-2],[0-2]\tElr: \tLastKnownElr: \n$`)
	if !want.MatchString(got.Out) || got.Code != 0 {
		t.Fatalf("describe printed %q (stderr %q, code %d)", got.Out, got.Err, got.Code)
	}
	id := regexp.MustCompile(`TopicId: (\S+)`).FindStringSubmatch(got.Out)[1]
	if byID := run(t, at, "--describe", "--topic-id", id); byID.Out != got.Out {
		t.Fatalf("by id %q, by name %q", byID.Out, got.Out)
	}
	if over := run(t, at, "--describe", "--topics-with-overrides"); strings.Contains(over.Out, "plain") || !strings.HasPrefix(over.Out, "Topic: clicks\t") || strings.Contains(over.Out, "\tTopic:") {
		t.Fatalf("overrides: %q", over.Out)
	}
	expect(t, run(t, at, "--alter", "--topic", "clicks", "--partitions", "4"), 0, "")
	if got := run(t, at, "--describe", "--topic", "clicks"); !strings.Contains(got.Out, "PartitionCount: 4") {
		t.Fatalf("after alter: %q", got.Out)
	}
	expect(t, run(t, at, "--delete", "--topic", "clicks"), 0, "")
	expect(t, run(t, at, "--list"), 0, "plain\n")
}

// Without DescribeTopicPartitions (before Kafka 3.8) the tool does not know eligible
// leader replicas and says so.
func TestDescribeFallsBackToMetadata(t *testing.T) {
	c, at := clitest.Cluster(t, kfake.SeedTopics(1, "old"))
	c.ControlKey(int16(kmsg.ApiVersions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
		for key, maxVersion := range map[int16]int16{3: 12, 18: 3, 19: 7, 32: 4, 60: 0} {
			resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key, MaxVersion: maxVersion})
		}
		return resp, nil, true
	})
	got := run(t, at, "--describe", "--topic", "old")
	if !regexp.MustCompile(`\tElr: N/A\tLastKnownElr: N/A\n$`).MatchString(got.Out) {
		t.Fatalf("printed %q, stderr %q", got.Out, got.Err)
	}
}

func TestErrorsInKafkasWords(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "there"))
	for _, c := range []struct {
		words string
		out   string // stdout, where Kafka's tool prints failures
		err   string // a part of stderr
	}{
		{"--create --topic there", "Error while executing topic command : ", "org.apache.kafka.common.errors.TopicExistsException: "},
		{"--delete --topic nope", "Error while executing topic command : Topic 'nope' does not exist as expected\n", "IllegalArgumentException"},
		{"--describe --topic nope", "Error while executing topic command : Topic 'nope' does not exist as expected\n", ""},
		{"--alter --topic nope --partitions 2", "Error while executing topic command : Topic 'nope' does not exist as expected\n", ""},
		{"--create --topic x --partitions 0", "Error while executing topic command : The partitions must be greater than 0\n", ""},
		{"--create --topic x --replication-factor 40000", "Error while executing topic command : The replication factor must be between 1 and 32767 inclusive\n", ""},
		{"--create --topic x --config nonsense", "Error while executing topic command : requirement failed: Invalid topic config", ""},
		{"--create --topic x --replica-assignment 1:1", "Error while executing topic command : Partition replica lists may not contain duplicate entries: 1\n", ""},
		{"--create --topic x --replica-assignment 0:1,2", "Error while executing topic command : Partition 1 has different replication factor: [2]\n", ""},
	} {
		got := run(t, at, strings.Fields(c.words)...)
		if got.Code != 1 || !strings.HasPrefix(got.Out, c.out) || !strings.Contains(got.Err, c.err) {
			t.Errorf("%s: code %d, stdout %q, stderr %q", c.words, got.Code, got.Out, got.Err)
		}
	}
	for words, part := range map[string]string{
		"--create --topic there --if-not-exists": "", "--delete --topic nope --if-exists": "",
		"--alter --topic nope --partitions 2 --if-exists": "", "--describe --topic nope --if-exists": "",
	} {
		if got := run(t, at, strings.Fields(words)...); got.Code != 0 || got.Out != part {
			t.Errorf("%s: code %d, stdout %q, stderr %q", words, got.Code, got.Out, got.Err)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for words, part := range map[string]string{
		"--bootstrap-server h:1":                                                          "Command must include exactly one action: --list, --describe, --create, --alter or --delete",
		"--bootstrap-server h:1 --list --create":                                          "exactly one action",
		"--list":                                                                          "--bootstrap-server must be specified",
		"--bootstrap-server h:1 --create":                                                 `Missing required argument "[topic]"`,
		"--bootstrap-server h:1 --alter --topic x":                                        `Missing required argument "[partitions]"`,
		"--zookeeper z:2181 --bootstrap-server h:1 --list":                                `Option "[bootstrap-server]" can't be used with option "[zookeeper]"`,
		"--zookeeper z:2181 --create --topic x --partitions 1":                            `Missing required argument "[replication-factor]"`,
		"--zookeeper z:2181 --delete --topic x --config a=b":                              `Option "[config]" can't be used with option "[delete]"`,
		"--bootstrap-server h:1 --list --partitions 1":                                    `Option "[partitions]" can't be used with option "[list]"`,
		"--bootstrap-server h:1 --delete --topic x --if-not-exists":                       `Option "[if-not-exists]" can't be used with option "[delete]"`,
		"--bootstrap-server h:1 --create --topic x --partitions many":                     `"many"`,
		"--bootstrap-server h:1 --frob":                                                   "frob",
		"--bootstrap-server nonsense --list":                                              "valid host:port",
		"--bootstrap-server h:1 --create --topic x --partitions 1 --replica-assignment 0": "can't be used",
	} {
		got := clitest.Run(t.Context(), Command("kafka-topics.sh"), "", strings.Fields(words)...)
		if got.Code != 1 || !strings.Contains(got.Err+got.Out, part) {
			t.Errorf("%s: code %d, stderr %q, want %q", words, got.Code, got.Err, part)
		}
	}
}

func TestPartitionReports(t *testing.T) {
	r := &runner{o: &options{}, out: &strings.Builder{}}
	d := &description{name: "t", minISR: 2, partitions: []partition{
		{index: 0, leader: 1, replicas: []int32{1, 2, 3}, isr: []int32{1, 2, 3}},
		{index: 1, leader: 2, replicas: []int32{2, 3, 1}, isr: []int32{2, 3}},
		{index: 2, leader: 3, replicas: []int32{3, 1, 2}, isr: []int32{3}},
		{index: 3, leader: -1, replicas: []int32{1, 2, 3}, isr: []int32{1}},
		{index: 4, leader: 1, replicas: []int32{1, 2, 4}, isr: []int32{1, 2}, moving: true, adding: []int32{4}, removing: []int32{2}},
	}}
	for _, c := range []struct {
		set  func(*options)
		want string
	}{
		{func(o *options) { o.underReplicated = true }, "1 2 3"},
		{func(o *options) { o.unavailable = true }, "2 3"},
		{func(o *options) { o.underMinISR = true }, "2 3"},
		{func(o *options) { o.atMinISR = true }, "1 4"},
	} {
		var out strings.Builder
		r.o, r.out = &options{}, &out
		c.set(r.o)
		r.print(d, []int32{1, 2})
		var rows []string
		for _, m := range regexp.MustCompile(`Partition: (\d)`).FindAllStringSubmatch(out.String(), -1) {
			rows = append(rows, m[1])
		}
		if got := strings.Join(rows, " "); got != c.want {
			t.Errorf("%+v: partitions %s, want %s", r.o, got, c.want)
		}
	}
	var out strings.Builder
	r.o, r.out = &options{}, &out
	r.print(d, nil)
	if want := "\tTopic: t\tPartition: 4\tLeader: 1\tReplicas: 1,2,4\tIsr: 1,2\tAdding Replicas: 4\tRemoving Replicas: 2\tElr: N/A\tLastKnownElr: N/A\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("printed %q", out.String())
	}
	if want := "\tTopic: t\tPartition: 3\tLeader: none\t"; !strings.Contains(out.String(), want) {
		t.Errorf("printed %q", out.String())
	}
}
