package zk

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/server"
)

// ownServer starts a quorum of one of ours, and returns its address.
func ownServer(t *testing.T) string {
	t.Helper()
	address := startOwn(t, func(l net.Listener, o *server.Options) { o.Listeners = []net.Listener{l} })
	// It refuses connections until it serves.
	serving(t, &arguments{server: address, timeout: 10 * time.Second, config: &clientConfig{}})
	return address
}

// serving waits until the server serves.
func serving(t *testing.T, a *arguments) {
	t.Helper()
	zk, err := a.open(patience(t), a.server, newShell(io.Discard, io.Discard, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer zk.Close(patience(t))
	if err := zk.WaitConnected(patience(t)); err != nil {
		t.Fatal(err)
	}
}

// startOwn starts a quorum of one, whose options listen changes.
func startOwn(t *testing.T, listen func(net.Listener, *server.Options)) string {
	t.Helper()
	store := raft.NewInmemStore()
	n, err := node.Start(context.Background(), node.Options{Stores: node.Stores{Log: store, Stable: store, Snapshots: raft.NewInmemSnapshotStore()}, Log: testkit.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Member: server.Of(n, nil), Log: testkit.Logger(t)}
	listen(l, &o)
	s, err := server.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// -client-configuration with ZooKeeper's keys: TLS, checked by the name of the host.
func TestTLS(t *testing.T) {
	cert, file := selfSigned(t)
	address := startOwn(t, func(l net.Listener, o *server.Options) {
		o.SecureListeners = []net.Listener{tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})}
	})
	config := filepath.Join(t.TempDir(), "client.properties")
	text := "zookeeper.client.secure=true\nzookeeper.ssl.trustStore.location=" + file + "\nzookeeper.ssl.trustStore.type=PEM\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readClientConfig(config, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	serving(t, &arguments{server: address, timeout: 10 * time.Second, config: c})
	if r := ours(t, "", "-client-configuration", config, "-server", address, "ls", "/"); r.code != 0 || !strings.Contains(r.out, "[zookeeper]\n") {
		t.Errorf("%+v", r)
	}
	// The certificate is for 127.0.0.1 alone.
	_, port, _ := net.SplitHostPort(address)
	if r := ours(t, "", "-client-configuration", config, "-server", "localhost:"+port, "ls", "/"); r.code != 1 || !strings.Contains(r.errs, "certificate") {
		t.Errorf("%+v", r)
	}
}

// selfSigned makes a certificate for 127.0.0.1, and a file of it.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}
