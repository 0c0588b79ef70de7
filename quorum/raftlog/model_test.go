package raftlog

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

// told is what a server was told that it has.
type told struct {
	logs       *raft.InmemStore // raft's own store in memory
	entries    map[uint64]*raft.Log
	term, vote uint64
	snapshots  []uint64 // indexes, oldest first
}

func (w *told) copy() *told {
	c := &told{logs: raft.NewInmemStore(), entries: maps.Clone(w.entries), term: w.term, vote: w.vote, snapshots: slices.Clone(w.snapshots)}
	first, last, _ := w.bounds()
	for i := first; i > 0 && i <= last; i++ {
		_ = c.logs.StoreLog(w.entries[i])
	}
	return c
}

func (w *told) bounds() (first, last uint64, newest uint64) {
	first, _ = w.logs.FirstIndex()
	last, _ = w.logs.LastIndex()
	if n := len(w.snapshots); n > 0 {
		newest = w.snapshots[n-1]
	}
	return first, last, newest
}

type machine struct {
	t    *testing.T
	rng  *rand.Rand
	o    Options
	disk *memfs.FS
	s    *Store
	*told
	dataMax int
}

// TestRandomOperationsMatchInmemStore does what raft does with its stores, in random order,
// with clean stops, kills and power cuts between and inside of calls, and compares with raft's
// store in memory: what was acknowledged is there, and nothing else but a part of what was
// under way.
func TestRandomOperationsMatchInmemStore(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range uint64(testkit.Rounds(t, "RAFTLOG_ROUNDS", 60)) {
		t.Run(fmt.Sprint(seed+round), func(t *testing.T) { runMachine(t, seed+round) })
		if t.Failed() {
			t.Fatalf("it was SEED=%d", seed+round)
		}
	}
}

func runMachine(t *testing.T, seed uint64) {
	rng := testkit.NewRand(seed)
	m := &machine{t: t, rng: rng, disk: memfs.New(), dataMax: []int{20, 500, 3000}[rng.IntN(3)]}
	m.told = &told{logs: raft.NewInmemStore(), entries: make(map[uint64]*raft.Log)}
	m.o = options(m.disk)
	m.o.SegmentBytes = int64([]int{500, 4096, 100_000}[rng.IntN(3)])
	m.s = open(t, m.o)
	for range 60 {
		if rng.IntN(6) > 0 {
			must(t, m.step(m.s, m.told))
			m.compare()
			continue
		}
		other := m.told
		switch rng.IntN(4) {
		case 0:
			must(t, m.s.Close())
		case 1:
			m.s.Kill() // the page cache stays
		default:
			other = m.powerCut()
		}
		if left := m.disk.Leaks(); len(left) > 0 {
			t.Fatalf("left open: %v", left)
		}
		m.o.FS = m.disk
		m.s = open(t, m.o)
		m.adopt(other)
		m.compare()
	}
	m.s.Kill()
}

// powerCut cuts the power between two calls or within one. It returns what the server has if
// the last call counts; m.told is what it has if it does not.
func (m *machine) powerCut() *told {
	percent := []int{0, 30, 70, 100}[m.rng.IntN(4)]
	after, other := (*memfs.FS)(nil), m.told
	if m.rng.IntN(3) == 0 {
		after = m.disk.CrashClone(m.rng, percent)
	} else {
		after, other = m.cutWithin(percent)
	}
	m.disk.PowerOff()
	m.s.Kill()
	m.disk = after
	return other
}

// cutWithin opens the store on a disk whose power goes at some call, and works until then.
func (m *machine) cutWithin(percent int) (after *memfs.FS, other *told) {
	m.s.Kill()
	wrapped := errorfs.Wrap(m.disk, nil)
	m.o.FS = wrapped
	within := m.rng.IntN(4) == 0 // within Open
	if !within {
		m.s = open(m.t, m.o)
	}
	at := m.rng.Int64N(25)
	var calls atomic.Int64
	wrapped.SetRule(func(errorfs.Op) errorfs.Fault {
		if calls.Add(1)-1 == at {
			after = m.disk.CrashClone(m.rng, percent)
		}
		return errorfs.Fault{}
	})
	if within {
		m.s = open(m.t, m.o)
	}
	for after == nil {
		if other = m.told.copy(); calls.Load() > 0 && m.rng.IntN(10) == 0 {
			after = m.disk.CrashClone(m.rng, percent)
			break
		}
		must(m.t, m.step(m.s, other))
		if after == nil {
			m.told = other
		}
	}
	if other == nil {
		other = m.told
	}
	return after, other
}

// step does one thing that raft does, to the store and to w.
func (m *machine) step(s *Store, w *told) error {
	first, last, newest := w.bounds()
	switch n := m.rng.IntN(20); {
	case n < 9:
		return m.store(s, w, max(last, newest)+1, w.term)
	case n < 11:
		w.term++
		if err := s.Stable().SetUint64([]byte("CurrentTerm"), w.term); err != nil {
			return err
		}
		return nil
	case n < 13:
		w.vote = m.rng.Uint64N(4)
		return s.Stable().Set([]byte("LastVoteCand"), []byte{byte(w.vote)})
	case n < 15 && last > newest && last > first:
		// A leader of a newer term has other entries.
		from := max(first, newest) + 1 + m.rng.Uint64N(last-max(first, newest))
		if from > last {
			return nil
		}
		_ = w.logs.DeleteRange(from, last)
		return s.Logs().DeleteRange(from, last)
	case n < 18 && last > newest:
		// A snapshot of our own, and the log shortened.
		at := newest + 1 + m.rng.Uint64N(last-newest)
		w.addSnapshot(at)
		return takeSnapshot(s, at, 1, bodyOf(at, int(at%3000)))
	case n == 18 && newest > 0 && first > 0 && first <= min(newest, last):
		to := first + m.rng.Uint64N(min(newest, last)-first+1)
		_ = w.logs.DeleteRange(first, to)
		return s.Logs().DeleteRange(first, to)
	case n == 19 && newest > 0 && m.rng.IntN(3) == 0:
		// The leader's snapshot. Raft removes the log once it is there.
		at := max(last, newest) + 1 + m.rng.Uint64N(5)
		w.addSnapshot(at)
		if last > 0 {
			_ = w.logs.DeleteRange(first, last)
		}
		if err := takeSnapshot(s, at, 1, bodyOf(at, int(at%3000))); err != nil {
			return err
		}
		return s.Logs().DeleteRange(first, last)
	}
	return nil
}

