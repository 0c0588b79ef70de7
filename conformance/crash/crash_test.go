package crash

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/conformance/history"
	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// small makes a topic roll and index often.
func small(more map[string]string) map[string]string {
	config := map[string]string{"segment.bytes": "262144", "index.interval.bytes": "512", "retention.ms": "-1"}
	for k, v := range more {
		config[k] = v
	}
	return config
}

// load is the shape of every round: topics that wait for the disk before they
// acknowledge, always or now and then, and one that does not. A killed process leaves its
// written pages to the kernel, so that all of them keep what they acknowledged.
var (
	topics = []Topic{
		{Name: "durable", Partitions: 3, Config: small(map[string]string{"flush.messages": "1"})},
		{Name: "sometimes", Partitions: 2, Config: small(map[string]string{"flush.messages": "50"})},
		{Name: "lazy", Partitions: 2, Config: small(nil)},
	}
	producers = []Producer{
		{Idempotent: true, Codec: kgo.NoCompression(), MaxBytes: 100_000},
		{Idempotent: true, Codec: kgo.Lz4Compression(), MaxBytes: 20_000},
		{Idempotent: true, Pipelined: true, Codec: kgo.NoCompression(), MaxBytes: 20_000},
		{Idempotent: false, Codec: kgo.NoCompression(), MaxBytes: 2_000},
	}
)

const (
	roundsPerChapter = 20
	roundTimeout     = 60 * time.Second
)

// TestKill9UnderLoad kills the broker again and again while producers write, and starts
// it again on what it left. CRASH_ROUNDS says how often. The rounds come in chapters with
// a fresh data folder each.
func TestKill9UnderLoad(t *testing.T) {
	if os.Getenv("BOOTSTRAP") != "" {
		t.Fatal("BOOTSTRAP names a broker that is not ours to kill: use LAUNCHER or MILLRACE_BIN")
	}
	seed := testkit.Seed(t)
	rounds := testkit.Rounds(t, "CRASH_ROUNDS", roundsPerChapter)
	for first := 0; first < rounds && !t.Failed(); first += roundsPerChapter {
		chapter(t, seed+uint64(first), min(roundsPerChapter, rounds-first))
	}
}

func chapter(t *testing.T, seed uint64, rounds int) {
	rng := testkit.NewRand(seed)
	b := harness.LaunchFor(t, harness.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rounds)*roundTimeout)
	defer cancel()
	must(t, CreateTopics(ctx, b.Bootstrap(), topics))
	l, err := StartLoad(b.Bootstrap(), seed, topics, producers)
	must(t, err)
	stopped := false
	defer func() {
		if !stopped {
			l.Stop(time.Second)
		}
	}()
	began, at := time.Now(), Positions{}
	for round := range rounds {
		crashRound(t, ctx, b, l, rng, at, round)
	}
	stopped = true
	must(t, l.Stop(roundTimeout))
	must(t, Read(ctx, b.Bootstrap(), topics, l.History, Positions{}))
	t.Logf("seed %d: %d rounds in %v, %d records acknowledged, failures %v", seed, rounds, time.Since(began).Round(time.Millisecond), l.Acked(), l.Failures())
	judge(t, l)
	must(t, b.Stop())
	if !t.Failed() {
		must(t, b.Close()) // now, not at the end of the test: chapters are many
	}
}

// crashRound lets the load run for a while, ends the broker, mostly by kill -9 and at
// times again during its recovery, and reads what it shows afterwards.
func crashRound(t *testing.T, ctx context.Context, b *harness.Broker, l *Load, rng *rand.Rand, at Positions, round int) {
	t.Helper()
	// Every producer of a round must get somewhere: a broker that never answers keeps
	// all promises.
	want := l.Acked() + 1 + rng.Int64N(3000)
	pause := time.Duration(rng.IntN(100)) * time.Millisecond
	testkit.WaitFor(t, "acknowledgements", func() bool { return l.Acked() >= want })
	timer := time.NewTimer(pause)
	defer timer.Stop()
	<-timer.C
	switch rng.IntN(8) {
	case 0:
		must(t, b.Stop())
	case 1, 2:
		must(t, b.Kill())
		must(t, b.StartOnly())
		again := time.NewTimer(time.Duration(rng.IntN(30)) * time.Millisecond)
		<-again.C
		must(t, b.Kill())
	default:
		must(t, b.Kill())
	}
	must(t, b.Start())
	if err := Read(ctx, b.Bootstrap(), topics, l.History, at); err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
}

// judge fails the test with what the history shows, and leaves the history for a look.
func judge(t *testing.T, l *Load) {
	t.Helper()
	if n := l.DataLoss(); n > 0 {
		t.Errorf("clients concluded %d times that acknowledged records are gone", n)
	}
	found := l.History.Check()
	if len(found) == 0 {
		return
	}
	t.Errorf("%d broken promises:\n%s", len(found), history.Explain(found))
	f, err := os.Create(filepath.Join(os.TempDir(), "millrace-crash-history.jsonl"))
	must(t, err)
	defer f.Close()
	must(t, l.History.Dump(f))
	t.Logf("the history is in %s", f.Name())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
