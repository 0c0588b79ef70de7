package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record/compress"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// Builders of OTLP messages, field by field as opentelemetry's .proto files number them.

func bytesField(num protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), bytes.Join(parts, nil))
}

func text(num protowire.Number, s string) []byte { return bytesField(num, []byte(s)) }

func varint(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func fixed(num protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), v)
}

func double(num protowire.Number, v float64) []byte { return fixed(num, math.Float64bits(v)) }

func attr(num protowire.Number, key, value string) []byte {
	return bytesField(num, text(1, key), bytesField(2, text(1, value)))
}

func gauge(name string, points ...[]byte) []byte {
	return bytesField(2, text(1, name), bytesField(5, points...))
}

func sum(name string, temporality uint64, monotonic bool, points ...[]byte) []byte {
	mono := uint64(0)
	if monotonic {
		mono = 1
	}
	return bytesField(2, text(1, name), bytesField(7, append(points, varint(2, temporality), varint(3, mono))...))
}

func point(fields ...[]byte) []byte { return bytesField(1, fields...) }

func metricsData(metrics ...[]byte) []byte {
	resource := bytesField(1, attr(1, "group_id", "g"), bytesField(1, text(1, "n"), bytesField(2, varint(3, 7))))
	return bytesField(1, resource, bytesField(2, metrics...))
}

const delta, cumulative = 1, 2

func TestDecode(t *testing.T) {
	data := metricsData(
		gauge("a", point(double(4, 1.5), attr(7, "k", "v")), point(fixed(6, ^uint64(0)))),
		sum("b", delta, true, point(fixed(6, 3))),
		bytesField(2, bytesField(9, point(fixed(4, 9), double(5, 0.5), attr(9, "h", "x")), varint(2, cumulative)), text(1, "c")),
		bytesField(2, text(1, "d"), bytesField(11, point(fixed(4, 2), double(5, 4), attr(7, "s", "y")))),
		bytesField(2, text(1, "no points")),
	)
	resource, points, dropped, err := decode(data, 100)
	if err != nil || dropped != 0 {
		t.Fatal(err, dropped)
	}
	if got := fmt.Sprint(resource); got != "[{group_id g} {n 7}]" {
		t.Errorf("resource %s", got)
	}
	want := []Point{
		{Name: "a", Attrs: []Attr{{"k", "v"}}, Value: 1.5}, {Name: "a", Value: -1},
		{Name: "b", Value: 3, Monotonic: true, Delta: true},
		{Name: "c.count", Attrs: []Attr{{"h", "x"}}, Value: 9, Monotonic: true}, {Name: "c.sum", Attrs: []Attr{{"h", "x"}}, Value: 0.5},
		{Name: "d.count", Attrs: []Attr{{"s", "y"}}, Value: 2, Monotonic: true}, {Name: "d.sum", Attrs: []Attr{{"s", "y"}}, Value: 4},
	}
	if fmt.Sprint(points) != fmt.Sprint(want) {
		t.Errorf("points\n%v, want\n%v", points, want)
	}
	if _, points, dropped, _ := decode(data, 3); len(points) != 3 || dropped != 4 {
		t.Errorf("%d points and %d dropped, want 3 and 4", len(points), dropped)
	}
	for n := 1; n < len(data); n++ {
		if _, _, _, err := decode(data[:n], 100); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
}

// scrape is what Prometheus gets; a registry refuses series that do not go together.
func scrape(t testing.TB, s *Series) string {
	t.Helper()
	r := prometheus.NewRegistry()
	if err := r.Register(s); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// FuzzPush: whatever a client pushes, a scrape works, and says nothing that the limits forbid.
func FuzzPush(f *testing.F) {
	f.Add(metricsData(gauge("a.b", point(double(4, 1), attr(7, "x-y", "v"), attr(7, "x_y", "w")))))
	f.Add(metricsData(gauge("x.total", point(double(4, 1))), sum("x", delta, true, point(fixed(6, 3))), gauge("x_total", point(double(4, 2)))))
	f.Add(metricsData(gauge("", point(double(4, 1), attr(7, "client_id", "v"), attr(7, "9", "\xff"))), gauge("\x00", point(double(4, 1)))))
	f.Fuzz(func(t *testing.T, data []byte) {
		resource, points, dropped, err := decode(data, 50)
		if err != nil {
			return
		}
		s := NewSeries(Limits{PerClient: 20, All: 30})
		for _, id := range []Identity{{InstanceID: protocol.UUID{2}, ClientID: "c"}, {InstanceID: protocol.UUID{3}, ClientID: "c\xff"}} {
			s.Push(&id, resource, points, dropped)
			s.Push(&id, resource, points, dropped)
		}
		lines := 0
		for line := range strings.Lines(scrape(t, s)) {
			if strings.HasPrefix(line, prefix) {
				lines++
			}
		}
		if lines > 30 {
			t.Fatalf("%d series", lines)
		}
	})
}

func TestSeries(t *testing.T) {
	s := NewSeries(Limits{PerClient: 3, All: 5})
	id := Identity{InstanceID: protocol.UUID{15: 9}, ClientID: "c", Software: "s", SoftwareVersion: "1", Address: "::1"}
	push := func(points ...Point) { s.Push(&id, []Attr{{"group_id", "g"}}, points, 0) }
	counter := Point{Name: "org.apache.kafka.producer.record.send.total", Value: 3, Monotonic: true, Delta: true}
	push(counter, Point{Name: "org.apache.kafka.x-y", Attrs: []Attr{{"node.id", "1"}, {"node_id", "2"}}, Value: 4})
	counter.Value = 2
	push(counter, Point{Name: "org.apache.kafka.x-y", Attrs: []Attr{{"node.id", "1"}}, Value: 5})
	got := scrape(t, s)
	for _, want := range []string{
		`millrace_client_producer_record_send_total{client_id="c",client_instance_id="AAAAAAAAAAAAAAAAAAAACQ"} 5`,
		`millrace_client_x_y{client_id="c",client_instance_id="AAAAAAAAAAAAAAAAAAAACQ",node_id="1"} 5`,
		`millrace_telemetry_client_info{address="::1",client_id="c",client_instance_id="AAAAAAAAAAAAAAAAAAAACQ",client_rack="",group_id="g",`,
		`millrace_telemetry_series 2`, `millrace_telemetry_pushes_total 2`, `millrace_telemetry_dropped_points_total 0`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	for i := range 3 {
		push(Point{Name: fmt.Sprint("more", i)})
	}
	other := id
	other.InstanceID = protocol.UUID{1}
	s.Push(&other, nil, []Point{{Name: "a"}, {Name: "b"}, {Name: "c"}}, 0)
	if got := scrape(t, s); !strings.Contains(got, "millrace_telemetry_series 5") || !strings.Contains(got, "millrace_telemetry_dropped_points_total 3") {
		t.Errorf("beyond the limits:\n%s", got)
	}
	s.Forget(id.InstanceID)
	if got := scrape(t, s); strings.Contains(got, "send_total") || !strings.Contains(got, "millrace_telemetry_series 2") {
		t.Errorf("a forgotten client:\n%s", got)
	}
}

func newClients() (*Clients, *testkit.Clock) {
	clk := testkit.NewClock(time.Unix(1_000_000, 0))
	next := byte(9)
	return NewClients(clk, func() protocol.UUID { next++; return protocol.UUID{next} }, NewSeries(DefaultLimits)), clk
}

func expect(t *testing.T, what string, got, want protocol.ErrorCode) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got.Name(), want.Name())
	}
}

