package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/millrace/millrace/tools/cli/clitest"
)

func run(t *testing.T, bootstrap string, words ...string) clitest.Result {
	t.Helper()
	return clitest.Run(t.Context(), Command("kafka-configs.sh"), "", append([]string{"--bootstrap-server", bootstrap}, words...)...)
}

func TestScriptOfSettings(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "clicks"), kfake.SeedTopics(1, "orders"))
	dir := t.TempDir()
	file := filepath.Join(dir, "more.properties")
	if err := os.WriteFile(file, []byte("retention.ms=2000\nmax.message.bytes=500000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	clitest.Script(t, "settings", strings.NewReplacer(at, "HOST:9092", dir, "DIR"), func(words ...string) clitest.Result {
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "DIR", dir)
		}
		return run(t, at, words...)
	})
}

func TestScriptOfQuotasAndCredentials(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.NumBrokers(1))
	clitest.Script(t, "quotas", strings.NewReplacer(at, "HOST:9092"), func(words ...string) clitest.Result { return run(t, at, words...) })
}

func TestScriptOfClientMetrics(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.NumBrokers(1))
	clitest.Script(t, "clientmetrics", strings.NewReplacer(at, "HOST:9092"), func(words ...string) clitest.Result {
		return clitest.Run(t.Context(), ClientMetrics("kafka-client-metrics.sh"), "", append([]string{"--bootstrap-server", at}, words...)...)
	})
	got := clitest.Run(t.Context(), ClientMetrics("kafka-client-metrics.sh"), "", "--bootstrap-server", at, "--alter", "--generate-name", "--interval", "100")
	if got.Code != 0 || !strings.HasPrefix(got.Out, "Altered client metrics config for ") {
		t.Fatalf("%+v", got)
	}
}

func TestAdditions(t *testing.T) {
	for text, want := range map[string]settings{
		"a=1":         {"a": "1"},
		"a=1,b=2":     {"a": "1", "b": "2"},
		"a = 1 , b=":  {"a": "1", "b": ""},
		"a=[1,2],b=3": {"a": "1,2", "b": "3"},
		"SCRAM-SHA-256=[iterations=8192,password=p]": {"SCRAM-SHA-256": "iterations=8192,password=p"},
		"a=[],b=[x]": {"a": "", "b": "x"},
	} {
		o := &options{addConfig: text, given: func(string) bool { return true }}
		got, err := o.additions()
		if err != nil || len(got) != len(want) {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%q: %s is %q, want %q", text, k, got[k], v)
			}
		}
	}
	for _, text := range []string{"a", "a=1,b", "a=b=c", "", "sp ace=1", "a;b=1"} {
		o := &options{addConfig: text, given: func(string) bool { return true }}
		if got, err := o.additions(); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

// A default belongs to the type at its place, whatever stands between.
func TestEntityOrder(t *testing.T) {
	for words, want := range map[string]string{
		"--entity-type users --entity-default --entity-type clients --entity-name c": "users clients/|c",
		"--entity-type users --entity-type clients --entity-name u --entity-default": "users clients/u|",
		"--entity-type clients --entity-name c --entity-type users --entity-name u":  "clients users/c|u",
		"--user u --client-defaults": "users clients/u|",
		"--client c --user u":        "clients users/c|u",
		"--broker-defaults":          "brokers/",
		"--entity-type topics":       "topics/",
		"--topic t":                  "topics/t",
	} {
		o := &options{}
		cmd := Command("kafka-configs.sh")
		cmd.ResetFlags()
		o.register(cmd)
		if err := cmd.ParseFlags(strings.Fields(words)); err != nil {
			t.Fatal(err)
		}
		o.flags, o.given = cmd.Flags(), cmd.Flags().Changed
		e, err := o.entity()
		if got := strings.Join(e.types, " ") + "/" + strings.Join(e.names, "|"); err != nil || got != want {
			t.Errorf("%s: %s (%v), want %s", words, got, err, want)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for words, part := range map[string]string{
		"--bootstrap-server h:1 --topic t":                                              "Command must include exactly one action: --describe, --alter",
		"--bootstrap-server h:1 --describe --alter --topic t":                           "exactly one action",
		"--describe --topic t":                                                          "One of the required --bootstrap-server or --bootstrap-controller arguments must be specified",
		"--bootstrap-server h:1 --bootstrap-controller h:2 --describe --topic t":        "Only one of --bootstrap-server or --bootstrap-controller can be specified",
		"--bootstrap-server h:1 --describe":                                             "At least one entity type must be specified",
		"--bootstrap-server h:1 --describe --entity-type nonsense":                      "Invalid entity type nonsense, the entity type must be one of topics, clients, users, brokers, ips, client-metrics, groups, broker-loggers",
		"--bootstrap-server h:1 --describe --entity-type topics --entity-type users":    "Only 'users' and 'clients' entity types may be specified together",
		"--bootstrap-server h:1 --describe --entity-type topics --entity-type topics":   "Duplicate entity type(s) specified: topics",
		"--bootstrap-server h:1 --describe --entity-type topics --topic t":              "should not be used in conjunction with specific entity flags",
		"--bootstrap-server h:1 --describe --entity-type topics --entity-default":       "--entity-default must not be specified with --describe of topics",
		"--bootstrap-server h:1 --describe --broker-logger x":                           "must be a valid integer broker id, but it is: x",
		"--bootstrap-server h:1 --describe --entity-type broker-loggers":                "An entity name must be specified with --describe of broker-loggers",
		"--bootstrap-server h:1 --alter --entity-type topics --add-config a=b":          "An entity name must be specified with --alter of topics",
		"--bootstrap-server h:1 --alter --entity-type users --add-config a=b":           "An entity-name or default entity must be specified with --alter of users, clients, brokers or ips",
		"--bootstrap-server h:1 --alter --topic t":                                      "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter",
		"--bootstrap-server h:1 --alter --topic t --add-config a=b --add-config-file f": "Only one of --add-config or --add-config-file must be specified",
		"--bootstrap-server h:1 --describe --topic t --add-config a=b":                  `Option "[describe]" can't be used with option "[add-config]"`,
		"--zookeeper z:1 --describe --entity-type users":                                "--zookeeper is for topics only",
		"--zookeeper z:1 --bootstrap-server h:1 --describe --topic t":                   "can't be used with",
	} {
		got := clitest.Run(t.Context(), Command("kafka-configs.sh"), "", strings.Fields(words)...)
		if got.Code != 1 || !strings.Contains(got.Err+got.Out, part) {
			t.Errorf("%s: code %d, stderr %q, want %q", words, got.Code, got.Err, part)
		}
	}
}
