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
	"github.com/millrace/millrace/internal/testkit"
)

// metric reads one figure from the broker's /metrics; a name with labels is written as
// Prometheus prints it.
func metric(t testing.TB, b *harness.Broker, name string) float64 {
	t.Helper()
	resp := admin(t, b, "/metrics")
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

// admin gets a page of the admin port, which opens a moment after the listeners.
func admin(t testing.TB, b *harness.Broker, path string) *http.Response {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	var resp *http.Response
	testkit.WaitFor(t, "the admin port", func() bool {
		var err error
		resp, err = client.Get("http://" + b.AdminAddr() + path)
		return err == nil
	})
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		t.Fatalf("%s: %s", path, resp.Status)
	}
	return resp
}

// peakBytes is the most memory that the broker held.
func peakBytes(t testing.TB, b *harness.Broker) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("no VmHWM in /proc")
	return 0
}
