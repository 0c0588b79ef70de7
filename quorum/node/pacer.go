package node

import "time"

// pacer decides when the next entry may go. It is pure. Each entry costs every server a message
// and a sync, so that few large ones are cheaper than many small ones.
//
// Clients that wait for their answers before they write again form groups, one for each entry
// on its way, and groups stay apart: those of one find the other's entry on its way when they come
// back. So the pacer remembers how many were about when the last entry came back (those in it,
// and those that waited meanwhile), and has the next one wait until most of them are there
// again, for companyPatience at most. Where they do not come back, it does not go on waiting for them.
type pacer struct {
	entries int // on their way
	onWay   int // transactions in them

	about  int  // transactions that were about when the last entry came back
	over   bool // the next entry has waited long enough
	misses int  // times that it waited in vain, in a row
	doubt  int  // entries that go without waiting, because of the misses
}

const (
	// companyPatience is how long an entry waits for those who wrote before: about what it takes them
	// to hear of the last entry through a follower and to write again.
	companyPatience = 1500 * time.Microsecond
	// minCompany is how many must have been about. Fewer have little to gain.
	minCompany = 8
	// maxMisses bounds the doubt: one entry of 2^maxMisses waits, to see whether things have changed.
	maxMisses = 7
)

// mayGo tells whether an entry of the first count of waiting transactions may go. A full one
// does. A lone writer finds nothing on its way and nobody to wait for.
func (p *pacer) mayGo(count, waiting int) bool {
	switch {
	case count == 0 || p.entries >= maxInFlight:
		return false
	case count < waiting: // no room for company
		return true
	case !p.waits():
		// One that would be small next to those before it waits for company or for their arrival.
		return p.entries == 0 || count >= p.onWay
	}
	return p.entries == 0 && (p.over || waiting >= p.company())
}

// waits tells whether entries wait for those who wrote before.
func (p *pacer) waits() bool { return p.doubt == 0 && p.about >= minCompany }

// company is how many an entry waits for: not for the last ones, who may be slow.
func (p *pacer) company() int { return p.about - p.about/8 }

// went notes that an entry of count transactions goes.
func (p *pacer) went(count, waiting int) {
	if p.waits() && p.entries == 0 && waiting >= p.company() {
		p.misses = 0
	}
	p.entries++
	p.onWay += count
	p.over = false
}

// returned notes that an entry of count transactions is applied or lost, while others wait. It
// tells whether to call late when patience is over.
func (p *pacer) returned(count, waiting int) bool {
	p.entries--
	p.onWay -= count
	p.about = count + p.onWay + waiting
	p.doubt = max(0, p.doubt-1)
	p.over = false
	return p.entries == 0 && p.waits()
}

// late notes that patience is over.
func (p *pacer) late(waiting int) {
	if p.entries > 0 || !p.waits() {
		return
	}
	p.over = true
	if waiting > 0 {
		p.misses = min(p.misses+1, maxMisses)
		p.doubt = 1<<p.misses - 1
	}
}
