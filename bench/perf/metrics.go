package perf

import (
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/result"
)

// clientMetrics counts what the Java clients publish as metrics, under their names, from
// franz-go's hooks. It is what --print-metrics prints; batches and requests are also used
// for the run's own figures. Safe for concurrent use; the hooks run once a request or batch.
type clientMetrics struct {
	role, clientID string

	mu                       sync.Mutex
	since                    time.Time
	steady                   requestCount
	steadyFrom               bool
	all                      requestCount
	records, batches         int64
	uncompressed, compressed int64
	connections, closed      int64
	bytesIn, bytesOut        int64
	throttle, throttleMax    time.Duration
	throttles                int64
	topics                   map[string]*topicCount
	nodes                    map[int32]*requestCount
}

// requestCount is one kind's requests.
type requestCount struct {
	n       int64
	bytes   int64 // written, or read by a consumer
	in      int64
	took    time.Duration
	longest time.Duration
	data    int64 // of n: Produce or Fetch
}

type topicCount struct{ records, bytes, compressed int64 }

var (
	_ kgo.HookBrokerE2E           = (*clientMetrics)(nil)
	_ kgo.HookBrokerConnect       = (*clientMetrics)(nil)
	_ kgo.HookBrokerDisconnect    = (*clientMetrics)(nil)
	_ kgo.HookBrokerThrottle      = (*clientMetrics)(nil)
	_ kgo.HookProduceBatchWritten = (*clientMetrics)(nil)
	_ kgo.HookFetchBatchRead      = (*clientMetrics)(nil)
)

// newClientMetrics starts to count; role is producer or consumer.
func newClientMetrics(role, clientID string) *clientMetrics {
	return &clientMetrics{role: role, clientID: clientID, since: time.Now(), topics: map[string]*topicCount{}, nodes: map[int32]*requestCount{}}
}

// OnBrokerE2E counts a request and its reply.
func (m *clientMetrics) OnBrokerE2E(meta kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if e.Err() != nil {
		return
	}
	data := int64(0)
	if key == kmsg.Produce.Int16() || key == kmsg.Fetch.Int16() {
		data = 1
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	node := m.nodes[meta.NodeID]
	if node == nil {
		node = &requestCount{}
		m.nodes[meta.NodeID] = node
	}
	counts := []*requestCount{&m.all, node}
	if m.steadyFrom {
		counts = append(counts, &m.steady)
	}
	for _, c := range counts {
		c.n++
		c.data += data
		c.bytes += int64(e.BytesWritten)
		c.in += int64(e.BytesRead)
		c.took += e.DurationE2E()
		c.longest = max(c.longest, e.DurationE2E())
	}
	m.bytesOut += int64(e.BytesWritten)
	m.bytesIn += int64(e.BytesRead)
}

// OnBrokerConnect counts a connection.
func (m *clientMetrics) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil {
		m.mu.Lock()
		m.connections++
		m.mu.Unlock()
	}
}

// OnBrokerDisconnect counts the end of one.
func (m *clientMetrics) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) {
	m.mu.Lock()
	m.closed++
	m.mu.Unlock()
}

// OnBrokerThrottle counts what a quota cost.
func (m *clientMetrics) OnBrokerThrottle(_ kgo.BrokerMetadata, interval time.Duration, _ bool) {
	m.mu.Lock()
	m.throttles++
	m.throttle += interval
	m.throttleMax = max(m.throttleMax, interval)
	m.mu.Unlock()
}

// OnProduceBatchWritten counts a batch that was acknowledged.
func (m *clientMetrics) OnProduceBatchWritten(_ kgo.BrokerMetadata, topic string, _ int32, b kgo.ProduceBatchMetrics) {
	m.batch(topic, b.NumRecords, b.UncompressedBytes, b.CompressedBytes)
}

// OnFetchBatchRead counts a batch that came.
func (m *clientMetrics) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, _ int32, b kgo.FetchBatchMetrics) {
	m.batch(topic, b.NumRecords, b.UncompressedBytes, b.CompressedBytes)
}

func (m *clientMetrics) batch(topic string, records, uncompressed, compressed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[topic]
	if t == nil {
		t = &topicCount{}
		m.topics[topic] = t
	}
	t.records += int64(records)
	t.bytes += int64(uncompressed)
	t.compressed += int64(compressed)
	m.records += int64(records)
	m.batches++
	m.uncompressed += int64(uncompressed)
	m.compressed += int64(compressed)
}

// beginSteady starts the count of the steady phase's requests.
func (m *clientMetrics) beginSteady() {
	m.mu.Lock()
	m.steadyFrom = true
	m.mu.Unlock()
}

// fill completes run by what the client's requests tell: how many there were, and its bytes
// with the framing of records, as bench/result wants them.
func (m *clientMetrics) fill(run *result.Run) {
	m.mu.Lock()
	defer m.mu.Unlock()
	run.Requests = m.steady.data
	if m.records > 0 {
		run.Bytes = int64(math.Round(float64(run.Records) * float64(m.uncompressed) / float64(m.records)))
	}
	if run.SteadyS > 0 {
		run.RequestsPerS = float64(run.Requests) / run.SteadyS
		run.MBPerS = float64(run.Bytes) / run.SteadyS / 1e6
	}
}

