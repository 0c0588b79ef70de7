package limits

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/result"
)

const (
	// mostSlow is the share of disturbed time from which on a sample is left out.
	mostSlow = 0.25
	// busyShare is how busy the generator may be before it is said that it was the limit.
	busyShare = 0.9
	// wideSpread is from which spread on the range is told.
	wideSpread = 0.5
)

// Summarize makes one floor of the samples of one way: the medians. Samples whose appends
// met memory that the host had not backed are left out, unless that is all of them.
func Summarize(samples []Sample) result.Floor {
	s := samples[0].Spec
	kept := slices.DeleteFunc(slices.Clone(samples), func(x Sample) bool { return x.SlowShare > mostSlow })
	disturbed := len(samples) - len(kept)
	var notes []string
	switch {
	case len(kept) == 0:
		kept = samples
		notes = append(notes, "all samples met memory that the host had not backed")
	case disturbed > 0:
		notes = append(notes, fmt.Sprintf("%d samples left out that met memory that the host had not backed", disturbed))
	}
	f := result.Floor{
		Name: WayName(s.Name(), s.Way), Kind: s.Kind, Title: title(s), Congestion: s.Congestion,
		UnitBytes: int64(s.unitBytes()), Connections: s.Connections, Depth: s.Depth, Samples: len(kept),
		UnitsPerS: median(kept, func(x Sample) float64 { return x.UnitsPerS }),
	}
	figure := func(x Sample) float64 { return x.UnitsPerS }
	if s.Kind != FdatasyncLoaded { // its process also writes the load
		figure = func(x Sample) float64 { return x.CPUUs }
		f.CPUPerUnitUs = median(kept, figure)
		f.CPUPerGB = f.CPUPerUnitUs / float64(s.unitBytes()) * 1e3
	}
	f.Spread = spread(kept, figure)
	if v := sorted(kept, figure); f.Spread > wideSpread && f.CPUPerUnitUs > 0 {
		// Two processes that wake each other cost twice as much on two processors as on one,
		// and the scheduler decides anew each time: there are two modes, not one with noise.
		notes = append(notes, fmt.Sprintf("%s to %s us", figureText(v[0]), figureText(v[len(v)-1])))
	}
	f.MBPerS = f.UnitsPerS * float64(s.unitBytes()) / 1e6
	all := hist.New()
	for _, x := range kept {
		if x.Latency != nil {
			all.Merge(x.Latency)
		}
	}
	f.Latency = all.Latency()
	if busy := median(kept, func(x Sample) float64 { return x.Busy }); busy > busyShare {
		notes = append(notes, fmt.Sprintf("generator busy %.0f %%", 100*busy))
	}
	f.Note = joinNotes(notes...)
	return f
}

func joinNotes(notes ...string) string {
	return strings.Join(slices.DeleteFunc(notes, func(n string) bool { return n == "" }), "; ")
}

func sorted(samples []Sample, of func(Sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values
}

func median(samples []Sample, of func(Sample) float64) float64 {
	v := sorted(samples, of)
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

// spread is (highest-lowest)/median.
func spread(samples []Sample, of func(Sample) float64) float64 {
	m := median(samples, of)
	if m == 0 {
		return 0
	}
	v := sorted(samples, of)
	return (v[len(v)-1] - v[0]) / m
}

// title says in words what is measured.
func title(s Spec) string {
	size := SizeName(s.SizeBytes)
	switch s.Kind {
	case Append:
		return "receive a batch of " + size + ", check its CRC, append it to a fresh segment, answer"
	case AppendOneWay:
		return "receive a batch of " + size + ", check its CRC, append it to a fresh segment"
	case Sendfile:
		return "answer with a header and " + size + " of the page cache by sendfile"
	case Writev:
		return "answer with a header and " + size + " of a mapping by writev"
	case Reply:
		return "answer with a header and " + size + " of the page cache in one buffer"
	case Echo:
		return "answer " + size + " with the same"
	case GroupCommit:
		return "receive a batch of " + size + ", check its CRC, append it, answer after a sync that all share"
	case Fdatasync:
		return "fdatasync after each write of " + size
	case FdatasyncLoaded:
		return fmt.Sprintf("fdatasync after each write of %s beside a stream of %.0f MB/s", size, LoadBytesPerS/1e6)
	case DiskWrite:
		return "write " + size + " past the page cache"
	case DiskRead:
		return "read " + size + " past the page cache"
	}
	return s.Kind
}

// ownAndReno returns the congestion controls to compare: the system's own and reno, which
// is cheap on a loopback and always there.
func ownAndReno() []string {
	const reno = "reno"
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	own := strings.TrimSpace(string(text))
	if err != nil || own == "" || own == reno {
		return []string{reno}
	}
	return []string{own, reno}
}
