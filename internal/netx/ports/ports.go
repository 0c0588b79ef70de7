// Package ports finds TCP ports of loopback for servers that are started as processes and
// take a port by number: those of the suites and of the bench.
//
// A port that was only seen to be free may be taken by the time its server binds it: by
// another test that looked at the same moment, by the server that had it before a restart,
// or by an outgoing connection. So a port found here lies below the range that the system
// gives to outgoing connections, and it is reserved among all processes that use this
// package, its server running or not. Any package may call. It needs Linux, as they do.
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Reserved is ports that nobody listened on when they were found and that no other search
// finds. Each costs a file descriptor, which children do not inherit.
type Reserved struct {
	Numbers []int
	held    []int // file descriptors
}

// Reserve finds n ports. Their reservation ends with Close, or with the process.
func Reserve(n int) (*Reserved, error) {
	low, high := 10240, outgoingFrom()
	r := &Reserved{}
	var err error
	for tries := 100 + n; len(r.Numbers) < n; tries-- {
		if tries == 0 {
			return nil, errors.Join(fmt.Errorf("%d free ports wanted between %d and %d, %d found: %w", n, low, high, len(r.Numbers), err), r.Close())
		}
		err = r.take(low + rand.IntN(high-low))
	}
	return r, nil
}

// Close ends the reservation, if there is one.
func (r *Reserved) Close() error {
	if r == nil {
		return nil
	}
	var err error
	for _, fd := range r.held {
		err = errors.Join(err, os.NewSyscallError("close", unix.Close(fd)))
	}
	r.held = nil
	return err
}

func (r *Reserved) take(port int) error {
	fd, err := bind(port)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	r.Numbers, r.held = append(r.Numbers, port), append(r.held, fd)
	return nil
}

// bind binds an abstract Unix address that stands for the port: one binder at a time in a
// network namespace, ended by the system with the process, and no file.
func bind(port int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@millrace-port-%d", port)}); err != nil {
		return -1, errors.Join(fmt.Errorf("reserve port %d: %w", port, err), unix.Close(fd))
	}
	return fd, nil
}

// outgoingFrom is the first port of outgoing connections: a client that dials a port of that
// range while its server is down can be connected to itself, and then holds the port.
func outgoingFrom() int {
	low := 32768
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		fmt.Sscan(string(text), &low)
	}
	return max(low, 11000)
}
