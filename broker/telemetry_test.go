package broker

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// subscribe sets a client-metrics resource.
func (n *node) subscribe(name string, settings ...string) {
	n.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.SetVersion(1)
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceType(16), name
	for _, s := range settings {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		key, value, _ := strings.Cut(s, "=")
		c.Name, c.Value = key, &value
		res.Configs = append(res.Configs, c)
	}
	req.Resources = append(req.Resources, res)
	r := n.raw()
	defer r.c.Close()
	if resp := r.do(req).(*kmsg.IncrementalAlterConfigsResponse); resp.Resources[0].ErrorCode != 0 {
		n.t.Fatalf("client metrics %s: code %d", name, resp.Resources[0].ErrorCode)
	}
}

// TestFranzGoPushesItsMetrics: what franz-go makes of KIP-714 arrives on /metrics.
func TestFranzGoPushesItsMetrics(t *testing.T) {
	n := startNode(t)
	n.create("topic", 1)
	// Not *, which franz-go does not take for all.
	n.subscribe("all", "metrics=org.apache.kafka.", "interval.ms=1000", "match=client_id=pushes.*")
	// A client that closes pushes once more, and gives that a second: on a slow machine that
	// may be too short, so more than one may try.
	value, found := 0.0, false
	for range 20 {
		n.pushOnce()
		if value, found = n.value("millrace_client_producer_connection_creation_total", `client_id="pushes-1"`); found {
			break
		}
	}
	if !found || value < 1 {
		t.Fatalf("connections of the client: %v (%t)\n%s", value, found, n.scrape("millrace_telemetry_pushes_total"))
	}
	if _, found := n.value("millrace_telemetry_client_info", `client_id="pushes-1"`, `software="kgo"`); !found {
		t.Error("the client is not described")
	}
}

// pushOnce is a client that lives until it was told what to push.
func (n *node) pushOnce() {
	n.t.Helper()
	hook := &subscribedHook{told: make(chan struct{}, 100)}
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.addr), kgo.ClientID("pushes-1"), kgo.WithHooks(hook))
	if err != nil {
		n.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(n.t.Context(), &kgo.Record{Topic: "topic", Value: []byte("v")}).FirstErr(); err != nil {
		n.t.Fatal(err)
	}
	<-hook.told
}

// subscribedHook notes when franz-go was told what to push.
type subscribedHook struct{ told chan struct{} }

func (h *subscribedHook) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if key == 71 && e.Err() == nil {
		h.told <- struct{}{}
	}
}

func TestTelemetryRequests(t *testing.T) {
	n := startNode(t, "telemetry.max.bytes=1000")
	n.subscribe("s", "metrics=a,b", "interval.ms=60000")
	r := n.raw()
	get := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
	told := r.do(get).(*kmsg.GetTelemetrySubscriptionsResponse)
	if told.ErrorCode != 0 || told.ClientInstanceID == [16]byte{} || told.PushIntervalMillis != 60000 || told.TelemetryMaxBytes != 1000 || !told.DeltaTemporality {
		t.Fatalf("%+v", told)
	}
	if strings.Join(told.RequestedMetrics, " ") != "a b" || len(told.AcceptedCompressionTypes) != 4 || told.AcceptedCompressionTypes[0] != 4 {
		t.Errorf("metrics %v, codecs %v", told.RequestedMetrics, told.AcceptedCompressionTypes)
	}
	push := func(bytes int) int16 {
		req := kmsg.NewPtrPushTelemetryRequest()
		req.ClientInstanceID, req.SubscriptionID, req.Metrics = told.ClientInstanceID, told.SubscriptionID, make([]byte, bytes)
		return r.do(req).(*kmsg.PushTelemetryResponse).ErrorCode
	}
	if code := push(1001); code != 118 {
		t.Errorf("code %d for a push that is too large, want 118", code)
	}
	if code := push(0); code != 89 {
		t.Errorf("code %d for a push that is too early, want 89", code)
	}
}
