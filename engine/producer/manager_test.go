package producer

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

// data is a batch of n records at the given offset.
func data(id int64, epoch int16, seq, n int32, offset int64) *Batch {
	last := int32((int64(seq) + int64(n) - 1) & math.MaxInt32)
	return &Batch{
		ProducerID: id, Epoch: epoch, BaseSequence: seq, LastSequence: last,
		FirstOffset: offset, LastOffset: offset + int64(n) - 1, MaxTimestamp: 1000 + offset,
	}
}

func txnData(id int64, seq, n int32, offset int64) *Batch {
	b := data(id, 0, seq, n, offset)
	b.Transactional = true
	return b
}

func marker(id int64, coordinator int32, commit bool, offset int64) *Batch {
	return &Batch{
		ProducerID: id, Control: true, Transactional: true, Commit: commit, CoordinatorEpoch: coordinator,
		FirstOffset: offset, LastOffset: offset, MaxTimestamp: 1000 + offset, BaseSequence: -1, LastSequence: -1,
	}
}

func apply(m *Manager, batches ...*Batch) {
	for _, b := range batches {
		m.Update(b)
		m.SetEndOffset(b.LastOffset + 1)
	}
}

func TestSequencesAsKafka(t *testing.T) {
	const top = math.MaxInt32
	for _, c := range []struct {
		name   string
		before []*Batch
		b      *Batch
		want   string // error kind, "duplicate A-B" or "ok"
	}{
		{"unknown producer, any sequence", nil, data(1, 0, 17, 3, 0), "ok"},
		{"next", []*Batch{data(1, 0, 0, 3, 0)}, data(1, 0, 3, 1, 3), "ok"},
		{"gap", []*Batch{data(1, 0, 0, 3, 0)}, data(1, 0, 4, 1, 3), "gap"},
		{"repeated", []*Batch{data(1, 0, 0, 3, 10)}, data(1, 0, 0, 3, 13), "duplicate 10-12"},
		{"repeated, one of the last five", []*Batch{data(1, 0, 0, 1, 0), data(1, 0, 1, 1, 1), data(1, 0, 2, 1, 2), data(1, 0, 3, 1, 3), data(1, 0, 4, 1, 4)}, data(1, 0, 0, 1, 5), "duplicate 0-0"},
		{"repeated, older than five", []*Batch{data(1, 0, 0, 1, 0), data(1, 0, 1, 1, 1), data(1, 0, 2, 1, 2), data(1, 0, 3, 1, 3), data(1, 0, 4, 1, 4), data(1, 0, 5, 1, 5)}, data(1, 0, 0, 1, 6), "duplicate older than the window"},
		{"same first sequence, other length", []*Batch{data(1, 0, 0, 3, 0)}, data(1, 0, 0, 2, 3), "duplicate older than the window"},
		{"new epoch from 0", []*Batch{data(1, 0, 0, 3, 0)}, data(1, 1, 0, 1, 3), "ok"},
		{"new epoch from 3", []*Batch{data(1, 0, 0, 3, 0)}, data(1, 1, 3, 1, 3), "out of order"},
		{"old epoch", []*Batch{data(1, 2, 0, 3, 0)}, data(1, 1, 3, 1, 3), "fenced"},
		{"wraps to 0", []*Batch{data(1, 0, top, 1, 0)}, data(1, 0, 0, 1, 1), "ok"},
		{"wraps inside the batch", []*Batch{data(1, 0, top-1, 4, 0)}, data(1, 0, 2, 1, 4), "ok"},
		{"repeated across the wrap", []*Batch{data(1, 0, top-1, 4, 7)}, data(1, 0, top-1, 4, 11), "duplicate 7-10"},
		{"after a marker of a new epoch", []*Batch{data(1, 0, 0, 3, 0), {ProducerID: 1, Epoch: 1, Control: true, FirstOffset: 3, LastOffset: 3}}, data(1, 1, 0, 1, 4), "ok"},
		{"plain inside a transaction", []*Batch{txnData(1, 0, 3, 0)}, data(1, 0, 3, 1, 3), "txn state"},
		{"marker of an old coordinator", []*Batch{txnData(1, 0, 3, 0), marker(1, 5, true, 3)}, marker(1, 4, true, 4), "coordinator fenced"},
	} {
		var m Manager
		apply(&m, c.before...)
		before := fmt.Sprintf("%x", m.AppendSnapshot(nil))
		dup, found, err := m.Check(c.b, Client)
		if got := verdict(dup, found, err); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if fmt.Sprintf("%x", m.AppendSnapshot(nil)) != before {
			t.Errorf("%s: Check changed the state", c.name)
		}
		if _, found, err := m.Check(c.b, Replication); found || err != nil {
			t.Errorf("%s: replication is checked: %v %v", c.name, found, err)
		}
	}
}

