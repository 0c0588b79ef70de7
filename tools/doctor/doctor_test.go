package doctor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli/clitest"
)

// sick has something wrong with everything.
func sick() *facts {
	return &facts{
		target: "broker1:9092 (cluster c, 3 brokers), server.properties",
		limits: thresholds{100_000, 300},
		config: &configFacts{
			from: "server.properties", set: 4,
			values: map[string]string{
				"unclean.leader.election.enable": "true", "default.replication.factor": "2", "min.insync.replicas": "3", "log.retention.ms": "-1",
				"log.segment.bytes": "1048576", "auto.create.topics.enable": "false", "admin.listener": "0.0.0.0:9644", "quorum.client.listener": "0.0.0.0:2181", "log.cleaner.enable": "false",
			},
			isSet:    map[string]bool{"unclean.leader.election.enable": true, "min.insync.replicas": true, "log.segment.bytes": true},
			problems: []string{"server.properties:3: num.partitions=many: must be a number"},
			warnings: []warning{{"server.properties:4: log.retention.hour: unknown, log.retention.hours perhaps?", true}, {"server.properties:9: num.io.threads: it has no effect", false}},
		},
		dirs: []dirFacts{
			{path: "/data/a", total: 1 << 40, free: 20 << 30, syncs: 20, syncP50: 250 * time.Millisecond, syncWorst: time.Second},
			{path: "/data/b", total: 1 << 40, free: 140 << 30, files: 1000, freeFiles: 3, syncs: 20, syncP50: 30 * time.Millisecond, syncWorst: 90 * time.Millisecond},
			{path: "/data/c", err: "input/output error"},
			{path: "/dev/shm/d", total: 1 << 30, free: 1 << 30, memory: true},
		},
		process: &processFacts{whose: "the broker", openFiles: 970, maxFDs: 1024, maxMaps: 65530, partitions: 40000},
		clock:   &clockFacts{skew: -90 * time.Second, skewKnown: true, unsynced: true, unsyncedSeen: true},
		cluster: &clusterFacts{
			id: "c",
			brokers: []brokerFacts{{id: 1, address: "10.0.0.1:9092", err: "i/o timeout"}, {id: 2, address: "lb:9092", wrongNode: "cluster d, not c"},
				{id: 3, address: "127.0.0.1:9092", loopback: true}},
			topics:  []topicFacts{{name: "clicks", leaderless: []int32{0}, under: []int32{1, 2, 3, 4, 5, 6, 7}}},
			offsets: &offsetsFacts{partitions: 50, factor: 1, cleanup: "delete"},
		},
		cleaner:     &cleanerFacts{uncleanable: []string{"__consumer_offsets-7", "state-0"}},
		askedGroups: true,
		groups: []groupFacts{
			{name: "late", state: "Stable", lag: 500, seconds: 3600, worst: "clicks-1", worstLag: 400},
			{name: "many", state: "Empty", lag: 2_000_000, seconds: -1, worst: "clicks-0", worstLag: 1_500_000},
			{name: "lossy", state: "Stable", seconds: 0, lost: []string{"clicks-3"}},
			{name: "odd", seconds: -1, err: "not authorized"},
			{name: "well", state: "Stable", lag: 10, seconds: 1},
		},
	}
}

func TestJudgementOfASickNode(t *testing.T) {
	r := judge(sick())
	clitest.Script(t, "sick", strings.NewReplacer(), func(...string) clitest.Result {
		var out strings.Builder
		r.print(&out)
		return clitest.Result{Out: out.String()}
	})
	if len(r.Passed) != 1 || r.Passed[0] != "reach" {
		t.Errorf("passed: %v", r.Passed)
	}
}

// A node that is well gets no finding that asks for anything, one that cannot be asked is
// not called well.
func TestJudgementOfAWellNode(t *testing.T) {
	f := &facts{
		config:  &configFacts{values: map[string]string{"default.replication.factor": "3", "min.insync.replicas": "2", "log.cleaner.enable": "true"}},
		dirs:    []dirFacts{{path: "/data", total: 100, free: 50, files: 100, freeFiles: 99, syncs: 20, syncP50: time.Millisecond}},
		process: &processFacts{openFiles: 100, maxFDs: 100_000, maxMaps: 65530, partitions: 100},
		clock:   &clockFacts{skew: time.Second, skewKnown: true, unsyncedSeen: true},
		cluster: &clusterFacts{brokers: []brokerFacts{{id: 1}, {id: 2}, {id: 3}}, offsets: &offsetsFacts{50, 3, "compact"}},
		cleaner: &cleanerFacts{}, askedGroups: true, limits: thresholds{10, 10},
	}
	r := judge(f)
	if r.count(Critical)+r.count(Warning) > 0 || len(r.Skipped) > 0 {
		t.Fatalf("%+v", r)
	}
	blind := judge(&facts{skipped: map[string]string{"reach": "nobody answers"}})
	if len(blind.Passed) > 0 || blind.count(Critical) != 1 || len(blind.Skipped) != len(checks())-1 {
		t.Fatalf("%+v", blind)
	}
}

