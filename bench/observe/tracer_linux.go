package observe

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tracer counts all system calls of a process by the raw_syscalls:sys_enter tracepoint: one
// counting event per thread, inherited by the threads that it starts. The kernel adds to the
// counts; nothing is sampled and nothing is written anywhere.
type tracer struct {
	fds []int
}

// tracepoints is where the kernel lists its tracepoints, if it is mounted at all.
func tracepoints() []string {
	return []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}
}

// newTracer returns nil when the kernel does not permit it: the caller then counts otherwise.
func newTracer(pid int) *tracer {
	id, ok := tracepoint("raw_syscalls/sys_enter")
	if !ok {
		return nil
	}
	t := &tracer{}
	threads, err := tids(pid)
	if err != nil {
		return nil
	}
	// One look: a thread that an opened one starts meanwhile is inherited, and a second look
	// would count it twice. Only what a thread further down the list starts is missed.
	for _, tid := range threads {
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Bits: unix.PerfBitInherit}
		attr.Size = uint32(unsafe.Sizeof(attr))
		fd, err := unix.PerfEventOpen(&attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if errors.Is(err, unix.ESRCH) {
			continue // the thread ended
		}
		if err != nil {
			t.close()
			return nil
		}
		t.fds = append(t.fds, fd)
	}
	if len(t.fds) == 0 {
		return nil
	}
	return t
}

func tracepoint(name string) (id uint64, ok bool) {
	for _, dir := range tracepoints() {
		b, err := os.ReadFile(dir + "/events/" + name + "/id")
		if err != nil {
			continue
		}
		if id, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil {
			return id, true
		}
	}
	return 0, false
}

// count is the sum over all threads.
func (t *tracer) count() (int64, error) {
	var sum uint64
	var buf [8]byte
	for _, fd := range t.fds {
		if n, err := unix.Read(fd, buf[:]); err != nil || n != len(buf) {
			return 0, err
		}
		sum += binary.NativeEndian.Uint64(buf[:])
	}
	return int64(sum), nil
}

func (t *tracer) close() {
	for _, fd := range t.fds {
		_ = unix.Close(fd) // a counter has nothing to lose
	}
	t.fds = nil
}
