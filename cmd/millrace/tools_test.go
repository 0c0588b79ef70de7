package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/internal/testkit"
)

// The scripts of groups and administration against our own broker, as somebody would type
// them. What they print in detail is held by the goldens of their packages.
func TestAdministrationScripts(t *testing.T) {
	home, at := install(t), freePort(t)
	b := startBroker(t, home, at)
	for name, text := range map[string]string{
		"offsets.json": `{"partitions": [{"topic": "clicks", "partition": 0, "offset": 1}], "version": 1}`,
		"topics.json":  `{"topics": [{"topic": "clicks"}], "version": 1}`,
		"plan.json":    `{"partitions": [{"topic": "clicks", "partition": 0, "replicas": [1001]}], "version": 1}`,
	} {
		must(t, os.WriteFile(filepath.Join(home, name), []byte(text), 0o600))
	}
	for _, step := range []struct {
		words, want string
		code        int
	}{
		{"kafka-topics.sh --create --topic clicks --partitions 1", "Created topic clicks.\n", 0},
		{"kafka-producer-perf-test.sh --topic clicks --num-records 5 --record-size 10 --throughput -1 --producer-props bootstrap.servers=AT", "5 records sent", 0},

		{"kafka-configs.sh --alter --topic clicks --add-config retention.ms=1000,cleanup.policy=[compact,delete]", "Completed updating config for topic clicks.\n", 0},
		{"kafka-configs.sh --describe --topic clicks", `(?s)^Dynamic configs for topic clicks are:\n  cleanup.policy=compact,delete sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, .*  retention.ms=1000 `, 0},
		{"kafka-configs.sh --alter --topic clicks --add-config retention.ms=soon", "InvalidConfigurationException: .*retention.ms", 1},
		{"kafka-configs.sh --alter --topic clicks --delete-config retention.ms,cleanup.policy", "Completed", 0},
		{"kafka-configs.sh --describe --broker 1001 --all", `(?m)^  log.retention.hours=168 sensitive=false synonyms={DEFAULT_CONFIG:log.retention.hours=168}$`, 0},
		{"kafka-configs.sh --alter --broker-defaults --add-config log.retention.ms=100000000", "Completed updating default config for brokers in the cluster.\n", 0},
		{"kafka-configs.sh --describe --broker-defaults", "(?s)^Default configs for brokers in the cluster are:\n  log.retention.ms=100000000 ", 0},
		{"kafka-configs.sh --alter --user alice --add-config producer_byte_rate=1000000", "Completed updating config for user alice.\n", 0},
		{"kafka-configs.sh --describe --entity-type users", "^Quota configs for user-principal 'alice' are producer_byte_rate=1000000.0\n", 0},
		{"kafka-client-metrics.sh --alter --name team --metrics * --interval 1000", "Altered client metrics config for team.\n", 0},
		{"kafka-client-metrics.sh --list", "^team\n$", 0},
		{"kafka-client-metrics.sh --delete --name team", "Deleted client metrics config for team.\n", 0},

		{"kafka-consumer-groups.sh --reset-offsets --group billing --topic clicks --to-offset 2 --execute", `billing +clicks +0 +2\n`, 0},
		{"kafka-consumer-groups.sh --list --state --type", `billing +Classic +Empty`, 0},
		{"kafka-consumer-groups.sh --describe --group billing", `billing +clicks +0 +2 +5 +3 +- +- +-\n`, 0},
		{"kafka-consumer-groups.sh --describe --group nobody", `^\nError: Consumer group 'nobody' does not exist.\n`, 0},
		{"kafka-groups.sh --list", `billing +Classic`, 0},
		{"kafka-consumer-groups.sh --delete-offsets --group billing --topic clicks", `Request succeeded`, 0},
		{"kafka-consumer-groups.sh --reset-offsets --group other --topic clicks --to-latest --execute", `other +clicks +0 +5\n`, 0},
		{"kafka-consumer-groups.sh --delete --group other", `^Deletion of requested consumer groups \('other'\) was successful.\n`, 0},

		{"kafka-delete-records.sh --offset-json-file offsets.json", "partition: clicks-0\tlow_watermark: 1\n", 0},
		{"kafka-log-dirs.sh --describe --topic-list clicks", `"partitions":\[{"partition":"clicks-0","size":[1-9]\d*,"offsetLag":0,"isFuture":false}\]`, 0},
		{"kafka-leader-election.sh --election-type preferred --topic clicks --partition 0", "Valid replica already elected for partitions clicks-0\n", 0},
		{"kafka-reassign-partitions.sh --list", "No partition reassignments found.\n", 0},
		{"kafka-reassign-partitions.sh --generate --topics-to-move-json-file topics.json --broker-list 1001", `"replicas":\[1001\],"log_dirs":\["any"\]`, 0},
		{"kafka-reassign-partitions.sh --verify --reassignment-json-file plan.json", "Reassignment of partition clicks-0 is completed.\n", 0},
		{"kafka-broker-api-versions.sh", `\(id: 1001 rack: null isFenced: false\) -> \(\n\tProduce\(0\): 0 to 13 \[usable: 13\],\n`, 0},
		{"kafka-cluster.sh cluster-id", `^Cluster ID: [\w-]{22}\n$`, 0},
		{"kafka-cluster.sh list-endpoints", `(?m)^1001 +127.0.0.1 +\d+ +null +unfenced +broker`, 0},
		{"kafka-metadata-quorum.sh describe --status", `(?m)^LeaderId: +1001$`, 0},
		{"kafka-features.sh describe", `Feature: group.version\tSupportedMinVersion: 0\t`, 0},
	} {
		words := strings.ReplaceAll(step.words, "AT", at)
		if !strings.Contains(words, at) {
			words += " --bootstrap-server " + at
		}
		f := strings.Fields(words)
		out, code := runTool(t, home, "", f[0], f[1:]...)
		if code != step.code || !regexp.MustCompile(step.want).MatchString(out) {
			t.Errorf("%s: code %d, want %d; it printed\n%s\nwant %s", step.words, code, step.code, out, step.want)
		}
	}
	// What the doctor thinks of this machine's disk is not ours to say; that it reached the
	// broker is, and that its exit code goes by what it prints.
	out, code := runTool(t, home, "", "millrace", "doctor", "--bootstrap-server", at, "--no-write", "--timeout", "5m")
	if well := strings.Contains(out, "\n0 critical, "); !regexp.MustCompile(`(?m)^ok +reach, .*network, topics, internal, cleaner, lag`).MatchString(out) || well != (code == 0) {
		t.Errorf("doctor: code %d, it printed\n%s", code, out)
	}
	if code := b.stop(t, syscall.SIGTERM); code != 0 && code != 143 {
		t.Errorf("the broker ended with %d", code)
	}
}

