package groups

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/tools/cli"
	"github.com/millrace/millrace/tools/cli/clitest"
)

func run(t *testing.T, bootstrap string, words ...string) clitest.Result {
	t.Helper()
	return clitest.Run(t.Context(), Command("kafka-consumer-groups.sh"), "", append([]string{"--bootstrap-server", bootstrap}, words...)...)
}

// cluster has the topics clicks (2 partitions, 10 records each at seconds 0 to 9 after the
// epoch's first billion) and orders (1 partition, empty), and a client for it.
func cluster(t *testing.T) (*kfake.Cluster, string, *kadm.Client) {
	t.Helper()
	c, at := clitest.Cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "clicks"), kfake.SeedTopics(1, "orders"))
	client, err := kgo.NewClient(kgo.SeedBrokers(at), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	var records []*kgo.Record
	for p := range int32(2) {
		for i := range 10 {
			records = append(records, &kgo.Record{Topic: "clicks", Partition: p, Value: []byte("v"), Timestamp: time.Unix(1_000_000_000+int64(i), 0)})
		}
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return c, at, kadm.NewClient(client)
}

func commit(t *testing.T, admin *kadm.Client, group string, at map[cli.Partition]int64) {
	t.Helper()
	var offsets kadm.Offsets
	for p, o := range at {
		offsets.Add(kadm.Offset{Topic: p.Topic, Partition: p.Index, At: o, LeaderEpoch: -1})
	}
	if err := admin.CommitAllOffsets(t.Context(), group, offsets); err != nil {
		t.Fatal(err)
	}
}

func offsetsOf(t *testing.T, admin *kadm.Client, group string) map[cli.Partition]int64 {
	t.Helper()
	fetched, err := admin.FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	out := map[cli.Partition]int64{}
	fetched.Each(func(o kadm.OffsetResponse) { out[cli.Partition{Topic: o.Topic, Index: o.Partition}] = o.At })
	return out
}

func scrubber(at string) *strings.Replacer {
	_, port, _ := strings.Cut(at, ":")
	return strings.NewReplacer(port, "19092")
}

// The life of a group that only commits, as a terminal shows it.
func TestScriptOfAnEmptyGroup(t *testing.T) {
	_, at, admin := cluster(t)
	commit(t, admin, "billing", map[cli.Partition]int64{{Topic: "clicks", Index: 0}: 4, {Topic: "clicks", Index: 1}: 10})
	commit(t, admin, "a-group-with-a-very-long-name", map[cli.Partition]int64{{Topic: "orders", Index: 0}: 0})
	clitest.Script(t, "empty", scrubber(at), func(words ...string) clitest.Result { return run(t, at, words...) })
}

// members stands in for DescribeGroups and ConsumerGroupDescribe: ids of members are
// random elsewhere, and a table wants them to stay.
func members(c *kfake.Cluster) {
	assigned := func(partitions map[string][]int32) []byte {
		a := kmsg.NewConsumerMemberAssignment()
		for _, topic := range []string{"clicks", "orders"} {
			if len(partitions[topic]) > 0 {
				a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: topic, Partitions: partitions[topic]})
			}
		}
		return a.AppendTo(nil)
	}
	c.ControlKey(int16(kmsg.DescribeGroups), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
		for _, name := range req.(*kmsg.DescribeGroupsRequest).Groups {
			g := kmsg.NewDescribeGroupsResponseGroup()
			g.Group, g.State, g.ProtocolType, g.Protocol = name, "Stable", "consumer", "range"
			switch name {
			case "connect-sink":
				g.ProtocolType = "connect"
			case "moving":
				g.State = "PreparingRebalance"
			case "live":
				instance := "pod-0"
				a := kmsg.NewDescribeGroupsResponseGroupMember()
				a.MemberID, a.ClientID, a.ClientHost = "consumer-1-0a1b2c3d", "billing-service-in-frankfurt", "/10.0.0.1"
				a.MemberAssignment = assigned(map[string][]int32{"orders": {0}})
				b := kmsg.NewDescribeGroupsResponseGroupMember()
				b.MemberID, b.InstanceID, b.ClientID, b.ClientHost = "consumer-2-4e5f6071", &instance, "b", "/10.0.0.2"
				b.MemberAssignment = assigned(map[string][]int32{"clicks": {1, 0}})
				idle := kmsg.NewDescribeGroupsResponseGroupMember()
				idle.MemberID, idle.ClientID, idle.ClientHost = "consumer-3-8a9b0c1d", "c", "/10.0.0.3"
				g.Members = append(g.Members, a, b, idle)
			default:
				g.State, g.ErrorCode = "Dead", kerr.GroupIDNotFound.Code
			}
			resp.Groups = append(resp.Groups, g)
		}
		return resp, nil, true
	})
	topicID := c.TopicInfo("clicks").TopicID
	c.ControlKey(int16(kmsg.ConsumerGroupDescribe), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
		for _, name := range req.(*kmsg.ConsumerGroupDescribeRequest).Groups {
			g := kmsg.NewConsumerGroupDescribeResponseGroup()
			g.Group = name
			if name != "modern" {
				g.ErrorCode = kerr.GroupIDNotFound.Code
				resp.Groups = append(resp.Groups, g)
				continue
			}
			g.State, g.Epoch, g.AssignmentEpoch, g.AssignorName = "Stable", 12, 11, "uniform"
			part := func(ids ...int32) kmsg.Assignment {
				return kmsg.Assignment{TopicPartitions: []kmsg.AssignmentTopicPartition{{TopicID: topicID, Topic: "clicks", Partitions: ids}}}
			}
			m := kmsg.NewConsumerGroupDescribeResponseGroupMember()
			m.MemberID, m.MemberEpoch, m.ClientID, m.ClientHost, m.MemberType = "QCYTBf6UTgmcOjRdWTHkzA", 11, "a", "/10.0.0.1", 1
			m.Assignment, m.TargetAssignment = part(0, 1), part(0)
			old := kmsg.NewConsumerGroupDescribeResponseGroupMember()
			old.MemberID, old.MemberEpoch, old.ClientID, old.ClientHost, old.MemberType = "consumer-9-ffffffff", 10, "b", "/10.0.0.2", 0
			old.TargetAssignment = part(1)
			g.Members = append(g.Members, m, old)
			resp.Groups = append(resp.Groups, g)
		}
		return resp, nil, true
	})
}

