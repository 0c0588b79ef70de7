package broker

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Listeners are opened and closed while the broker runs; those that stay keep their
// connections.
func TestListenersChangeAtRunTime(t *testing.T) {
	n := startNode(t)
	a := n.admin()
	stays := n.raw()
	stays.do(kmsg.NewPtrMetadataRequest())
	const protocols = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,EXTRA:PLAINTEXT"
	a.brokers(true, "listeners=PLAINTEXT://127.0.0.1:0,EXTRA://127.0.0.1:0", protocols)
	extra := n.broker.Addrs()["EXTRA"]
	if extra == nil || n.broker.Addr().String() != n.addr {
		t.Fatalf("listeners %v", n.broker.Addrs())
	}
	nc, err := net.Dial("tcp", extra.String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	goes := &raw{t: t, c: nc}
	told := goes.do(kmsg.NewPtrMetadataRequest()).(*kmsg.MetadataResponse).Brokers[0]
	if at := net.JoinHostPort(told.Host, strconv.Itoa(int(told.Port))); at != extra.String() {
		t.Errorf("its clients are told %s", at)
	}
	stays.do(kmsg.NewPtrMetadataRequest())

	// One that cannot be opened is logged, and the others stay.
	a.brokers(true, "listeners=PLAINTEXT://127.0.0.1:0,EXTRA://"+n.addr)
	goes.wantClosed()
	if _, open := n.broker.Addrs()["EXTRA"]; open || n.broker.Addr().String() != n.addr {
		t.Errorf("listeners %v", n.broker.Addrs())
	}
	if log := n.log.String(); !strings.Contains(log, "a listener cannot be opened") || !strings.Contains(log, "EXTRA://"+n.addr) {
		t.Error("the log does not tell of it")
	}
	if _, err := net.Dial("tcp", extra.String()); err == nil {
		t.Error("the old address is still open")
	}
	a.brokers(true, "listeners", "listener.security.protocol.map")
	stays.do(kmsg.NewPtrMetadataRequest())

	for _, bad := range []string{"listeners=EXTRA://127.0.0.1:0", "listeners=SSL://127.0.0.1:0", "listeners=", "listeners=PLAINTEXT://127.0.0.1:1,PLAINTEXT://127.0.0.1:2", "listeners=x"} {
		r, err := a.AlterBrokerConfigs(a.ctx, changes(bad), 1)
		if err != nil || r[0].Err == nil {
			t.Errorf("%s was taken: %v", bad, err)
		}
	}
	if n.broker.Addr().String() != n.addr {
		t.Errorf("listeners %v", n.broker.Addrs())
	}
}
