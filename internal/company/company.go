// Package company decides whether what many share, a sync or a message, goes for those who are
// there or waits for others. It is pure; who calls it brings the clock and the lock. Any package
// may.
package company

// Company tells when those who wait go. Clients that wait for their answers before they write
// again write again soon after they had them, all of them at about one time: so what waits
// waits until most of those who were about are there, and for a bounded time. Where they do
// not come back, nobody goes on waiting for them. The zero value waits for nobody.
type Company struct {
	about  int  // who were about when some were answered last: those, and all others
	over   bool // what waits has waited long enough
	misses int  // times that it waited in vain, in a row
	doubt  int  // answers after which it does not wait, because of the misses
}

const (
	// Min is how many must have been about for anybody to wait. Fewer have little to gain.
	Min = 8
	// MaxMisses bounds the doubt: one time in 2^MaxMisses it waits, to see whether things have changed.
	MaxMisses = 7
)

// About is how many were about.
func (c *Company) About() int { return c.about }

// Waits tells whether it waits for those who were about before.
func (c *Company) Waits() bool { return c.doubt == 0 && c.about >= Min }

// met tells whether most are there: the last ones may be slow.
func (c *Company) met(present int) bool { return present >= c.about-c.about/8 }

// Enough tells whether what waits may go when so many are present.
func (c *Company) Enough(present int) bool { return c.over || !c.Waits() || c.met(present) }

// Went notes that what waited goes while so many are present.
func (c *Company) Went(present int) {
	if c.Waits() && c.met(present) {
		c.misses = 0
	}
	c.over = false
}

// Answered notes that some of so many that were about have been answered.
func (c *Company) Answered(about int) {
	c.about, c.over = about, false
	c.doubt = max(0, c.doubt-1)
}

// Late notes that the time is over in which so many have waited.
func (c *Company) Late(waiting int) {
	if !c.Waits() {
		return
	}
	c.over = true
	if waiting > 0 {
		c.misses = min(c.misses+1, MaxMisses)
		c.doubt = 1<<c.misses - 1
	}
}