// print writes the metrics in the form of Kafka's tools: sorted "group:name:{tags} : value".
func (m *clientMetrics) print(w io.Writer) {
	m.mu.Lock()
	lines := m.lines(time.Since(m.since).Seconds())
	m.mu.Unlock()
	slices.SortFunc(lines, func(a, b metricLine) int { return strings.Compare(a.name, b.name) })
	width := 0
	for _, l := range lines {
		width = max(width, utf8.RuneCountInString(l.name))
	}
	fmt.Fprintf(w, "\n%-*s   %s\n", width, "Metric Name", "Value")
	for _, l := range lines {
		fmt.Fprintf(w, "%-*s : %s\n", width, l.name, fixed(l.value, 3))
	}
}

type metricLine struct {
	name  string
	value float64
}

// lines are the metrics over so many seconds. mu is held.
func (m *clientMetrics) lines(seconds float64) []metricLine {
	var out []metricLine
	group := m.role + "-metrics"
	tags := "{client-id=" + m.clientID + "}"
	add := func(name string, value float64) {
		out = append(out, metricLine{group + ":" + name + ":" + tags, value})
	}
	add("connection-count", float64(m.connections-m.closed))
	add("connection-creation-total", float64(m.connections))
	add("connection-close-total", float64(m.closed))
	add("request-total", float64(m.all.n))
	add("request-rate", float64(m.all.n)/seconds)
	add("incoming-byte-total", float64(m.bytesIn))
	add("incoming-byte-rate", float64(m.bytesIn)/seconds)
	add("outgoing-byte-total", float64(m.bytesOut))
	add("outgoing-byte-rate", float64(m.bytesOut)/seconds)
	add("request-size-avg", mean(m.bytesOut, m.all.n))
	if m.role == "producer" {
		m.producerLines(add, seconds)
	} else {
		group = "consumer-fetch-manager-metrics"
		m.consumerLines(add, seconds)
	}
	for topic, t := range m.topics {
		group, tags = m.role+"-topic-metrics", "{client-id="+m.clientID+", topic="+topic+"}"
		word := "record-send"
		if m.role == "consumer" {
			group, word = "consumer-fetch-manager-metrics", "records-consumed"
		}
		add(word+"-total", float64(t.records))
		add(word+"-rate", float64(t.records)/seconds)
		add("byte-total", float64(t.compressed))
		add("byte-rate", float64(t.compressed)/seconds)
	}
	for id, n := range m.nodes {
		if id < 0 {
			continue // a seed that nobody knows the id of yet
		}
		group, tags = m.role+"-node-metrics", "{client-id="+m.clientID+", node-id=node-"+strconv.Itoa(int(id))+"}"
		add("request-total", float64(n.n))
		add("request-rate", float64(n.n)/seconds)
		add("request-latency-avg", mean(int64(n.took), n.n)/1e6)
		add("request-latency-max", float64(n.longest)/1e6)
		add("incoming-byte-total", float64(n.in))
		add("outgoing-byte-total", float64(n.bytes))
	}
	return out
}

func (m *clientMetrics) producerLines(add func(string, float64), seconds float64) {
	add("record-send-total", float64(m.records))
	add("record-send-rate", float64(m.records)/seconds)
	add("records-per-request-avg", mean(m.records, m.all.data))
	add("record-size-avg", mean(m.uncompressed, m.records))
	add("batch-size-avg", mean(m.compressed, m.batches))
	add("compression-rate-avg", mean(m.compressed, m.uncompressed))
	add("request-latency-avg", mean(int64(m.all.took), m.all.n)/1e6)
	add("request-latency-max", float64(m.all.longest)/1e6)
	add("produce-throttle-time-avg", mean(int64(m.throttle), m.throttles)/1e6)
	add("produce-throttle-time-max", float64(m.throttleMax)/1e6)
}

func (m *clientMetrics) consumerLines(add func(string, float64), seconds float64) {
	add("records-consumed-total", float64(m.records))
	add("records-consumed-rate", float64(m.records)/seconds)
	add("records-per-request-avg", mean(m.records, m.all.data))
	add("bytes-consumed-total", float64(m.compressed))
	add("bytes-consumed-rate", float64(m.compressed)/seconds)
	add("fetch-total", float64(m.all.data))
	add("fetch-rate", float64(m.all.data)/seconds)
	add("fetch-size-avg", mean(m.compressed, m.all.data))
	add("fetch-latency-avg", mean(int64(m.all.took), m.all.n)/1e6)
	add("fetch-latency-max", float64(m.all.longest)/1e6)
	add("fetch-throttle-time-avg", mean(int64(m.throttle), m.throttles)/1e6)
	add("fetch-throttle-time-max", float64(m.throttleMax)/1e6)
}

// mean is 0/0 for nothing, which Kafka prints as NaN too.
func mean(sum, n int64) float64 { return float64(sum) / float64(n) }
