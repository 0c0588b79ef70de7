package broker

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record"
)

func (n *node) metadata(change func(q *kmsg.MetadataRequest)) *kmsg.MetadataResponse {
	n.t.Helper()
	q := kmsg.NewPtrMetadataRequest()
	q.SetVersion(12)
	change(q)
	r := n.raw()
	defer r.c.Close()
	return r.do(q).(*kmsg.MetadataResponse)
}

func askFor(names ...string) func(q *kmsg.MetadataRequest) {
	return func(q *kmsg.MetadataRequest) {
		q.Topics = []kmsg.MetadataRequestTopic{}
		for _, name := range names {
			q.Topics = append(q.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(name)})
		}
		q.AllowAutoTopicCreation = true
	}
}

func TestMetadataOfAllNoneAndSome(t *testing.T) {
	n := startNode(t)
	id := n.create("a", 2)
	n.create("b", 1)
	names := func(resp *kmsg.MetadataResponse) (names []string) {
		for _, topic := range resp.Topics {
			names = append(names, deref(topic.Topic))
		}
		return names
	}
	for _, c := range []struct {
		what    string
		version int16
		topics  []kmsg.MetadataRequestTopic
		want    []string
	}{
		{"null is all", 12, nil, []string{"a", "b"}},
		{"empty is none", 12, []kmsg.MetadataRequestTopic{}, nil},
		{"null is all, version 1", 1, nil, []string{"a", "b"}},
		{"empty is none, version 1", 1, []kmsg.MetadataRequestTopic{}, nil},
		{"empty is all, version 0", 0, []kmsg.MetadataRequestTopic{}, []string{"a", "b"}},
	} {
		resp := n.metadata(func(q *kmsg.MetadataRequest) { q.SetVersion(c.version); q.Topics = c.topics })
		if got := names(resp); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	byID := n.metadata(func(q *kmsg.MetadataRequest) {
		q.Topics = []kmsg.MetadataRequestTopic{{TopicID: id}, {TopicID: [16]byte{9}}}
	})
	if got := byID.Topics; len(got) != 2 || deref(got[0].Topic) != "a" || len(got[0].Partitions) != 2 || got[1].ErrorCode != 100 || got[1].Topic != nil {
		t.Errorf("by id: %+v", got)
	}
	if p := byID.Topics[0].Partitions[1]; p.Leader != 1 || p.ErrorCode != 0 || !slices.Equal(p.Replicas, []int32{1}) || !slices.Equal(p.ISR, []int32{1}) {
		t.Errorf("partition %+v", p)
	}
}

// With nothing advertised a client is sent to the address that it connected to.
func TestAdvertisedAddress(t *testing.T) {
	n := startNode(t)
	_, port, _ := net.SplitHostPort(n.addr)
	resp := n.metadata(func(q *kmsg.MetadataRequest) {})
	b := resp.Brokers[0]
	if b.Host != "127.0.0.1" || port != itoa(b.Port) || resp.ControllerID != 1 {
		t.Errorf("broker %+v, controller %d", b, resp.ControllerID)
	}
	wild := startNode(t, "listeners=PLAINTEXT://:0")
	_, port, _ = net.SplitHostPort(wild.addr)
	wild.addr = "127.0.0.2:" + port
	if b := wild.metadata(func(q *kmsg.MetadataRequest) {}).Brokers[0]; b.Host != "127.0.0.2" || itoa(b.Port) != port {
		t.Errorf("behind a wildcard: broker %+v, want 127.0.0.2:%s", b, port)
	}
	set := startNode(t, "advertised.listeners=PLAINTEXT://broker.example:7777")
	if b := set.metadata(func(q *kmsg.MetadataRequest) {}).Brokers[0]; b.Host != "broker.example" || b.Port != 7777 {
		t.Errorf("advertised: broker %+v", b)
	}
}

func TestAutoCreation(t *testing.T) {
	n := startNode(t, "num.partitions=3")
	got := n.metadata(askFor("made")).Topics[0]
	if got.ErrorCode != 0 || len(got.Partitions) != 3 || got.TopicID == ([16]byte{}) {
		t.Errorf("auto-created: %+v", got)
	}
	if log := n.log.String(); !strings.Contains(log, "topic=made") || !strings.Contains(log, "client=raw-test") || !strings.Contains(log, "principal=User:ANONYMOUS") {
		t.Error("the log does not say who wanted the topic")
	}
	for _, c := range []struct {
		name   string
		change func(q *kmsg.MetadataRequest)
		code   int16
	}{
		{"not asked for", func(q *kmsg.MetadataRequest) { q.AllowAutoTopicCreation = false }, 3},
		{"bad name", func(q *kmsg.MetadataRequest) { q.Topics[0].Topic = kmsg.StringPtr("a/b") }, 17},
		{"internal", func(q *kmsg.MetadataRequest) { q.Topics[0].Topic = kmsg.StringPtr("__consumer_offsets") }, 17},
	} {
		topics := n.metadata(func(q *kmsg.MetadataRequest) { askFor("nope")(q); c.change(q) }).Topics
		if len(topics) != 1 || topics[0].ErrorCode != c.code {
			t.Errorf("%s: %+v, want code %d", c.name, topics, c.code)
		}
	}
	off := startNode(t, "auto.create.topics.enable=false")
	if topic := off.metadata(askFor("nope")).Topics[0]; topic.ErrorCode != 3 {
		t.Errorf("switched off: %+v", topic)
	}
}

func TestTopicAdministration(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1, "retention.ms=1234")
	n.produce("topic", id, 0, "a", "b", "c")
	r := n.raw()
	create := kmsg.NewPtrCreateTopicsRequest()
	create.SetVersion(7)
	for _, name := range []string{"topic", "bad/name", "wrong"} {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
		if name == "wrong" {
			topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "segment.bytes", Value: kmsg.StringPtr("many")}}
		}
		create.Topics = append(create.Topics, topic)
	}
	for i, code := range []int16{36, 17, 40} {
		got := r.do(create).(*kmsg.CreateTopicsResponse).Topics[i]
		if got.ErrorCode != code || deref(got.ErrorMessage) == "null" {
			t.Errorf("create %s: code %d %s, want %d and a message", got.Topic, got.ErrorCode, deref(got.ErrorMessage), code)
		}
	}
	describe := kmsg.NewPtrDescribeConfigsRequest()
	describe.SetVersion(4)
	describe.IncludeSynonyms, describe.IncludeDocumentation = true, true
	describe.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: 2, ResourceName: "topic", ConfigNames: []string{"retention.ms"}}, {ResourceType: 2, ResourceName: "nope"}, {ResourceType: 99, ResourceName: "x"}}
	got := r.do(describe).(*kmsg.DescribeConfigsResponse).Resources
	if c := got[0].Configs; len(c) != 1 || deref(c[0].Value) != "1234" || c[0].Source != kmsg.ConfigSourceDynamicTopicConfig || c[0].Documentation == nil || len(c[0].ConfigSynonyms) == 0 {
		t.Errorf("retention.ms is described as %+v", c)
	}
	if got[1].ErrorCode != 3 || got[2].ErrorCode != 42 {
		t.Errorf("unknown things are described with codes %d and %d", got[1].ErrorCode, got[2].ErrorCode)
	}
	trim := kmsg.NewPtrDeleteRecordsRequest()
	trim.SetVersion(2)
	trim.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "topic", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 2}, {Offset: 9}, {Offset: -1}}}}
	ps := r.do(trim).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions
	if ps[0].LowWatermark != 2 || ps[1].ErrorCode != 1 || ps[2].LowWatermark != 3 {
		t.Errorf("records were deleted as %+v", ps)
	}
	dirs := kmsg.NewPtrDescribeLogDirsRequest()
	dirs.SetVersion(4)
	d := r.do(dirs).(*kmsg.DescribeLogDirsResponse).Dirs
	if len(d) != 1 || len(d[0].Topics) != 1 || d[0].Topics[0].Partitions[0].Size <= 0 || d[0].TotalBytes <= d[0].UsableBytes {
		t.Errorf("log directories are described as %+v", d)
	}
	transactional := kmsg.NewPtrInitProducerIDRequest()
	transactional.SetVersion(4)
	transactional.TransactionalID = kmsg.StringPtr("tx")
	if code := r.do(transactional).(*kmsg.InitProducerIDResponse).ErrorCode; code != 35 {
		t.Errorf("a transactional producer got code %d", code)
	}
	transactional.TransactionalID = nil
	first, second := r.do(transactional).(*kmsg.InitProducerIDResponse), r.do(transactional).(*kmsg.InitProducerIDResponse)
	if first.ProducerEpoch != 0 || second.ProducerID != first.ProducerID+1 {
		t.Errorf("producer ids %d and %d", first.ProducerID, second.ProducerID)
	}
}

