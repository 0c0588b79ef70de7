package replication

import "sync/atomic"

// Traffic counts what clients wrote to a partition and read from it. The handlers count;
// the figures of partitions that are gone stay in the Manager's.
type Traffic struct {
	batches, recordsIn, bytesIn, bytesOut atomic.Int64
}

// Produced counts an appended batch.
func (t *Traffic) Produced(bytes, records int) {
	t.batches.Add(1)
	t.recordsIn.Add(int64(records))
	t.bytesIn.Add(int64(bytes))
}

// Fetched counts bytes that a consumer is sent.
func (t *Traffic) Fetched(bytes int) { t.bytesOut.Add(int64(bytes)) }

// Totals is a reading of Traffic.
type Totals struct{ Batches, RecordsIn, BytesIn, BytesOut int64 }

// Plus is the sum of two.
func (t Totals) Plus(o Totals) Totals {
	return Totals{t.Batches + o.Batches, t.RecordsIn + o.RecordsIn, t.BytesIn + o.BytesIn, t.BytesOut + o.BytesOut}
}

// Totals reads the counters.
func (t *Traffic) Totals() Totals {
	return Totals{t.batches.Load(), t.recordsIn.Load(), t.bytesIn.Load(), t.bytesOut.Load()}
}

func (t *Traffic) add(o Totals) {
	t.batches.Add(o.Batches)
	t.recordsIn.Add(o.RecordsIn)
	t.bytesIn.Add(o.BytesIn)
	t.bytesOut.Add(o.BytesOut)
}

// Traffic returns the traffic of all partitions that this broker has or had since it
// started, and calls f for each topic that it has now, in no order.
func (m *Manager) Traffic(f func(topic string, t Totals)) (all Totals) {
	all = m.gone.Totals() // before the table: what goes meanwhile is missed once, not counted twice
	for name, topic := range m.table.Load().topics {
		var sum Totals
		here := false
		for i := range topic.parts {
			if p := topic.parts[i].partition; p != nil {
				sum, here = sum.Plus(p.Traffic.Totals()), true
			}
		}
		if here {
			f(name, sum)
		}
		all = all.Plus(sum)
	}
	return all
}
