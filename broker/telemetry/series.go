package telemetry

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/millrace/millrace/protocol"
)

// Limits bound Series.
type Limits struct {
	PerClient int // series of one client
	All       int // series of all clients
}

// DefaultLimits: a Java producer pushes about sixty series.
var DefaultLimits = Limits{PerClient: 500, All: 50_000}

// Series is the last values that clients pushed. It is a prometheus.Collector, an unchecked
// one: what there is, is not known ahead.
type Series struct {
	limits Limits

	mu       sync.Mutex
	clients  map[protocol.UUID]*clientSeries
	count    int
	dropped  int64
	payloads int64
}

type clientSeries struct {
	labels []*dto.LabelPair // of the client itself
	info   *series
	byKey  map[string]*series
}

// series is one line of a scrape.
type series struct {
	desc    *prometheus.Desc
	labels  []*dto.LabelPair
	value   float64
	counter bool
}

// NewSeries makes an empty one.
func NewSeries(l Limits) *Series {
	return &Series{limits: l, clients: map[protocol.UUID]*clientSeries{}}
}

var (
	instances = prometheus.NewDesc("millrace_telemetry_instances", "Clients whose metrics are kept.", nil, nil)
	kept      = prometheus.NewDesc("millrace_telemetry_series", "Series that clients pushed.", nil, nil)
	pushes    = prometheus.NewDesc("millrace_telemetry_pushes_total", "Pushes of clients that were taken.", nil, nil)
	dropped   = prometheus.NewDesc("millrace_telemetry_dropped_points_total", "Values that clients pushed beyond the limits of series.", nil, nil)
)

// Identity is what labels a client.
type Identity struct {
	InstanceID                protocol.UUID
	ClientID                  string
	Software, SoftwareVersion string
	Address                   string
	Port                      uint16
}

// Push takes the points of a payload.
func (s *Series) Push(id *Identity, resource []Attr, points []Point, beyond int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.payloads++
	s.dropped += int64(beyond)
	c := s.clients[id.InstanceID]
	if c == nil {
		c = newClientSeries(id)
		s.clients[id.InstanceID] = c
	}
	c.describe(id, resource)
	for i := range points {
		if !s.setLocked(c, &points[i]) {
			s.dropped++
		}
	}
}

func (s *Series) setLocked(c *clientSeries, p *Point) bool {
	if math.IsNaN(p.Value) && p.Delta {
		return true // nothing can be added to
	}
	name := metricName(p.Name, p.Monotonic)
	labels, key := c.labelsOf(p.Attrs)
	key = name + key
	at := c.byKey[key]
	if at == nil {
		if len(c.byKey) >= s.limits.PerClient || s.count >= s.limits.All {
			return false
		}
		at = &series{desc: prometheus.NewDesc(name, "Pushed by clients.", nil, nil), labels: labels, counter: p.Monotonic}
		c.byKey[key] = at
		s.count++
	}
	if p.Delta {
		at.value += p.Value
	} else {
		at.value = p.Value
	}
	return true
}

// Forget drops all of a client.
func (s *Series) Forget(id protocol.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[id]; c != nil {
		s.count -= len(c.byKey)
		delete(s.clients, id)
	}
}

func pair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

func newClientSeries(id *Identity) *clientSeries {
	return &clientSeries{
		labels: []*dto.LabelPair{pair("client_id", labelValue(id.ClientID)), pair("client_instance_id", uuidText(id.InstanceID))},
		byKey:  map[string]*series{},
	}
}

var clientInfo = prometheus.NewDesc("millrace_telemetry_client_info", "Clients whose metrics are kept, and what they are.", nil, nil)

// describe makes the line that says what a client is.
func (c *clientSeries) describe(id *Identity, resource []Attr) {
	labels := slices.Clone(c.labels)
	labels = append(labels, pair("address", id.Address), pair("software", labelValue(id.Software)), pair("version", labelValue(id.SoftwareVersion)))
	for _, name := range []string{"client_rack", "group_id", "group_instance_id", "group_member_id", "transactional_id"} {
		value := ""
		for _, a := range resource {
			if a.Key == name {
				value = labelValue(a.Value)
			}
		}
		labels = append(labels, pair(name, value))
	}
	sortLabels(labels)
	c.info = &series{desc: clientInfo, labels: labels, value: 1}
}

// labelsOf adds the attributes of a point to the labels of its client. key tells points of
// one name apart.
func (c *clientSeries) labelsOf(attrs []Attr) (labels []*dto.LabelPair, key string) {
	labels = slices.Clone(c.labels)
	for _, a := range attrs {
		name := labelName(a.Key)
		taken := func(l *dto.LabelPair) bool { return l.GetName() == name }
		if name == "" || slices.ContainsFunc(labels, taken) {
			continue
		}
		labels = append(labels, pair(name, labelValue(a.Value)))
	}
	sortLabels(labels)
	var b strings.Builder
	for _, l := range labels {
		b.WriteByte(0xff) // in no name and no value: they are UTF-8
		b.WriteString(l.GetName())
		b.WriteByte(0xff)
		b.WriteString(l.GetValue())
	}
	return labels, b.String()
}

func sortLabels(l []*dto.LabelPair) {
	slices.SortFunc(l, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
}

// Describe implements prometheus.Collector.
func (s *Series) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *Series) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	all := make([]series, 0, s.count+len(s.clients))
	for _, c := range s.clients {
		all = append(all, *c.info)
		for _, one := range c.byKey {
			all = append(all, *one)
		}
	}
	clients, count, pushed, lost := len(s.clients), s.count, s.payloads, s.dropped
	s.mu.Unlock()
	for i := range all {
		ch <- &all[i]
	}
	ch <- prometheus.MustNewConstMetric(instances, prometheus.GaugeValue, float64(clients))
	ch <- prometheus.MustNewConstMetric(kept, prometheus.GaugeValue, float64(count))
	ch <- prometheus.MustNewConstMetric(pushes, prometheus.CounterValue, float64(pushed))
	ch <- prometheus.MustNewConstMetric(dropped, prometheus.CounterValue, float64(lost))
}

// Desc implements prometheus.Metric.
func (s *series) Desc() *prometheus.Desc { return s.desc }

// Write implements prometheus.Metric.
func (s *series) Write(m *dto.Metric) error {
	m.Label = s.labels
	if s.counter {
		m.Counter = &dto.Counter{Value: &s.value}
	} else {
		m.Gauge = &dto.Gauge{Value: &s.value}
	}
	return nil
}
