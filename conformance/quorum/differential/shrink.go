package differential

import "slices"

// shrink takes steps away from a script as long as a difference is left, and returns the
// shortest script that it found with its difference. differs runs a script anew.
func shrink(s Script, first *Difference, differs func(Script) *Difference) (Script, *Difference) {
	best, diff := s, first
	cutTo := func(s Script, d *Difference) Script {
		return Script{Clients: s.Clients, Steps: s.Steps[:min(len(s.Steps), d.Step+1)]}
	}
	best = cutTo(best, diff)
	for size := max(1, len(best.Steps)/2); size >= 1; size /= 2 {
		for at := 0; at+size <= len(best.Steps); {
			shorter := Script{Clients: best.Clients, Steps: slices.Delete(slices.Clone(best.Steps), at, at+size)}
			if d := differs(shorter); d != nil {
				best, diff = cutTo(shorter, d), d
			} else {
				at += size
			}
		}
	}
	return best, diff
}
