package zootls

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/certs"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/zoocfg"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func settings(prefix, keys, trust string) zoocfg.TLS {
	t := zoocfg.Default().ServerTLS
	t.Prefix, t.KeyStore.Location, t.TrustStore.Location = prefix, keys, trust
	return t
}

func open(t testing.TB, c zoocfg.TLS) *Source {
	t.Helper()
	s, err := Open(osfs.FS{}, c, slog.New(slog.DiscardHandler))
	must(t, err)
	return s
}

// echo serves one connection of l: it says what it read, and how it was encrypted.
func echo(l net.Listener) chan string {
	said := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			said <- "accept: " + err.Error()
			return
		}
		defer c.Close()
		buf := make([]byte, 5)
		if _, err := io.ReadFull(c, buf); err != nil {
			said <- "read: " + err.Error()
			return
		}
		if _, err := c.Write(buf); err != nil {
			said <- "write: " + err.Error()
			return
		}
		state := c.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState()
		if !state.HandshakeComplete {
			said <- "plain " + string(buf)
			return
		}
		who := "nobody"
		if len(state.PeerCertificates) > 0 {
			who = state.PeerCertificates[0].Subject.CommonName
		}
		said <- who + " " + string(buf)
	}()
	return said
}

// call speaks with server once and returns what it said and the client's error.
func call(t *testing.T, server *Source, either bool, client *tls.Config) (string, error) {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := server.Listener(raw, either)
	defer l.Close()
	said := echo(l)
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", l.Addr().String())
	must(t, err)
	defer conn.Close()
	if client != nil {
		conn = tls.Client(conn, client)
	}
	_, err = conn.Write([]byte("hello"))
	if err == nil {
		buf := make([]byte, 5)
		_, err = io.ReadFull(conn, buf)
	}
	conn.Close()
	return <-said, err
}

func TestBetweenServers(t *testing.T) {
	a, other := certs.New(t), certs.New(t)
	server := open(t, settings("ssl.quorum.", a.Issue("zk1.pem", "zk1"), a.Trust()))
	client := open(t, settings("ssl.quorum.", a.Issue("zk2.pem", "zk2"), a.Trust()))
	if said, err := call(t, server, false, client.Client("zk1")); err != nil || said != "zk2 hello" {
		t.Errorf("%q, %v", said, err)
	}
	if _, err := call(t, server, false, client.Client("zk9")); err == nil || !strings.Contains(err.Error(), "zk9") {
		t.Errorf("another host's certificate: %v", err)
	}
	lax := settings("ssl.quorum.", a.Issue("zk2.pem", "zk2"), a.Trust())
	lax.VerifyHostname = false
	if said, err := call(t, server, false, open(t, lax).Client("zk9")); err != nil || said != "zk2 hello" {
		t.Errorf("hostnameVerification=false: %q, %v", said, err)
	}
	stranger := open(t, settings("ssl.quorum.", other.Issue("zk2.pem", "zk2"), a.Trust()))
	if said, _ := call(t, server, false, stranger.Client("zk1")); !strings.Contains(said, "unknown authority") {
		t.Errorf("a client of another authority: %q", said)
	}
	if said, _ := call(t, server, false, &tls.Config{InsecureSkipVerify: true}); !strings.Contains(said, "certificate") {
		t.Errorf("a client without a certificate: %q", said)
	}
	strict := settings("ssl.quorum.", a.Issue("zk1.pem", "zk1"), a.Trust())
	strict.VerifyClientHostname = true
	if said, _ := call(t, open(t, strict), false, client.Client("zk1")); !strings.Contains(said, "127.0.0.1") {
		t.Errorf("clientHostnameVerification: %q", said)
	}
}

