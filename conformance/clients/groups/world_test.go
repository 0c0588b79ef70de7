package groups

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/conformance/clients/groups/wire"
	"github.com/millrace/millrace/conformance/harness"
)

const (
	topic      = "work"
	groupID    = "workers"
	partitions = 6
	// patience is how long anything may take on a slow machine.
	patience = 90 * time.Second
)

// world is a broker behind a proxy, with a topic that is written all the time.
type world struct {
	t       *testing.T
	broker  *harness.Broker
	proxy   *wire.Proxy
	checker *wire.Checker
	client  *kgo.Client
	stop    context.CancelFunc
	stopped chan struct{}

	mu       sync.Mutex
	written  map[int32]map[int64]string // values that were acknowledged
	seen     map[int32]map[int64]bool
	problems []string
}

func newWorld(t *testing.T, sessionMs int) *world {
	w := &world{t: t, checker: wire.NewChecker(map[[16]byte]string{}), stopped: make(chan struct{}), written: map[int32]map[int64]string{}, seen: map[int32]map[int64]bool{}}
	w.checker.SessionTimeout = millis(sessionMs)
	for p := range int32(partitions) {
		w.written[p], w.seen[p] = map[int64]string{}, map[int64]bool{}
	}
	var err error
	w.proxy, err = wire.Listen(w.checker)
	w.must(err, "listen")
	t.Cleanup(func() { w.proxy.Close() })
	w.broker = harness.LaunchFor(t, harness.Options{Config: map[string]string{
		"advertised.listeners":             "PLAINTEXT://" + w.proxy.Addr(),
		"offsets.topic.num.partitions":     "5",
		"group.initial.rebalance.delay.ms": "100",
		"group.min.session.timeout.ms":     "1000",

		"group.consumer.min.session.timeout.ms":    "1000",
		"group.consumer.session.timeout.ms":        fmt.Sprint(sessionMs),
		"group.consumer.min.heartbeat.interval.ms": "100",
		"group.consumer.heartbeat.interval.ms":     fmt.Sprint(heartbeatMs),
	}})
	w.proxy.Forward(w.broker.Bootstrap())
	w.client, err = kgo.NewClient(kgo.SeedBrokers(w.proxy.Addr()), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RecordRetries(1000), kgo.AlwaysRetryEOF(), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }))
	w.must(err, "connect")
	t.Cleanup(w.client.Close)
	made, err := kadm.NewClient(w.client).CreateTopic(w.bounded(), partitions, 1, nil, topic)
	w.must(err, "create %s", topic)
	w.checker.Name(made.ID, topic)
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	go w.write(ctx)
	t.Cleanup(func() { cancel(); <-w.stopped })
	return w
}

func (w *world) bounded() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *world) must(err error, doing string, args ...any) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", fmt.Sprintf(doing, args...), err)
	}
}

// write sends a record to each partition, again and again.
func (w *world) write(ctx context.Context) {
	defer close(w.stopped)
	for i := 0; ctx.Err() == nil; i++ {
		recs := make([]*kgo.Record, partitions)
		for p := range recs {
			recs[p] = &kgo.Record{Partition: int32(p), Value: fmt.Appendf(nil, "%d-%d", p, i)}
		}
		// Not ctx: what was sent is waited for, so that it is known whether it was written.
		results := w.client.ProduceSync(context.Background(), recs...)
		w.mu.Lock()
		for _, r := range results {
			if r.Err != nil {
				w.problems = append(w.problems, fmt.Sprintf("produce: %v", r.Err))
				continue
			}
			w.written[r.Record.Partition][r.Record.Offset] = string(r.Record.Value)
		}
		w.mu.Unlock()
		pause(ctx, 20*time.Millisecond)
	}
}

