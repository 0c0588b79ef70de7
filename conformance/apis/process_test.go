package apis

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/conformance/harness"
)

// metric reads one figure from the broker's /metrics; a name with labels is written as
// Prometheus prints it.
func metric(t testing.TB, b *harness.Broker, name string) float64 {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + b.AdminAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("/metrics has no %s", name)
	return 0
}

// residentBytes is the memory that the broker holds now, and peakBytes the most that it held.
func residentBytes(t testing.TB, b *harness.Broker) int64 { return statusBytes(t, b, "VmRSS:") }
func peakBytes(t testing.TB, b *harness.Broker) int64     { return statusBytes(t, b, "VmHWM:") }

func statusBytes(t testing.TB, b *harness.Broker, key string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no %s in /proc", key)
	return 0
}
