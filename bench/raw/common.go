package raw

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/bench/wire"
)

// check fills in defaults and refuses what makes no sense.
func (c *Common) check() error {
	switch {
	case len(c.Partitions) == 0:
		return &SpecError{"the list of partitions", "empty", "at least one"}
	case c.Connections < 0:
		return &SpecError{"connections", fmt.Sprint(c.Connections), "1 or more"}
	case c.Records < 0:
		return &SpecError{"records", fmt.Sprint(c.Records), "0 (no limit) or more"}
	case c.Duration < 0 || c.Warmup < 0:
		return &SpecError{"duration", fmt.Sprintf("%v after %v", c.Duration, c.Warmup), "0 (no limit) or more"}
	}
	c.Connections = max(c.Connections, 1)
	c.Depth = max(c.Depth, 1)
	c.Threads = min(max(c.Threads, 1), c.Connections)
	if c.ReplyTimeout <= 0 {
		c.ReplyTimeout = wire.DefaultReplyTimeout
	}
	return nil
}

// load is what wire needs to know of c.
func (c *Common) load(seats []seat) wire.Load {
	l := wire.Load{
		AddressOf:   func(conn int) string { return seats[conn].group.address },
		Connections: c.Connections, Depth: c.Depth, Threads: c.Threads, Congestion: c.Congestion,
		Warmup: c.Warmup, Duration: c.Duration, Interval: c.Interval, ReplyTimeout: c.ReplyTimeout,
	}
	if c.Touched != nil {
		l.Warmed, l.WarmupLimit = c.Touched.Done(), c.WarmupLimit
	}
	return l
}

// touching says whether some partition was not written to yet.
func (c *Common) touching() bool { return c.Touched != nil && c.Touched.Left() > 0 }

// slack is how much longer than a request may take a reply is waited for.
const slack = 10 * time.Second
