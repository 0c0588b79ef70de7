// Package limits measures the floor of a machine: what bare system calls cost for the work
// that a broker does, in the same units and the same process layout as a broker under load.
//
// A server runs in a process of its own (this program started again, ServerCommand), so that
// its CPU time is nobody else's. It uses the cheapest system calls that we know and none of
// the packages of the broker. The load comes from bench/wire, the generator that also drives
// brokers, with requests and replies of the sizes that Kafka's have: a produce request is a
// batch with a header of about 60 bytes, its reply has about 50 bytes; a fetch reply has a
// header of 64 bytes in front of the records.
//
// Floor and Spec name what is measured, Way how: there are several ways to do the same work
// (pwrite or a mapping, one epoll loop or a goroutine per connection), all of them are
// measured, and the cheapest is the floor. Samples of all of them are taken in turns, so that
// a change of the machine's mood meets all alike; a figure is the median of its samples.
//
// Callers: `millrace bench limits` (Command), and bench/suite, which takes single samples
// (MeasureOne) between its runs of a broker.
package limits

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The kinds of work. Size is the batch for those that append, the body of the reply for
// those that fetch, the request for the echo, the bytes before each sync for fdatasync.
const (
	// Append receives a batch, checks its CRC, appends it to a fresh segment, and answers.
	Append = "append"
	// AppendOneWay is Append without answers, as for acks=0.
	AppendOneWay = "append-oneway"
	// Sendfile answers a small request with a header and Size bytes of a file by sendfile.
	Sendfile = "sendfile"
	// Writev is the same by writev from a mapping of the file.
	Writev = "writev"
	// Reply answers with a header and Size bytes of a file copied into one buffer.
	Reply = "reply"
	// Echo answers a request with the same bytes.
	Echo = "echo"
	// GroupCommit is Append, answered after an fdatasync that all waiting requests share.
	GroupCommit = "group-commit"
	// Fdatasync appends Size bytes and syncs them, one after the other.
	Fdatasync = "fdatasync"
	// FdatasyncLoaded is Fdatasync while another thread writes LoadBytesPerS elsewhere.
	FdatasyncLoaded = "fdatasync-loaded"
	// DiskWrite writes past the page cache, Size bytes at a time.
	DiskWrite = "disk-write"
	// DiskRead reads past the page cache, Size bytes at a time.
	DiskRead = "disk-read"
)

// Kinds returns all kinds in the order in which they are reported.
func Kinds() []string {
	return []string{Append, AppendOneWay, Sendfile, Writev, Reply, Echo, GroupCommit, Fdatasync, FdatasyncLoaded, DiskWrite, DiskRead}
}

// LoadBytesPerS is what the other thread writes during FdatasyncLoaded.
const LoadBytesPerS = 100e6

// Spec is one floor to be measured.
type Spec struct {
	Kind        string
	SizeBytes   int
	Connections int    // 0 where no network takes part
	Depth       int    // requests in flight on each connection
	Congestion  string // TCP congestion control on both sides; "" is the system's own
	// Way is how the work is done, one of Ways; "" is the first of them.
	Way string
}

// Name returns the name of the floor, the same for all ways.
func (s Spec) Name() string {
	return Name(s.Kind, s.SizeBytes, s.Connections, s.Depth, s.Congestion)
}

// Name returns the name of a floor: "append 64KiB 1x5 reno". Connections 0 and an empty
// congestion control are left out.
func Name(kind string, sizeBytes, connections, depth int, congestion string) string {
	parts := []string{kind, SizeName(sizeBytes)}
	if connections > 0 {
		parts = append(parts, fmt.Sprintf("%dx%d", connections, depth))
	}
	if congestion != "" {
		parts = append(parts, congestion)
	}
	return strings.Join(parts, " ")
}

// WayName returns the name under which one way of doing the work of a floor is reported.
func WayName(floor, way string) string { return floor + " by " + way }

// SizeName writes a size as names have it: 200B, 1KiB, 64KiB, 1MiB.
func SizeName(bytes int) string {
	switch {
	case bytes >= 1<<20 && bytes%(1<<20) == 0:
		return strconv.Itoa(bytes>>20) + "MiB"
	case bytes >= 1<<10 && bytes%(1<<10) == 0:
		return strconv.Itoa(bytes>>10) + "KiB"
	}
	return strconv.Itoa(bytes) + "B"
}

// Options are how to measure. The zero value measures everything with its defaults.
type Options struct {
	Dir        string        // where segments are written; "" is the directory for temporary files
	Kinds      []string      // nil: all
	Sizes      []int         // bytes, for the kinds that append or fetch; nil: those of Matrix
	Samples    int           // of each way; 0: 5
	SampleTime time.Duration // of each sample's steady phase; 0: one second
	Congestion []string      // nil: the system's own and reno
	// Connections and Depth replace those of Matrix for the kinds that use the network.
	Connections, Depth int
	// HoldBytes of memory are written to and held between samples, see Memory. 0: a sixth of
	// what is available, at most 1536 MiB. Negative: none.
	HoldBytes int64
	Progress  func(Progress)
	// Server is the command that starts a server, for programs that are not millrace (tests).
	// nil: this executable, "bench limits-server".
	Server []string
}

// Progress is told before each sample.
type Progress struct {
	Done, Total int
	Name        string // of the floor and way that is measured next
}

// UnknownError is a kind or a way that does not exist.
type UnknownError struct {
	What, Value string
	Known       []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s %q is unknown: use one of %s", e.What, e.Value, strings.Join(e.Known, ", "))
}

// ServerError is a failure that the server process reported.
type ServerError struct{ Floor, Text string }

func (e *ServerError) Error() string {
	return fmt.Sprintf("server for %q: %s", e.Floor, e.Text)
}

// SizeError is a size that a kind cannot have.
type SizeError struct {
	Kind                   string
	SizeBytes, LowestBytes int
}

func (e *SizeError) Error() string {
	text := fmt.Sprintf("%s of %d bytes cannot be measured: use %d to %d", e.Kind, e.SizeBytes, e.LowestBytes, maxSizeBytes)
	if !networked(e.Kind) {
		text += ", a multiple of 512"
	}
	return text
}

// ShapeError is a kind that uses the network without connections or requests on them.
type ShapeError struct{ Spec Spec }

func (e *ShapeError) Error() string {
	return fmt.Sprintf("%s with %d connections and %d requests in flight on each: both must be at least 1",
		e.Spec.Kind, e.Spec.Connections, e.Spec.Depth)
}

// UnsupportedError is a system on which nothing can be measured.
type UnsupportedError struct{ OS string }

func (e *UnsupportedError) Error() string {
	return "floors are bare system calls of Linux (epoll, sendfile, fallocate, fdatasync), which " + e.OS + " does not have: measure there"
}

const (
	// maxSizeBytes is the largest unit of work, so that a segment holds some of them.
	maxSizeBytes = 16 << 20
	// blockBytes is the unit of reads and writes past the page cache.
	blockBytes = 4096
)
