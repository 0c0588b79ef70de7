package conn

import (
	"net"
	"testing"

	"github.com/millrace/millrace/internal/netx"
)

// Peers on this machine keep the congestion control that the listener gave them.
func TestLocalPeersKeepTheirCongestionControl(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	own, err := netx.Congestion(l)
	if err != nil {
		t.Fatal(err)
	}
	if err := netx.SetCongestion(l, "reno"); err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r := startOn(t, client, server, func(o *Options) { o.RemoteCongestion = own })
	r.send(request(1, 7, 10))
	r.want(7)
	if got, err := netx.Congestion(server); got != "reno" {
		t.Errorf("the socket sends by %q (%v)", got, err)
	}
}
