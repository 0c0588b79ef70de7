package apis

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/conformance/harness"
)

// prepared is a broker that is configured with the port that it was given, and not started.
func prepared(t *testing.T, config func(port string) map[string]string) *harness.Broker {
	t.Helper()
	if os.Getenv("BOOTSTRAP") != "" {
		t.Skip("BOOTSTRAP names a broker whose configuration is not ours")
	}
	b, err := harness.Prepare(harness.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	_, port, err := net.SplitHostPort(b.Bootstrap())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Configure(config(port)); err != nil {
		t.Fatal(err)
	}
	return b
}

// addresses is where clients find the only broker, by Metadata and by DescribeCluster.
func addresses(t *testing.T, at string) string {
	t.Helper()
	c := dial(t, at)
	b := one(t, "brokers", c.metadata(12, metadataOf()).Brokers)
	byMetadata := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	req := kmsg.NewPtrDescribeClusterRequest()
	req.EndpointType = 1
	d := one(t, "brokers", call[*kmsg.DescribeClusterResponse](c, 1, req).Brokers)
	equal(t, "address by DescribeCluster", net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port))), byMetadata)
	return byMetadata
}

// With nothing advertised a client is told the address that it connected to, which is the
// one that it can surely reach.
func TestNothingAdvertised(t *testing.T) {
	var port string
	b := prepared(t, func(p string) map[string]string {
		port = p
		return map[string]string{"listeners": "PLAINTEXT://0.0.0.0:" + p}
	})
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.9.8.7"} {
		at := net.JoinHostPort(host, port)
		equal(t, "address for a client that came to "+host, addresses(t, at), at)
	}
	got := addresses(t, net.JoinHostPort("localhost", port))
	host, _, _ := net.SplitHostPort(got)
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		t.Errorf("address for a client that came to localhost: %s", got)
	}
}

func TestAdvertisedListenersOfSeveralListeners(t *testing.T) {
	b := prepared(t, func(port string) map[string]string {
		return map[string]string{
			"listeners":                      "CLIENTS://127.0.0.1:" + port + ",INTERNAL://127.0.0.1:0,BARE://127.0.0.1:0",
			"advertised.listeners":           "CLIENTS://broker.example:19092,INTERNAL://10.1.2.3:29092",
			"listener.security.protocol.map": "CLIENTS:PLAINTEXT,INTERNAL:PLAINTEXT,BARE:PLAINTEXT",
			"inter.broker.listener.name":     "INTERNAL",
		}
	})
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	at := openListeners(t, b)
	equal(t, "listeners", len(at), 3)
	equal(t, "CLIENTS", addresses(t, at["CLIENTS"]), "broker.example:19092")
	equal(t, "INTERNAL", addresses(t, at["INTERNAL"]), "10.1.2.3:29092")
	equal(t, "BARE, which is not advertised", addresses(t, at["BARE"]), at["BARE"])

	// All of them lead to the same partitions.
	c := dial(t, at["INTERNAL"])
	made := c.create(1)
	dial(t, at["BARE"]).put(made, values("x"))
	equal(t, "end", dial(t, at["CLIENTS"]).offset(made, 0, -1), 1)
}

// openListeners asks /healthz where the broker listens.
func openListeners(t *testing.T, b *harness.Broker) map[string]string {
	t.Helper()
	resp := admin(t, b, "/healthz")
	defer resp.Body.Close()
	var health struct{ Listeners []string }
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, l := range health.Listeners {
		name, at, _ := strings.Cut(l, "://")
		out[name] = at
	}
	return out
}

// A start with settings that cannot be used ends with every complaint: file and line, key,
// value, and what is allowed.
func TestWrongSettingsStopTheStart(t *testing.T) {
	for _, row := range []struct {
		key, value string
		says       []string
	}{
		{"listeners", "SASL_SSL://127.0.0.1:0", []string{"SASL_SSL", "not built", "PLAINTEXT"}},
		{"listeners", "SSL://127.0.0.1:0", []string{"SSL", "not built"}},
		{"listeners", "NOWHERE://127.0.0.1:0", []string{"NOWHERE", "listener.security.protocol.map"}},
		{"listeners", "127.0.0.1:9092", []string{"NAME://host:port"}},
		{"listeners", "PLAINTEXT://127.0.0.1:70000", []string{"65535"}},
		{"listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,X:TELNET", []string{"X:TELNET", "SASL_PLAINTEXT"}},
		{"listener.security.protocol.map", "PLAINTEXT:SASL_SSL", []string{"asks for SASL_SSL, which is not built"}},
		{"advertised.listeners", "PLAINTEXT://0.0.0.0:9092", []string{"0.0.0.0"}},
		{"advertised.listeners", "OTHER://host:9092", []string{"OTHER"}},
		{"num.partitions", "0", []string{"at least 1"}},
		{"num.partitions", "many", []string{"number"}},
		{"log.cleanup.policy", "shred", []string{"delete", "compact"}},
		{"compression.type", "brotli", []string{"zstd", "producer"}},
		{"auto.create.topics.enable", "perhaps", []string{"true", "false"}},
		{"log.segment.bytes", "13", []string{"14"}},
		{"message.max.bytes", "99999999999", []string{"2147483647"}},
		{"log.message.timestamp.type", "Whenever", []string{"CreateTime", "LogAppendTime"}},
	} {
		t.Run(row.key+"="+row.value, func(t *testing.T) {
			dir := t.TempDir()
			_, err := harness.Launch(harness.Options{Dir: dir, Config: map[string]string{row.key: row.value}})
			if err == nil {
				t.Fatal("the broker started")
			}
			place := ""
			text, readErr := os.ReadFile(filepath.Join(dir, "server.properties"))
			if readErr != nil {
				t.Fatal(readErr)
			}
			number := 0
			for line := range strings.Lines(string(text)) {
				number++
				if strings.HasPrefix(line, row.key+"=") {
					place = fmt.Sprintf("server.properties:%d: %s=%s", number, row.key, row.value)
				}
			}
			for _, want := range row.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the complaint does not say %q:\n%v", want, err)
				}
			}
			if row.value == "PLAINTEXT:SASL_SSL" {
				return // it is fine by itself: the complaint is about the listener
			}
			if !strings.Contains(err.Error(), place) {
				t.Errorf("the complaint does not say %q:\n%v", place, err)
			}
		})
	}
}

func TestUnknownSettingsAreWarnedOf(t *testing.T) {
	b, c := launch(t, map[string]string{"log.retention.hour": "5", "my.own.key": "x"})
	mustServe(t, c.addr)
	log := b.Log()
	for _, want := range []string{"log.retention.hour:", "did you mean log.retention.hours", "my.own.key"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
}
