package node

import (
	"math/rand"
	"testing"

	"github.com/millrace/millrace/internal/company"
)

// A pacer that waits for nobody goes by what is on its way.
func TestEntryWaitsForCompany(t *testing.T) {
	for _, c := range []struct {
		entries, onWay, count, waiting int
		goes                           bool
	}{
		{0, 0, 0, 0, false},
		{0, 0, 1, 1, true},                             // alone: at once
		{1, 1, 1, 1, true},                             // as many as are on their way
		{1, 8, 7, 7, false},                            // the next may come along
		{1, 8, 8, 8, true},                             //
		{2, 600, 300, 301, true},                       // full
		{maxInFlight, 4, 512, 600, false},              // enough are on their way
		{maxInFlight - 1, 3 * 512, 512, 512, false},    // all that waits, and less than is on its way
		{maxInFlight - 1, 3 * 512, 512, 1 << 20, true}, //
	} {
		p := pacer{entries: c.entries, onWay: c.onWay}
		if got := p.mayGo(c.count, c.waiting); got != c.goes {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// closedLoop is what a proposer does with its pacer.
type closedLoop struct {
	p       pacer
	waiting int
	timer   bool
	sent    []int // sizes of the entries on their way
}

// step lets one entry go, if one may, and tells its size.
func (l *closedLoop) step() int {
	count := min(l.waiting, maxEntryTxns)
	if !l.p.mayGo(count, l.waiting) {
		return 0
	}
	l.p.went(count, l.waiting)
	l.waiting -= count
	l.sent = append(l.sent, count)
	return count
}

func (l *closedLoop) arrive() (count int) {
	count = l.sent[0]
	l.sent = l.sent[1:]
	l.timer = l.p.returned(count, l.waiting)
	return count
}

// Two groups of writers, of which one finds the other's entry on its way whenever it comes back,
// become one.
func TestGroupsOfWritersMeet(t *testing.T) {
	l := &closedLoop{waiting: 30}
	l.step() // the first group
	l.waiting += 34
	for range 5 {
		l.step()
		for len(l.sent) > 0 {
			back := l.arrive()
			l.step() // what waits may go before those come back
			l.waiting += back
		}
	}
	if got := l.step(); got != 64 {
		t.Errorf("an entry of %d, want all 64 writers in one", got)
	}
}

// Writers that do not come back hold up one entry, and then fewer and fewer.
func TestThoseWhoDoNotComeBackAreNotWaitedFor(t *testing.T) {
	l := &closedLoop{}
	held, entries := 0, 2000
	for range entries {
		l.waiting += 20 // of other clients each time, after the entry before has come back
		if l.step() == 0 {
			held++
			if !l.timer {
				t.Fatal("held up, and nobody will look after it")
			}
			l.p.late(l.waiting)
			if l.step() == 0 {
				t.Fatal("held up though patience is over")
			}
		}
		// Meanwhile others wait, so that the pacer hopes for more than will be there.
		l.waiting += 30
		l.arrive()
		l.waiting -= 30
	}
	if held == 0 || held > entries/(1<<company.MaxMisses)+2*company.MaxMisses {
		t.Errorf("%d of %d entries were held up", held, entries)
	}
}

func TestFewWritersAreNotHeldUp(t *testing.T) {
	for writers := 1; writers < company.Min; writers++ {
		l := &closedLoop{waiting: writers}
		for range 10 {
			if l.step() == 0 {
				t.Fatalf("one of %d writers was held up with nothing on its way", writers)
			}
			back := l.arrive()
			if l.timer {
				t.Fatalf("%d writers: somebody is waited for", writers)
			}
			l.waiting += max(1, back-1)
		}
	}
}

// A burst is waited for once, and not when it is long over.
func TestAWriterAfterABurstGoesAtOnce(t *testing.T) {
	l := &closedLoop{waiting: 64}
	l.step()
	l.arrive()
	if !l.timer {
		t.Fatal("a burst of 64 may come back")
	}
	l.p.late(0)
	l.waiting = 1
	if l.step() != 1 {
		t.Error("a lone writer was held up when patience was over")
	}
}

// Whatever comes when: what waits goes in the end, the timer is asked for whenever something may
// be held up with nothing on its way, and the counts are right.
func TestPacerHoldsNothingForEver(t *testing.T) {
	seed := rand.Int63()
	r := rand.New(rand.NewSource(seed))
	l := &closedLoop{}
	for i := range 20_000 {
		switch r.Intn(4) {
		case 0:
			l.waiting += r.Intn(100)
		case 1:
			l.step()
		case 2:
			if len(l.sent) > 0 {
				l.arrive()
			}
		case 3:
			if l.timer && r.Intn(3) == 0 {
				l.timer = false
				l.p.late(l.waiting)
			}
		}
		sum := 0
		for _, n := range l.sent {
			sum += n
		}
		if l.p.entries != len(l.sent) || l.p.onWay != sum {
			t.Fatalf("seed %d, step %d: %d entries with %d, want %d with %d", seed, i, l.p.entries, l.p.onWay, len(l.sent), sum)
		}
		if count := min(l.waiting, maxEntryTxns); len(l.sent) == 0 && l.waiting > 0 && !l.timer && !l.p.mayGo(count, l.waiting) {
			t.Fatalf("seed %d, step %d: %d wait, nothing is on its way, and no timer runs", seed, i, l.waiting)
		}
	}
}