func TestTablesOfLiveGroups(t *testing.T) {
	c, at, admin := cluster(t)
	commit(t, admin, "live", map[cli.Partition]int64{{Topic: "clicks", Index: 0}: 4})
	members(c)
	clitest.Script(t, "live", scrubber(at), func(words ...string) clitest.Result { return run(t, at, words...) })
}

// With a consumer that is really there, by either protocol.
func TestDescribeAConsumer(t *testing.T) {
	_, at, _ := cluster(t)
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			opts := []kgo.Opt{kgo.SeedBrokers(at), kgo.ConsumerGroup(protocol), kgo.ConsumeTopics("clicks"), kgo.ClientID("me"), kgo.InstanceID("pod-0"), kgo.DisableAutoCommit()}
			ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
			defer cancel()
			if protocol == "consumer" {
				ctx = context.WithValue(ctx, "opt_in_kafka_next_gen_balancer_beta", true) //nolint:staticcheck // franz-go's switch
				opts = append(opts, kgo.WithContext(ctx))
			}
			consumer, err := kgo.NewClient(opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer consumer.Close()
			for n := 0; n < 20; {
				fetches := consumer.PollFetches(ctx)
				if err := fetches.Err(); err != nil {
					t.Fatal(err)
				}
				n += fetches.NumRecords()
			}
			if err := consumer.CommitUncommittedOffsets(ctx); err != nil {
				t.Fatal(err)
			}
			got := run(t, at, "--describe", "--group", protocol)
			lines := strings.Split(strings.TrimSpace(got.Out), "\n")
			if protocol == "consumer" {
				lines = lines[:3]
			}
			if got.Code != 0 || len(lines) != 3 {
				t.Fatalf("code %d, stdout %q, stderr %q", got.Code, got.Out, got.Err)
			}
			fields := strings.Fields(lines[1])
			// kfake leaves the topic's name out of assignments of the new protocol.
			if want := []string{protocol, "clicks", "0", "10", "10", "0"}; protocol == "classic" && (len(fields) != 9 || strings.Join(fields[:6], " ") != strings.Join(want, " ") || fields[8] != "me") {
				t.Fatalf("row %q", lines[1])
			}
			if busy := run(t, at, "--reset-offsets", "--group", protocol, "--topic", "clicks", "--to-earliest", "--execute"); busy.Code != 0 ||
				!strings.HasPrefix(busy.Out, "\nError: Assignments can only be reset if the group '"+protocol+"' is inactive, but the current state is Stable.\n") {
				t.Fatalf("reset of a group in use: %+v", busy)
			}
			if busy := run(t, at, "--delete", "--group", protocol); !strings.Contains(busy.Out, "could not be deleted due to: org.apache.kafka.common.errors.GroupNotEmptyException: ") {
				t.Fatalf("delete of a group in use: %+v", busy)
			}
		})
	}
}

