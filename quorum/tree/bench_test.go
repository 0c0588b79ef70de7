package tree

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
)

// wide is a tree of n nodes with 100 bytes of data each, a thousand below one parent.
func wide(t testing.TB, n int) *State {
	t.Helper()
	s := New()
	data := make([]byte, 100)
	e := &Entry{}
	for i := range n {
		parent := fmt.Sprintf("/p%04d", i/1000)
		if i%1000 == 0 {
			e.Txns = append(e.Txns, Txn{Op: mk(parent, 0)})
		}
		e.Txns = append(e.Txns, Txn{Op: Op{Kind: Create, Path: fmt.Sprintf("%s/node-%010d", parent, i), Data: data, ACL: jute.OpenACL()}})
		if len(e.Txns) > 500 || i == n-1 {
			s.Apply(1, e, func(o *Outcome) {
				if o.Result.Code != jute.OK {
					t.Fatal(o.Result.Code)
				}
			})
			e.Txns = e.Txns[:0]
		}
	}
	return s
}

// maxBytesPerNode is what a node with 100 bytes of data may take of the heap, all in all.
const maxBytesPerNode = 155

func TestMemoryOfANode(t *testing.T) {
	n := testkit.Rounds(t, "TREE_NODES", 100_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := wide(t, n)
	s.step = step{}
	runtime.GC()
	runtime.ReadMemStats(&after)
	perNode := float64(after.HeapAlloc-before.HeapAlloc) / float64(n)
	t.Logf("%d nodes: %.0f bytes each", n, perNode)
	if perNode > maxBytesPerNode {
		t.Errorf("a node takes %.0f bytes, %d are the limit", perNode, maxBytesPerNode)
	}
	runtime.KeepAlive(s)
}

// guardedEntry is an entry of 64 writes of one session, as bytes.
func guardedEntry(op func(i int) Op, seq uint32) []byte {
	e := &Entry{TimeMs: 1}
	for i := range 64 {
		e.Txns = append(e.Txns, Txn{Origin: 1, Req: uint64(i), Session: 1, ConnGen: 1, Seq: seq + uint32(i) + 1, Auth: alice[:1], Op: op(i)})
	}
	return AppendEntry(nil, e)
}

// TestAllocations: a write through its bytes costs its path; what it changes costs none.
func TestAllocations(t *testing.T) {
	s := fixture(t)
	data := make([]byte, 100)
	seq, name := uint32(0), 0
	for _, c := range []struct {
		what string
		op   func(i int) Op
		max  float64
	}{
		{"set", func(int) Op { return Op{Kind: SetData, Path: "/a", Data: data, Version: -1} }, 1.2},
		{"create", func(int) Op {
			name++
			return Op{Kind: Create, Path: fmt.Sprintf("/a/%010d", name), Data: data, ACL: jute.OpenACL()}
		}, 1.4},
		{"refused", func(int) Op { return del("/none", -1) }, 1.2},
		{"check", func(int) Op { return Op{Kind: Check, Path: "/a", Version: -1} }, 1.2},
	} {
		var entries [][]byte
		for range 20 {
			entries = append(entries, guardedEntry(c.op, seq))
			seq += 64
		}
		next := 0
		got := testing.AllocsPerRun(15, func() {
			e, err := DecodeEntry(entries[next])
			if err != nil {
				t.Fatal(err)
			}
			s.Apply(1, e, func(*Outcome) {})
			next++
		}) / 64
		if got > c.max {
			t.Errorf("%s: %.2f allocations, %.1f are the limit", c.what, got, c.max)
		}
		for ; next < len(entries); next++ {
			e, _ := DecodeEntry(entries[next])
			s.Apply(1, e, nil)
		}
	}
	verify(t, s)
}

func BenchmarkApplySet(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := wide(b, 100_000)
			data := make([]byte, size)
			e := &Entry{Txns: make([]Txn, 64)}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			paths := make([]string, 4096)
			for i := range paths {
				n := i * 7919 % 100_000
				paths[i] = fmt.Sprintf("/p%04d/node-%010d", n/1000, n)
			}
			for i := 0; b.Loop(); i += 64 {
				for j := range e.Txns {
					e.Txns[j].Op = Op{Kind: SetData, Path: paths[(i+j)%len(paths)], Data: data, Version: -1}
				}
				s.Apply(1, e, func(*Outcome) {})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64), "ns/write")
		})
	}
}

