package raw

import "sync"

// chain is the fetch positions of one partition's log from its start to its end: which
// offset follows which when requests have the same limits. It is learned from replies
// whose batches were walked; with it a replay needs only the heads of replies, and may have
// several requests under way. It is shared by all connections that read the partition.
type chain struct {
	mu    sync.Mutex
	start int64
	steps []step
	ended bool // the last step is the last before the log's end
}

// step is one fetch: where, what came, where the next one goes.
type step struct {
	offset, next int64
	records      int64
	setBytes     int32 // size of the record set
}

// at returns step *i. known is false when it was not fetched yet: then only its offset is
// there. An i beyond what can be said, because some of it was forgotten, is moved back.
func (c *chain) at(i *int) (s step, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*i = min(*i, len(c.steps))
	switch {
	case *i < len(c.steps):
		return c.steps[*i], true
	case *i == 0:
		return step{offset: c.start}, false
	}
	return step{offset: c.steps[*i-1].next}, false
}

// known returns step i when it was fetched.
func (c *chain) known(i int) (step, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i < len(c.steps) {
		return c.steps[i], true
	}
	return step{}, false
}

// end says whether i is behind the last step of the log.
func (c *chain) end(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended && i >= len(c.steps)
}

// learn notes what step i was. What was known from there on and does not follow is
// forgotten.
func (c *chain) learn(i int, s step, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case i > len(c.steps):
		return
	case i == len(c.steps):
		c.steps = append(c.steps, s)
	default:
		follows := c.steps[i].next == s.next
		c.steps[i] = s
		if follows {
			return
		}
		c.steps = c.steps[:i+1]
		c.ended = false
	}
	c.ended = last
}

// close notes that there is nothing at step i.
func (c *chain) close(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i == len(c.steps) {
		c.ended = true
	}
}
