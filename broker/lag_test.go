package broker

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/record"
)

// value is a metric's number for a series whose labels contain all of the given ones.
func (n *node) value(name string, labels ...string) (v float64, found bool) {
	n.t.Helper()
	for line := range strings.Lines(n.scrape(name)) {
		all := !strings.HasPrefix(line, "#")
		for _, l := range labels {
			all = all && strings.Contains(line, l)
		}
		if all {
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v); err != nil {
				n.t.Fatal(err)
			}
			return v, true
		}
	}
	return 0, false
}

// append puts a batch into a log past the protocol, which takes no transactions.
func (n *node) append(topic string, partition int32, o record.BuilderOptions, ms ...int64) {
	n.t.Helper()
	b := record.NewBuilder(o)
	for _, at := range ms {
		b.Append(at, []byte("k"), []byte("v"))
	}
	batch, err := b.Finish()
	if err != nil {
		n.t.Fatal(err)
	}
	p, err := n.manager.Get(topic, partition)
	if err != nil {
		n.t.Fatal(err)
	}
	if res, _ := p.Produce(batch, 1, -1, engine.Client, nil, 0, 0); res.Err != nil {
		n.t.Fatal(res.Err)
	}
}

func (n *node) commit(group, topic string, partition int32, offset int64) {
	n.t.Helper()
	var offsets kadm.Offsets
	offsets.AddOffset(topic, partition, offset, -1)
	if err := kadm.NewClient(n.client()).CommitAllOffsets(n.t.Context(), group, offsets); err != nil {
		n.t.Fatal(err)
	}
}

func TestLag(t *testing.T) {
	n, c := fakeTime(t)
	n.create("topic", 2)
	now := c.Now().UnixMilli()
	n.append("topic", 1, record.BuilderOptions{}, now-100_000, now-90_000)
	n.append("topic", 1, record.BuilderOptions{}, now-30_000)
	want := func(what string, offset int64, figures ...float64) {
		t.Helper()
		n.commit("g", "topic", 1, offset)
		for i, name := range []string{"lag_records", "lag_seconds", "stable_lag_records", "stable_lag_seconds"} {
			got, found := n.value("millrace_group_"+name, `group="g"`, `topic="topic"`, `partition="1"`)
			if !found || got != figures[i] {
				t.Errorf("%s: %s is %v (%t), want %v", what, name, got, found, figures[i])
			}
		}
	}
	want("nothing read", 0, 3, 100, 3, 100)
	want("one of a batch of two", 1, 2, 90, 2, 90)
	want("all but the last", 2, 1, 30, 1, 30)
	want("all", 3, 0, 0, 0, 0)
	want("beyond the end", 9, 0, 0, 0, 0)
	// A transaction that stays open: who reads committed records only cannot go on.
	n.append("topic", 1, record.BuilderOptions{Producer: &record.Producer{ID: 7}, Transactional: true}, now-20_000)
	n.append("topic", 1, record.BuilderOptions{}, now-10_000)
	want("at the open transaction", 3, 2, 20, 0, 0)
	want("before it", 2, 3, 30, 1, 30)
	c.Advance(5 * time.Second)
	if got, _ := n.value("millrace_group_lag_seconds", `group="g"`); got != 35 {
		t.Errorf("five seconds later the lag is %v s, want 35", got)
	}
	if _, found := n.value("millrace_group_lag_records", `partition="0"`); found {
		t.Error("a lag of a partition of which nothing was committed")
	}
	if v, _ := n.value("millrace_groups", `state="Empty"`); v != 1 {
		t.Errorf("%v empty groups, want 1", v)
	}
}

func TestTrafficByTopic(t *testing.T) {
	n := startNode(t)
	n.create("a", 2)
	id := n.create("b", 1)
	cl := n.client(kgo.ConsumeTopics("a"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	for range 4 {
		if err := cl.ProduceSync(t.Context(), kgo.StringRecord("v")).FirstErr(); err == nil {
			t.Fatal("a record without a topic")
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	n.produce("b", id, 0, "x", "y")
	for got := 0; got < 4; {
		f := cl.PollFetches(t.Context())
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		got += f.NumRecords()
	}
	in, _ := n.value("millrace_topic_received_bytes_total", `topic="a"`)
	out, _ := n.value("millrace_topic_sent_bytes_total", `topic="a"`)
	if in == 0 || out != in {
		t.Errorf("%v bytes in and %v out, want the same", in, out)
	}
	if v, _ := n.value("millrace_topic_received_records_total", `topic="a"`); v != 4 {
		t.Errorf("%v records, want 4", v)
	}
	if v, found := n.value("millrace_topic_sent_bytes_total", `topic="b"`); v != 0 || !found {
		t.Errorf("%v bytes of a topic that nobody reads (%t)", v, found)
	}
	before, _ := n.value("millrace_produce_records_total")
	if before != 6 {
		t.Errorf("%v records in all, want 6", before)
	}
	if _, err := kadm.NewClient(cl).DeleteTopics(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if after, _ := n.value("millrace_produce_records_total"); after != before {
		t.Errorf("%v records in all after a topic went, want %v: counters do not go back", after, before)
	}
	if _, found := n.value("millrace_topic_received_bytes_total", `topic="b"`); found {
		t.Error("a topic that is gone has figures")
	}
}

// TestNamesOfMetrics: all begin alike, and say their unit last.
func TestNamesOfMetrics(t *testing.T) {
	n := startNode(t)
	id := n.create("a", 1)
	n.produce("a", id, 0, "x")
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	good := regexp.MustCompile(`^millrace_[a-z][a-z_]*[a-z]$`)
	for _, f := range families {
		if counter := f.GetType().String() == "COUNTER"; !good.MatchString(f.GetName()) || counter != strings.HasSuffix(f.GetName(), "_total") {
			t.Errorf("%s is a %s", f.GetName(), f.GetType())
		}
		if f.GetHelp() == "" {
			t.Errorf("%s says nothing", f.GetName())
		}
	}
}

func BenchmarkScrape(b *testing.B) {
	n := startNode(b)
	n.create("many", 1000)
	n.groupOf(1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "us/partition")
}

// groupOf commits offsets of so many partitions, one behind the end.
func (n *node) groupOf(partitions int32) {
	var offsets kadm.Offsets
	for p := range partitions {
		n.append("many", p, record.BuilderOptions{}, time.Now().UnixMilli())
		offsets.AddOffset("many", p, 0, -1)
	}
	if err := kadm.NewClient(n.client()).CommitAllOffsets(n.t.Context(), "g", offsets); err != nil {
		n.t.Fatal(err)
	}
}
