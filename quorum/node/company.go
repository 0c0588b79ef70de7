package node

// company decides whether what waits may go, or waits for more. It is pure. Clients that wait for
// their answers before they write again write again soon after they had them, all of them at about
// one time: so what waits waits until most of those who were about are there, and for a
// bounded time. Where they do not come back, nobody goes on waiting for them.
type company struct {
	about  int  // transactions that were about when some were answered last: those, and all others
	over   bool // what waits has waited long enough
	misses int  // times that it waited in vain, in a row
	doubt  int  // answers after which it does not wait, because of the misses
}

const (
	// minCompany is how many must have been about. Fewer have little to gain.
	minCompany = 8
	// maxMisses bounds the doubt: one time in 2^maxMisses it waits, to see whether things have changed.
	maxMisses = 7
)

// waits tells whether it waits for those who wrote before.
func (c *company) waits() bool { return c.doubt == 0 && c.about >= minCompany }

// met tells whether most are there: the last ones may be slow.
func (c *company) met(present int) bool { return present >= c.about-c.about/8 }

// enough tells whether what waits may go when so many are present.
func (c *company) enough(present int) bool { return c.over || !c.waits() || c.met(present) }

// went notes that what waited goes while so many are present.
func (c *company) went(present int) {
	if c.waits() && c.met(present) {
		c.misses = 0
	}
	c.over = false
}

// answered notes that some of so many that were about have been answered.
func (c *company) answered(about int) {
	c.about, c.over = about, false
	c.doubt = max(0, c.doubt-1)
}

// late notes that the time is over in which so many have waited.
func (c *company) late(waiting int) {
	if !c.waits() {
		return
	}
	c.over = true
	if waiting > 0 {
		c.misses = min(c.misses+1, maxMisses)
		c.doubt = 1<<c.misses - 1
	}
}
