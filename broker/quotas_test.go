package broker

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record"
)

// alterQuotas sets quotas of one entity through the protocol.
func (n *node) alterQuotas(entity string, quotas ...string) {
	n.t.Helper()
	adm := kadm.NewClient(n.client())
	ctx, cancel := context.WithTimeout(n.t.Context(), testkit.Patience)
	defer cancel()
	e := kadm.AlterClientQuotaEntry{Entity: quotaEntity(entity)}
	for _, q := range quotas {
		var op kadm.AlterClientQuotaOp
		key, value, _ := strings.Cut(q, "=")
		op.Key = key
		if _, err := fmt.Sscan(value, &op.Value); err != nil {
			op.Remove = true
		}
		e.Ops = append(e.Ops, op)
	}
	res, err := adm.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{e})
	if err != nil {
		n.t.Fatal(err)
	}
	if res[0].Err != nil {
		n.t.Fatalf("quotas of %s: %v, %s", entity, res[0].Err, res[0].ErrMessage)
	}
}

// quotaEntity reads "user=u client-id=*", where * is the default.
func quotaEntity(s string) (e kadm.ClientQuotaEntity) {
	for part := range strings.FieldsSeq(s) {
		kind, name, _ := strings.Cut(part, "=")
		c := kadm.ClientQuotaEntityComponent{Type: kind, Name: &name}
		if name == "*" {
			c.Name = nil
		}
		e = append(e, c)
	}
	return e
}

func TestQuotasThroughTheProtocol(t *testing.T) {
	n := startNode(t)
	n.alterQuotas("user=a client-id=c", "producer_byte_rate=1", "request_percentage=12.5")
	n.alterQuotas("user=a", "producer_byte_rate=2")
	n.alterQuotas("user=*", "consumer_byte_rate=3")
	n.alterQuotas("user=* client-id=*", "consumer_byte_rate=4")
	n.alterQuotas("client-id=c", "controller_mutation_rate=5")
	n.alterQuotas("client-id=*", "controller_mutation_rate=6")
	n.alterQuotas("ip=::1", "connection_creation_rate=7")
	n.alterQuotas("ip=*", "connection_creation_rate=8")
	adm := kadm.NewClient(n.client())
	name := func(s string) *string { return &s }
	user := func(m kmsg.QuotasMatchType, s *string) kadm.DescribeClientQuotaComponent {
		return kadm.DescribeClientQuotaComponent{Type: "user", MatchType: m, MatchName: s}
	}
	client := func(m kmsg.QuotasMatchType, s *string) kadm.DescribeClientQuotaComponent {
		c := user(m, s)
		c.Type = "client-id"
		return c
	}
	for _, c := range []struct {
		strict bool
		filter []kadm.DescribeClientQuotaComponent
		want   string
	}{
		{false, nil, "client-id=nil:6 client-id=c:5 ip=::1:7 ip=nil:8 user=nil:3 user=nil,client-id=nil:4 user=a:2 user=a,client-id=c:1,12.5"},
		{true, []kadm.DescribeClientQuotaComponent{user(kmsg.QuotasMatchTypeExact, name("a"))}, "user=a:2"},
		{false, []kadm.DescribeClientQuotaComponent{user(kmsg.QuotasMatchTypeExact, name("a"))}, "user=a:2 user=a,client-id=c:1,12.5"},
		{true, []kadm.DescribeClientQuotaComponent{user(kmsg.QuotasMatchTypeDefault, nil)}, "user=nil:3"},
		{false, []kadm.DescribeClientQuotaComponent{user(kmsg.QuotasMatchTypeAny, nil), client(kmsg.QuotasMatchTypeAny, nil)}, "user=nil,client-id=nil:4 user=a,client-id=c:1,12.5"},
		{true, []kadm.DescribeClientQuotaComponent{client(kmsg.QuotasMatchTypeAny, nil)}, "client-id=nil:6 client-id=c:5"},
		{true, []kadm.DescribeClientQuotaComponent{{Type: "ip", MatchType: kmsg.QuotasMatchTypeExact, MatchName: name("::1")}}, "ip=::1:7"},
		{true, nil, ""},
	} {
		all, err := adm.DescribeClientQuotas(t.Context(), c.strict, c.filter)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, q := range all {
			var parts, values []string
			for _, e := range q.Entity {
				v := "nil"
				if e.Name != nil {
					v = *e.Name
				}
				parts = append(parts, e.Type+"="+v)
			}
			for _, v := range q.Values {
				values = append(values, fmt.Sprint(v.Value))
			}
			got = append(got, strings.Join(parts, ",")+":"+strings.Join(values, ","))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("strict %t, %v:\n got %s\nwant %s", c.strict, c.filter, s, c.want)
		}
	}
}

