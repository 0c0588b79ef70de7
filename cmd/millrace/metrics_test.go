package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/osfs"
)

// scrapeOfUse is what /metrics of a broker says that did a little of everything.
func scrapeOfUse(t *testing.T) string {
	t.Helper()
	cfg, _, err := config.Load(config.Input{FS: osfs.FS{}, Overrides: []string{
		"log.dirs=" + t.TempDir(), "listeners=PLAINTEXT://127.0.0.1:0", "admin.listener=127.0.0.1:0", "quorum.client.listener=", "offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=0",
	}})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	running, err := startServer(ctx, cfg, slog.New(slog.DiscardHandler))
	must(t, err)
	srv := running.(*server)
	defer func() { must(t, srv.Close(context.WithoutCancel(ctx))) }()
	cl, err := kgo.NewClient(kgo.SeedBrokers(srv.Addr()), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.AllowAutoTopicCreation(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	must(t, err)
	defer cl.Close()
	must(t, cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr())
	for got := 0; got == 0; {
		f := cl.PollFetches(ctx)
		must(t, f.Err())
		got = f.NumRecords()
	}
	must(t, cl.CommitUncommittedOffsets(ctx))
	must(t, cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("behind")}).FirstErr())
	if _, err := kadm.NewClient(cl).DeleteTopic(ctx, "unknown"); err == nil {
		t.Fatal("a topic was deleted that does not exist")
	}
	srv.store.Clean()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+srv.AdminAddr()+"/metrics", nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s\n%s", resp.Status, body)
	}
	http.DefaultClient.CloseIdleConnections()
	return string(body)
}

// metricNames are those of series in a scrape.
func metricNames(scrape string) map[string]bool {
	names := map[string]bool{}
	for line := range strings.Lines(scrape) {
		if name := regexp.MustCompile(`^[a-z_][a-z0-9_]*`).FindString(line); name != "" {
			names[name] = true
		}
	}
	return names
}

// rarely are metrics that a broker has only when something is wrong.
var rarely = map[string]bool{"millrace_cleaner_uncleanable": true, "millrace_sync_failures_total": true}

// TestDashboardAndAlertsNameWhatThereIs: each metric in tools/grafana and tools/prometheus is
// one that a broker shows.
func TestDashboardAndAlertsNameWhatThereIs(t *testing.T) {
	scrape := scrapeOfUse(t)
	there := metricNames(scrape)
	used := 0
	for _, file := range []string{"grafana/millrace.json", "prometheus/millrace.rules.yml", "prometheus/millrace.rules.test.yml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "tools", file))
		must(t, err)
		for _, name := range regexp.MustCompile(`\b(?:millrace|process|go)_[a-z_]+\b`).FindAllString(string(text), -1) {
			used++
			if !there[name] && !rarely[name] {
				t.Errorf("%s names %s, which the broker does not have", file, name)
			}
		}
	}
	if used < 100 {
		t.Errorf("%d metrics were looked at: the test looks in the wrong place", used)
	}
	if t.Failed() {
		t.Log(slices.Sorted(func(yield func(string) bool) {
			for name := range there {
				if !yield(name) {
					return
				}
			}
		}))
	}
	checkDocumented(t, there)
}

// checkDocumented: docs/metrics.md lists what there is, and nothing else.
func checkDocumented(t *testing.T, there map[string]bool) {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	must(t, err)
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(millrace_[a-z_]+)`").FindAllStringSubmatch(string(doc), -1) {
		listed[m[1]] = true
	}
	for name := range there {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if strings.HasPrefix(name, "millrace_") && !strings.HasPrefix(name, "millrace_client_") && !listed[name] && !listed[base] {
			t.Errorf("docs/metrics.md does not list %s", name)
		}
	}
	for name := range listed {
		if strings.HasPrefix(name, "millrace_quorum_") {
			continue // TestQuorumMetrics
		}
		if !there[name] && !there[name+"_count"] && !rarely[name] && name != "millrace_telemetry_client_info" {
			t.Errorf("docs/metrics.md lists %s, which the broker does not have", name)
		}
	}
}

// TestDashboardIsWhole: Grafana takes a dashboard whose panels have ids of their own, lie
// beside each other, and ask the chosen data source.
func TestDashboardIsWhole(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "tools", "grafana", "millrace.json"))
	must(t, err)
	var d struct {
		Title, UID string
		Panels     []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct {
				Expr       string
				RefID      string
				Datasource struct{ UID string }
			}
		}
	}
	must(t, json.Unmarshal(text, &d))
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: its id is taken, or it has no title or nothing to show", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies on %q or beyond the edge", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			if q.Expr == "" || q.Datasource.UID != "${datasource}" || strings.Count(q.Expr, "(") != strings.Count(q.Expr, ")") {
				t.Errorf("%q: query %s %q", p.Title, q.RefID, q.Expr)
			}
		}
	}
	if len(ids) < 30 || d.UID != "millrace" {
		t.Errorf("%d panels of %s", len(ids), d.UID)
	}
}
