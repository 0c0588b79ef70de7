package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/metadata"
)

func TestManagerFollowsTheTree(t *testing.T) {
	e := newEnv(t)
	e.settle(append(topicOps("a", 1, "", 3, self), topicOps("b", 2, "", 1, 2)...)...)
	for i := range int32(3) {
		p, err := e.Get("a", i)
		if err != nil || p.Index() != i || p.Topic() != "a" || p.TopicID() != topicID(1) || p.LeaderEpoch() != 3 || !p.Leads() || p.Log().TopicID() != topicID(1) {
			t.Errorf("%+v, %v", p, err)
		}
	}
	for _, test := range []struct {
		topic     string
		partition int32
		want      error
	}{{"a", 3, ErrUnknownTopicOrPartition}, {"a", -1, ErrUnknownTopicOrPartition}, {"x", 0, ErrUnknownTopicOrPartition}, {"b", 0, ErrNotLeader}} {
		if _, err := e.Get(test.topic, test.partition); err != test.want {
			t.Errorf("%s-%d: got %v, want %v", test.topic, test.partition, err, test.want)
		}
	}
	if p, err := e.GetByID(e.loader.Image(), topicID(1), 2); err != nil || p.Index() != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	a0, _ := e.Get("a", 0)
	// More partitions: those that are there stay as they are.
	node := metadata.TopicNode{ID: topicID(1), Partitions: [][]int32{{self}, {self}, {self}, {self}}}
	e.settle(metadata.Set(metadata.TopicPath("a"), node.Encode(), -1), metadata.Create(metadata.PartitionPath("a", 3), nil),
		metadata.Create(metadata.PartitionStatePath("a", 3), state(self, 0, self)))
	if p, err := e.Get("a", 3); err != nil || !p.Leads() {
		t.Errorf("%v", err)
	}
	if again, _ := e.Get("a", 0); again != a0 {
		t.Error("an old partition was replaced")
	}
	done := newOutcomes()
	woken := make(chan struct{}, 10)
	w := NewFetchWaiter(func() { woken <- struct{}{} })
	a0.AddFetchWaiter(w)
	e.settle(dropOps("a", 4)...)
	<-woken
	a0.RemoveFetchWaiter(w)
	if _, err := e.Get("a", 0); err != ErrUnknownTopicOrPartition {
		t.Errorf("got %v", err)
	}
	if res, _ := a0.Produce(batch("x"), 1, -1, engine.Client, done, 0, 1); res.Err != ErrUnknownTopicOrPartition {
		t.Errorf("got %v", res.Err)
	}
	if _, ok := e.store.Get(engine.TopicPartition{Topic: "a"}); ok {
		t.Error("the log is still there")
	}
}

func TestDeletedAndMadeAgain(t *testing.T) {
	e := newEnv(t)
	p := e.topic("")
	p.Produce(batch("old"), 1, -1, engine.Client, nil, 0, 1)
	// Both in one image: the worker never sees the tree without the topic.
	e.settle(append(dropOps("t", 1), topicOps("t", 2, "", 1, self)...)...)
	q, err := e.Get("t", 0)
	if err != nil || q == p || q.TopicID() != topicID(2) || q.Log().LogEndOffset() != 0 {
		t.Errorf("%+v, %v", q, err)
	}
}

// The folder of a topic that was deleted while the broker did not run makes room for the
// new topic of its name; a folder whose topic is unknown is left alone and named.
func TestStaleAndStrayLogs(t *testing.T) {
	e := newEnv(t)
	e.topic("")
	e.settle(topicOps("stray", 5, "", 1, self)...)
	e.loader.Close()
	e.Manager.Close()
	if err := e.store.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	e.write(append(append(dropOps("t", 1), dropOps("stray", 1)...), topicOps("t", 2, "", 1, self)...)...)
	var told bytes.Buffer
	e.store = e.openStore(e.disk)
	e.loader = metadata.NewLoader(e.tree, slog.New(slog.DiscardHandler))
	e.Manager = NewManager(Options{
		Store: e.store, BrokerID: self, Clock: e.clock, Log: slog.New(slog.NewTextHandler(&told, nil)),
		TopicConfig: func(map[string]string) TopicConfig { return e.configs[""] },
	})
	e.loader.Add(e.Manager)
	if err := e.WaitApplied(t.Context(), e.quorum.Zxid()); err != nil {
		t.Fatal(err)
	}
	if p, err := e.Get("t", 0); err != nil || p.TopicID() != topicID(2) || p.Log().TopicID() != topicID(2) {
		t.Errorf("%+v, %v", p, err)
	}
	if l, ok := e.store.Get(engine.TopicPartition{Topic: "stray"}); !ok || l.Config().RetentionMs != -1 {
		t.Error("a stray log was not left alone")
	}
	if _, err := e.Get("stray", 0); err != ErrUnknownTopicOrPartition {
		t.Errorf("a stray log is served: %v", err)
	}
	if s := told.String(); strings.Count(s, "stray log") != 1 || !strings.Contains(s, "partition=stray-0") || !strings.Contains(s, "makes room") {
		t.Errorf("the log says:\n%s", s)
	}
}