func TestQuotaRequestsThatAreRefused(t *testing.T) {
	n := startNode(t)
	r := n.raw()
	name := "u"
	comp := func(kind string, match int8, s *string) kmsg.DescribeClientQuotasRequestComponent {
		return kmsg.DescribeClientQuotasRequestComponent{EntityType: kind, MatchType: kmsg.QuotasMatchType(match), Match: s}
	}
	for what, c := range map[string]struct {
		filter []kmsg.DescribeClientQuotasRequestComponent
		code   int16
	}{
		"no type":      {[]kmsg.DescribeClientQuotasRequestComponent{comp("", 0, &name)}, 42},
		"twice":        {[]kmsg.DescribeClientQuotasRequestComponent{comp("user", 0, &name), comp("user", 1, nil)}, 42},
		"unknown":      {[]kmsg.DescribeClientQuotasRequestComponent{comp("group", 0, &name)}, 35},
		"exact null":   {[]kmsg.DescribeClientQuotasRequestComponent{comp("user", 0, nil)}, 42},
		"default name": {[]kmsg.DescribeClientQuotasRequestComponent{comp("user", 1, &name)}, 42},
		"match type":   {[]kmsg.DescribeClientQuotasRequestComponent{comp("user", 3, nil)}, 42},
		"ip and user":  {[]kmsg.DescribeClientQuotasRequestComponent{comp("user", 0, &name), comp("ip", 1, nil)}, 42},
	} {
		for version := range int16(2) {
			req := kmsg.NewPtrDescribeClientQuotasRequest()
			req.SetVersion(version)
			req.Components = c.filter
			if resp := r.do(req).(*kmsg.DescribeClientQuotasResponse); resp.ErrorCode != c.code || resp.Entries != nil {
				t.Errorf("%s, version %d: code %d, want %d", what, version, resp.ErrorCode, c.code)
			}
		}
	}
	empty := ""
	for what, entity := range map[string][]kmsg.AlterClientQuotasRequestEntryEntity{
		"empty":       nil,
		"unknown":     {{Type: "group", Name: &name}},
		"twice":       {{Type: "user", Name: &name}, {Type: "user"}},
		"empty name":  {{Type: "user", Name: &empty}},
		"ip and user": {{Type: "user", Name: &name}, {Type: "ip"}},
	} {
		for version := range int16(2) {
			req := kmsg.NewPtrAlterClientQuotasRequest()
			req.SetVersion(version)
			req.Entries = []kmsg.AlterClientQuotasRequestEntry{{Entity: entity, Ops: []kmsg.AlterClientQuotasRequestEntryOp{}}}
			resp := r.do(req).(*kmsg.AlterClientQuotasResponse)
			if code := resp.Entries[0].ErrorCode; code != 42 || len(resp.Entries[0].Entity) != len(entity) {
				t.Errorf("%s, version %d: code %d, want 42 (INVALID_REQUEST)", what, version, code)
			}
		}
	}
}

// scrape is a metric's lines as Prometheus reads them.
func (n *node) scrape(name string) string {
	n.t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	var out strings.Builder
	for _, f := range families {
		if f.GetName() == name {
			if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
				n.t.Fatal(err)
			}
		}
	}
	return out.String()
}

// fakeTime is a node whose broker has a clock that moves by hand.
func fakeTime(t *testing.T, settings ...string) (*node, *testkit.Clock) {
	c := testkit.NewClock(time.Now())
	return startNodeWith(t, nodeOptions{settings: settings, clock: c}), c
}

// until waits for something that other goroutines do.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	testkit.WaitFor(t, what, ok)
}

