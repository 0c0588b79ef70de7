package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
)

// TestHeraldsTellWhoWaits: the follower whose write it is hears of it at once, the other one
// only when no entry brought it the news in time.
func TestHeraldsTellWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &heralds{n: &Node{clock: clock.Real{}}, peers: map[raft.ServerID]*herald{}, origins: map[uint64]raft.ServerID{}}
		for _, id := range []raft.ServerID{"2", "3"} {
			h.peers[id] = &herald{h: h, to: id, wake: make(chan struct{}, 1), last: 10}
		}
		p2, p3 := h.peers["2"], h.peers["3"]
		expect := func(what string, two, three int) {
			t.Helper()
			synctest.Wait()
			h.mu.Lock()
			defer h.mu.Unlock()
			if len(p2.wake) != two || len(p3.wake) != three {
				t.Fatalf("%s: %d and %d told, want %d and %d", what, len(p2.wake), len(p3.wake), two, three)
			}
			for _, p := range h.peers {
				select {
				case <-p.wake:
					p.known = h.at.index // it was told
				default:
				}
			}
		}
		h.originOf(77, "2")
		h.committed(appliedAt{5, 1}, []uint64{1, 77})
		expect("a write of server 2", 1, 0)
		time.Sleep(heraldDelay)
		expect("the time is over", 0, 1)

		h.committed(appliedAt{6, 1}, []uint64{1})
		time.Sleep(heraldDelay / 2)
		h.mu.Lock()
		p2.known, p3.known = 6, 6 // entry 7 brought it
		h.mu.Unlock()
		h.committed(appliedAt{7, 1}, []uint64{1})
		time.Sleep(heraldDelay / 2)
		expect("entry 7 is new", 0, 0)
		time.Sleep(heraldDelay)
		expect("entry 7 is old", 1, 1)

		h.committed(appliedAt{12, 1}, []uint64{77})
		time.Sleep(10 * heraldDelay)
		expect("they do not hold it yet", 0, 0)
		h.mu.Lock()
		p2.last, p3.last = 12, 12
		h.tell(p2)
		h.mu.Unlock()
		expect("server 2 holds it now", 1, 0)
	})
}