func (w *told) addSnapshot(at uint64) {
	w.snapshots = append(w.snapshots, at)
	w.snapshots = w.snapshots[max(0, len(w.snapshots)-2):]
}

func (m *machine) store(s *Store, w *told, from, term uint64) error {
	logs := entriesOf(from, from+m.rng.Uint64N(6), term, m.rng.IntN(m.dataMax))
	for _, l := range logs {
		w.entries[l.Index] = l
	}
	_ = w.logs.StoreLogs(logs)
	_ = s.Logs().StageCommitIndex(from - 1)
	if m.rng.IntN(2) == 0 {
		return s.Logs().StoreLogs(logs)
	}
	sync, err := s.Logs().AppendLogs(logs)
	if err != nil {
		return err
	}
	var got raft.Log // a leader sends its followers what is not durable yet
	if err := s.Logs().GetLog(from, &got); err == nil && !same(&got, logs[0]) {
		m.t.Fatalf("entry %d is another before its sync", from)
	}
	return sync()
}

// adopt judges what a restart found: m.told, other, or something in between; and goes on from
// there.
func (m *machine) adopt(other *told) {
	af, al, _ := m.told.bounds()
	bf, bl, _ := other.bounds()
	first, last := bounds(m.t, m.s.Logs())
	emptied := al == 0 || bl == 0
	if last < min(al, bl) && !emptied || last > max(al, bl) {
		m.t.Fatalf("the log ends at %d, want %d to %d", last, al, bl)
	}
	// Both may be empty, or one in which the log was just emptied, or filled again.
	if emptied && last > 0 && al+bl == 0 {
		m.t.Fatalf("the log ends at %d, want an empty one", last)
	}
	if !emptied && (first < min(af, bf) || first > max(af, bf)) {
		m.t.Fatalf("the log begins at %d, want %d to %d", first, af, bf)
	}
	w := m.told
	w.logs = raft.NewInmemStore()
	all := maps.Clone(m.entries)
	maps.Copy(all, other.entries)
	w.entries = all
	for i := first; i > 0 && i <= last; i++ {
		_ = w.logs.StoreLog(all[i])
	}
	w.term = m.either("term", w.term, other.term, m.number("CurrentTerm"))
	vote, err := m.s.Stable().Get([]byte("LastVoteCand"))
	must(m.t, err)
	got := uint64(0)
	if len(vote) > 0 {
		got = uint64(vote[0])
	}
	w.vote = m.either("vote", w.vote, other.vote, got)
	m.adoptSnapshots(other)
}

func (m *machine) adoptSnapshots(other *told) {
	var got []uint64
	list, err := m.s.Snapshots().List()
	must(m.t, err)
	for _, meta := range slices.Backward(list) {
		got = append(got, meta.Index)
	}
	all := append(slices.Clone(m.snapshots), other.snapshots...)
	_, _, newest := m.bounds()
	for _, at := range got {
		if !slices.Contains(all, at) && (newest == 0 || at >= m.snapshots[0]) {
			m.t.Fatalf("snapshots %v, want %v or %v", got, m.snapshots, other.snapshots)
		}
	}
	if newest > 0 && (len(got) == 0 || got[len(got)-1] < newest) {
		m.t.Fatalf("snapshots %v, want %v or %v", got, m.snapshots, other.snapshots)
	}
	m.snapshots = got
}

func (m *machine) number(key string) uint64 {
	v, err := m.s.Stable().GetUint64([]byte(key))
	must(m.t, err)
	return v
}

func (m *machine) either(what string, a, b, got uint64) uint64 {
	if got != a && got != b {
		m.t.Fatalf("%s is %d, want %d or %d", what, got, a, b)
	}
	return got
}

// compare looks at everything.
func (m *machine) compare() {
	m.t.Helper()
	first, last, _ := m.bounds()
	wantBounds(m.t, m.s.Logs(), first, last)
	for i := first; i > 0 && i <= last; i++ {
		var got, want raft.Log
		must(m.t, m.s.Logs().GetLog(i, &got))
		must(m.t, m.logs.GetLog(i, &want))
		if !same(&got, &want) {
			m.t.Fatalf("entry %d: got term %d of %d bytes, want %d of %d", i, got.Term, len(got.Data), want.Term, len(want.Data))
		}
	}
	list, err := m.s.Snapshots().List()
	must(m.t, err)
	for i, meta := range list {
		at := meta.Index
		if want := m.snapshots[len(m.snapshots)-1-i]; at != want {
			m.t.Fatalf("snapshot %d is %d, want %d", i, at, want)
		}
		_, body, err := readSnapshot(m.t, m.s, meta.ID)
		must(m.t, err)
		if !bytes.Equal(body, bodyOf(at, int(at%3000))) {
			m.t.Fatalf("snapshot %d has another content", at)
		}
	}
	must(m.t, m.s.Err())
}
