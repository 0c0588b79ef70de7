package broker

import (
	"net"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/netx"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestUnknownCongestionControlStopsTheStart(t *testing.T) {
	_, err := setCongestion(listen(t), "no-such-control")
	if err == nil || !strings.Contains(err.Error(), "socket.congestion.control=no-such-control") ||
		!strings.Contains(err.Error(), "tcp_available_congestion_control") {
		t.Errorf("the error does not name the setting and the way out: %v", err)
	}
}

// What a listener accepts begins with reno, so that loopback is never paced; other machines
// are given the system's control back.
func TestListenersGiveLocalPeersReno(t *testing.T) {
	untouched := listen(t)
	own, err := netx.Congestion(untouched)
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	remote, err := setCongestion(l, "")
	if err != nil || remote != own {
		t.Errorf("other machines get %q (%v), the system's is %q", remote, err, own)
	}
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if got, err := netx.Congestion(accepted); got != localCongestion {
		t.Errorf("an accepted connection sends by %q (%v)", got, err)
	}
	if remote, err := setCongestion(listen(t), own); err != nil || remote != "" {
		t.Errorf("a configured control: %q, %v", remote, err)
	}
}