func verdict(dup Stored, found bool, err error) string {
	var seq *SequenceError
	var fenced *FencedError
	var txn *TxnStateError
	var coordinator *CoordinatorFencedError
	switch {
	case found:
		return fmt.Sprintf("duplicate %d-%d", dup.FirstOffset, dup.LastOffset)
	case errors.As(err, &seq):
		return seq.Kind.String()
	case errors.As(err, &fenced):
		return "fenced"
	case errors.As(err, &txn):
		return "txn state"
	case errors.As(err, &coordinator):
		return "coordinator fenced"
	case err != nil:
		return err.Error()
	}
	return "ok"
}

func TestTransactionsHoldTheStableOffset(t *testing.T) {
	var m Manager
	stable := func(want int64) {
		t.Helper()
		if got := m.FirstUnstable(); got != want {
			t.Errorf("first unstable offset %d, want %d", got, want)
		}
	}
	stable(math.MaxInt64)
	apply(&m, txnData(1, 0, 2, 10), txnData(2, 0, 2, 12), data(3, 0, 0, 1, 14))
	stable(10)
	done, ended := m.Update(marker(1, 0, false, 15))
	if want := (Completed{ProducerID: 1, FirstOffset: 10, LastOffset: 15, Aborted: true, LastStable: 12}); !ended || done != want {
		t.Errorf("%+v %v, want %+v", done, ended, want)
	}
	stable(10) // until the marker is replicated
	m.OnHighWatermark(15)
	stable(10)
	m.OnHighWatermark(16)
	stable(12)
	if done, ended = m.Update(marker(2, 0, true, 16)); !ended || done.Aborted || done.LastStable != 17 {
		t.Errorf("%+v %v", done, ended)
	}
	m.OnHighWatermark(17)
	stable(math.MaxInt64)
	if _, ended := m.Update(marker(2, 0, true, 17)); ended {
		t.Error("a marker without a transaction ended one")
	}
}

func TestExpiry(t *testing.T) {
	var m Manager
	apply(&m, data(1, 0, 0, 1, 0), txnData(2, 0, 1, 1), data(3, 0, 0, 1, 9000))
	if n := m.Expire(1000+5000, 5000); n != 1 || m.Len() != 2 {
		t.Errorf("%d expired, %d left", n, m.Len())
	}
	if _, found, err := m.Check(data(1, 0, 5, 1, 3), Client); found || err != nil {
		t.Error("an expired producer is not unknown:", found, err)
	}
	for _, p := range m.Active() {
		if p.ID == 1 || p.ID == 2 && p.TxnFirstOffset != 1 {
			t.Errorf("%+v", p)
		}
	}
}

// naive remembers every batch that was accepted, and decides by looking at all of them.
type naive struct{ log []*Batch }

func (n *naive) check(b *Batch) string {
	var last *Batch
	var window []*Batch
	for _, x := range n.log {
		if x.ProducerID != b.ProducerID {
			continue
		}
		if last == nil || last.Epoch != x.Epoch {
			window = nil
		}
		last, window = x, append(window, x)
	}
	if last == nil {
		return "ok"
	}
	for _, x := range window[max(0, len(window)-WindowBatches):] {
		if x.Epoch == b.Epoch && x.BaseSequence == b.BaseSequence && x.LastSequence == b.LastSequence {
			return fmt.Sprintf("duplicate %d-%d", x.FirstOffset, x.LastOffset)
		}
	}
	switch {
	case b.Epoch < last.Epoch:
		return "fenced"
	case b.Epoch > last.Epoch && b.BaseSequence != 0:
		return "out of order"
	case b.Epoch > last.Epoch:
		return "ok"
	case int64(b.BaseSequence) == (int64(last.LastSequence)+1)%(1<<31):
		return "ok"
	}
	return "refused"
}