func BenchmarkApplyCreateDelete(b *testing.B) {
	s := wide(b, 100_000)
	e := &Entry{Txns: make([]Txn, 64)}
	for j := range e.Txns {
		path := fmt.Sprintf("/p0007/new-%d", j/2)
		e.Txns[j].Op = Op{Kind: Create, Path: path, Data: make([]byte, 100), ACL: jute.OpenACL()}
		if j%2 > 0 {
			e.Txns[j].Op = del(path, -1)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Apply(1, e, func(*Outcome) {})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64), "ns/write")
}

func BenchmarkApplyMulti(b *testing.B) {
	s := wide(b, 10_000)
	op := Op{Kind: Multi, Ops: []Op{
		{Kind: Check, Path: "/p0001", Version: -1}, set("/p0001/node-0000001000", "data", -1), set("/p0001/node-0000001001", "data", -1),
	}}
	e := &Entry{Txns: []Txn{{Op: op}}}
	b.ReportAllocs()
	for b.Loop() {
		s.Apply(1, e, func(*Outcome) {})
	}
}

func BenchmarkGet(b *testing.B) {
	s := wide(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Get("/p0050/node-0000050321"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGetAnywhere reads nodes in no order, so that none is in a cache.
func BenchmarkGetAnywhere(b *testing.B) {
	const nodes = 300_000
	s := wide(b, nodes)
	paths := make([]string, 1<<16)
	for i := range paths {
		n := i * 104_729 % nodes
		paths[i] = fmt.Sprintf("/p%04d/node-%010d", n/1000, n)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, _, err := s.Get(paths[i%len(paths)]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGrow creates nodes below one parent until it has 100,000 and deletes them, oldest
// first.
func BenchmarkGrow(b *testing.B) {
	const nodes = 100_000
	data := make([]byte, 100)
	creates, deletes := make([]Entry, nodes/100), make([]Entry, nodes/100)
	for i := range nodes {
		path := fmt.Sprintf("/p/node-%010d", i)
		creates[i/100].Txns = append(creates[i/100].Txns, Txn{Op: Op{Kind: Create, Path: path, Data: data, ACL: jute.OpenACL()}})
		deletes[i/100].Txns = append(deletes[i/100].Txns, Txn{Op: del(path, -1)})
	}
	for _, what := range []string{"create", "delete"} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				s := New()
				s.Apply(0, &Entry{Txns: []Txn{{Op: mk("/p", 0)}}}, nil)
				if what == "delete" {
					applyEntries(s, creates)
				}
				runtime.GC()
				b.StartTimer()
				if what == "create" {
					applyEntries(s, creates)
				} else {
					applyEntries(s, deletes)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*nodes), "ns/write")
		})
	}
}

func applyEntries(s *State, entries []Entry) {
	for i := range entries {
		s.Apply(0, &entries[i], nil)
	}
}

func BenchmarkChildren(b *testing.B) {
	s := New()
	e := &Entry{Txns: []Txn{{Op: mk("/p", 0)}}}
	for i := range 10_000 {
		e.Txns = append(e.Txns, Txn{Op: mk(fmt.Sprintf("/p/node-%010d", i), 0)})
	}
	s.Apply(0, e, nil)
	b.ReportAllocs()
	for b.Loop() {
		if names, _, err := s.Children("/p"); err != nil || len(names) != 10_000 {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEntry(b *testing.B) {
	raw := guardedEntry(func(i int) Op { return set("/p0001/node-0000001000", "some data", -1) }, 0)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := DecodeEntry(raw); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64), "ns/write")
}

func BenchmarkSnapshot(b *testing.B) {
	s := wide(b, 100_000)
	var buf bytes.Buffer
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf.Reset()
			if err := s.Encode(&buf); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(buf.Len()))
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(bytes.NewReader(buf.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(buf.Len()))
	})
}
