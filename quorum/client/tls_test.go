package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/quorum/jute"
)

func selfSigned(t *testing.T, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLS(t *testing.T) {
	cert, pool := selfSigned(t, "a")
	for name, roots := range map[string]*x509.CertPool{"known": pool, "unknown": x509.NewCertPool()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{wrap: func(c net.Conn) net.Conn {
					return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
				}}
				c, _ := start(t, func(cfg *Config) { cfg.TLS = &tls.Config{RootCAs: roots} }, s)
				_, _, err := c.Get(ctx, "/")
				if name == "known" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				var bad *tls.CertificateVerificationError
				if !errors.Is(err, jute.ConnectionLoss) || !errors.As(err, &bad) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
