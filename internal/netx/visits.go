package netx

// Visits is what a connection goes by when it decides to stay in a lane: after some swift requests
// in a row, which are those that a lane would have served. Going and coming costs as much as some
// dozens of requests, so a stay that was short doubles the number that it takes for the next. It
// belongs to whoever reads.
type Visits struct {
	run    int // swift requests in a row, before a stay
	wanted int // how many it takes; 0: as many as the owner says
	served int // in this stay
}

const (
	// SwiftRun is how many swift requests in a row it takes at first.
	SwiftRun = 32
	// ShortStay is the number of requests below which a stay was not worth it.
	ShortStay = 1 << 10

	maxSwiftRun = 1 << 14
)

// Count notes a request that was served outside.
func (v *Visits) Count(swift bool) {
	v.run++
	if !swift {
		v.run = 0
	}
}

// Due tells whether it is time for a stay, if it takes first requests at first.
func (v *Visits) Due(first int) bool { return v.run >= max(v.wanted, first) }

// Serve notes a request that was served in the lane.
func (v *Visits) Serve() { v.served++ }

// Over ends a stay.
func (v *Visits) Over(first int) {
	wanted := first
	if v.served < ShortStay {
		wanted = min(2*max(v.wanted, first), maxSwiftRun)
	}
	*v = Visits{wanted: wanted}
}
