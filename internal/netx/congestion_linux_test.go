package netx

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// kernels is the kernel's word on a socket's congestion control.
func kernels(t *testing.T, c *Conn) string {
	t.Helper()
	name, err := Congestion(c.Conn)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCongestionControlIsTheKernels(t *testing.T) {
	_, server := pair(t)
	if err := server.SetCongestion("reno"); err != nil { // every Linux has reno
		t.Fatal(err)
	}
	if got := kernels(t, server); got != "reno" {
		t.Errorf("the socket sends by %q", got)
	}
	if err := server.SetCongestion("no-such-control"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a control that does not exist: %v", err)
	}
	if got := kernels(t, server); got != "reno" {
		t.Errorf("after a refusal the socket sends by %q", got)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := SetCongestion(a, "reno"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a pipe: %v", err)
	}
}

func TestPeersOfTheSameMachine(t *testing.T) {
	client, server := pair(t)
	if !SameMachine(server.LocalAddr(), server.RemoteAddr()) || !SameMachine(client.LocalAddr(), client.RemoteAddr()) {
		t.Error("loopback is taken for another machine")
	}
	at := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }
	for _, c := range []struct {
		local, remote string
		same          bool
	}{{"192.0.2.1", "192.0.2.1", true}, {"192.0.2.1", "192.0.2.2", false}, {"::1", "::1", true}, {"2001:db8::1", "2001:db8::2", false}} {
		if got := SameMachine(at(c.local), at(c.remote)); got != c.same {
			t.Errorf("%s and %s: %v", c.local, c.remote, got)
		}
	}
}
