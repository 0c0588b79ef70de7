package crew

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestFewDoWhatManyAsk: at most so many at a time, everything once, and nobody is left behind.
func TestFewDoWhatManyAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, all = 3, 100
		var running, highest atomic.Int64
		var mu sync.Mutex
		done := map[int]int{}
		gate := make(chan struct{})
		c := New(most, func(v int) {
			highest.Store(max(highest.Load(), running.Add(1)))
			<-gate
			mu.Lock()
			done[v]++
			mu.Unlock()
			running.Add(-1)
		})
		for v := range all {
			c.Add(v)
		}
		synctest.Wait()
		if n := running.Load(); n != most {
			t.Errorf("%d run, want %d", n, most)
		}
		close(gate)
		synctest.Wait()
		if n := highest.Load(); n > most {
			t.Errorf("%d ran at a time, want at most %d", n, most)
		}
		for v := range all {
			if done[v] != 1 {
				t.Errorf("%d was done %d times", v, done[v])
			}
		}
		if c.running != 0 || len(c.queue) != 0 {
			t.Errorf("%d run on, %d wait", c.running, len(c.queue))
		}
	})
}

// TestOneDoesAllInOrder, what comes meanwhile too.
func TestOneDoesAllInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []int
		var c *Crew[int]
		c = New(1, func(v int) {
			got = append(got, v)
			if v < 5 {
				c.Add(v + 10)
			}
		})
		for v := range 5 {
			c.Add(v)
		}
		synctest.Wait()
		if len(got) != 10 || got[0] != 0 {
			t.Errorf("done %v", got)
		}
	})
}
