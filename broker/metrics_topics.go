package broker

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/millrace/millrace/replication"
)

var (
	topicBytesIn   = desc("topic_received_bytes_total", "Bytes of batches that producers appended to a topic.", "topic")
	topicRecordsIn = desc("topic_received_records_total", "Records of those batches.", "topic")
	topicBytesOut  = desc("topic_sent_bytes_total", "Bytes of records that consumers were sent from a topic.", "topic")
)

// traffic tells what clients wrote and read: of each topic, and of all that there ever were.
func (s scrape) traffic(b *Broker) {
	all := b.manager.Traffic(func(topic string, t replication.Totals) {
		labels := newLabels("topic", topic)
		s.labelled(topicBytesIn, prometheus.CounterValue, float64(t.BytesIn), labels)
		s.labelled(topicRecordsIn, prometheus.CounterValue, float64(t.RecordsIn), labels)
		s.labelled(topicBytesOut, prometheus.CounterValue, float64(t.BytesOut), labels)
	})
	s.count(figures.produceBatches, all.Batches)
	s.count(figures.produceBytes, all.BytesIn)
	s.count(figures.records, all.RecordsIn)
	s.count(figures.fetched, all.BytesOut)
}

// labels are those of several figures, made once for all of them: of a scrape with many
// partitions that is most of the work.
type labels []*dto.LabelPair

// newLabels takes names and values in turns.
func newLabels(kv ...string) labels {
	out := make(labels, 0, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		out = append(out, &dto.LabelPair{Name: &kv[i], Value: &kv[i+1]})
	}
	slices.SortFunc(out, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out
}

// labelled sends one figure. The names of labels are those of its descriptor.
func (s scrape) labelled(d *prometheus.Desc, kind prometheus.ValueType, v float64, l labels) {
	s.ch <- &labelledFigure{d, kind, v, l}
}

type labelledFigure struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	value  float64
	labels labels
}

// Desc implements prometheus.Metric.
func (f *labelledFigure) Desc() *prometheus.Desc { return f.desc }

// Write implements prometheus.Metric.
func (f *labelledFigure) Write(m *dto.Metric) error {
	m.Label = f.labels
	switch f.kind {
	case prometheus.CounterValue:
		m.Counter = &dto.Counter{Value: &f.value}
	default:
		m.Gauge = &dto.Gauge{Value: &f.value}
	}
	return nil
}
