// Package observe says what a process spends while it is measured: CPU time, memory, system
// calls, context switches, and, from the admin port of a Go server, allocations and garbage
// collection. Any local process can be watched, whatever it is written in; what is missing
// (a server on another machine, no admin port, no permission) leaves fields empty, and only
// a missing CPU clock is an error.
//
// All of it reads counters that the kernel keeps anyway. The one thing that costs the watched
// process anything is the count of system calls by tracepoint, which is therefore asked for
// (Options.Trace), and the scrape of its admin port, which stands outside the CPU time of a
// Cost: a Sample reads the CPU clock on both sides of it.
//
// The drivers of bench open a Watcher on the broker and one on themselves (Self), take a
// Sample when the steady phase begins and one when it ends, and put Cost into a result.Run.
package observe

import "time"

// Options say which process to watch.
type Options struct {
	PID     int    // 0: the process that listens on Address
	Address string // HOST:PORT of the server; may be empty when PID is given
	Admin   string // HOST:PORT of its admin port (Millrace's admin.listener); empty: none

	// Trace counts every system call by the kernel's raw_syscalls tracepoint, if permitted.
	// While it counts, the system calls of all processes take about 0.2 us longer: leave it
	// off where CPU time is compared with a floor that was taken without.
	Trace bool
}

// Units are what a steady phase did, to divide its cost by. Zero: unknown.
type Units struct {
	Records, Requests, Bytes int64
	Seconds                  float64
}

// Sample is one reading of a process's counters. Counters run since its start, and only the
// difference of two Samples of one Watcher means anything.
type Sample struct {
	Began, Ended       time.Time     // before and after the reading
	CPUBegan, CPUEnded time.Duration // its CPU clock at these moments
	RSSAnon, RSSFile   int64         // bytes now
	Syscalls           int64         // -1: unknown
	Switches           int64         // context switches of all its threads that still live; -1: unknown
	Mallocs            float64       // -1: unknown
	GC                 time.Duration // CPU time of garbage collection, as of its last cycle; -1: unknown
}
