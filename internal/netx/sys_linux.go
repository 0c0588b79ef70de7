package netx

import (
	"io"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const haveSyscalls = true

// maxPieces is how many pieces one call of writev is given.
const maxPieces = 16

type iovecs = [maxPieces]unix.Iovec

// maxSendfileBytes bounds one call, so that a range on a slow disk does not keep a thread
// in the kernel for the whole of it.
const maxSendfileBytes = 4 << 20

func setCongestion(fd uintptr, name string) error {
	return unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
}

func congestion(fd uintptr) (string, error) {
	name, err := unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	return strings.TrimRight(name, "\x00"), err
}

func setCork(fd uintptr, on int) error {
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, on)
}

// do reads once; false means that the poller should wait and call again.
func (r *readOp) do(fd uintptr) bool {
	room := r.lender.Lend()
	for {
		n, err := readNow(fd, room)
		switch err {
		case 0:
			r.n = n
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			r.awake = !r.lender.Sleep()
			return r.awake
		}
		r.err = err
		return true
	}
}

// readNow, writeNow and the writev of vector never wait, so the scheduler is not told of them: its
// monitor would take the processor from a goroutine whose thread the kernel preempts in the call,
// wake another thread for it, and poll every 20 us for the next. On two processors shared with a
// client that was up to a quarter of the CPU of a small request (ADR 12).
func readNow(fd uintptr, room []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(room))), uintptr(len(room)))
	return int(n), errno
}

func writeNow(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}

// vector writes what w.vec holds, maxPieces at a time.
func (w *writeOp) vector(fd uintptr) bool {
	for {
		k := w.gather()
		if k == 0 {
			return true
		}
		n, _, err := syscall.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&w.iov[0])), uintptr(k))
		switch err {
		case 0:
			w.vec.advance(int(n))
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			w.err = err
			return true
		}
	}
}

// gather points w.iov at the next pieces and returns how many there are.
func (w *writeOp) gather() (k int) {
	for _, p := range w.vec {
		if len(p) == 0 {
			continue
		}
		w.iov[k].Base = unsafe.SliceData(p)
		w.iov[k].SetLen(len(p))
		if k++; k == maxPieces {
			break
		}
	}
	return k
}

func (w *writeOp) all(fd uintptr) bool  { return w.whole(fd, false) }
func (w *writeOp) send(fd uintptr) bool { return w.whole(fd, true) }

// whole writes w.buf to its end; more tells the kernel that more follows. False means that the
// poller should wait and call again.
func (w *writeOp) whole(fd uintptr, more bool) bool {
	for len(w.buf) > 0 {
		n, err := writeOnce(fd, w.buf, more)
		switch err {
		case nil:
			w.buf = w.buf[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			w.err = err
			return true
		}
	}
	return true
}

// writeOnce tells the scheduler when more follows: what is long goes that way.
func writeOnce(fd uintptr, p []byte, more bool) (int, error) {
	if more {
		return unix.SendmsgN(int(fd), p, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
	}
	n, errno := writeNow(fd, p)
	if errno != 0 {
		return 0, errno
	}
	return n, nil
}

// try writes once and never waits: whatever the socket does not take at once is left.
func (w *writeOp) try(fd uintptr) bool {
	for {
		n, err := writeNow(fd, w.buf)
		switch err {
		case 0:
			w.buf = w.buf[n:]
		case unix.EINTR:
			continue
		case unix.EAGAIN:
		default:
			w.err = err
		}
		return true
	}
}

func (w *writeOp) cork(fd uintptr) { _ = setCork(fd, w.corkOn) } // Unix sockets have none

// sendfile keeps its own position, so that any number of replies send from one
// descriptor at once. Past the end of a file the kernel reports 0 bytes and no error.
func (w *writeOp) sendfile(fd uintptr) bool {
	for w.left > 0 {
		n, err := unix.Sendfile(int(fd), w.src, &w.pos, min(w.left, maxSendfileBytes))
		w.calls++
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false
		case err != nil:
			w.err = err
			return true
		case n == 0:
			w.err = io.ErrUnexpectedEOF
			return true
		default:
			w.left -= n
		}
	}
	return true
}
