package drive

import (
	"fmt"

	"github.com/millrace/millrace/bench/raw"
)

// warmupFactor is how many times its own length a warm-up lasts at most, while partitions
// wait for their first append.
const warmupFactor = 10

// touched is where a run that produces notes which partitions were written to; nil: its
// warm-up ends by its time.
func (s *Spec) touched(parts []raw.Partition) *raw.Touched {
	if !s.produces() || s.Warmup <= 0 || s.WarmupByClock {
		return nil
	}
	return raw.NewTouched(len(parts))
}

// cutText says what a warm-up that had to end leaves behind: some are written to first while
// figures are taken.
func cutText(left, of int) string {
	return fmt.Sprintf("the warm-up ended at its limit with %d of %d partitions not written to: first appends are in the figures", left, of)
}

// partition names one of a topic.
type partition struct {
	topic string
	index int32
}

// marks is a raw.Touched for who knows partitions by their names.
type marks struct {
	*raw.Touched
	at map[partition]int
}

func (s *Spec) marks(parts []raw.Partition) *marks {
	t := s.touched(parts)
	if t == nil {
		return nil
	}
	m := &marks{Touched: t, at: map[partition]int{}}
	for i, p := range parts {
		m.at[partition{p.Topic, p.Index}] = i
	}
	return m
}

// mark notes a record that was acknowledged.
func (m *marks) mark(topic string, index int32) {
	if m == nil || m.Left() == 0 {
		return
	}
	if i, known := m.at[partition{topic, index}]; known {
		m.Mark(i)
	}
}
