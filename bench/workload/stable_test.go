package workload

import (
	"bytes"
	"testing"
)

// Values that are said to be stable do not change while later ones are made.
func TestStableValues(t *testing.T) {
	s, err := New(Spec{Sizes: "100..2000"})
	if err != nil {
		t.Fatal(err)
	}
	var held, copies [][]byte
	for range 3 * PoolBytes / 1000 {
		v := s.Next().Value
		held, copies = append(held, v), append(copies, bytes.Clone(v))
	}
	for i := range held {
		if !bytes.Equal(held[i], copies[i]) {
			t.Fatalf("value %d of %d changed", i, len(held))
		}
	}
	if m, err := New(Spec{PayloadMonotonic: true}); err != nil || m.StableValues() || !s.StableValues() {
		t.Errorf("which values are stable is told wrongly (%v)", err)
	}
}