func TestProduceAboveTheQuota(t *testing.T) {
	n, c := fakeTime(t)
	id := n.create("topic", 1)
	n.alterQuotas("client-id=raw-test", "producer_byte_rate=1000")
	r := n.raw()
	produce := func(bytes int) *kmsg.ProduceResponse {
		t.Helper()
		return r.do(produceRequest(9, 1, "topic", id, 0, batchOf(t, record.BuilderOptions{}, strings.Repeat("x", bytes)))).(*kmsg.ProduceResponse)
	}
	first := produce(9000)
	if first.ThrottleMillis != 0 || first.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("within ten seconds' worth: throttled for %d ms, code %d", first.ThrottleMillis, first.Topics[0].Partitions[0].ErrorCode)
	}
	timers := c.Pending()
	second := produce(9000)
	// Each request is a little larger than its 9000 bytes: 18 s of the quota and some, less ten.
	if ms := second.ThrottleMillis; ms < 8000 || ms > 8600 || second.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("throttled for %d ms, want 8 seconds and some", ms)
	}
	r.send(kmsg.NewPtrMetadataRequest())
	until(t, "the connection is muted", func() bool { return c.Pending() > timers })
	c.Advance(time.Duration(second.ThrottleMillis) * time.Millisecond)
	r.receive(kmsg.NewPtrMetadataRequest(), r.corr)
	// The client waited by itself: it does not wait again.
	c.Advance(20 * time.Second)
	if third := produce(1); third.ThrottleMillis != 0 {
		t.Errorf("throttled for %d ms when all windows are over", third.ThrottleMillis)
	}
	if s := n.scrape("millrace_quota_throttled_total"); !strings.Contains(s, `quota="Produce"} 1`) {
		t.Errorf("metrics: %s", s)
	}
}

func TestFetchAboveTheQuotaIsEmpty(t *testing.T) {
	n, c := fakeTime(t)
	id := n.create("topic", 1)
	n.produce("topic", id, 0, strings.Repeat("x", 6000))
	n.produce("topic", id, 0, strings.Repeat("y", 6000))
	n.alterQuotas("user=ANONYMOUS", "consumer_byte_rate=1000")
	r := n.raw()
	fetch := func(offset int64) *kmsg.FetchResponse {
		t.Helper()
		req := fetchRequest(13, "topic", id, 0, offset)
		req.SessionEpoch = 0
		return r.do(req).(*kmsg.FetchResponse)
	}
	first := fetch(0) // of two batches only one lies within the quota's ten seconds
	if got := len(first.Topics[0].Partitions[0].RecordBatches); first.ThrottleMillis != 0 || got < 6000 || got > 7000 {
		t.Fatalf("the first fetch brings %d bytes, throttled for %d ms", got, first.ThrottleMillis)
	}
	sessions, _ := n.broker.sessions.stats()
	for range 2 { // what was not sent is not counted
		second := fetch(1)
		if len(second.Topics) != 0 || second.SessionID != 0 || second.ThrottleMillis < 2000 || second.ThrottleMillis > 2500 {
			t.Fatalf("%d topics, session %d, throttled for %d ms; want an empty answer and two seconds", len(second.Topics), second.SessionID, second.ThrottleMillis)
		}
		if now, _ := n.broker.sessions.stats(); now != sessions {
			t.Error("a session is left that the client knows nothing of")
		}
		c.Advance(time.Duration(second.ThrottleMillis) * time.Millisecond)
	}
	c.Advance(11 * time.Second)
	if third := fetch(1); len(third.Topics) != 1 || third.ThrottleMillis != 0 {
		t.Errorf("after all windows: %d topics, throttled for %d ms", len(third.Topics), third.ThrottleMillis)
	}
}

func TestIncrementalFetchAboveTheQuota(t *testing.T) {
	n, c := fakeTime(t)
	id := n.create("topic", 1)
	n.produce("topic", id, 0, strings.Repeat("x", 6000))
	r := n.raw()
	req := fetchRequest(13, "topic", id, 0, 0)
	req.SessionEpoch = 0
	session := r.do(req).(*kmsg.FetchResponse).SessionID
	n.alterQuotas("user=ANONYMOUS", "consumer_byte_rate=100")
	incremental := func(epoch int32) *kmsg.FetchResponse {
		req := fetchRequest(13, "topic", id, 0, 0)
		req.SessionID, req.SessionEpoch = session, epoch
		return r.do(req).(*kmsg.FetchResponse)
	}
	throttled := incremental(1)
	if throttled.ThrottleMillis == 0 || len(throttled.Topics) != 0 || throttled.SessionID != session {
		t.Fatalf("throttled for %d ms, %d topics, session %d of %d", throttled.ThrottleMillis, len(throttled.Topics), throttled.SessionID, session)
	}
	c.Advance(time.Duration(throttled.ThrottleMillis) * time.Millisecond)
	n.alterQuotas("user=ANONYMOUS", "consumer_byte_rate=")
	again := incremental(2)
	if again.ErrorCode != 0 || len(again.Topics) != 1 {
		t.Fatalf("code %d, %d topics: the session did not go on", again.ErrorCode, len(again.Topics))
	}
}

