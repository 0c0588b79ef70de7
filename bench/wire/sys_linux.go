package wire

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Calls that cannot block go to the kernel without telling the scheduler: that is cheaper,
// and the thread is this goroutine's alone. Only the wait for events tells it.

// recv reads what is there; with MSG_TRUNC in flags len bytes are discarded and p may be
// any byte.
func recv(fd int, p *byte, length, flags int) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(p)),
			uintptr(length), uintptr(flags|unix.MSG_DONTWAIT), 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

func send(fd int, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])),
			uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// writev needs a socket that does not block.
func writev(fd int, iov []unix.Iovec) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// poller is an epoll with a descriptor that wakes it.
type poller struct {
	fd, wakeFD int
	events     [256]unix.EpollEvent
	coarse     bool // no epoll_pwait2 (before Linux 5.11): waits are whole milliseconds
}

// wakeID marks the events of the waking descriptor; connections have their index.
const wakeID = -1

func newPoller() (*poller, error) {
	p := &poller{fd: -1, wakeFD: -1}
	var err error
	if p.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if p.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		p.close()
		return nil, err
	}
	if err := p.add(p.wakeFD, wakeID); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// add watches fd for both directions, edge by edge: a wake-up for each arrival, and one
// when a full send buffer has room again.
func (p *poller) add(fd int, id int32) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: id}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev)
}

func (p *poller) close() {
	for _, fd := range []int{p.fd, p.wakeFD} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// wake may be called from any goroutine while the poller is open.
func (p *poller) wake() {
	one := [8]byte{7: 1}
	_, _ = unix.Write(p.wakeFD, one[:])
}

// wait returns how many events there are, after waitNs at the latest.
func (p *poller) wait(waitNs int64) (int, error) {
	if waitNs <= 0 {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
			uintptr(len(p.events)), 0, 0, 0)
		return waited(n, errno)
	}
	if !p.coarse {
		ts := unix.NsecToTimespec(waitNs)
		n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
			uintptr(len(p.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
		if errno != unix.ENOSYS && errno != unix.EPERM {
			return waited(n, errno)
		}
		p.coarse = true
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(waitNs/int64(time.Millisecond)), 0, 0)
	return waited(n, errno)
}

func waited(n uintptr, errno syscall.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

// tight asks the kernel to end this thread's waits without the 50 us of slack that it
// otherwise adds. Where it refuses, Lateness shows it.
func tight() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

// threadCPU is the CPU time that a thread of this process has used; false when it is gone.
func threadCPU(tid int) (time.Duration, bool) {
	var ts unix.Timespec
	// The clock of a thread: its number, complemented, above 3 bits that say "one thread,
	// as the scheduler counts" (make_thread_cpuclock in the kernel).
	clock := int32(^tid<<3 | 6)
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}
