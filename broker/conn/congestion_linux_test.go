package conn

import (
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Peers on this machine are sent to by the control that the options name; where the system
// does not have it, the connection works all the same.
func TestLocalPeersHaveTheirOwnCongestionControl(t *testing.T) {
	before := ""
	for _, name := range []string{"", "reno", "no-such-control"} {
		r := start(t, func(o *Options) { o.LocalCongestion = name })
		r.send(request(1, 7, 10))
		r.want(7)
		raw, err := r.c.nc.Conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := raw.Control(func(fd uintptr) {
			got, _ = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		}); err != nil {
			t.Fatal(err)
		}
		got = strings.TrimRight(got, "\x00")
		switch want := map[string]string{"reno": "reno", "no-such-control": before}[name]; {
		case name == "":
			before = got
		case got != want:
			t.Errorf("with %q the socket sends by %q, want %q", name, got, want)
		}
	}
}