func TestFindOnDisk(t *testing.T) {
	e := newEnv(t)
	for tp, id := range map[engine.TopicPartition]int{{Topic: "a", Partition: 0}: 1, {Topic: "a", Partition: 3}: 1, {Topic: "b", Partition: 1}: 0,
		{Topic: "mixed", Partition: 0}: 2, {Topic: "mixed", Partition: 1}: 3, {Topic: "__cluster_metadata", Partition: 0}: 0} {
		topic := metadata.TopicID{}
		if id > 0 {
			topic = topicID(id)
		}
		l, err := e.store.Create(tp, topic, e.configs[""].Log)
		if err != nil {
			t.Fatal(err)
		}
		if tp.Topic == "a" {
			if _, err := l.AppendAsLeader(batch("x"), 4+tp.Partition, engine.Client); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := FindOnDisk(e.store, slog.New(slog.DiscardHandler))
	want := []OnDisk{{"a", topicID(1), 4, 8}, {"b", metadata.TopicID{}, 2, 0}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A log that cannot be made leaves its partition offline, and is tried again.
func TestFullDiskWhenATopicIsMade(t *testing.T) {
	e := newEnv(t)
	var full atomic.Bool
	full.Store(true)
	e.fs.SetRule(func(op errorfs.Op) errorfs.Fault {
		if full.Load() && (op.Kind == errorfs.MkdirAll || op.Kind == errorfs.Create || op.Kind == errorfs.Write) {
			return errorfs.Fault{Err: syscall.ENOSPC}
		}
		return errorfs.Fault{}
	})
	e.settle(topicOps("t", 1, "", 1, self)...)
	_, err := e.Get("t", 0)
	var disk *engine.DiskFullError
	if !errors.Is(err, ErrOffline) || !errors.As(err, &disk) {
		t.Fatalf("got %v", err)
	}
	full.Store(false)
	e.clock.Advance(2 * time.Second)
	testkit.WaitFor(t, "the partition to come online", func() bool {
		_, err := e.Get("t", 0)
		return err == nil
	})
}

// A directory that cannot be loaded at the start takes its partitions offline: they are not
// made anew beside it, nor tried and logged each second. New topics go elsewhere.
func TestDirectoryOfflineFromTheStart(t *testing.T) {
	e := newEnv(t)
	e.settle(topicOps("t", 1, "", 2, self)...)
	e.loader.Close()
	e.Manager.Close()
	if err := e.store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.fs.SetRule(errorfs.From(0, errorfs.Fault{Err: syscall.EIO}, errorfs.All(errorfs.Kinds(errorfs.ReadDir), func(op errorfs.Op) bool { return op.Path == "/logs" })))
	e.dirs = []string{"/logs", "/others"}
	e.store = e.openStore(e.fs)
	var lines lineCounter
	e.logged = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelError}))
	e.loader = metadata.NewLoader(e.tree, slog.New(slog.DiscardHandler))
	e.start()
	if err := e.WaitApplied(t.Context(), e.loader.Image().Zxid()); err != nil { // what comes later is new
		t.Fatal(err)
	}
	e.settle(topicOps("new", 2, "", 1, self)...)
	var failed *engine.DirFailedError
	if _, err := e.Get("t", 1); !errors.Is(err, ErrOffline) || !errors.As(err, &failed) || failed.Dir != "/logs" {
		t.Errorf("a partition of the failed directory: %v", err)
	}
	if p, err := e.Get("new", 0); err != nil || p.Log().Dir() != "/others/new-0" {
		t.Errorf("a new partition: %v", err)
	}
	for range 3 {
		e.clock.Advance(2 * retryAfter)
		e.Reconfigure()
		e.settle(metadata.Set("/brokers/seqid", nil, metadata.AnyVersion))
	}
	if n := lines.n.Load(); n != 2 {
		t.Errorf("%d lines for two partitions that stay offline", n)
	}
}

type lineCounter struct{ n atomic.Int32 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.n.Add(1)
	return len(p), nil
}

func TestReconfigure(t *testing.T) {
	e := newEnv(t)
	var retention atomic.Int64
	e.Manager.Close()
	e.Manager = NewManager(Options{
		Store: e.store, BrokerID: self, Clock: e.clock, Log: slog.New(slog.DiscardHandler),
		TopicConfig: func(map[string]string) TopicConfig {
			c := e.configs[""]
			c.Log.RetentionMs = retention.Load()
			return c
		},
	})
	e.loader.Add(e.Manager)
	p := e.topic("")
	retention.Store(77)
	e.Reconfigure()
	testkit.WaitFor(t, "the new setting", func() bool { return p.Log().Config().RetentionMs == 77 })
}

func TestCloseEndsWhatWaits(t *testing.T) {
	e := newEnv(t)
	p := e.topic("durable")
	g := e.holdSyncs(nil)
	defer close(g.open)
	done := newOutcomes()
	p.Produce(batch("x"), 1, -1, engine.Client, done, 0, 60_000)
	waited := make(chan error)
	go func() { waited <- e.WaitApplied(context.Background(), 1<<40) }()
	e.Manager.Close()
	e.Manager.Close()
	if _, res := done.wait(t); res.Err != ErrNotLeader {
		t.Errorf("got %v", res.Err)
	}
	if err := <-waited; err != ErrClosed {
		t.Errorf("got %v", err)
	}
}

// Producers, consumers, cancellations, timeouts and topic deletion at the same time: each
// pending produce is told exactly once or was cancelled, what is acknowledged is readable
// in order, and nobody who waits for records waits for ever.
func TestRace(t *testing.T) {
	e := newEnv(t)
	e.settle(append(topicOps("d", 1, "durable", 2, self), topicOps("n", 2, "", 2, self)...)...)
	const producers, each = 8, 60
	var wg, readers sync.WaitGroup
	var acked [4]atomic.Int64
	stop := make(chan struct{})
	parts := make([]*Partition, 4)
	for i := range parts {
		p, err := e.Get([]string{"d", "n"}[i/2], int32(i%2))
		if err != nil {
			t.Fatal(err)
		}
		parts[i] = p
		readers.Go(func() { consume(t, p, stop) })
	}
	readers.Go(func() { // a sync waits for company by the clock
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				e.clock.Advance(time.Millisecond)
			}
		}
	})
	for n := range producers {
		rng := testkit.NewRand(uint64(n))
		wg.Go(func() {
			for range each {
				i := rng.IntN(4)
				done := newOutcomes()
				res, pending := parts[i].Produce(batch("x"), int16(rng.IntN(2)*2-1), -1, engine.Client, done, 7, 60_000)
				if pending && rng.IntN(8) == 0 {
					parts[i].CancelProduce(done)
					continue
				}
				if pending {
					_, res = done.wait(t)
				}
				if res.Err != nil {
					t.Error(res.Err)
					continue
				}
				acked[i].Add(1)
				if len(done.told) > 0 {
					t.Error("an outcome was told twice")
				}
			}
		})
	}
	wg.Wait()
	e.settle(append(dropOps("d", 2), dropOps("n", 2)...)...)
	close(stop)
	readers.Wait()
	total := int64(0)
	for i := range acked {
		total += acked[i].Load()
		if parts[i].queued.Load() != 0 {
			t.Errorf("partition %d: %d are still queued", i, parts[i].queued.Load())
		}
	}
	if total < producers*each*3/4 {
		t.Errorf("only %d acknowledged", total)
	}
}

