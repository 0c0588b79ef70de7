package quorum

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/testkit/certs"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
)

// A client with a certificate comes by secureClientPort, and with port unification by
// clientPort as well, where others come without.
func TestEncryptedClients(t *testing.T) {
	a := certs.New(t)
	lines := fmt.Sprintf("ssl.keyStore.location=%s\nssl.trustStore.location=%s\nsecureClientPort=2281\nclient.portUnification=true\n",
		a.Issue("server.pem", "127.0.0.1"), a.Trust())
	c := load(t, t.TempDir(), lines)
	c.SecureClientAddress = "127.0.0.1:0"
	q := start(t, options(t, c))
	pair, err := tls.LoadX509KeyPair(a.Issue("client.pem", "joe"), filepath.Join(filepath.Dir(a.Trust()), "client.pem"))
	must(t, err)
	config := &tls.Config{RootCAs: a.Pool(), Certificates: []tls.Certificate{pair}}
	for at, encrypted := range map[string]*tls.Config{q.SecureAddr(): config, q.Addr(): config} {
		cl := connect(t, at, encrypted)
		who, err := cl.WhoAmI(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, w := range who {
			found = found || w.Scheme == "x509" && w.User == "CN=joe"
		}
		if !found {
			t.Errorf("%s: it is known as %v", at, who)
		}
		must(t, cl.Close(t.Context()))
	}
	plain := connect(t, q.Addr(), nil)
	if _, err := plain.Create(t.Context(), "/a", nil, jute.OpenACL(), jute.Persistent); err != nil {
		t.Error(err)
	}
	must(t, plain.Close(t.Context()))
}

// ensemble is the timing of one: no election for every hiccup of a busy machine.
const ensemble = "tickTime=2000\ninitLimit=10\nsyncLimit=5\n"

// Three servers that encrypt what they say to each other elect a leader and serve; one with a
// certificate of another authority is no part of it.
func TestEncryptedEnsemble(t *testing.T) {
	a, other := certs.New(t), certs.New(t)
	lines := ensemble + "sslQuorum=true\n"
	for i := range 3 {
		lines += fmt.Sprintf("server.%d=127.0.0.1:%s:%s\n", i+1, freePort(t), freePort(t))
	}
	startOne := func(id int, from *certs.Authority) *Quorum {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "myid"), fmt.Append(nil, id), 0o644))
		return start(t, options(t, load(t, dir, lines+fmt.Sprintf("ssl.quorum.keyStore.location=%s\nssl.quorum.trustStore.location=%s\n",
			from.Issue(fmt.Sprintf("zk%d.pem", id), "127.0.0.1"), a.Trust()))))
	}
	one, two := startOne(1, a), startOne(2, a)
	stranger := startOne(3, other)
	must(t, one.WaitServing(t.Context()))
	must(t, two.WaitServing(t.Context()))
	cl := connect(t, one.Addr(), nil)
	create(t, cl, "/a", "x")
	must(t, cl.Close(t.Context()))
	if s := stranger.Node().Status(); s.Serving || s.Mode != node.Looking {
		t.Errorf("the stranger: %+v", s)
	}
	stop(t, stranger)
	three := startOne(3, a)
	must(t, three.WaitServing(t.Context()))
	data, _, err := connect(t, three.Addr(), nil).Get(t.Context(), "/a")
	if err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
}

// While portUnification is on, servers with and without encryption are one ensemble: so it is
// switched on without a stop.
func TestEnsembleThatTurnsToTLS(t *testing.T) {
	a := certs.New(t)
	lines := ensemble + "portUnification=true\n"
	for i := range 2 {
		lines += fmt.Sprintf("server.%d=127.0.0.1:%s:%s\n", i+1, freePort(t), freePort(t))
	}
	var servers []*Quorum
	for i := range 2 {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "myid"), fmt.Append(nil, i+1), 0o644))
		servers = append(servers, start(t, options(t, load(t, dir, lines+fmt.Sprintf("sslQuorum=%t\nssl.quorum.keyStore.location=%s\nssl.quorum.trustStore.location=%s\n",
			i == 0, a.Issue(fmt.Sprintf("zk%d.pem", i), "127.0.0.1"), a.Trust())))))
	}
	for _, q := range servers {
		must(t, q.WaitServing(t.Context()))
	}
}

// A stop hands the leadership over.
func TestAStoppedLeaderIsFollowedByAnother(t *testing.T) {
	lines := ensemble
	for i := range 3 {
		lines += fmt.Sprintf("server.%d=127.0.0.1:%s:%s\n", i+1, freePort(t), freePort(t))
	}
	var servers []*Quorum
	for i := range 3 {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "myid"), fmt.Append(nil, i+1), 0o644))
		servers = append(servers, start(t, options(t, load(t, dir, lines))))
	}
	var lead *Quorum
	for _, q := range servers {
		must(t, q.WaitServing(t.Context()))
		if q.Node().Status().Mode == node.Leader {
			lead = q
		}
	}
	if lead == nil {
		t.Skip("the leadership moved meanwhile")
	}
	stop(t, lead)
	for _, q := range servers {
		if q != lead {
			must(t, q.WaitServing(t.Context()))
		}
	}
}

// A name that cannot be dialled says which server it is; nothing is left of it.
func TestPortErrorBetweenServers(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "myid"), []byte("1"), 0o644))
	lines := fmt.Sprintf("initLimit=10\nsyncLimit=5\nserver.1=127.0.0.1:%s:%s\nserver.2=127.0.0.1:%s:%s\n", portOf(taken.Addr().String()), freePort(t), freePort(t), freePort(t))
	_, err = Start(t.Context(), options(t, load(t, dir, lines)))
	var port *PortError
	if !errors.As(err, &port) || !port.Between || port.Key != "server.1" {
		t.Errorf("got %v", err)
	}
}
