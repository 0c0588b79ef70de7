package observe

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// CPU is the user and system time of all threads of a process, of those that ended too, from
// its CPU clock (nanoseconds, where /proc/PID/stat has hundredths of a second). A thread that
// runs on without a break is behind by up to a tick (4 ms at HZ=250), so a measurement takes a
// second or more. Any process may be asked; a read costs 0.3 us. A process that is gone is a
// *ProcessError with unix.ESRCH.
func CPU(pid int) (time.Duration, error) {
	if pid <= 0 {
		return 0, &ProcessError{pid, "the CPU clock", unix.ESRCH}
	}
	// The clock of a process is named by its id: bits 0-1 are the kind (2: scheduler time),
	// bit 2 would mean a thread, and the rest is the id's complement.
	const schedulerTime = 2
	id := int32(^pid)<<3 | schedulerTime
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		if errors.Is(err, unix.EINVAL) { // what the kernel says of a clock without a process
			err = unix.ESRCH
		}
		return 0, &ProcessError{pid, "the CPU clock", err}
	}
	return time.Duration(ts.Nano()), nil
}

// memory is the resident memory of a process: anonymous (heap and stacks, and shared memory),
// and of files.
func memory(pid int) (anon, file int64, err error) {
	st, err := status(pid)
	return int64(st.RssAnon + st.RssShmem), int64(st.RssFile), err
}

func status(pid int) (procfs.ProcStatus, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStatus{}, &ProcessError{pid, "the status", err}
	}
	st, err := p.NewStatus()
	if err != nil {
		return st, &ProcessError{pid, "the status", err}
	}
	return st, nil
}

// switches counts the context switches of all threads of a process that live now.
func switches(pid int) (int64, error) {
	threads, err := procfs.AllThreads(pid)
	if err != nil {
		return 0, &ProcessError{pid, "the threads", err}
	}
	var n int64
	for _, t := range threads {
		st, err := t.NewStatus()
		if err != nil {
			continue // it ended in between
		}
		n += int64(st.VoluntaryCtxtSwitches + st.NonVoluntaryCtxtSwitches)
	}
	return n, nil
}

// readWriteCalls counts what the kernel accounts as reads and writes: read, write and their
// vectored and positioned forms, on sockets as on files; sendfile is one of each. Waiting
// (epoll, futex), syncs, send and recv do not count.
func readWriteCalls(pid int) (int64, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, &ProcessError{pid, "the counters of calls", err}
	}
	io, err := p.IO()
	if err != nil {
		return 0, &ProcessError{pid, "the counters of calls", err}
	}
	return int64(io.SyscR + io.SyscW), nil
}

// tids are the threads of a process.
func tids(pid int) ([]int, error) {
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	if err != nil {
		return nil, &ProcessError{pid, "the threads", err}
	}
	var ids []int
	for _, e := range entries {
		if id, err := strconv.Atoi(e.Name()); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