func TestClients(t *testing.T) {
	a := certs.New(t)
	want := settings("ssl.", a.Issue("zk1.pem", "zk1"), a.Trust())
	want.ClientAuth = tls.VerifyClientCertIfGiven
	trusting := &tls.Config{RootCAs: a.Pool(), ServerName: "zk1"}
	if said, err := call(t, open(t, want), false, trusting); err != nil || said != "nobody hello" {
		t.Errorf("clientAuth=want: %q, %v", said, err)
	}
	need := settings("ssl.", a.Issue("zk1.pem", "zk1"), a.Trust())
	if said, _ := call(t, open(t, need), false, trusting); !strings.Contains(said, "certificate") {
		t.Errorf("clientAuth=need: %q", said)
	}
	none := settings("ssl.", a.Issue("zk1.pem", "zk1"), "")
	none.ClientAuth = tls.NoClientCert
	if said, err := call(t, open(t, none), true, trusting); err != nil || said != "nobody hello" {
		t.Errorf("clientAuth=none on a port for both: %q, %v", said, err)
	}
	if said, err := call(t, open(t, none), true, nil); err != nil || said != "plain hello" {
		t.Errorf("a plain client on a port for both: %q, %v", said, err)
	}
	if said, _ := call(t, open(t, none), false, nil); !strings.Contains(said, "first record does not look like a TLS handshake") {
		t.Errorf("a plain client on a port for TLS: %q", said)
	}
}

func TestReload(t *testing.T) {
	a := certs.New(t)
	c := settings("ssl.", a.Issue("zk.pem", "first"), "")
	c.ClientAuth, c.Reload = tls.NoClientCert, true
	s := open(t, c)
	shown := func() string {
		var name string
		_, _ = call(t, s, false, &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(state tls.ConnectionState) error {
			name = state.PeerCertificates[0].Subject.CommonName
			return nil
		}})
		return name
	}
	// The times of the files are set: two writes may come in one tick of the system's clock.
	write := func(n int64, make func()) {
		make()
		must(t, os.Chtimes(c.KeyStore.Location, time.Unix(n, 0), time.Unix(n, 0)))
	}
	if got := shown(); got != "first" {
		t.Errorf("got %q", got)
	}
	write(1000, func() { a.Issue("zk.pem", "second") })
	if got := shown(); got != "second" {
		t.Errorf("after a change: %q", got)
	}
	write(2000, func() { must(t, os.WriteFile(c.KeyStore.Location, []byte("rubbish"), 0o600)) })
	if got := shown(); got != "second" {
		t.Errorf("after a change to rubbish: %q", got)
	}
	write(3000, func() { a.Issue("zk.pem", "third") })
	if got := shown(); got != "third" {
		t.Errorf("after it was repaired: %q", got)
	}
}

// Stores that openssl made.
func TestEncryptedKeys(t *testing.T) {
	for _, tt := range []struct{ file, password, want string }{
		{"store-plain.pem", "", ""},
		{"store-aes256.pem", "secret", ""},
		{"store-aes128-sha1.pem", "secret", ""},
		{"store-aes256.pem", "wrong", "keyStore.password does not fit"},
		{"store-aes256.pem", "", "no keyStore.password is set"},
		{"store-old.pem", "secret", "openssl pkcs8 -topk8 -v2 aes-256-cbc"},
		{"absent.pem", "", "ssl.keyStore.location=testdata/absent.pem: "},
	} {
		c := settings("ssl.", "testdata/"+tt.file, "")
		c.KeyStore.Password = tt.password
		_, err := Open(osfs.FS{}, c, slog.New(slog.DiscardHandler))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s with %q: %v, want %q", tt.file, tt.password, err, tt.want)
		}
	}
	empty := settings("ssl.", "", filepath.Join(t.TempDir(), "none.pem"))
	must(t, os.WriteFile(empty.TrustStore.Location, nil, 0o600))
	if _, err := Open(osfs.FS{}, empty, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "it holds no certificate") {
		t.Errorf("an empty trust store: %v", err)
	}
}

// FuzzDecrypt: a key file of anybody's making costs an error.
func FuzzDecrypt(f *testing.F) {
	text, err := os.ReadFile("testdata/store-aes256.pem")
	must(f, err)
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		f.Add(block.Bytes)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		if plain, err := decrypt(der, "other"); err == nil && len(plain) == 0 && len(der) == 0 {
			t.Error("something came of nothing")
		}
	})
}
