package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	hexenc "encoding/hex"
	"math/big"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
)

// certificate makes one that signs itself.
func certificate(t *testing.T, subject pkix.Name) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}, cert
}

func TestCertificateIsAnIdentity(t *testing.T) {
	serverCert, serverLeaf := certificate(t, pkix.Name{CommonName: "server"})
	joe, joeLeaf := certificate(t, pkix.Name{CommonName: "joe", Organization: []string{"Ham Egg"}})
	root, rootLeaf := certificate(t, pkix.Name{CommonName: "root"})
	clients := x509.NewCertPool()
	clients.AddCert(joeLeaf)
	clients.AddCert(rootLeaf)
	servers := x509.NewCertPool()
	servers.AddCert(serverLeaf)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := tls.NewListener(inner, &tls.Config{Certificates: []tls.Certificate{serverCert}, ClientCAs: clients, ClientAuth: tls.VerifyClientCertIfGiven})
	p := startPort(t, func(o *Options) {
		o.SecureListeners = []net.Listener{secure}
		o.Config.SuperX509 = "CN=root"
	})
	open := func(certs ...tls.Certificate) *rawClient {
		nc, err := tls.Dial("tcp", inner.Addr().String(), &tls.Config{RootCAs: servers, Certificates: certs})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		_ = nc.SetDeadline(time.Now().Add(patience))
		c := &rawClient{t: t, nc: nc}
		if r := c.connect(jute.ConnectRequest{TimeoutMs: 10_000}); r.SessionID == 0 {
			t.Fatal("no session")
		}
		return c
	}
	nobody, known, super := open(), open(joe), open(root)
	known.must(jute.OpCreate, &jute.CreateRequest{Path: "/joe", ACL: []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "x509", ID: `CN=joe,O=Ham Egg`}}}}, nil)
	for name, c := range map[string]*rawClient{"nobody": nobody, "known": known, "super": super} {
		want := jute.OK
		if c == nobody {
			want = jute.NoAuth
		}
		if _, _, code := c.get("/joe", false); code != want {
			t.Errorf("%s reads: %v", name, code)
		}
	}
	var who jute.WhoAmIResponse
	known.must(jute.OpWhoAmI, nil, &who)
	if want := []jute.ClientInfo{{Scheme: "ip", User: "127.0.0.1"}, {Scheme: "x509", User: `CN=joe,O=Ham Egg`}}; !slices.Equal(who.Infos, want) {
		t.Errorf("who: %v", who.Infos)
	}
	known.write(frame(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: "x509"}))
	if h := known.reply(jute.XidAuth, nil); h.Err != jute.OK {
		t.Error(h.Err)
	}
	// Large requests and replies, and an event for one that sleeps in a read.
	known.create("/big", string(bytes.Repeat([]byte("x"), 500_000)))
	if data, _, code := nobody.get("/big", true); len(data) != 500_000 {
		t.Error(len(data), code)
	}
	known.must(jute.OpSetData, &jute.SetDataRequest{Path: "/big", Version: -1}, nil)
	if m := nobody.next(); m.event == nil {
		t.Errorf("%v came", m)
	}
	if text := p.word("conf"); !strings.Contains(text, "secureClientPort="+port2(inner.Addr())+"\n") {
		t.Error(text)
	}
	// A client that does not speak TLS costs itself only.
	plain := dial(t, inner.Addr().String())
	plain.sendRecord(&jute.ConnectRequest{TimeoutMs: 5000})
	plain.drain()
	known.create("/still", "")
	testkit.WaitFor(t, "the handshake to fail", func() bool { return p.s.Stats().UnsuccessfulHandshakes == 1 })
}

func port2(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// names are subjects that are awkward, with what Java's X500Principal.getName makes of them.
func names() []pkix.Name {
	oid := func(n ...int) asn1.ObjectIdentifier { return n }
	return []pkix.Name{
		{CommonName: "plain", Organization: []string{"Org"}, OrganizationalUnit: []string{"One", "Two"}, Country: []string{"DE"}, Locality: []string{"Town"}, Province: []string{"Land"}, StreetAddress: []string{"Way 1"}},
		{CommonName: ` lead, trail `},
		{CommonName: `#hash+plus"quote\back<less>more;semi=equal`},
		{CommonName: "Jürgen 日本"},
		{CommonName: "x", ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: oid(0, 9, 2342, 19200300, 100, 1, 25), Value: "example"}, {Type: oid(0, 9, 2342, 19200300, 100, 1, 1), Value: "uid"},
			{Type: oid(1, 2, 840, 113549, 1, 9, 1), Value: "a@b.c"}, {Type: oid(2, 5, 4, 5), Value: "123"},
		}},
		{CommonName: "a#b  c"},
		{},
	}
}

// What Java itself says of the same names, from a class that is run from its source.
func TestSubjectsAreJavas(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("java is missing: apt-get install openjdk-17-jre-headless")
	}
	var want, args []string
	for _, n := range names() {
		cert := subjectCert(t, n)
		args = append(args, hexenc.EncodeToString(cert.RawSubject))
		want = append(want, subjectOf(cert))
	}
	dir := t.TempDir()
	source := dir + "/Names.java"
	program := `import javax.security.auth.x500.X500Principal;
public class Names { public static void main(String[] a) throws Exception {
  java.io.PrintStream out = new java.io.PrintStream(System.out, true, "UTF-8");
  for (String s : a) out.println(new X500Principal(java.util.HexFormat.of().parseHex(s)).getName());
} }`
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(java, append([]string{"-Xshare:auto", source}, args...)...).Output()
	if err != nil {
		t.Skip("java cannot run a source file here: ", err)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if !slices.Equal(got, want) {
		for i := range want {
			if i < len(got) && got[i] != want[i] {
				t.Errorf("Java prints %q, we print %q", got[i], want[i])
			}
		}
	}
}

func TestSubjects(t *testing.T) {
	want := []string{
		"CN=plain,OU=One+OU=Two,O=Org,STREET=Way 1,L=Town,ST=Land,C=DE",
		`CN=\ lead\, trail\ `,
		`CN=\#hash\+plus\"quote\\back\<less\>more\;semi\=equal`,
		"CN=Jürgen 日本",
		"",
		`CN=a\#b  c`,
		"",
	}
	for i, n := range names() {
		if i == 4 {
			continue
		}
		if got := subjectOf(subjectCert(t, n)); got != want[i] {
			t.Errorf("%q, want %q", got, want[i])
		}
	}
}

func subjectCert(t *testing.T, n pkix.Name) *x509.Certificate {
	t.Helper()
	_, cert := certificate(t, n)
	return cert
}
