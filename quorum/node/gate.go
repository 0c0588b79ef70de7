package node

import (
	"time"

	"github.com/millrace/millrace/internal/seededbug"
)

// gate decides whether this server may serve clients. It is pure: whoever calls it says what
// time it is.
//
// A leader serves while it leads. A follower serves while it hears from a leader at least once
// in limit and applies what the leader told of within limit; it begins when it has applied what
// the leader had committed when they met. A leader that lost its office is a follower whose
// leader fell silent just then.
type gate struct {
	limit   time.Duration
	leading bool
	synced  bool      // has caught up with a leader once since the gate was shut
	heard   time.Time // the last word of a leader
	applied uint64
	// marks are the commit indexes that a leader told of and that are not applied here, oldest
	// first, with the time at which they were told.
	marks []mark
}

type mark struct {
	index uint64
	at    time.Time
}

// maxMarks bounds the marks: later ones fold into the last.
const maxMarks = 64

func (g *gate) lead() {
	g.leading, g.synced, g.marks = true, true, nil
}

func (g *gate) resign(now time.Time) {
	if g.leading {
		g.leading, g.heard = false, now
	}
}

// announced notes the leader's word that everything up to index is committed.
func (g *gate) announced(index uint64, now time.Time) {
	g.heard = now
	if index <= g.applied {
		g.synced = true
		return
	}
	if n := len(g.marks); n > 0 && (g.marks[n-1].index >= index || n == maxMarks) {
		if n == maxMarks {
			g.marks[n-1].index = max(g.marks[n-1].index, index)
		}
		return
	}
	g.marks = append(g.marks, mark{index, now})
}

// advance notes that everything up to index is applied here, and tells whether that may have
// changed what serves says.
func (g *gate) advance(index uint64) bool {
	g.applied = max(g.applied, index)
	if len(g.marks) == 0 || g.marks[0].index > index {
		return false
	}
	done := 0
	for done < len(g.marks) && g.marks[done].index <= index {
		done++
	}
	g.marks = append(g.marks[:0], g.marks[done:]...)
	was := g.synced
	g.synced = true
	return !was
}

// serves tells whether clients may be served now. A follower that fell silent or behind has to
// catch up from the beginning.
func (g *gate) serves(now time.Time) bool {
	if g.leading || g.synced && seededbug.On(seededbug.ServesWithoutQuorum) {
		return true
	}
	if g.synced && (now.Sub(g.heard) >= g.limit || len(g.marks) > 0 && now.Sub(g.marks[0].at) >= g.limit) {
		g.synced, g.marks = false, nil
	}
	return g.synced
}

// next is how long the answer of serves holds if nothing happens; 0: for ever.
func (g *gate) next(now time.Time) time.Duration {
	if g.leading || !g.synced {
		return 0
	}
	left := g.limit - now.Sub(g.heard)
	if len(g.marks) > 0 {
		left = min(left, g.limit-now.Sub(g.marks[0].at))
	}
	return max(left, time.Millisecond)
}
