package broker

import (
	"net"
	"strings"
	"testing"
)

func TestUnknownCongestionControlStopsTheStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := setCongestion(l, "no-such-control"); err == nil || !strings.Contains(err.Error(), "socket.congestion.control=no-such-control") ||
		!strings.Contains(err.Error(), "tcp_available_congestion_control") {
		t.Errorf("the error does not name the setting and the way out: %v", err)
	}
	if err := setCongestion(l, "reno"); err != nil {
		t.Error(err)
	}
	if err := setCongestion(l, ""); err != nil {
		t.Error(err)
	}
}
