package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	ck "github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/conformance/harness"
)

// TestLibrdkafkaIsSeenAndThrottled: librdkafka pushes its metrics (KIP-714) as a subscription
// asks, and takes note of the throttle of a quota. It wants a broker whose admin port is known.
func TestLibrdkafkaIsSeenAndThrottled(t *testing.T) {
	b := harness.LaunchFor(t, harness.Options{})
	outer := bootstrap
	bootstrap = b.Bootstrap()
	defer func() { bootstrap = outer }()
	topic := filled(t, 1, 0)
	adm := connect(t)
	subscribe := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceType(16), "all" // client metrics
	for _, kv := range [][2]string{{"metrics", "*"}, {"interval.ms", "200"}, {"match", "client_id=seen"}} {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = kv[0], &kv[1]
		r.Configs = append(r.Configs, c)
	}
	subscribe.Resources = append(subscribe.Resources, r)
	altered, err := subscribe.RequestWith(bounded(t), adm)
	must(t, err, "subscribe")
	equal(t, "subscribe", altered.Resources[0].ErrorCode, 0)
	name := "seen"
	quotas, err := kadm.NewClient(adm).AlterClientQuotas(bounded(t), []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &name}},
		Ops:    []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 10_000}},
	}})
	must(t, err, "set a quota")
	must(t, quotas[0].Err, "set a quota")

	p, err := ck.NewProducer(&ck.ConfigMap{"bootstrap.servers": bootstrap, "client.id": name, "statistics.interval.ms": 100, "linger.ms": 0})
	must(t, err, "connect")
	defer p.Close()
	value := []byte(strings.Repeat("x", 10_000))
	throttled, deadline := 0.0, time.Now().Add(patience)
	pushed := regexp.MustCompile(`(?m)^millrace_client_[a-z_]+\{client_id="seen"`)
	sent := 0
	for ; time.Now().Before(deadline) && (throttled == 0 || !pushed.MatchString(scrape(t, b))); sent++ {
		delivered := make(chan ck.Event, 1)
		must(t, p.Produce(&ck.Message{TopicPartition: ck.TopicPartition{Topic: &topic, Partition: 0}, Value: value}, delivered), "produce")
		must(t, (<-delivered).(*ck.Message).TopicPartition.Error, "deliver")
		for more := true; more; {
			select {
			case e := <-p.Events():
				if s, ok := e.(*ck.Stats); ok {
					throttled = max(throttled, throttleMs(t, s.String()))
				}
			default:
				more = false
			}
		}
	}
	if throttled == 0 {
		t.Errorf("librdkafka was not throttled by %d records of 10 kB against 10 kB/s", sent)
	}
	if all := scrape(t, b); !pushed.MatchString(all) || !strings.Contains(all, `software="confluent-kafka-go"`) && !strings.Contains(all, `software="librdkafka"`) {
		t.Errorf("librdkafka's metrics are not on /metrics:\n%s", strings.Join(regexp.MustCompile(`(?m)^millrace_(client|telemetry|errors).*$`).FindAllString(all, -1), "\n"))
	}
}

func scrape(t *testing.T, b *harness.Broker) string {
	t.Helper()
	req, err := http.NewRequestWithContext(bounded(t), http.MethodGet, "http://"+b.AdminAddr()+"/metrics", nil)
	must(t, err, "scrape")
	resp, err := http.DefaultClient.Do(req)
	must(t, err, "scrape")
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err, "scrape")
	return string(body)
}

// throttleMs is the longest throttle in librdkafka's statistics.
func throttleMs(t *testing.T, stats string) (longest float64) {
	t.Helper()
	var s struct {
		Brokers map[string]struct{ Throttle struct{ Max float64 } }
	}
	must(t, json.Unmarshal([]byte(stats), &s), "read statistics")
	for _, b := range s.Brokers {
		longest = max(longest, b.Throttle.Max)
	}
	return longest
}