func TestListOffsets(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	r := n.raw()
	for i := range 10 {
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(1000+int64(i)*10, nil, []byte("x"))
		batch, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		r.do(produceRequest(9, 1, "topic", id, 0, batch))
	}
	for _, c := range []struct {
		version       int16
		ts            int64
		code          int16
		offset, found int64
	}{
		{7, -1, 0, 10, -1},
		{7, -2, 0, 0, -1},
		{7, -3, 0, 9, 1090},
		{8, -4, 0, 0, -1},
		{9, -5, 0, -1, -1},
		{6, -3, 35, -1, -1},
		{7, -4, 35, -1, -1},
		{8, -5, 35, -1, -1},
		{11, -6, 35, -1, -1},
		{7, 0, 0, 0, 1000},
		{7, 1045, 0, 5, 1050},
		{7, 1090, 0, 9, 1090},
		{7, 1091, 0, -1, -1},
	} {
		q := kmsg.NewPtrListOffsetsRequest()
		q.SetVersion(c.version)
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = c.ts
		q.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "topic", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		got := r.do(q).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
		if got.ErrorCode != c.code || got.Offset != c.offset || got.Timestamp != c.found {
			t.Errorf("version %d timestamp %d: %+v, want offset %d at %d, code %d", c.version, c.ts, got, c.offset, c.found, c.code)
		}
	}
}

