package arena

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

// model is an Arena beside a map. Each record begins with its number, so that Tidy finds it.
type model struct {
	t    testing.TB
	a    Arena
	recs map[ID][]byte
	ids  []ID // of recs, in any order
	seq  byte
}

func newModel(t testing.TB) *model { return &model{t: t, recs: map[ID][]byte{}} }

func ownerOf(rec []byte) ID { return ID(binary.LittleEndian.Uint32(rec)) }

// record is one of size bytes, at least 4.
func (m *model) record(id ID, size int) []byte {
	m.seq++
	b := bytes.Repeat([]byte{m.seq}, max(size, 4))
	binary.LittleEndian.PutUint32(b, uint32(id))
	return b
}

func (m *model) put(id ID, size int) {
	b := m.record(id, size)
	m.a.Put(id, b)
	m.recs[id] = b
}

func (m *model) add(size int) ID {
	id := m.a.New()
	if _, taken := m.recs[id]; taken || id == 0 {
		m.t.Fatalf("number %d is not free", id)
	}
	m.put(id, size)
	m.ids = append(m.ids, id)
	return id
}

// remove deletes the record at a position of ids.
func (m *model) remove(at int) {
	id := m.ids[at]
	m.ids[at] = m.ids[len(m.ids)-1]
	m.ids = m.ids[:len(m.ids)-1]
	m.a.Delete(id)
	m.a.Release(id)
	delete(m.recs, id)
}

// check compares everything, and holds the bounds that the package promises after Tidy.
func (m *model) check() {
	m.t.Helper()
	shared, own := 0, 0
	for id, want := range m.recs {
		got := m.a.Get(id)
		if !bytes.Equal(got, want) || cap(got) != len(got) {
			m.t.Fatalf("record %d has %d bytes, capacity %d, other than the %d it was given", id, len(got), cap(got), len(want))
		}
		if len(want) > MaxShared {
			own += headBytes + len(want)
		} else {
			shared += blockBytes(len(want))
		}
	}
	held, dead, used, total := 0, 0, 0, 0
	for n := range m.a.pages {
		p := &m.a.pages[n]
		total += len(p.b)
		if p.used > 0 || uint32(n) == m.a.open {
			held, dead, used = held+len(p.b), dead+int(p.dead), used+int(p.used)
		}
	}
	rest := 0 // of the open page
	if m.a.open != 0 {
		rest = len(m.a.pages[m.a.open].b) - int(m.a.pages[m.a.open].used)
	}
	if held != m.a.held || dead != m.a.dead || total != held+own || m.a.own != own || shared != held-dead-rest {
		m.t.Fatalf("held %d dead %d own %d, counted %d %d %d of %d bytes in pages, %d of them of records, %d free",
			m.a.held, m.a.dead, m.a.own, held, dead, own, total, shared, rest)
	}
}

func (m *model) tidy() {
	m.t.Helper()
	m.a.Tidy(ownerOf)
	m.check()
	if m.a.Untidy() {
		m.t.Fatalf("after Tidy %d of %d bytes are dead", m.a.dead, m.a.held)
	}
}

// size is mostly that of a znode, sometimes anything.
func size(r *rand.Rand) int {
	switch r.IntN(40) {
	case 0:
		return r.IntN(20_000)
	case 1, 2, 3:
		return r.IntN(MaxShared + 8)
	}
	return 100 + r.IntN(80)
}

func TestLikeModel(t *testing.T) {
	r := testkit.Rand(t)
	m := newModel(t)
	for round := range testkit.Rounds(t, "ARENA_ROUNDS", 12) {
		grow := round%3 != 2
		for range 4000 {
			switch n := r.IntN(10); {
			case len(m.ids) == 0 || n < 4 || grow && n < 7:
				m.add(size(r))
			case n < 8:
				m.remove(r.IntN(len(m.ids)))
			default:
				id := m.ids[r.IntN(len(m.ids))]
				m.put(id, len(m.recs[id])+r.IntN(21)-10)
			}
			if r.IntN(8) == 0 {
				m.a.Tidy(ownerOf)
			}
		}
		m.tidy()
	}
}

