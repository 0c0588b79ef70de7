package wire

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dial returns a connected socket that does not block and that the runtime's poller does
// not know: it would be woken for every reply as well.
func dial(ctx context.Context, address, congestion string) (int, error) {
	d := net.Dialer{Timeout: DefaultDialTimeout}
	if congestion != "" {
		d.Control = func(_, _ string, c syscall.RawConn) error { return setCongestion(c, congestion) }
	}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return -1, err
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(s uintptr) { fd, dupErr = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	return fd, dupErr
}

func setCongestion(c syscall.RawConn, name string) error {
	var set error
	if err := c.Control(func(fd uintptr) {
		set = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	}); err != nil {
		return err
	}
	if set == nil {
		return nil
	}
	known, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
	return &CongestionError{Name: name, Available: strings.Fields(string(known)), Err: set}
}

// CongestionError is a congestion control that the kernel does not give.
type CongestionError struct {
	Name      string
	Available []string
	Err       error
}

func (e *CongestionError) Error() string {
	return fmt.Sprintf("congestion control %q: %v (the kernel has %s; modprobe tcp_%s may add it)",
		e.Name, e.Err, strings.Join(e.Available, ", "), e.Name)
}

func (e *CongestionError) Unwrap() error { return e.Err }