// take notes what a member has worked on.
func (w *world) take(recs []Seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range recs {
		w.seen[r.Partition][r.Offset] = true
		if want, ok := w.written[r.Partition][r.Offset]; ok && want != r.Value {
			w.problems = append(w.problems, fmt.Sprintf("%s-%d at offset %d holds %q, and %q was seen", topic, r.Partition, r.Offset, want, r.Value))
		}
	}
}

// ends returns the offsets behind all that was written.
func (w *world) ends() map[wire.Partition]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	ends := map[wire.Partition]int64{}
	for p, values := range w.written {
		ends[wire.Partition{Topic: topic, Index: p}] = int64(len(values))
	}
	return ends
}

// waitFor waits until done; it fails at once when a rule was broken.
func (w *world) waitFor(what string, done func() bool) {
	w.t.Helper()
	defer func(start time.Time) { w.t.Logf("%s: %v", what, time.Since(start).Round(time.Millisecond)) }(time.Now())
	deadline := time.Now().Add(patience)
	for !done() {
		if broken := w.checker.Broken(); len(broken) > 0 {
			w.t.Fatalf("while waiting for %s: %s", what, broken)
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited %v for %s; committed %v, written %v", patience, what, w.checker.Committed(groupID), w.ends())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// progress waits until all that is written by now is committed.
func (w *world) progress() {
	w.t.Helper()
	ends := w.ends()
	w.waitFor("all that was written to be committed", func() bool {
		committed := w.checker.Committed(groupID)
		for p, end := range ends {
			if committed[p] < end {
				return false
			}
		}
		return true
	})
}

// owns waits until a member was given this many partitions, or more.
func (w *world) owns(m *process, least int) wire.Assigned {
	w.t.Helper()
	var a wire.Assigned
	w.waitFor(fmt.Sprintf("%s to own %d partitions", m.o.ClientID, least), func() bool {
		a = w.checker.Assigned(groupID, m.o.ClientID)
		return len(a.Partitions) >= least
	})
	if inNew := a.Generation == 0; inNew != (m.o.Protocol == "consumer") {
		w.t.Errorf("%s was told to use the protocol %q and got %+v", m.o.ClientID, m.o.Protocol, a)
	}
	return a
}

// start starts a member under a name of its own.
func (w *world) start(o Orders, name, instance string) *process {
	w.t.Helper()
	o.Bootstrap, o.Group, o.Topic, o.ClientID, o.Instance, o.HeartbeatMs = w.proxy.Addr(), groupID, topic, name, instance, heartbeatMs
	return startMember(w.t, o, w.take)
}

func (w *world) kill(m *process) {
	m.kill()
	w.checker.Killed(m.o.ClientID)
}

// finish ends the writing, lets the members read to the end, stops them, and checks all.
func (w *world) finish(members ...*process) {
	w.t.Helper()
	w.stop()
	<-w.stopped
	w.progress()
	for _, m := range members {
		m.leave()
	}
	for _, broken := range w.checker.Broken() {
		w.t.Error(broken)
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(w.proxy.Addr())) // the other one's connections may be dead
	w.must(err, "connect")
	defer reader.Close()
	committed, err := kadm.NewClient(reader).FetchOffsets(w.bounded(), groupID)
	w.must(err, "fetch offsets")
	ends := w.ends()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, problem := range w.problems {
		w.t.Error(problem)
	}
	for p, end := range ends {
		if c, ok := committed.Lookup(topic, p.Index); !ok || c.Err != nil || c.At != end {
			w.t.Errorf("%s: the committed offset is %d, %v; want %d", p, c.At, c.Err, end)
		}
		for offset := range end {
			if !w.seen[p.Index][offset] {
				w.t.Errorf("%s: offset %d is committed and nobody has seen it", p, offset)
			}
		}
	}
}

// same reports whether two assignments have the same partitions.
func same(a, b wire.Assigned) bool {
	set := func(a wire.Assigned) map[wire.Partition]bool {
		s := map[wire.Partition]bool{}
		for _, p := range a.Partitions {
			s[p] = true
		}
		return s
	}
	return maps.Equal(set(a), set(b))
}
