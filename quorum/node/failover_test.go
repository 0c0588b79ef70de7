package node

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// From the death of the leader to the first write that the next one commits, on synctest's
// time, which only timers take.
func TestFailoverTime(t *testing.T) {
	for tick, limit := range map[time.Duration]time.Duration{600 * time.Millisecond: time.Second, 2 * time.Second: 3 * time.Second} {
		t.Run(tick.String(), func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, c *cluster) {
				c.tick = tick
				c.startAll()
				c.serving()
				var took []time.Duration
				for round := range 11 {
					old := c.leader()
					f := c.follower()
					c.sinks[f].make(t, fmt.Sprintf("/before%d", round))
					began := time.Now()
					c.net.Kill(host(old))
					done := make(chan struct{})
					go func() {
						defer close(done)
						_ = c.nodes[old].Close()
					}()
					c.sinks[f].make(t, fmt.Sprintf("/after%d", round))
					took = append(took, time.Since(began))
					<-done
					delete(c.nodes, old)
					delete(c.sinks, old)
					c.start(old)
					c.serving()
				}
				slices.Sort(took)
				if median := took[len(took)/2]; median > limit {
					t.Errorf("median %v of %v", median, took)
				}
				t.Logf("tick %v: %v", tick, took)
			})
		})
	}
}

// A leader that dies while writes come from all servers loses none that was answered.
func TestNoAnsweredWriteIsLost(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		answered := 0
		for round := range 6 {
			c.serving()
			leader := c.leader()
			r := c.sinks[c.follower()]
			lost := r.losses()
			first := r.req + 1
			for i := range 100 {
				_ = r.handle.Submit(withReq(r, createTxn(fmt.Sprintf("/r%d-%d", round, i))))
			}
			done := func() (count int) {
				for req := range r.results {
					if req >= first {
						count++
					}
				}
				return count
			}
			r.until(t, func() bool { return r.lost != lost || done() >= 1+15*round })
			c.kill(leader)
			r.until(t, func() bool { return r.lost != lost || done() == 100 })
			r.serving(t, true)
			c.leader()
			results := r.outcomes() // it may be told of more
			for req := first; req <= r.req; req++ {
				if _, ok := results[req]; !ok {
					continue
				}
				answered++
				if path := fmt.Sprintf("/r%d-%d", round, req-first); !c.exists(path) {
					t.Errorf("%s was answered and is gone", path)
				}
			}
			c.start(leader)
			c.serving()
			c.agree()
		}
		t.Logf("%d writes were answered", answered)
	})
}