// consume reads a partition to its end, waiting for more, until it is deleted.
func consume(t *testing.T, p *Partition, stop chan struct{}) {
	woken := make(chan struct{}, 1)
	w := NewFetchWaiter(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	p.AddFetchWaiter(w)
	defer p.RemoveFetchWaiter(w)
	at := int64(0)
	for {
		got, res, err := read(t, p, consumer(at))
		if err != nil {
			if !errors.Is(err, ErrUnknownTopicOrPartition) && !errors.Is(err, engine.ErrClosed) {
				t.Error(err)
			}
			return
		}
		if at += int64(len(got)); at > res.HighWatermark && at > p.Log().HighWatermark() {
			t.Errorf("a consumer saw offset %d above the high watermark %d", at, res.HighWatermark)
		}
		if len(got) > 0 {
			continue
		}
		select {
		case <-woken:
		case <-stop:
			return
		}
	}
}

// A topic whose node somebody removed is not served any more; its records stay on the disk,
// as with Kafka. What the controller deletes goes.
func TestTopicRemovedByHandKeepsItsLogs(t *testing.T) {
	e := newEnv(t)
	e.settle(topicOps("hand", 1, "", 1, self)...)
	e.settle(topicOps("asked", 2, "", 1, self)...)
	e.settle(dropOps("asked", 1)...)
	e.settle(dropOps("hand", 1)[:4]...)
	for topic, kept := range map[string]bool{"hand": true, "asked": false} {
		if _, err := e.Get(topic, 0); !errors.Is(err, ErrUnknownTopicOrPartition) {
			t.Errorf("%s is served: %v", topic, err)
		}
		if _, ok := e.store.Get(engine.TopicPartition{Topic: topic}); ok != kept {
			t.Errorf("%s: its log is there: %t", topic, ok)
		}
	}
}
