// Package flame takes profiles of a Go server through its admin port and draws them as flame
// graphs: one SVG file that opens alone and offline, with zoom, search and tooltips, and that
// is readable without scripts too.
//
// No well-kept Go library draws such a file (go-torch is archived, and pprof draws flame graphs
// only in its web server), so profiles are read by google/pprof's package profile and drawn
// here: a tree of frames (tree.go), nested svg elements placed in percent, so that the browser
// fits them to its window (draw.go), and a small script for the rest (flame.js).
//
// The commands of bench call AddFlags for --flame, --profile, --profile-out and --admin, and
// their drivers Flags.Take while the steady phase runs.
package flame

// Kind is a profile that can be taken.
type Kind string

// The kinds. Times are of the steady phase; Heap is what lives at its end.
const (
	CPU    Kind = "cpu"    // CPU time, sampled 100 times a second
	Heap   Kind = "heap"   // memory in use
	Allocs Kind = "allocs" // allocations, by number; sampled once in 512 KiB
	Mutex  Kind = "mutex"  // time that others waited for a lock, at its Unlock
	Block  Kind = "block"  // time spent waiting for locks, channels and conditions
	Wall   Kind = "wall"   // all goroutines, running or not, 99 times a second
	OffCPU Kind = "offcpu" // of those, the ones that waited
)

// Kinds lists all kinds.
func Kinds() []Kind { return []Kind{CPU, Heap, Allocs, Mutex, Block, Wall, OffCPU} }

func (k Kind) known() bool {
	for _, o := range Kinds() {
		if k == o {
			return true
		}
	}
	return false
}

// title is the heading of a drawing.
func (k Kind) title() string {
	switch k {
	case CPU:
		return "CPU time"
	case Heap:
		return "Memory in use"
	case Allocs:
		return "Allocations"
	case Mutex:
		return "Lock contention"
	case Block:
		return "Blocking"
	case Wall:
		return "Wall-clock time of all goroutines"
	case OffCPU:
		return "Time off CPU of all goroutines"
	default:
		return "Profile"
	}
}

// value is the type of sample that shows a kind; the profile's own default otherwise.
func (k Kind) value() string {
	switch k {
	case CPU:
		return "cpu"
	case Heap:
		return "inuse_space"
	case Allocs:
		return "alloc_objects"
	case Mutex, Block:
		return "delay"
	case Wall, OffCPU:
		return "time"
	default:
		return ""
	}
}
