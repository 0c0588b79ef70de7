package reassign

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli/clitest"
)

// mover stands in for what kfake does not do: moves that are under way, and replicas in
// log directories. The test's goroutine waits while a tool runs.
type mover struct {
	under   map[string][3][]int32 // by "topic-partition"
	current map[string]string     // directory of a replica of broker 0
	future  map[string]string
	alters  [][2]string // topic and value of a throttle
}

func (m *mover) install(c *kfake.Cluster) {
	c.ControlKey(int16(kmsg.ListPartitionReassignments), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
		if lists, ok := m.under["clicks-0"]; ok {
			p := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
			p.Replicas, p.AddingReplicas, p.RemovingReplicas = lists[0], lists[1], lists[2]
			resp.Topics = append(resp.Topics, kmsg.ListPartitionReassignmentsResponseTopic{Topic: "clicks", Partitions: []kmsg.ListPartitionReassignmentsResponseTopicPartition{p}})
		}
		return resp, nil, true
	})
	c.ControlKey(int16(kmsg.AlterPartitionAssignments), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
		for _, t := range req.(*kmsg.AlterPartitionAssignmentsRequest).Topics {
			rt := kmsg.NewAlterPartitionAssignmentsResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
				rp.Partition = p.Partition
				switch {
				case t.Topic == "orders":
					rp.ErrorCode, rp.ErrorMessage = kerr.InvalidReplicaAssignment.Code, kmsg.StringPtr("The manual partition assignment is refused")
				case p.Replicas == nil:
					delete(m.under, "clicks-0")
				case p.Partition == 0:
					m.under["clicks-0"] = [3][]int32{{0, 1, 2}, {1, 2}, {0}}
				}
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	c.ControlKey(int16(kmsg.DescribeLogDirs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
		for _, dir := range []string{"/data/a", "/data/b"} {
			d := kmsg.NewDescribeLogDirsResponseDir()
			d.Dir = dir
			for _, future := range []bool{false, true} {
				for name, at := range map[bool]map[string]string{false: m.current, true: m.future}[future] {
					if at == dir {
						d.Topics = append(d.Topics, kmsg.DescribeLogDirsResponseDirTopic{Topic: name, Partitions: []kmsg.DescribeLogDirsResponseDirTopicPartition{{Partition: 0, IsFuture: future}}})
					}
				}
			}
			resp.Dirs = append(resp.Dirs, d)
		}
		return resp, nil, true
	})
	c.ControlKey(int16(kmsg.AlterReplicaLogDirs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
		for _, d := range req.(*kmsg.AlterReplicaLogDirsRequest).Dirs {
			for _, t := range d.Topics {
				m.future["clicks"] = d.Dir
				if d.Dir == m.current["clicks"] {
					delete(m.future, "clicks")
				}
				rt := kmsg.NewAlterReplicaLogDirsResponseTopic()
				rt.Topic = t.Topic
				rt.Partitions = []kmsg.AlterReplicaLogDirsResponseTopicPartition{{Partition: t.Partitions[0]}}
				if d.Dir == "/nowhere" {
					rt.Partitions[0].ErrorCode = kerr.LogDirNotFound.Code
				}
				resp.Topics = append(resp.Topics, rt)
			}
		}
		return resp, nil, true
	})
	c.ControlKey(int16(kmsg.IncrementalAlterConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
		for _, r := range req.(*kmsg.IncrementalAlterConfigsRequest).Resources {
			for _, s := range r.Configs {
				value := "-"
				if s.Value != nil {
					value = *s.Value
				}
				m.alters = append(m.alters, [2]string{r.ResourceName + " " + s.Name, value})
			}
			out := kmsg.NewIncrementalAlterConfigsResponseResource()
			out.ResourceName, out.ResourceType = r.ResourceName, r.ResourceType
			resp.Resources = append(resp.Resources, out)
		}
		return resp, nil, true
	})
}

var chosen = regexp.MustCompile(`replica set is [0-2],[0-2],[0-2] rather`)

func TestScriptOfMoves(t *testing.T) {
	c, at := clitest.Cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(2, "clicks"), kfake.SeedTopics(1, "orders"))
	m := &mover{under: map[string][3][]int32{}, current: map[string]string{"clicks": "/data/a"}, future: map[string]string{}}
	m.install(c)
	dir := t.TempDir()
	clitest.Script(t, "moves", strings.NewReplacer(dir, "DIR"), func(words ...string) clitest.Result {
		if words[0] == "done" { // the brokers have done their work
			m.under, m.current = map[string][3][]int32{}, map[string]string{"clicks": "/data/b"}
			m.future = map[string]string{}
			return clitest.Result{}
		}
		if words[0] == "throttles" { // what was set since the last time
			var out strings.Builder
			slices.SortStableFunc(m.alters, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
			for _, a := range m.alters {
				out.WriteString(a[0] + "=" + a[1] + "\n")
			}
			m.alters = nil
			return clitest.Result{Out: out.String()}
		}
		for i, w := range words {
			if text, ok := strings.CutPrefix(w, "FILE("); ok {
				words[i] = filepath.Join(dir, "file.json")
				if err := os.WriteFile(words[i], []byte(strings.TrimSuffix(text, ")")), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		got := clitest.Run(t.Context(), Command("kafka-reassign-partitions.sh"), "", append([]string{"--bootstrap-server", at}, words...)...)
		// Which brokers kfake chose is its own affair.
		lines := strings.Split(got.Out, "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, `{"version":1,`) {
				lines[i] = "(JSON)"
			}
			lines[i] = chosen.ReplaceAllString(lines[i], "replica set is (ALL) rather")
		}
		got.Out = strings.Join(lines, "\n")
		return got
	})
}

// The rule is Kafka's: the examples are those of its own documentation.
func TestAssign(t *testing.T) {
	plain := []server{{id: 0}, {id: 1}, {id: 2}, {id: 3}, {id: 4}}
	got, err := assign(plain, 10, 3, 0, 0)
	want := [][]int32{{0, 1, 2}, {1, 2, 3}, {2, 3, 4}, {3, 4, 0}, {4, 0, 1}, {0, 2, 3}, {1, 3, 4}, {2, 4, 0}, {3, 0, 1}, {4, 1, 2}}
	if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
		t.Fatalf("%v (%v), want %v", got, err, want)
	}
	racked := []server{{0, "rack1"}, {1, "rack3"}, {2, "rack3"}, {3, "rack2"}, {4, "rack2"}, {5, "rack1"}}
	ring, racks := alternate(racked)
	var ids []int32
	for _, s := range ring {
		ids = append(ids, s.id)
	}
	if want := []int32{0, 3, 1, 5, 4, 2}; racks != 3 || !slices.Equal(ids, want) {
		t.Fatalf("ring %v of %d racks, want %v", ids, racks, want)
	}
	got, err = assign(racked, 7, 3, 0, 0)
	want = [][]int32{{0, 3, 1}, {3, 1, 5}, {1, 5, 4}, {5, 4, 2}, {4, 2, 0}, {2, 0, 3}, {0, 4, 2}}
	if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
		t.Fatalf("%v (%v), want %v", got, err, want)
	}
	if _, err := assign(plain[:2], 1, 3, 0, 0); err == nil {
		t.Fatal("three replicas on two brokers")
	}
	if one, err := assign(plain[:1], 2, 1, 0, 0); err != nil || !slices.EqualFunc(one, [][]int32{{0}, {0}}, slices.Equal) {
		t.Fatalf("%v %v", one, err)
	}
}

func TestUsageErrors(t *testing.T) {
	for words, part := range map[string]string{
		"--bootstrap-server h:1":                 "Command must include exactly one action: --generate, --execute, --verify, --cancel, --list",
		"--bootstrap-server h:1 --list --verify": "exactly one action",
		"--list":                                 "Please specify either --bootstrap-server or --bootstrap-controller",
		"--bootstrap-server h:1 --bootstrap-controller h:2 --list":               "Please don't specify both",
		"--bootstrap-server h:1 --verify":                                        `Missing required argument "[reassignment-json-file]"`,
		"--bootstrap-server h:1 --generate --broker-list 1":                      `Missing required argument "[topics-to-move-json-file]"`,
		"--bootstrap-server h:1 --list --throttle 1":                             `Option "[throttle]" can't be used with action "[list]"`,
		"--bootstrap-controller h:1 --execute --reassignment-json-file f":        `Option "[bootstrap-controller]" can't be used with action "[execute]"`,
		"--bootstrap-server h:1 --verify --reassignment-json-file f --timeout 5": `Option "[timeout]" can't be used with action "[verify]"`,
	} {
		got := clitest.Run(t.Context(), Command("kafka-reassign-partitions.sh"), "", strings.Fields(words)...)
		if got.Code != 1 || !strings.Contains(got.Err, part) {
			t.Errorf("%s: %+v, want %q", words, got, part)
		}
	}
}