func TestSubscriptions(t *testing.T) {
	c, clk := newClients()
	id := Identity{ClientID: "app-1", Software: "kgo"}
	none, code := c.Get(id)
	expect(t, "without subscriptions", code, protocol.CodeNone)
	if none.InstanceID == (protocol.UUID{}) || len(none.Metrics) != 0 || none.IntervalMs != DefaultIntervalMs {
		t.Errorf("%+v", none)
	}
	id.InstanceID = none.InstanceID
	_, code = c.Get(id)
	expect(t, "asked again at once", code, protocol.CodeThrottlingQuotaExceeded)
	c.Subscribe([]Subscription{
		{IntervalMs: 5000, Metrics: []string{"b", "a"}},
		{IntervalMs: 2000, Metrics: []string{"a", "c"}, Match: map[string]*regexp.Regexp{"client_id": regexp.MustCompile("^(?:app-.*)$"), "client_software_name": regexp.MustCompile("^(?:kgo)$")}},
		{IntervalMs: 100, Metrics: []string{"*"}, Match: map[string]*regexp.Regexp{"client_source_port": regexp.MustCompile("^(?:9)$")}},
	})
	told, code := c.Get(id)
	expect(t, "asked after a change", code, protocol.CodeNone)
	if fmt.Sprint(told.Metrics, told.IntervalMs) != "[a b c] 2000" || told.SubscriptionID == none.SubscriptionID {
		t.Errorf("%+v", told)
	}
	other := id
	other.Port, other.InstanceID = 9, protocol.UUID{77}
	if told, _ := c.Get(other); fmt.Sprint(told.Metrics, told.IntervalMs) != "[*] 100" {
		t.Errorf("all metrics: %+v", told)
	}
	clk.Advance(2 * time.Second)
	again, code := c.Get(id)
	expect(t, "asked after an interval", code, protocol.CodeNone)
	if again.SubscriptionID != told.SubscriptionID {
		t.Error("the subscription's id changes by itself")
	}
}

