package cleaner

import "cmp"

// Candidate is a log that might be cleaned. Between FirstDirty and Uncleanable lies what a
// cleaning would look at: sealed, below the last stable offset, and old enough.
type Candidate struct {
	FirstDirty  int64
	Uncleanable int64
	CleanBytes  int64 // of the segments below FirstDirty
	DirtyBytes  int64 // of those from there up to Uncleanable
	MinRatio    float64
	// OverdueMs is how long the oldest record of the dirty part has passed
	// max.compaction.lag.ms, 0 when it has not.
	OverdueMs int64
}

// Ratio is the part of the log that was not cleaned yet.
func (c *Candidate) Ratio() float64 {
	if c.CleanBytes+c.DirtyBytes == 0 {
		return 0
	}
	return float64(c.DirtyBytes) / float64(c.CleanBytes+c.DirtyBytes)
}

// Wanted tells whether a cleaning is due.
func (c *Candidate) Wanted() bool {
	return c.DirtyBytes > 0 && (c.OverdueMs > 0 || c.Ratio() > c.MinRatio)
}

// Pick returns the log to clean next, -1 for none: the dirtiest of those that are due.
func Pick(list []Candidate) int {
	best := -1
	for i := range list {
		if !list[i].Wanted() {
			continue
		}
		if best < 0 || cmp.Compare(list[i].Ratio(), list[best].Ratio()) > 0 {
			best = i
		}
	}
	return best
}

// Piece is a segment as far as grouping is concerned.
type Piece struct {
	Base, Next                          int64
	SizeBytes, IndexBytes, TimeIndBytes int64
}

// Limits bound a segment that is made of several.
type Limits struct {
	SegmentBytes, IndexBytes int64
	// Offsets is how far the last offset may lie behind the first one's.
	Offsets int64
}

// Group returns how many of the pieces, from the first on, become one segment: at least one,
// and together within the limits, so that segments which cleanings made small do not pile up
// (Kafka's Cleaner.groupSegmentsBySize).
func Group(pieces []Piece, l Limits) int {
	n, size, idx, tim := 1, pieces[0].SizeBytes, pieces[0].IndexBytes, pieces[0].TimeIndBytes
	for ; n < len(pieces); n++ {
		p := &pieces[n]
		size, idx, tim = size+p.SizeBytes, idx+p.IndexBytes, tim+p.TimeIndBytes
		if size > l.SegmentBytes || idx > l.IndexBytes || tim > l.IndexBytes || p.Next-1-pieces[0].Base > l.Offsets {
			break
		}
	}
	return n
}