// Groups with a consumer in them, by both protocols.
func TestDescribeConsumersOfOurBroker(t *testing.T) {
	home, at := install(t), freePort(t)
	b := startBroker(t, home, at)
	if out, code := runTool(t, home, "", "kafka-topics.sh", "--bootstrap-server", at, "--create", "--topic", "clicks", "--partitions", "2"); code != 0 {
		t.Fatal(out)
	}
	for _, protocol := range []string{"classic", "consumer"} {
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		defer cancel()
		if protocol == "consumer" {
			ctx = context.WithValue(ctx, "opt_in_kafka_next_gen_balancer_beta", true) //nolint:staticcheck // franz-go's switch
		}
		assigned := make(chan struct{}, 8)
		client, err := kgo.NewClient(kgo.SeedBrokers(at), kgo.ConsumerGroup(protocol), kgo.ConsumeTopics("clicks"), kgo.ClientID("me"), kgo.WithContext(ctx),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
				if len(got["clicks"]) == 2 {
					assigned <- struct{}{}
				}
			}))
		must(t, err)
		defer client.Close()
		select {
		case <-assigned:
		case <-ctx.Done():
			t.Fatalf("%s: no partition was assigned", protocol)
		}
		kind := map[string]string{"classic": "Classic", "consumer": "Consumer"}[protocol]
		for words, want := range map[string]string{
			"--describe --group " + protocol:                     `(?m)^` + protocol + ` +clicks +0 +- +0 +- +\S+ +/?127\.0\.0\.1 +me$`,
			"--describe --members --verbose --group " + protocol: `(?m)^` + protocol + ` +\S+ +/?127\.0\.0\.1 +me +2 +(-|\d+) +clicks:0,1 `,
			"--list --state --type":                              `(?m)^` + protocol + ` +` + kind + ` +(Stable|Reconciling) *$`,
			"--describe --state --group " + protocol:             `(?m)^` + protocol + ` +127\.0\.0\.1:\d+  \(1001\) +\S+ +(Stable|Reconciling) +1$`,
		} {
			out, code := runTool(t, home, "", "kafka-consumer-groups.sh", append([]string{"--bootstrap-server", at}, strings.Fields(words)...)...)
			if code != 0 || !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("%s: code %d, it printed\n%s\nwant %s", words, code, out, want)
			}
		}
	}
	if code := b.stop(t, syscall.SIGTERM); code != 0 && code != 143 {
		t.Errorf("the broker ended with %d", code)
	}
}

// Every tool has a line of help and examples in which it is called by its own name.
func TestHelpOfAllTools(t *testing.T) {
	for _, tool := range toolbox() {
		for _, name := range []string{tool.name, tool.script + ".sh"} {
			if name == "" || name == ".sh" || tool.name == "bench" {
				continue
			}
			cmd := tool.make(name)
			called := map[bool]string{true: "millrace " + name, false: name}[name == tool.name]
			if cmd.Short == "" || name != "kafka-server-stop.sh" && name != "server-stop" && !strings.Contains(cmd.Example, called) {
				t.Errorf("%s: no line of help, or no example that calls it %q:\n%s", name, called, cmd.Example)
			}
			if strings.Contains(cmd.Example, "{{.}}") {
				t.Errorf("%s: an example has a hole", name)
			}
		}
	}
}