func TestPush(t *testing.T) {
	c, clk := newClients()
	c.Subscribe([]Subscription{{IntervalMs: 10_000, Metrics: []string{"*"}}})
	told, _ := c.Get(Identity{})
	id := Identity{InstanceID: told.InstanceID}
	data := metricsData(gauge("a", point(double(4, 1))))
	p := Payload{SubscriptionID: told.SubscriptionID, Metrics: data, MaxBytes: 1000}
	expect(t, "reserved id", c.Push(Identity{}, p), protocol.CodeInvalidRequest)
	expect(t, "the first push", c.Push(id, p), protocol.CodeNone)
	expect(t, "the next one at once", c.Push(id, p), protocol.CodeThrottlingQuotaExceeded)
	for codec := range int8(5) {
		clk.Advance(10 * time.Second)
		q := p
		var err error
		if q.Metrics, err = compress.Compress(nil, data, compress.Codec(codec), 0); err != nil {
			t.Fatal(err)
		}
		q.Codec = codec
		expect(t, "codec "+compress.Codec(codec).String(), c.Push(id, q), protocol.CodeNone)
	}
	bad := func(what string, change func(q *Payload), want protocol.ErrorCode) {
		t.Helper()
		clk.Advance(10 * time.Second)
		q := p
		change(&q)
		expect(t, what, c.Push(id, q), want)
	}
	bad("unknown codec", func(q *Payload) { q.Codec = 5 }, protocol.CodeUnsupportedCompressionType)
	_, code := c.Get(id)
	expect(t, "asked at once after it", code, protocol.CodeNone)
	bad("too large", func(q *Payload) { q.MaxBytes = len(data) - 1 }, protocol.CodeTelemetryTooLarge)
	bad("no OTLP", func(q *Payload) { q.Metrics = []byte{0xff} }, protocol.CodeInvalidRecord)
	bad("no such stream", func(q *Payload) { q.Codec = int8(compress.Zstd) }, protocol.CodeInvalidRecord)
	bad("a bomb", func(q *Payload) {
		q.Metrics, _ = compress.Compress(nil, make([]byte, 1<<20), compress.Gzip, 0)
		q.Codec, q.MaxBytes = int8(compress.Gzip), len(q.Metrics)
	}, protocol.CodeInvalidRecord)
	bad("nothing", func(q *Payload) { q.Metrics = nil }, protocol.CodeNone)
	bad("another subscription", func(q *Payload) { q.SubscriptionID++ }, protocol.CodeUnknownSubscriptionID)
	last := p
	last.Terminating = true
	expect(t, "the last push, early", c.Push(id, last), protocol.CodeNone)
	bad("after it", func(*Payload) {}, protocol.CodeInvalidRequest)
}

func TestClientsAreForgotten(t *testing.T) {
	c, clk := newClients()
	c.Subscribe([]Subscription{{IntervalMs: 30_000, Metrics: []string{"*"}}})
	data := metricsData(gauge("a", point(double(4, 1))))
	join := func() Identity {
		told, _ := c.Get(Identity{})
		id := Identity{InstanceID: told.InstanceID}
		expect(t, "push", c.Push(id, Payload{SubscriptionID: told.SubscriptionID, Metrics: data, MaxBytes: 1000}), protocol.CodeNone)
		return id
	}
	join()
	clk.Advance(40 * time.Second)
	second := join()
	clk.Advance(49 * time.Second)
	c.Expire()
	if got := scrape(t, c.series); !strings.Contains(got, "millrace_telemetry_instances 2") {
		t.Errorf("before three intervals are over:\n%s", got)
	}
	clk.Advance(time.Second)
	c.Expire()
	if got := scrape(t, c.series); !strings.Contains(got, "millrace_telemetry_instances 1") || !strings.Contains(got, uuidText(second.InstanceID)) {
		t.Errorf("after them:\n%s", got)
	}
	for i := range maxInstances {
		c.Get(Identity{InstanceID: protocol.UUID{0: 200, 1: byte(i >> 8), 2: byte(i)}})
	}
	if len(c.known) != maxInstances || c.recent.Len() != maxInstances || c.known[second.InstanceID] != nil {
		t.Errorf("%d clients are known", len(c.known))
	}
	if got := scrape(t, c.series); !strings.Contains(got, "millrace_telemetry_instances 0") {
		t.Error("series of a client that made room are kept")
	}
}