func TestResetGoals(t *testing.T) {
	_, at, admin := cluster(t)
	zero, one, order := cli.Partition{Topic: "clicks", Index: 0}, cli.Partition{Topic: "clicks", Index: 1}, cli.Partition{Topic: "orders", Index: 0}
	if _, err := admin.DeleteRecords(t.Context(), kadm.Offsets{"clicks": {1: {Topic: "clicks", Partition: 1, At: 2}}}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "offsets.csv")
	if err := os.WriteFile(file, []byte("clicks,0,3\nclicks,1,8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		words string
		want  map[cli.Partition]int64
	}{
		{"--topic clicks --to-earliest", map[cli.Partition]int64{zero: 0, one: 2}},
		{"--topic clicks --to-latest", map[cli.Partition]int64{zero: 10, one: 10}},
		{"--topic clicks:1 --to-offset 7", map[cli.Partition]int64{zero: 5, one: 7}},
		{"--topic clicks --to-offset 100", map[cli.Partition]int64{zero: 10, one: 10}},
		{"--topic clicks --to-offset 1", map[cli.Partition]int64{zero: 1, one: 2}},
		{"--all-topics --shift-by -3", map[cli.Partition]int64{zero: 2}},
		{"--all-topics --shift-by 2", map[cli.Partition]int64{zero: 7}},
		{"--topic clicks --to-current", map[cli.Partition]int64{zero: 5, one: 10}},
		{"--topic clicks --topic orders --to-datetime 2001-09-09T01:46:44.000", map[cli.Partition]int64{zero: 4, one: 4, order: 0}},
		{"--topic clicks:0 --to-datetime 2001-09-09T03:46:44.000+02:00", map[cli.Partition]int64{zero: 4}},
		{"--topic clicks --by-duration P2000000D", nil},
		{"--topic clicks --by-duration PT1S", map[cli.Partition]int64{zero: 10, one: 10}},
		{"--from-file " + file, map[cli.Partition]int64{zero: 3, one: 8}},
	} {
		if _, err := admin.DeleteGroup(t.Context(), "g"); err != nil && err != kerr.GroupIDNotFound {
			t.Fatal(err)
		}
		commit(t, admin, "g", map[cli.Partition]int64{zero: 5})
		words := append([]string{"--reset-offsets", "--group", "g"}, strings.Fields(c.words)...)
		if dry := run(t, at, append(words, "--dry-run")...); (dry.Code == 0) != (c.want != nil) {
			t.Fatalf("%s: %+v", c.words, dry)
		}
		if now := offsetsOf(t, admin, "g"); len(now) != 1 || now[zero] != 5 {
			t.Fatalf("%s: a dry run moved to %v", c.words, now)
		}
		if c.want == nil {
			continue
		}
		got := run(t, at, append(words, "--execute")...)
		now := offsetsOf(t, admin, "g")
		if got.Code != 0 || len(now) != len(c.want) {
			t.Fatalf("%s: %+v, offsets %v, want %v", c.words, got, now, c.want)
		}
		for p, o := range c.want {
			if now[p] != o {
				t.Fatalf("%s: %s is at %d, want %d (%+v)", c.words, p, now[p], o, got)
			}
		}
	}
}

// What --export prints, --from-file takes, for one group and for several.
func TestExportAndBack(t *testing.T) {
	_, at, admin := cluster(t)
	zero := cli.Partition{Topic: "clicks", Index: 0}
	for _, groups := range [][]string{{"a"}, {"a", "b"}} {
		words := []string{"--reset-offsets"}
		for i, g := range groups {
			commit(t, admin, g, map[cli.Partition]int64{zero: int64(3 + i)})
			words = append(words, "--group", g)
		}
		exported := run(t, at, append(words, "--all-topics", "--to-current", "--export", "--dry-run")...)
		file := filepath.Join(t.TempDir(), "offsets.csv")
		if err := os.WriteFile(file, []byte(exported.Out), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			commit(t, admin, g, map[cli.Partition]int64{zero: 9})
		}
		if got := run(t, at, append(words, "--from-file", file, "--execute")...); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		for i, g := range groups {
			if now := offsetsOf(t, admin, g)[zero]; now != int64(3+i) {
				t.Fatalf("%s is at %d after %q", g, now, exported.Out)
			}
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for words, part := range map[string]string{
		"--list":                 `Missing required argument "[bootstrap-server]"`,
		"--bootstrap-server h:1": "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets, --validate-regex",
		"--bootstrap-server h:1 --list --describe":                                                     "exactly one action",
		"--bootstrap-server h:1 --describe":                                                            "Option [describe] takes one of these options: [group], [all-groups]",
		"--bootstrap-server h:1 --describe --group g --all-groups":                                     `Option "[group]" can't be used with option "[all-groups]"`,
		"--bootstrap-server h:1 --describe --group g --members --state":                                "takes at most one of these options: [members], [offsets], [state]",
		"--bootstrap-server h:1 --describe --group g --state stable":                                   "does not take a value for [state]",
		"--bootstrap-server h:1 --list --group g":                                                      `Option "[group]" can't be used with option "[list]"`,
		"--bootstrap-server h:1 --delete --group g --topic t":                                          "does not support topic-specific offset deletion",
		"--bootstrap-server h:1 --delete-offsets --group g":                                            "Option [delete-offsets] takes the following options: [group], [topic]",
		"--bootstrap-server h:1 --reset-offsets --group g --topic t":                                   "requires one of the following scenarios",
		"--bootstrap-server h:1 --reset-offsets --group g --to-earliest":                               "One of the reset scopes should be defined: --all-topics, --topic.",
		"--bootstrap-server h:1 --reset-offsets --group g --topic t --to-earliest --to-latest":         `can't be used with option`,
		"--bootstrap-server h:1 --reset-offsets --group g --topic t --to-earliest --execute --dry-run": "only accepts one of [execute] and [dry-run]",
		"--bootstrap-server h:1 --list --members":                                                      "only available with [describe]",
		"--bootstrap-server h:1 --reset-offsets --group g --topic t --shift-by many":                   `"many"`,
	} {
		got := clitest.Run(t.Context(), Command("kafka-consumer-groups.sh"), "", strings.Fields(words)...)
		if got.Code != 1 || !strings.Contains(got.Err+got.Out, part) {
			t.Errorf("%s: code %d, stderr %q, want %q", words, got.Code, got.Err, part)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"PT1H": time.Hour, "P1DT2H3M4S": 26*time.Hour + 3*time.Minute + 4*time.Second, "PT0.5S": 500 * time.Millisecond,
		"P2D": 48 * time.Hour, "-PT1M": -time.Minute, "PT-1.5S": -1500 * time.Millisecond, "pt10m": 10 * time.Minute,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s is %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "P", "PT", "1H", "P1H", "PT1D", "PT99999999999H", "P1DT"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
	for _, text := range []string{"2026-01-31", "2026-01-31T12:00:00", "2026-02-30T12:00:00.000", "yesterday"} {
		if got, err := parseDatetime(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestListingOfAllTypes(t *testing.T) {
	c, at := clitest.Cluster(t, kfake.NumBrokers(1))
	c.ControlKey(int16(kmsg.ListGroups), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
		for _, g := range [][3]string{{"billing", "consumer", "classic"}, {"commits-only", "", "classic"}, {"connect-sink", "connect", "classic"}, {"modern", "consumer", "consumer"}, {"queue", "share", "share"}, {"words", "streams", "streams"}} {
			resp.Groups = append(resp.Groups, kmsg.ListGroupsResponseGroup{Group: g[0], ProtocolType: g[1], GroupType: g[2], GroupState: "Stable"})
		}
		return resp, nil, true
	})
	clitest.Script(t, "listing", scrubber(at), func(words ...string) clitest.Result {
		return clitest.Run(t.Context(), Listing("kafka-groups.sh"), "", append([]string{"--bootstrap-server", at}, words...)...)
	})
}

func TestCompletionOfGroups(t *testing.T) {
	_, at, admin := cluster(t)
	commit(t, admin, "billing", map[cli.Partition]int64{{Topic: "clicks", Index: 0}: 4})
	got := clitest.Run(t.Context(), Command("kafka-consumer-groups.sh"), "", "__complete", "--bootstrap-server", at, "--group", "")
	if !strings.HasPrefix(got.Out, "billing\n") {
		t.Fatalf("%+v", got)
	}
}