// slowTopics makes each question about a topic take time.
type slowTopics struct {
	AllowAll
	clock *testkit.Clock
}

func (s slowTopics) Allowed(_ *Caller, _ Operation, kind ResourceType, _ string) bool {
	if kind == ResourceTopic {
		s.clock.Set(s.clock.Now().Add(300 * time.Millisecond))
	}
	return true
}

func TestRequestTimeAboveTheQuota(t *testing.T) {
	c := testkit.NewClock(time.Now())
	n := startNodeWith(t, nodeOptions{auth: slowTopics{clock: c}, clock: c})
	id := n.create("topic", 1)
	n.alterQuotas("client-id=raw-test", "request_percentage=1")
	r := n.raw()
	ask := func() int32 {
		t.Helper()
		return r.do(fetchRequest(13, "topic", id, 0, 0)).(*kmsg.FetchResponse).ThrottleMillis
	}
	if ms := ask(); ms != 0 {
		t.Errorf("the first request is throttled for %d ms", ms)
	}
	if ms := ask(); ms != 1000 { // 3 percent of ten seconds: 20 s of silence, bounded to a window
		t.Errorf("throttled for %d ms, want 1000", ms)
	}
}

func TestMutationsAboveTheQuota(t *testing.T) {
	n, c := fakeTime(t, "controller.quota.window.num=2")
	// A new connection each time: those that were told to wait are muted.
	n.alterQuotas("client-id=raw-test", "controller_mutation_rate=1")
	create := func(version int16, partitions int32, topics ...string) *kmsg.CreateTopicsResponse {
		t.Helper()
		req := kmsg.NewPtrCreateTopicsRequest()
		req.SetVersion(version)
		for _, name := range topics {
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
			req.Topics = append(req.Topics, topic)
		}
		return n.raw().do(req).(*kmsg.CreateTopicsResponse)
	}
	codes := func(resp *kmsg.CreateTopicsResponse) (out []int16) {
		for _, t := range resp.Topics {
			out = append(out, t.ErrorCode)
		}
		return out
	}
	// Two tokens: a request may go into debt, the next topic may not.
	resp := create(6, 3, "a", "b", "bad name")
	if got := fmt.Sprint(codes(resp)); got != "[0 89 17]" || resp.ThrottleMillis != 1000 {
		t.Errorf("codes %s, throttled for %d ms; want [0 89 17] and 1000", got, resp.ThrottleMillis)
	}
	c.Advance(time.Second)
	resp = create(5, 1, "c", "d")
	if got := fmt.Sprint(codes(resp)); got != "[0 0]" || resp.ThrottleMillis != 2000 {
		t.Errorf("version 5: codes %s, throttled for %d ms; want [0 0] and 2000", got, resp.ThrottleMillis)
	}
	c.Advance(time.Second)
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.SetVersion(3)
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = "a", 4
	grow.Topics = append(grow.Topics, topic)
	if resp := n.raw().do(grow).(*kmsg.CreatePartitionsResponse); resp.Topics[0].ErrorCode != 89 || resp.ThrottleMillis != 1000 {
		t.Errorf("more partitions: code %d, throttled for %d ms; want 89 and 1000", resp.Topics[0].ErrorCode, resp.ThrottleMillis)
	}
	c.Advance(time.Second)
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.SetVersion(5)
	del.TopicNames = []string{"a", "c", "unknown"}
	if resp := n.raw().do(del).(*kmsg.DeleteTopicsResponse); fmt.Sprint(resp.Topics[0].ErrorCode, resp.Topics[1].ErrorCode, resp.Topics[2].ErrorCode) != "0 89 3" {
		t.Errorf("deleted: %+v; want codes 0, 89, 3", resp.Topics)
	}
	c.Advance(time.Minute)
	meta := kmsg.NewPtrMetadataRequest()
	meta.SetVersion(9)
	meta.AllowAutoTopicCreation = true
	for _, name := range []string{"auto1", "auto2", "auto3"} {
		meta.Topics = append(meta.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(name)})
	}
	if resp := n.raw().do(meta).(*kmsg.MetadataResponse); resp.Topics[2].ErrorCode != 0 || resp.ThrottleMillis != 1000 {
		t.Errorf("auto-created: code %d, throttled for %d ms; want 0 and 1000", resp.Topics[2].ErrorCode, resp.ThrottleMillis)
	}
}

