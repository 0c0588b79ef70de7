package zoocfg

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// tlsKeys are ssl.* for clients and ssl.quorum.* between servers.
func tlsKeys() []key {
	keys := tlsGroup("ssl.", func(d *draft) *TLS { return &d.ClientTLS }, 0)
	keys = append(keys, tlsGroup("ssl.quorum.", func(d *draft) *TLS { return &d.ServerTLS }, 1)...)
	return append(keys,
		property("client.certReload", flag(func(d *draft, on bool) { d.ClientTLS.Reload = on })),
		property("client.portUnification", flag(func(d *draft, on bool) { d.ClientPortUnification = on })),
		property("ssl.authProvider", func(_ *draft, v string) error {
			if v != "x509" {
				return refused("classes of Java cannot be loaded here: clients with a certificate are known as x509, by its subject")
			}
			return nil
		}),
	)
}

func tlsGroup(prefix string, of func(d *draft) *TLS, index int) []key {
	var keys []key
	add := func(name string, p parser) { keys = append(keys, property(prefix+name, p)) }
	store := func(name string, of func(d *draft) *Store) {
		add(name+".location", storeLocation(of))
		add(name+".password", func(d *draft, v string) error { of(d).Password = v; return nil })
		keys[len(keys)-1].secret = true
		add(name+".passwordPath", func(*draft, string) error {
			return refused("passwords are not read from files: keep the key in a PEM file without a password that only the server's user may read")
		})
		add(name+".type", storeType)
	}
	store("keyStore", func(d *draft) *Store { return &of(d).KeyStore })
	store("trustStore", func(d *draft) *Store { return &of(d).TrustStore })
	add("protocol", func(d *draft, v string) error {
		t := *of(d) // enabledProtocols is the finer one
		err := protocols(&t, v)
		if !d.enabledProtocols[index] {
			*of(d) = t
		}
		return err
	})
	add("enabledProtocols", func(d *draft, v string) error {
		d.enabledProtocols[index] = true
		return protocols(of(d), v)
	})
	add("ciphersuites", func(d *draft, v string) error { return cipherSuites(d, of(d), v) })
	add("hostnameVerification", flag(func(d *draft, on bool) { of(d).VerifyHostname = on }))
	add("clientHostnameVerification", flag(func(d *draft, on bool) { of(d).VerifyClientHostname = on }))
	add("clientAuth", func(d *draft, v string) error {
		switch strings.ToLower(v) {
		case "need":
			of(d).ClientAuth = tls.RequireAndVerifyClientCert
		case "want":
			of(d).ClientAuth = tls.VerifyClientCertIfGiven
		case "none":
			of(d).ClientAuth = tls.NoClientCert
		default:
			return allowed("need, want, none")
		}
		return nil
	})
	add("crl", switchedOn("revocation lists are not read: leave it out, and revoke by another trust store, which is read again when it changes"))
	add("ocsp", switchedOn("OCSP is not asked: leave it out, and revoke by another trust store, which is read again when it changes"))
	add("context.supplier.class", func(*draft, string) error {
		return refused("classes of Java cannot be loaded here: name the keys by %skeyStore.location and %strustStore.location", prefix, prefix)
	})
	return keys
}

// javaStores are the formats that need Java to be read, by the ends of their files' names.
var javaStores = map[string]string{".jks": "JKS", ".p12": "PKCS12", ".pfx": "PKCS12", ".bcfks": "BCFKS"}

func notPEM(kind, file string) error {
	way := fmt.Sprintf("openssl pkcs12 -in %s -nodes -out store.pem", file)
	if kind != "PKCS12" {
		way = fmt.Sprintf("keytool -importkeystore -srckeystore %s -destkeystore store.p12 -deststoretype PKCS12 && openssl pkcs12 -in store.p12 -nodes -out store.pem", file)
	}
	return refused("stores of type %s are not read, PEM files are; to convert it: %s", kind, way)
}

func storeLocation(of func(d *draft) *Store) parser {
	return text(func(d *draft, v string) { of(d).Location = v }).then(func(v string) error {
		if kind, java := javaStores[strings.ToLower(filepath.Ext(v))]; java {
			return notPEM(kind, v)
		}
		return nil
	})
}

// then checks what p took.
func (p parser) then(check func(v string) error) parser {
	return func(d *draft, v string) error {
		if err := p(d, v); err != nil {
			return err
		}
		return check(v)
	}
}

func storeType(_ *draft, v string) error {
	switch kind := strings.ToUpper(v); kind {
	case "PEM":
		return nil
	case "JKS", "PKCS12", "BCFKS":
		return notPEM(kind, "store."+strings.ToLower(kind))
	}
	return allowed("PEM")
}

// protocols takes one version of TLS or a list of them, which must not have a gap.
func protocols(t *TLS, v string) error {
	versions := map[string]uint16{"TLSV1.2": tls.VersionTLS12, "TLSV1.3": tls.VersionTLS13, "TLS": tls.VersionTLS12}
	var low, high uint16
	for _, name := range list(v) {
		n, ok := versions[strings.ToUpper(name)]
		if !ok {
			return allowed("TLSv1.2, TLSv1.3 (older ones are not spoken)")
		}
		if low == 0 || n < low {
			low = n
		}
		high = max(high, n)
		if strings.EqualFold(name, "TLS") {
			high = tls.VersionTLS13
		}
	}
	if low == 0 {
		return allowed("TLSv1.2, TLSv1.3")
	}
	t.MinVersion, t.MaxVersion = low, high
	return nil
}

// cipherSuites takes those that are spoken. TLS 1.3 has suites of its own, which are always on.
func cipherSuites(d *draft, t *TLS, v string) error {
	t.CipherSuites = nil
	var names, unknown []string
	for _, s := range tls.CipherSuites() {
		names = append(names, s.Name)
	}
	for _, name := range list(v) {
		if i := slices.Index(names, name); i >= 0 {
			t.CipherSuites = append(t.CipherSuites, tls.CipherSuites()[i].ID)
		} else {
			unknown = append(unknown, name)
		}
	}
	if len(t.CipherSuites) == 0 {
		return allowed("a list of %s", strings.Join(names, ", "))
	}
	if len(unknown) > 0 {
		d.note("not spoken and left out: %s", strings.Join(unknown, ", "))
	}
	return nil
}