// TestRandomBatchesMatchAModel compares every answer with the naive model's, and now and
// then continues from a snapshot, which keeps one batch of each producer.
func TestRandomBatchesMatchAModel(t *testing.T) {
	rng := testkit.Rand(t)
	for range 200 {
		var m Manager
		var n naive
		next := []int32{0, 0, math.MaxInt32 - 20, 0}
		for offset := int64(0); offset < 300; {
			id := rng.Int64N(4)
			seq := next[id]
			if rng.IntN(3) == 0 {
				seq = int32((int64(seq) + rng.Int64N(14) - 10 + 1<<31) % (1 << 31))
			}
			b := data(id, int16(rng.IntN(20)/18), seq, 1+rng.Int32N(3), offset)
			dup, found, err := m.Check(b, Client)
			got, want := verdict(dup, found, err), n.check(b)
			if want == "refused" && (got == "gap" || got == "duplicate older than the window") {
				want = got
			}
			if got != want {
				t.Fatalf("%+v: %s, want %s", b, got, want)
			}
			if got == "ok" {
				apply(&m, b)
				n.log = append(n.log, b)
				next[id] = int32((int64(b.LastSequence) + 1) % (1 << 31))
				offset = b.LastOffset + 1
			}
		}
		snapshot := m.AppendSnapshot(nil)
		var loaded Manager
		if err := loaded.LoadSnapshot(snapshot, m.EndOffset()); err != nil {
			t.Fatal(err)
		}
		for id := range int64(4) {
			for _, b := range []*Batch{data(id, 1, 0, 2, 300), data(id, 0, next[id], 1, 300), data(id, 0, next[id]+1, 1, 300)} {
				a, b := verdict(m.Check(b, Client)), verdict(loaded.Check(b, Client))
				if a != b && !strings.HasPrefix(a, "duplicate ") {
					t.Fatalf("producer %d: %s, after a snapshot %s", id, a, b)
				}
			}
		}
	}
}

func TestKnownProducersCostNoAllocation(t *testing.T) {
	var m Manager
	apply(&m, data(1, 0, 0, 1, 0))
	b := data(1, 0, 1, 1, 1)
	allocs := testing.AllocsPerRun(100, func() {
		if _, found, err := m.Check(b, Client); found || err != nil {
			t.Fatal(found, err)
		}
		m.Update(b)
		b.BaseSequence++
		b.LastSequence++
		b.FirstOffset++
		b.LastOffset++
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestDamagedSnapshotsAreRefused(t *testing.T) {
	var m Manager
	apply(&m, data(1, 0, 0, 3, 0), txnData(2, 0, 1, 3))
	good := m.AppendSnapshot(nil)
	check := func(what string, bad []byte) {
		t.Helper()
		loaded := Manager{endOffset: 77}
		var damaged *SnapshotError
		if err := loaded.LoadSnapshot(bad, 4); !errors.As(err, &damaged) {
			t.Errorf("%s: %v", what, err)
		}
		if loaded.EndOffset() != 77 || loaded.Len() != 0 {
			t.Errorf("%s: the state changed", what)
		}
	}
	for i := range good {
		check(fmt.Sprint("cut to ", i), good[:i])
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x10
		check(fmt.Sprint("flipped at ", i), bad)
	}
	check("longer", append(append([]byte(nil), good...), 0))
}

func FuzzLoadSnapshot(f *testing.F) {
	var m Manager
	f.Add(m.AppendSnapshot(nil), int64(0))
	apply(&m, data(1, 0, 0, 3, 0), txnData(2, 0, 1, 3))
	f.Add(m.AppendSnapshot(nil), int64(4))
	f.Fuzz(func(t *testing.T, data []byte, end int64) {
		var m Manager
		if m.LoadSnapshot(data, end) != nil {
			return
		}
		again := m.AppendSnapshot(nil)
		var n Manager
		if err := n.LoadSnapshot(again, end); err != nil {
			t.Fatalf("what was loaded and written cannot be loaded: %v", err)
		}
		if m.Len() != n.Len() || m.FirstUnstable() != n.FirstUnstable() {
			t.Fatal("the state differs after a round trip")
		}
	})
}