func TestConnectionsAboveTheRateOfTheirAddress(t *testing.T) {
	n, c := fakeTime(t)
	n.alterQuotas("ip=127.0.0.1", "connection_creation_rate=1")
	for range 10 {
		n.raw().do(kmsg.NewPtrMetadataRequest())
	}
	delayed := func(want int) func() bool {
		return func() bool {
			n.broker.mu.Lock()
			defer n.broker.mu.Unlock()
			return len(n.broker.delayed) == want
		}
	}
	refused := n.raw()
	until(t, "the eleventh connection within ten seconds is refused", delayed(1))
	refused.send(kmsg.NewPtrMetadataRequest())
	c.Advance(time.Second)
	refused.wantClosed()
	until(t, "nothing is left of it", delayed(0))
	c.Advance(10 * time.Second)
	n.raw().do(kmsg.NewPtrMetadataRequest())
	for range 10 {
		n.raw()
	}
	until(t, "one is refused that the end of the broker closes", delayed(1))
}

func TestConnectionsAboveTheRateOfAllWait(t *testing.T) {
	n, c := fakeTime(t, "max.connection.creation.rate=1", "quota.window.num=2")
	timers := c.Pending()
	first := n.raw()
	first.do(kmsg.NewPtrMetadataRequest())
	second := n.raw()
	second.send(kmsg.NewPtrMetadataRequest())
	until(t, "the listener waits", func() bool { return c.Pending() > timers })
	served := make(chan error, 1)
	go func() {
		_, err := second.frame()
		served <- err
	}()
	until(t, "the second connection is served", func() bool {
		c.Advance(100 * time.Millisecond)
		select {
		case err := <-served:
			if err != nil {
				t.Fatal(err)
			}
			return true
		default:
			return false
		}
	})
}

func TestLimitsOfAddresses(t *testing.T) {
	n := startNode(t, "max.connections.per.ip=1", "max.connections.per.ip.overrides=127.0.0.1:3,10.0.0.1:1")
	for range 3 {
		n.raw().do(kmsg.NewPtrMetadataRequest())
	}
	n.raw().wantClosed()
	if !strings.Contains(n.log.String(), "max.connections.per.ip=3") {
		t.Error("the log does not name the limit")
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	n, c := fakeTime(t, "connections.max.idle.ms=600000")
	idle, busy := n.raw(), n.raw()
	idle.do(kmsg.NewPtrMetadataRequest())
	busy.do(kmsg.NewPtrMetadataRequest())
	c.Advance(599 * time.Second)
	busy.do(kmsg.NewPtrMetadataRequest())
	c.Advance(3 * time.Second)
	idle.wantClosed()
	busy.do(kmsg.NewPtrMetadataRequest())
}

// throttleHook sees what franz-go is told of throttles.
type throttleHook struct{ n atomic.Int64 }

func (h *throttleHook) OnBrokerThrottle(_ kgo.BrokerMetadata, d time.Duration, _ bool) {
	if d > 0 {
		h.n.Add(1)
	}
}

func TestFranzGoIsThrottled(t *testing.T) {
	n, _ := fakeTime(t) // for the broker all of it happens at one moment, however slow the machine is
	n.create("topic", 1)
	n.alterQuotas("user=* client-id=kgo-test", "producer_byte_rate=10000", "consumer_byte_rate=10000")
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	sending := new(throttleHook)
	producer := n.client(kgo.WithHooks(sending), kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := []byte(strings.Repeat("x", 10_000))
	for range 10 { // ten seconds' worth, and the little that is around each
		if err := producer.ProduceSync(ctx, &kgo.Record{Topic: "topic", Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the producer is throttled", func() bool { return sending.n.Load() > 0 })
	reading := new(throttleHook)
	consumer := n.client(kgo.WithHooks(reading), kgo.ConsumeTopics("topic"))
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		for ctx.Err() == nil {
			consumer.PollFetches(ctx)
		}
	}()
	until(t, "the consumer is throttled", func() bool { return reading.n.Load() > 0 })
	cancel()
	<-polled
}
