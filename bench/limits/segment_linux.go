package limits

import (
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// populateBytes is how far ahead a mapping is faulted in at a time.
const populateBytes = 1 << 20

// segment is a fresh file of fixed size whose space is taken when it is made; a full one is
// closed and the next one made. One goroutine appends.
type segment struct {
	dir       string
	sizeBytes int64
	mapped    bool
	raw       bool              // see conn.raw
	sealed    func(path string) // a full file, closed; from another goroutine
	timing    *timing

	number    int64 // of the file, counted from 1
	path      string
	fd        int
	mem       []byte
	position  int64
	populated int64
	writes    int64
}

// timedWrites is of how many writes one is timed: reading a thread's clock is a system call.
const timedWrites = 16

// threadCPU returns the CPU time of this thread in nanoseconds. Unlike the wall clock it does
// not count the time of others; what the host does for us, it does count.
func threadCPU() int64 {
	var ts unix.Timespec
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

// append writes b at the end.
func (s *segment) append(b []byte) error {
	end := s.position + int64(len(b))
	if end > s.sizeBytes {
		if err := s.roll(); err != nil {
			return err
		}
		end = int64(len(b))
	}
	if !s.mapped {
		return s.pwrite(b)
	}
	if end > s.populated {
		if err := s.populate(end); err != nil {
			return err
		}
	}
	copy(s.mem[s.position:], b)
	s.position = end
	return nil
}

func (s *segment) pwrite(b []byte) error {
	s.writes++
	timed := s.writes%timedWrites == 0
	var began int64
	if timed {
		began = threadCPU()
	}
	for len(b) > 0 {
		n, errno := s.call(unix.SYS_PWRITE64, uintptr(s.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(s.position))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return fmt.Errorf("write %s: %w", s.path, errno)
		}
		b = b[n:]
		s.position += int64(n)
	}
	if timed {
		s.timing.add(threadCPU() - began)
	}
	return nil
}

// populate faults in the pages up to end and more.
func (s *segment) populate(end int64) error {
	to := min(max(s.populated+populateBytes, end), s.sizeBytes)
	window := s.mem[s.populated:to]
	began := threadCPU()
	_, errno := s.call(unix.SYS_MADVISE, uintptr(unsafe.Pointer(&window[0])), uintptr(len(window)), unix.MADV_POPULATE_WRITE, 0)
	if errno != 0 {
		return fmt.Errorf("populate %s: %w", s.path, errno)
	}
	s.timing.add(threadCPU() - began)
	// Back to a page's start: the next window must begin there.
	s.populated = to &^ (blockBytes - 1)
	return nil
}

func (s *segment) call(trap, a, b, c, d uintptr) (int, unix.Errno) {
	var n uintptr
	var errno unix.Errno
	if s.raw {
		n, _, errno = unix.RawSyscall6(trap, a, b, c, d, 0, 0)
	} else {
		n, _, errno = unix.Syscall6(trap, a, b, c, d, 0, 0)
	}
	return int(n), errno
}

// roll closes the file, if there is one, and makes the next.
func (s *segment) roll() error {
	if s.path != "" {
		go closeSegment(s.fd, s.mem, s.path, s.sealed)
	}
	s.number++
	s.path = filepath.Join(s.dir, fmt.Sprintf("%020d.log", s.number))
	s.mem, s.position, s.populated = nil, 0, 0
	var err error
	if s.fd, err = newFile(s.path, s.sizeBytes); err != nil {
		return err
	}
	if !s.mapped {
		return nil
	}
	if s.mem, err = unix.Mmap(s.fd, 0, int(s.sizeBytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map %s: %w", s.path, err)
	}
	return nil
}

// newFile makes a file and takes space for it.
func newFile(path string, sizeBytes int64) (fd int, err error) {
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return -1, fmt.Errorf("make %s: %w", path, err)
	}
	if sizeBytes == 0 {
		return fd, nil
	}
	if err := unix.Fallocate(fd, 0, 0, sizeBytes); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("take %d MiB for %s: %w", sizeBytes>>20, path, err)
	}
	return fd, nil
}

// closeSegment lets go of a file, and only then has it removed: the last to let go pays for
// its pages, and that is not the server's work.
func closeSegment(fd int, mem []byte, path string, sealed func(string)) {
	if mem != nil {
		_ = unix.Munmap(mem)
	}
	_ = unix.Close(fd)
	sealed(path)
}
