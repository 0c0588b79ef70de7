package limits

import (
	"net"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxDescriptor is the highest descriptor that a loop can serve, plus one.
const maxDescriptor = 1 << 16

// loop is one epoll on one locked thread that serves all connections, edge-triggered.
type loop struct {
	srv   *server
	epoll int
	conns []atomic.Pointer[conn] // by descriptor
	wake  int                    // an eventfd that the handler's other thread writes to, or -1
	woken func() error
	lent  []byte
}

// waker is a handler with another thread that has to tell the loop something.
type waker interface {
	wakeBy(eventfd int)
	woken() error
}

func newLoop(s *server) (*loop, error) {
	l := &loop{srv: s, wake: -1, conns: make([]atomic.Pointer[conn], maxDescriptor), lent: make([]byte, bufferBytes)}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	w, ok := s.handler.(waker)
	if !ok {
		return l, nil
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, err
	}
	l.woken = w.woken
	w.wakeBy(l.wake)
	return l, unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.wake, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(l.wake)})
}

// add takes over a connection.
func (l *loop) add(tc *net.TCPConn) {
	fd, err := takeOver(tc)
	if err == nil && fd >= maxDescriptor {
		_ = unix.Close(fd)
		err = unix.EMFILE
	}
	if err != nil {
		l.srv.out.failed(err)
		return
	}
	c := l.srv.newConn(fd, false)
	c.raw = true
	l.conns[fd].Store(c)
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff, Fd: int32(fd)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		l.srv.out.failed(err)
	}
}

// takeOver returns the socket of tc as a descriptor that the runtime's poller does not know.
func takeOver(tc *net.TCPConn) (int, error) {
	defer tc.Close()
	rc, err := tc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, dup := -1, error(nil)
	if err := rc.Control(func(old uintptr) { fd, dup = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	return fd, dup
}

// run serves until the process ends.
func (l *loop) run() {
	runtime.LockOSThread()
	events := make([]unix.EpollEvent, 256)
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), ^uintptr(0), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			l.srv.out.failed(errno)
			return
		}
		for _, ev := range events[:n] {
			l.event(int(ev.Fd))
		}
		if err := l.srv.handler.round(); err != nil {
			l.srv.out.failed(err)
			return
		}
	}
}

func (l *loop) event(fd int) {
	if fd == l.wake {
		var count [8]byte
		_, _ = unix.Read(fd, count[:])
		l.srv.out.failed(l.woken())
		return
	}
	c := l.conns[fd].Load()
	if c == nil {
		return
	}
	if st, err := c.pump(l.lent); st == finished {
		c.end(err)
		l.conns[fd].Store(nil)
		_ = unix.Close(fd)
	}
}

// onThread serves a connection by blocking calls on a thread of its own.
func (s *server) onThread(tc *net.TCPConn) {
	runtime.LockOSThread()
	fd, err := takeOver(tc)
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		s.out.failed(err)
		return
	}
	defer unix.Close(fd)
	c := s.newConn(fd, true)
	c.block = true
	_, err = c.pump(nil)
	c.end(err)
}

// onGoroutine serves a connection in a goroutine that waits in the runtime's poller.
func (s *server) onGoroutine(tc *net.TCPConn) {
	defer tc.Close()
	rc, err := tc.SyscallConn()
	if err != nil {
		s.out.failed(err)
		return
	}
	c := s.newConn(-1, true)
	st := needRead
	var failed error
	for st != finished && err == nil {
		was := st
		step := func(fd uintptr) bool {
			c.fd = int(fd)
			st, failed = c.pump(nil)
			return st != was
		}
		if was == needRead {
			err = rc.Read(step)
		} else {
			err = rc.Write(step)
		}
	}
	c.end(failed)
}