// denyAll forbids everything, and notes who asked.
type denyAll struct{ asked chan string }

func (d denyAll) Allowed(c *Caller, _ Operation, _ ResourceType, name string) bool {
	select {
	case d.asked <- c.Principal.String() + " " + c.ClientID + " " + c.Listener + " " + name:
	default:
	}
	return false
}

// One request may name hundreds of thousands of partitions: they cost their number, not its
// square, and one that stands twice is found.
func TestListOffsetsOfVeryManyPartitions(t *testing.T) {
	n := startNode(t)
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = "none"
	for i := range int32(300_000) {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = i, -1
		if i == 299_999 {
			p.Partition = 0
		}
		topic.Partitions = append(topic.Partitions, p)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID, req.Topics = 7, -1, []kmsg.ListOffsetsRequestTopic{topic}
	began := testkit.CPUTime(t)
	got := n.raw().do(req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions
	if took := testkit.CPUTime(t) - began; took > 20*time.Second { // its square is a minute and more
		t.Errorf("it took %v", took)
	}
	if got[0].ErrorCode != 42 || got[299_999].ErrorCode != 42 || got[1].ErrorCode != 3 {
		t.Errorf("codes %d, %d, %d", got[0].ErrorCode, got[1].ErrorCode, got[299_999].ErrorCode)
	}
}

func TestAuthorizerIsAskedByEveryAPI(t *testing.T) {
	d := denyAll{make(chan string, 1000)}
	n := startNodeWith(t, nodeOptions{auth: d})
	r := n.raw()
	check := func(what string, code, want int16) {
		t.Helper()
		if code != want {
			t.Errorf("%s: code %d, want %d", what, code, want)
		}
	}
	batch := batchOf(t, record.BuilderOptions{}, "x")
	check("produce", r.do(produceRequest(9, 1, "topic", [16]byte{}, 0, batch)).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode, 29)
	if who := <-d.asked; who != "User:ANONYMOUS raw-test PLAINTEXT topic" {
		t.Errorf("asked for %q", who)
	}
	check("fetch", r.do(fetchRequest(12, "topic", [16]byte{}, 0, 0)).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode, 29)
	follower := fetchRequest(12, "topic", [16]byte{}, 0, 0)
	follower.ReplicaID = 2
	check("follower fetch", r.do(follower).(*kmsg.FetchResponse).ErrorCode, 31)
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "x", NumPartitions: 1, ReplicationFactor: 1}}
	check("create", r.do(create).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode, 29)
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.TopicNames = []string{"x"}
	check("delete", r.do(del).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode, 29)
	check("producer id", r.do(kmsg.NewPtrInitProducerIDRequest()).(*kmsg.InitProducerIDResponse).ErrorCode, 31)
	if topic := n.metadata(askFor("x")).Topics[0]; topic.ErrorCode != 29 {
		t.Errorf("metadata: %+v", topic)
	}
}

