package zootls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// Source is the files of one kind of connections and what was read from them.
type Source struct {
	fs  vfs.FS
	t   zoocfg.TLS
	log *slog.Logger

	mu   sync.Mutex
	seen [2]stamp // of the two files, as they were read or refused last
	now  material
}

// material is what the files held.
type material struct {
	cert   tls.Certificate
	roots  *x509.CertPool
	server *tls.Config // made once for each reading, so that sessions can be resumed
}

// stamp tells one state of a file from another.
type stamp struct {
	at    time.Time
	bytes int64
}

// Open reads the files. The error names the key, the file and what to do.
func Open(fsys vfs.FS, t zoocfg.TLS, log *slog.Logger) (*Source, error) {
	s := &Source{fs: fsys, t: t, log: log}
	s.seen = s.stamps()
	m, err := s.read()
	if err != nil {
		return nil, err
	}
	s.now = m
	return s, nil
}

func (s *Source) stamps() (out [2]stamp) {
	for i, name := range []string{s.t.KeyStore.Location, s.t.TrustStore.Location} {
		if name == "" {
			continue
		}
		if info, err := s.fs.Stat(name); err == nil {
			out[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return out
}

// current is what holds for a handshake that begins now.
func (s *Source) current() material {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.t.Reload {
		return s.now
	}
	if stamps := s.stamps(); stamps != s.seen {
		s.seen = stamps
		m, err := s.read()
		if err != nil {
			s.log.Error("certificates changed and cannot be used: those of before go on", "err", err)
			return s.now
		}
		s.now = m
		s.log.Info("certificates were read again", "keyStore", s.t.KeyStore.Location, "trustStore", s.t.TrustStore.Location)
	}
	return s.now
}

func (s *Source) read() (material, error) {
	var m material
	fail := func(store, file string, err error) (material, error) {
		return material{}, fmt.Errorf("%s%s.location=%s: %w", s.t.Prefix, store, file, err)
	}
	if file := s.t.KeyStore.Location; file != "" {
		text, err := readFile(s.fs, file)
		if err == nil {
			m.cert, err = keyPair(text, s.t.KeyStore.Password)
		}
		if err != nil {
			return fail("keyStore", file, err)
		}
	}
	if file := s.t.TrustStore.Location; file != "" {
		text, err := readFile(s.fs, file)
		if err != nil {
			return fail("trustStore", file, err)
		}
		m.roots = x509.NewCertPool()
		if !m.roots.AppendCertsFromPEM(text) {
			return fail("trustStore", file, errors.New("it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"))
		}
	}
	m.server = s.serverConfig(m)
	return m, nil
}

// keyPair reads a key and its certificates, which may stand in any order.
func keyPair(text []byte, password string) (tls.Certificate, error) {
	plain, err := withoutPassword(text, password)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := tls.X509KeyPair(plain, plain)
	if err != nil {
		return cert, fmt.Errorf("it must hold a private key and its certificate in PEM form: %w", err)
	}
	return cert, nil
}

// withoutPassword decrypts the private keys of a PEM file.
func withoutPassword(text []byte, password string) ([]byte, error) {
	if !bytes.Contains(text, []byte("ENCRYPTED")) {
		return text, nil
	}
	var out bytes.Buffer
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out.Bytes(), nil
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY":
			key, err := decrypt(block.Bytes, password)
			if err != nil {
				return nil, fmt.Errorf("its private key is encrypted: %w; openssl pkey -in KEY -out PLAIN writes one without a password", err)
			}
			block = &pem.Block{Type: "PRIVATE KEY", Bytes: key}
		case block.Headers["DEK-Info"] != "":
			return nil, errors.New("its private key is encrypted in an old form that is not read: openssl pkcs8 -topk8 -in KEY -out NEW writes one that is")
		}
		_ = pem.Encode(&out, block) // a buffer takes it
	}
}

// maxFileBytes bounds a store.
const maxFileBytes = 4 << 20

func readFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxFileBytes {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", size, maxFileBytes)
	}
	buf := make([]byte, size)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return buf[:n], nil
}

// Server is the configuration for connections that are taken.
func (s *Source) Server() *tls.Config {
	return &tls.Config{
		MinVersion: s.t.MinVersion,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c := s.current().server
			if !s.t.VerifyClientHostname {
				return c, nil
			}
			from := hello.Conn.RemoteAddr()
			c = c.Clone()
			judge := c.VerifyConnection
			c.VerifyConnection = func(state tls.ConnectionState) error {
				return errors.Join(judge(state), verifyPeer(state, from))
			}
			return c, nil
		},
	}
}

// between tells whether the connections are those of servers with each other.
func (s *Source) between() bool { return s.t.Prefix == "ssl.quorum." }

func (s *Source) serverConfig(m material) *tls.Config {
	c := &tls.Config{
		MinVersion: s.t.MinVersion, MaxVersion: s.t.MaxVersion, CipherSuites: s.t.CipherSuites,
		Certificates: []tls.Certificate{m.cert}, ClientAuth: s.t.ClientAuth,
	}
	switch {
	case s.between():
		c.ClientAuth = tls.RequireAnyClientCert // verify judges it
	case c.ClientAuth == tls.RequireAndVerifyClientCert:
		c.ClientAuth = tls.RequireAnyClientCert
	case c.ClientAuth == tls.VerifyClientCertIfGiven:
		c.ClientAuth = tls.RequestClientCert
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil // ClientAuth has judged that
		}
		return verify(state, m.roots, "")
	}
	return c
}

// Client is the configuration for a connection that is made to host.
func (s *Source) Client(host string) *tls.Config {
	m := s.current()
	c := &tls.Config{
		MinVersion: s.t.MinVersion, MaxVersion: s.t.MaxVersion, CipherSuites: s.t.CipherSuites,
		ServerName: host,
		// The chain is verified all the same, by verify: without asking what the certificate
		// is for, and without the name where that is switched off.
		InsecureSkipVerify: true,
	}
	if len(m.cert.Certificate) > 0 {
		c.Certificates = []tls.Certificate{m.cert}
	}
	name := ""
	if s.t.VerifyHostname {
		name = host
	}
	c.VerifyConnection = func(state tls.ConnectionState) error { return verify(state, m.roots, name) }
	return c
}

// verify asks whether the peer's certificate comes from an authority of roots and, with a name,
// whether it is for that host.
func verify(state tls.ConnectionState, roots *x509.CertPool, name string) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the peer shows no certificate")
	}
	o := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, c := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(o)
	return err
}

// verifyPeer asks whether a peer comes from a host that its certificate names.
func verifyPeer(state tls.ConnectionState, from net.Addr) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	host, _, err := net.SplitHostPort(from.String())
	if err != nil {
		return err
	}
	return state.PeerCertificates[0].VerifyHostname(host)
}
