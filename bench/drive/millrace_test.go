package drive

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/bench/flame"
	"github.com/millrace/millrace/bench/launch"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/workload"
)

// startMillrace runs the broker of this repository: the binary that MILLRACE_BIN names, or
// one that is built now.
func startMillrace(t *testing.T, config map[string]string) *launch.Broker {
	t.Helper()
	bin := os.Getenv("MILLRACE_BIN")
	if bin == "" {
		bin = filepath.Join(t.TempDir(), "millrace")
		if out, err := exec.Command("go", "build", "-o", bin, "github.com/millrace/millrace/cmd/millrace").CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	b, err := launch.Start(t.Context(), launch.Options{Binary: bin, TempDir: t.TempDir(), Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// What only a broker on this machine tells: CPU, memory, allocations, profiles. Topics are
// made by hand, as auto.create is off.
func TestMillrace(t *testing.T) {
	b := startMillrace(t, map[string]string{"auto.create.topics.enable": "false"})
	for _, client := range []string{Raw, Franz} {
		t.Run(client, func(t *testing.T) {
			s := Spec{
				Kind: Produce, Client: client, Bootstrap: b.Address(), Admin: b.Admin(), Topic: "t", Partitions: 6, Create: true, Delete: true,
				Workload: workload.Spec{Sizes: "100..2000"}, Acks: 1, Warmup: 20 * time.Millisecond, Duration: 200 * time.Millisecond,
				TopicConfig: map[string]string{"segment.bytes": "1048576"}, Interval: 50 * time.Millisecond,
			}
			run := mustRun(t, s, nil)
			c := run.Broker
			if c == nil || c.CPUPerGB <= 0 || c.RSSAnonBytes == 0 || !c.AllocsKnown || run.Generator == nil || run.WarmupS < 0.02 || run.SteadyS < 0.2 {
				t.Errorf("%+v broker %+v", run, c)
			}
			if len(run.Series) < 2 || !anyPoint(run.Series, func(p result.Point) bool { return p.BrokerCores > 0 && !p.Warmup && p.P99Ms > 0 }) {
				t.Errorf("intervals: %+v", run.Series)
			}
		})
	}
	t.Run("flame graph", func(t *testing.T) {
		svg := filepath.Join(t.TempDir(), "heap.svg")
		s := Spec{
			Kind: Produce, Client: Franz, Bootstrap: b.Address(), Admin: b.Admin(), Topic: "v", Create: true,
			Workload: workload.Spec{Sizes: "100"}, Acks: 1, Rate: 100, Duration: time.Second,
			Flame: &flame.Flags{SVG: svg, Kinds: []string{string(flame.Heap)}},
		}
		run := mustRun(t, s, nil)
		if text, err := os.ReadFile(svg); err != nil || !strings.Contains(string(text), "<svg") || !strings.Contains(run.Note, svg) {
			t.Errorf("no flame graph: %v, note %q", err, run.Note)
		}
	})
	t.Run("without the admin port", func(t *testing.T) {
		s := Spec{
			Kind: Produce, Client: Franz, Bootstrap: b.Address(), BrokerPID: b.PID(), Admin: b.Address(), Topic: "u", Create: true,
			Workload: workload.Spec{Sizes: "100"}, Acks: 1, Records: 10,
		}
		if run := mustRun(t, s, nil); run.Broker == nil || run.Broker.AllocsKnown || !strings.Contains(run.Note, "admin port") {
			t.Errorf("%+v", run)
		}
	})
}

func anyPoint(series []result.Point, ok func(result.Point) bool) bool {
	for _, p := range series {
		if ok(p) {
			return true
		}
	}
	return false
}
