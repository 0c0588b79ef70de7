package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/internal/testkit/zkserver"
)

const chroot = "/khg-kafka"

// world is an ensemble, a broker on it, and clients of both.
type world struct {
	*testing.T
	ensemble *zkserver.Ensemble
	broker   *harness.Broker
	zk       *zk.Conn
	kafka    *kgo.Client
	admin    *kadm.Client
	ctx      context.Context
	sent     map[string]int
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func start(t *testing.T, argv []string) *world {
	t.Helper()
	w := &world{T: t, sent: map[string]int{}}
	var cancel context.CancelFunc
	w.ctx, cancel = context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	w.ensemble = zkserver.Launch(t, zkserver.Options{Servers: 3, Argv: argv})
	w.broker = harness.LaunchFor(t, harness.Options{Config: map[string]string{
		"zookeeper.connect": w.ensemble.ConnectString() + chroot, "zookeeper.session.timeout.ms": "6000",
	}})
	c, events, err := zk.Connect(strings.Split(w.ensemble.ConnectString(), ","), 20*time.Second, zk.WithLogInfo(false), zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	go func() {
		for range events {
		}
	}()
	w.zk = c
	if w.kafka, err = kgo.NewClient(kgo.SeedBrokers(w.broker.Bootstrap()), kgo.MetadataMinAge(100*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.kafka.Close)
	w.admin = kadm.NewClient(w.kafka)
	return w
}

// eventually repeats a call that a change of servers may fail.
func (w *world) eventually(what string, call func() error) {
	w.Helper()
	var err error
	deadline := time.Now().Add(90 * time.Second)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		if err = call(); err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("%s: %v", what, err)
		}
		time.Sleep(pause)
	}
}

func (w *world) createTopic(name string) {
	w.Helper()
	w.eventually("create topic "+name, func() error {
		r, err := w.admin.CreateTopic(w.ctx, 2, 1, nil, name)
		if err == nil {
			err = r.Err
		}
		if err != nil && strings.Contains(err.Error(), "TOPIC_ALREADY_EXISTS") {
			err = nil
		}
		return err
	})
}

func (w *world) produce(topic string) {
	w.Helper()
	for range 20 {
		w.sent[topic]++
		value := fmt.Sprint(w.sent[topic])
		if err := w.kafka.ProduceSync(w.ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
			w.Fatal(err)
		}
	}
}

// consume reads all of a topic, from its start.
func (w *world) consume(topic string) {
	w.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Bootstrap()), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close()
	seen := map[string]bool{}
	for len(seen) < w.sent[topic] {
		f := c.PollFetches(w.ctx)
		if w.ctx.Err() != nil {
			w.Fatalf("%d of %d records", len(seen), w.sent[topic])
		}
		f.EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
	}
}

// registered waits until the ensemble shows the broker.
func (w *world) registered() {
	w.Helper()
	w.eventually("registration", func() error {
		ok, stat, err := w.zk.Exists(chroot + "/brokers/ids/1")
		if err == nil && (!ok || stat.EphemeralOwner == 0) {
			err = fmt.Errorf("there: %t, %+v", ok, stat)
		}
		return err
	})
}

// suspend stops the broker for longer than its session lasts.
func (w *world) suspend() {
	w.Helper()
	pid := w.broker.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		w.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	w.eventually("expiry", func() error {
		ok, _, err := w.zk.Exists(chroot + "/brokers/ids/1")
		if err == nil && ok {
			err = errors.New("the broker is still registered")
		}
		return err
	})
}

func TestBrokerOnApacheZooKeeper(t *testing.T) {
	t.Parallel()
	zkserver.Need(t)
	scenario(t, nil)
}

func TestBrokerOnOurEnsemble(t *testing.T) {
	t.Parallel()
	binary, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	scenario(t, []string{binary, "quorum"})
}

// scenario: topics and records; each server of the ensemble restarted; the whole ensemble
// restarted; the broker's session expired; the broker restarted.
func scenario(t *testing.T, argv []string) {
	w := start(t, argv)
	w.registered()
	w.createTopic("first")
	w.produce("first")
	for _, s := range w.ensemble.Servers {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		w.produce("first")
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	w.registered()
	w.createTopic("second")
	w.produce("second")

	for _, s := range w.ensemble.Servers {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	w.produce("second") // the ensemble is not on the way of a record
	if err := w.ensemble.Start(); err != nil {
		t.Fatal(err)
	}
	w.registered()
	w.createTopic("third")
	w.produce("third")

	w.suspend()
	w.registered()
	w.createTopic("fourth")
	w.produce("fourth")

	if err := w.broker.Restart(); err != nil {
		t.Fatal(err)
	}
	w.registered()
	for topic := range w.sent {
		w.consume(topic)
	}
	w.eventually("topics in the ensemble", func() error {
		names, _, err := w.zk.Children(chroot + "/brokers/topics")
		if err == nil && len(names) < 4 {
			err = fmt.Errorf("only %q", names)
		}
		return err
	})
}