func TestFigures(t *testing.T) {
	got := parseFigures("# HELP x y\nprocess_max_fds 1024\nm{topic=\"a \\\"b\\\"\",partition=\"3\"} 1e+06\nbroken\nm{} NaN\n\n")
	if len(got) != 3 || got[0].value != 1024 || got[1].labels["topic"] != `a "b"` || got[1].labels["partition"] != "3" || got[1].value != 1e6 {
		t.Fatalf("%+v", got)
	}
	for _, text := range []string{`{`, `a{b="`, `a{b="\`, `a{b="c" 1`, `{="x"} 1`} {
		_ = parseFigures(text) // must not fail on what is no figure
	}
}

// admin is an admin port as the broker has it, with the figures of the test.
func admin(t *testing.T, figures, health string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			fmt.Fprint(w, health)
			return
		}
		fmt.Fprint(w, figures)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

type finding struct{ Check, Severity, Text string }

func findings(t *testing.T, got clitest.Result) map[string][]finding {
	t.Helper()
	var r struct{ Findings []finding }
	if err := json.Unmarshal([]byte(got.Out), &r); err != nil {
		t.Fatalf("%v in %q", err, got.Out)
	}
	out := map[string][]finding{}
	for _, f := range r.Findings {
		out[f.Check] = append(out[f.Check], f)
	}
	return out
}

func TestAgainstARunningCluster(t *testing.T) {
	c, at := clitest.Cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "clicks"), kfake.SeedTopics(1, offsetsTopic))
	client, err := kgo.NewClient(kgo.SeedBrokers(at))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 5 {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "clicks", Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "clicks", Partition: 0, At: 1, LeaderEpoch: -1})
	if err := kadm.NewClient(client).CommitAllOffsets(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteRecords("clicks", 0, 3); err != nil {
		t.Fatal(err)
	}
	port := admin(t, "process_max_fds 512\nprocess_open_fds 20\nmillrace_cleaner_uncleanable_bytes 7\nmillrace_cleaner_uncleanable{topic=\"state\",partition=\"4\"} 1\nmillrace_group_lag_seconds{group=\"g\",topic=\"clicks\",partition=\"0\"} 900\n",
		`{"status":"degraded","logDirs":[{"path":"/nowhere/a","online":false,"error":"input/output error"},{"path":"/nowhere/b","online":true,"totalBytes":100,"freeBytes":1}]}`)
	got := clitest.Run(t.Context(), Command("doctor"), "", "--bootstrap-server", at, "--admin", port, "--timeout", "5m", "--json")
	found := findings(t, got)
	for check, part := range map[string]string{
		"disk": "/nowhere/a cannot be used: input/output error", "limits": "512 files", "cleaner": "state-4", "internal": "cleanup.policy=delete",
		"lag": "before the start of clicks-0",
	} {
		if !strings.Contains(fmt.Sprint(found[check]), part) {
			t.Errorf("%s: %v, want %q", check, found[check], part)
		}
	}
	if !strings.Contains(fmt.Sprint(found["lag"]), "900 seconds behind") || !strings.Contains(fmt.Sprint(found["disk"]), "/nowhere/b has 1 bytes free") {
		t.Errorf("lag %v, disk %v", found["lag"], found["disk"])
	}
	if len(found["reach"])+len(found["network"])+len(found["topics"]) > 0 || got.Code != 1 {
		t.Errorf("code %d, %v", got.Code, found)
	}
}

// What a broker advertises must lead back to it.
func TestDialBack(t *testing.T) {
	_, wrong := clitest.Cluster(t, kfake.NumBrokers(1), kfake.ClusterID("another-cluster-000000"))
	for name, advertised := range map[string]string{"another answers": wrong, "cannot be reached": "127.0.0.1:1"} {
		c, at := clitest.Cluster(t, kfake.NumBrokers(1))
		c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			resp := req.ResponseKind().(*kmsg.MetadataResponse)
			b := kmsg.NewMetadataResponseBroker()
			host, port, _ := strings.Cut(advertised, ":")
			n, _ := strconv.Atoi(port)
			b.Host, b.Port = host, int32(n)
			resp.Brokers, resp.ClusterID = append(resp.Brokers, b), kmsg.StringPtr("this-cluster-000000000")
			return resp, nil, true
		})
		got := clitest.Run(t.Context(), Command("doctor"), "", "--bootstrap-server", at, "--json", "--timeout", "5m")
		if text := fmt.Sprint(findings(t, got)["network"]); !strings.Contains(text, name) || got.Code != 1 {
			t.Errorf("%s: code %d, %s", advertised, got.Code, text)
		}
	}
}

func TestOfAFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "server.properties")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A port that nobody listens on: the file is looked at all the same.
	run := func() clitest.Result {
		return clitest.Run(t.Context(), Command("doctor"), "", file, "--bootstrap-server", "127.0.0.1:1", "--timeout", "3s", "--json")
	}
	write("log.dirs=" + dir + "\nunclean.leader.election.enable=true\nlog.retention.hour=1\nadmin.listener=\n")
	found := findings(t, run())
	if text := fmt.Sprint(found["config"]); !strings.Contains(text, "unclean.leader.election.enable=true") || !strings.Contains(text, "log.retention.hour") {
		t.Errorf("config: %s", text)
	}
	if len(found["reach"]) != 1 {
		t.Errorf("reach: %v", found["reach"])
	}
	write("num.partitions=many\n")
	if text := fmt.Sprint(findings(t, run())["config"]); !strings.Contains(text, "critical") || !strings.Contains(text, "num.partitions=many") {
		t.Errorf("config: %s", text)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".doctor-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