// slowDown throttles produces.
type slowDown struct {
	AllowAll
	d time.Duration
}

func (q slowDown) Charge(_ *Caller, cost Cost) time.Duration {
	if cost.Key == 0 {
		return q.d
	}
	return 0
}

func TestThrottledReplyComesAtOnce(t *testing.T) {
	n := startNodeWith(t, nodeOptions{quota: slowDown{d: 100 * time.Millisecond}})
	id := n.create("topic", 1)
	r := n.raw()
	began := time.Now()
	resp := r.do(produceRequest(9, 1, "topic", id, 0, batchOf(t, record.BuilderOptions{}, "x"))).(*kmsg.ProduceResponse)
	if resp.ThrottleMillis != 100 {
		t.Fatalf("throttle time %d ms, want 100", resp.ThrottleMillis)
	}
	r.do(kmsg.NewPtrMetadataRequest())
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("the next request was answered after %v: the connection was not muted", took)
	}
}

func TestConnectionLimits(t *testing.T) {
	n := startNode(t, "max.connections.per.ip=2")
	a, b := n.raw(), n.raw()
	a.do(kmsg.NewPtrMetadataRequest())
	b.do(kmsg.NewPtrMetadataRequest())
	n.raw().wantClosed()
	if !strings.Contains(n.log.String(), "max.connections.per.ip=2") {
		t.Error("the log does not say why")
	}
}

func TestAdminPort(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	n.produce("topic", id, 0, "x")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := StartAdmin(l, n.broker, n.registry, slog.New(slog.NewTextHandler(n.log, nil)))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, string) {
		resp, err := client.Get("http://" + a.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	_, metrics := get("/metrics")
	for _, want := range []string{
		`millrace_requests_total{api="Produce",version="`, `millrace_produce_records_total 1`, `millrace_log_end_offset{partition="0",topic="topic"} 1`,
		`millrace_log_dir_online{`, `millrace_request_seconds_bucket{api="Produce",version="`, `millrace_connections `,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	code, body := get("/healthz")
	var h Health
	if err := json.Unmarshal([]byte(body), &h); err != nil || code != 200 || h.Status != "ok" || len(h.LogDirs) != 1 || !h.LogDirs[0].Online {
		t.Errorf("/healthz: %d %s (%v)", code, body, err)
	}
	if code, _ := get("/debug/pprof/goroutine?debug=1"); code != 200 {
		t.Errorf("/debug/pprof: %d", code)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
}
