package admin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/conformance/harness"
)

var bootstrap string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		bootstrap = os.Getenv("BOOTSTRAP")
		if bootstrap == "" {
			dir, err := os.MkdirTemp("", "millrace-admin-")
			if err != nil {
				fmt.Fprintln(os.Stderr, "admin:", err)
				return 1
			}
			defer os.RemoveAll(dir)
			dirs := filepath.Join(dir, "one") + "," + filepath.Join(dir, "two")
			b, err := harness.Launch(harness.Options{Config: map[string]string{
				"log.dirs": dirs, "offsets.topic.num.partitions": "5", "group.initial.rebalance.delay.ms": "0",
			}})
			if err != nil {
				fmt.Fprintln(os.Stderr, "admin: no broker:", err)
				return 1
			}
			defer b.Close()
			bootstrap = b.Bootstrap()
		}
		return m.Run()
	}())
}

// patience is how long one call may take on a slow machine.
const patience = 60 * time.Second

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error, doing string, args ...any) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(doing, args...), err)
	}
}

// equal compares what fmt prints, which is enough for names, numbers and lists of them.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// named makes a name of the running test.
func named(t *testing.T) string {
	return strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())
}

func connect(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap)}, opts...)...)
	must(t, err, "connect")
	t.Cleanup(cl.Close)
	return cl
}

// topics counts, so that -count=2 makes new ones.
var topics atomic.Int64

// filled makes a topic with this many records in each of its partitions.
func filled(t *testing.T, partitions int32, records int) string {
	t.Helper()
	topic := fmt.Sprintf("%s-%d", named(t), topics.Add(1))
	cl := connect(t, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	_, err := kadm.NewClient(cl).CreateTopic(bounded(t), partitions, 1, nil, topic)
	must(t, err, "create %s", topic)
	for p := range partitions {
		for i := range records {
			r := &kgo.Record{Partition: p, Value: fmt.Appendf(nil, "%d", i)}
			must(t, cl.ProduceSync(bounded(t), r).FirstErr(), "produce")
		}
	}
	return topic
}

// joined starts a consumer of a topic in a group, named after it, and returns when it
// has read and committed everything.
func joined(t *testing.T, topic string, records int, opts ...kgo.Opt) (group string) {
	t.Helper()
	group = topic + "-group"
	cl := connect(t, append([]kgo.Opt{
		kgo.ClientID("reader"), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}, opts...)...)
	for n := 0; n < records; {
		fetches := cl.PollFetches(bounded(t))
		must(t, fetches.Err(), "poll")
		n += fetches.NumRecords()
	}
	must(t, cl.CommitUncommittedOffsets(bounded(t)), "commit")
	return group
}

// waitFor waits for what another goroutine of the broker does.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}