// TestRoomComesBack: the pages never are more than their bound above the records, whatever is
// deleted; without records nothing is left but a page.
func TestRoomComesBack(t *testing.T) {
	r := testkit.Rand(t)
	m := newModel(t)
	for range 60_000 {
		m.add(120 + r.IntN(20))
	}
	m.tidy()
	for len(m.ids) > 0 {
		m.remove(r.IntN(len(m.ids)))
		if m.a.Untidy() {
			m.a.Tidy(ownerOf)
		}
		if len(m.ids)%10_000 == 0 {
			m.tidy()
			live := 0
			for _, b := range m.recs {
				live += blockBytes(len(b))
			}
			if held, _ := m.a.Usage(); 3*held > 4*live+4*(slackBytes+maxPageBytes) {
				t.Fatalf("%d bytes of pages for %d bytes of records", held, live)
			}
		}
	}
	chunks := 0
	for _, c := range m.a.ids.chunks {
		if c.b != nil {
			chunks++
		}
	}
	if held, _ := m.a.Usage(); held > maxPageBytes || chunks > 0 {
		t.Errorf("%d bytes of pages and %d pieces of the table stay behind", held, chunks)
	}
	m.add(100)
	m.check()
}

// TestCopiesAreBounded: Tidy copies no more than three bytes for each that died.
func TestCopiesAreBounded(t *testing.T) {
	r := testkit.Rand(t)
	m := newModel(t)
	for range 30_000 {
		m.add(130)
	}
	died, copied := 0, 0
	for range 200_000 {
		id := m.ids[r.IntN(len(m.ids))]
		was := len(m.recs[id])
		m.put(id, 100+r.IntN(60))
		if blockBytes(len(m.recs[id])) != blockBytes(was) {
			died += blockBytes(was)
		}
		m.a.Tidy(func(rec []byte) ID {
			copied += blockBytes(len(rec))
			return ownerOf(rec)
		})
	}
	m.check()
	if copied > 3*died || copied == 0 {
		t.Errorf("%d bytes were copied for %d that died", copied, died)
	}
}

// TestOldBytesStay: what was replaced by something larger or deleted can be read until Tidy.
func TestOldBytesStay(t *testing.T) {
	m := newModel(t)
	one, two := m.add(100), m.add(9000)
	first, second := m.a.Get(one), m.a.Get(two)
	copies := [][]byte{bytes.Clone(first), bytes.Clone(second)}
	m.put(one, 200)
	m.remove(1)
	for range 100 {
		m.add(1000)
	}
	if !bytes.Equal(first, copies[0]) || !bytes.Equal(second, copies[1]) {
		t.Error("they were written over")
	}
}

func TestNumbers(t *testing.T) {
	r := testkit.Rand(t)
	var tab table
	taken := map[ID]uint64{}
	var ids []ID
	for range 60_000 {
		if n := r.IntN(10); len(ids) == 0 || n < 6 {
			id := tab.take()
			if _, ok := taken[id]; ok || tab.get(id) != 0 {
				t.Fatalf("number %d is taken, or has the address %d", id, tab.get(id))
			}
			at := r.Uint64N(1 << 40)
			tab.set(id, at)
			taken[id] = at
			ids = append(ids, id)
		} else {
			i := r.IntN(len(ids))
			tab.release(ids[i])
			delete(taken, ids[i])
			ids[i] = ids[len(ids)-1]
			ids = ids[:len(ids)-1]
		}
	}
	for id, at := range taken {
		if tab.get(id) != at {
			t.Fatalf("number %d leads to %d, want %d", id, tab.get(id), at)
		}
	}
	if len(tab.avail) > len(tab.chunks) {
		t.Errorf("%d of %d pieces are said to have free numbers", len(tab.avail), len(tab.chunks))
	}
}

func FuzzArena(f *testing.F) {
	f.Add([]byte{0, 10, 0, 200, 1, 0, 2, 1, 3, 0, 0, 255})
	f.Fuzz(func(t *testing.T, script []byte) {
		m := newModel(t)
		for ; len(script) >= 2; script = script[2:] {
			arg := int(script[1])
			switch op := script[0]; {
			case op%8 < 3 || len(m.ids) == 0:
				m.add(arg * (1 + int(op>>3)))
			case op%8 < 4:
				m.remove(arg % len(m.ids))
			case op%8 < 7:
				id := m.ids[arg%len(m.ids)]
				m.put(id, len(m.recs[id])+int(op>>3)-15)
			default:
				m.tidy()
			}
		}
		m.tidy()
	})
}

func BenchmarkGet(b *testing.B) {
	var a Arena
	for range 1 << 20 {
		a.Put(a.New(), make([]byte, 130))
	}
	r := rand.New(rand.NewPCG(1, 2))
	ids := make([]ID, 1<<16)
	for i := range ids {
		ids[i] = ID(1 + r.IntN(1<<20))
	}
	sum := 0
	for i := 0; b.Loop(); i++ {
		sum += len(a.Get(ids[i%len(ids)]))
	}
	_ = sum
}
