package producer

// LacksBatches tells whether the window of a producer has room: LoadSnapshot knows only the
// last batch of each.
func (m *Manager) LacksBatches() bool {
	for _, e := range m.producers {
		if e.count < WindowBatches {
			return true
		}
	}
	return false
}

// FillWindows adds the batches that tail, made of the log's last batches, knows and m does
// not. Producers whose epoch or last batch differ are left alone.
func (m *Manager) FillWindows(tail *Manager) {
	for id, e := range m.producers {
		t := tail.producers[id]
		if t == nil || t.epoch != e.epoch || e.count == 0 || t.count <= e.count || t.last().lastOffset != e.last().lastOffset {
			continue
		}
		e.batches, e.head, e.count = t.batches, t.head, t.count
	}
}

func (e *entry) last() batch { return e.batches[(e.head+e.count-1)%WindowBatches] }
