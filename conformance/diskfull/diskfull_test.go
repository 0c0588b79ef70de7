package diskfull

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/conformance/crash"
	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/conformance/history"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var (
	topic = crash.Topic{Name: "fill", Partitions: 1, Config: map[string]string{
		"segment.bytes": "1048576", "retention.ms": "-1", "file.delete.delay.ms": "50",
	}}
	place = history.Place{Topic: topic.Name}
)

func TestBrokerOnAFullDisk(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	must(t, os.Mkdir(disk, 0o755))
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=48m"); err != nil {
		t.Logf("no disk of its own (mount: %v): the engine on a disk in memory stands for it", err)
		engineOnAFullDisk(t)
		return
	}
	t.Cleanup(func() { must(t, syscall.Unmount(disk, syscall.MNT_FORCE|syscall.MNT_DETACH)) })
	b := harness.LaunchFor(t, harness.Options{DataDir: filepath.Join(disk, "data"), Config: map[string]string{
		"log.retention.check.interval.ms": "50",
	}})
	r := &run{t: t, b: b, h: history.New()}
	r.connect()
	must(t, crash.CreateTopics(r.ctx, b.Bootstrap(), []crash.Topic{topic}))

	r.produceUntilFull()
	r.refusedWithAReason()
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	r.everythingIsThere()
	must(t, b.Kill())
	must(t, b.Start())
	r.everythingIsThere()
	fill(t, ballast) // recovery gave back what was taken ahead of the log's end
	r.refusedWithAReason()
	r.administration()

	must(t, os.Remove(ballast))
	must(t, b.Kill())
	must(t, b.Start())
	r.deleteAndGoOn()
	r.everythingIsThere()
	must(t, b.Restart())
	r.everythingIsThere()
}

type run struct {
	t      *testing.T
	b      *harness.Broker
	ctx    context.Context
	client *kgo.Client
	h      *history.History
	sent   int64
}

func (r *run) connect() {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	r.t.Cleanup(cancel)
	c, err := kgo.NewClient(kgo.SeedBrokers(r.b.Bootstrap()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.DisableIdempotentWrite())
	must(r.t, err)
	r.t.Cleanup(c.Close)
	r.ctx, r.client = ctx, c
}

// produce sends one record of 50 KB and notes the outcome: the answer of a refusal
// promises that the record is not and will not be there.
func (r *run) produce() error {
	id := history.ID{Seq: r.sent}
	r.sent++
	r.h.Sent(place, id)
	rec := &kgo.Record{Topic: topic.Name, Value: history.Encode(place, id, 50_000)}
	err := r.client.ProduceSync(r.ctx, rec).FirstErr()
	switch {
	case err == nil:
		r.h.Acked(place, id, rec.Offset)
	case errors.Is(err, kerr.PolicyViolation):
		r.h.Refused(place, id)
	}
	return err
}

func (r *run) produceUntilFull() {
	r.t.Helper()
	for r.sent < 2000 {
		err := r.produce()
		if err == nil {
			continue
		}
		if r.sent < 100 {
			r.t.Fatalf("record %d: %v", r.sent, err)
		}
		if kerr.IsRetriable(err) {
			r.t.Fatalf("a full disk is answered with %v, which clients repeat until they time out", err)
		}
		return
	}
	r.t.Fatal("the disk never became full")
}

// refusedWithAReason looks at the answer itself: code and message.
func (r *run) refusedWithAReason() {
	r.t.Helper()
	if err := r.produce(); !errors.Is(err, kerr.PolicyViolation) {
		r.t.Errorf("produce on a full disk: %v", err)
	}
	b := record.NewBuilder(record.BuilderOptions{})
	b.Append(time.Now().UnixMilli(), nil, make([]byte, 50_000))
	batch, err := b.Finish()
	must(r.t, err)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic.Name, r.topicID()
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = batch
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := r.client.Broker(1).RetriableRequest(r.ctx, req)
	must(r.t, err)
	answer := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if answer.ErrorMessage == nil || !strings.Contains(*answer.ErrorMessage, "disk") {
		r.t.Errorf("error %d without a message that says why: %v", answer.ErrorCode, answer.ErrorMessage)
	}
}

func (r *run) topicID() [16]byte {
	r.t.Helper()
	topics, err := kadm.NewClient(r.client).ListTopics(r.ctx, topic.Name)
	must(r.t, err)
	return topics[topic.Name].ID
}

// fill takes the last bytes of the disk.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	must(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func (r *run) everythingIsThere() {
	r.t.Helper()
	must(r.t, crash.Read(r.ctx, r.b.Bootstrap(), []crash.Topic{topic}, r.h, crash.Positions{place: r.start()}))
	if found := r.h.Check(); len(found) > 0 {
		r.t.Fatalf("%d broken promises:\n%s", len(found), history.Explain(found))
	}
}

func (r *run) start() int64 {
	r.t.Helper()
	listed, err := kadm.NewClient(r.client).ListStartOffsets(r.ctx, topic.Name)
	must(r.t, errors.Join(err, listed.Error()))
	o, _ := listed.Lookup(topic.Name, 0)
	return o.Offset
}

// administration answers on a full disk; what would need space is refused.
func (r *run) administration() {
	r.t.Helper()
	admin := kadm.NewClient(r.client)
	if _, err := admin.DescribeAllLogDirs(r.ctx, nil); err != nil {
		r.t.Errorf("describe log dirs: %v", err)
	}
	if _, err := admin.DescribeTopicConfigs(r.ctx, topic.Name); err != nil {
		r.t.Errorf("describe configs: %v", err)
	}
	if _, err := admin.CreateTopic(r.ctx, 1, 1, nil, "more"); err == nil {
		r.t.Log("a topic could be created: it takes no space yet")
	} else if kerr.IsRetriable(err) || errors.Is(err, context.DeadlineExceeded) {
		r.t.Errorf("create a topic: %v", err)
	}
}

// deleteAndGoOn frees space by DeleteRecords and waits until records are taken again.
func (r *run) deleteAndGoOn() {
	r.t.Helper()
	at := r.sent / 2
	_, err := kadm.NewClient(r.client).DeleteRecords(r.ctx, kadm.Offsets{topic.Name: {0: {Topic: topic.Name, At: at}}})
	must(r.t, err)
	r.h.ForgetBelow(place, at)
	testkit.WaitFor(r.t, "space for records", func() bool { return r.produce() == nil })
	for range 50 {
		must(r.t, r.produce())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
