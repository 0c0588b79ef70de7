package wire

import "time"

// warmUp is what a warm-up waits for: first its time, then whether the load has done what it
// had to do before it counts. The zero value waits for nothing.
type warmUp struct {
	clock, limit <-chan time.Time
	warmed       <-chan struct{}
}

func startWarmUp(l *Load) warmUp { return warmUp{clock: time.After(l.Warmup)} }

// clockOver says whether the warm-up ends with its time.
func (w *warmUp) clockOver(l *Load) bool {
	if l.Warmed == nil {
		return true
	}
	w.clock, w.warmed = nil, l.Warmed
	if l.WarmupLimit > 0 {
		w.limit = time.After(l.WarmupLimit - l.Warmup)
	}
	return false
}
