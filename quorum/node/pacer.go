package node

import (
	"time"

	"github.com/millrace/millrace/internal/company"
)

// pacer decides when the next entry may go. It is pure. Each entry costs every server a message
// and a sync, so that few large ones are cheaper than many small ones.
//
// Clients that wait for their answers form groups, one for each entry on its way, and groups stay
// apart: when those of one come back, they find the other's entry on its way. So the next entry
// waits for company: those who were in the last one, or waited meanwhile.
type pacer struct {
	entries int // on their way
	onWay   int // transactions in them
	company company.Company
}

// entryPatience is how long an entry waits for those who wrote before: about what it takes them
// to hear of the last entry through a follower and to write again.
const entryPatience = 1500 * time.Microsecond

// mayGo tells whether an entry of the first count of waiting transactions may go. A full one
// does. A lone writer finds nothing on its way and nobody to wait for.
func (p *pacer) mayGo(count, waiting int) bool {
	switch {
	case count == 0 || p.entries >= maxInFlight:
		return false
	case count < waiting: // no room for company
		return true
	case !p.company.Waits():
		// One that would be small next to those before it waits for more, or for their arrival.
		return p.entries == 0 || count >= p.onWay
	}
	return p.entries == 0 && p.company.Enough(waiting)
}

// went notes that an entry of count transactions goes.
func (p *pacer) went(count, waiting int) {
	if p.entries == 0 {
		p.company.Went(waiting)
	}
	p.entries++
	p.onWay += count
}

// returned notes that an entry of count transactions is applied or lost, while others wait. It
// tells whether to call late when entryPatience is over.
func (p *pacer) returned(count, waiting int) bool {
	p.entries--
	p.onWay -= count
	p.company.Answered(count + p.onWay + waiting)
	return p.entries == 0 && p.company.Waits()
}

// late notes that so many have waited for entryPatience.
func (p *pacer) late(waiting int) {
	if p.entries == 0 {
		p.company.Late(waiting)
	}
}
