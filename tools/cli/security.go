package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// securityOptions turns Kafka's client settings (security.protocol, ssl.*, sasl.*) into
// options of the client. Stores must be PEM: Java's key stores need Java.
func securityOptions(p Props) ([]kgo.Opt, error) {
	protocol := strings.ToUpper(p.Or("security.protocol", "PLAINTEXT"))
	var opts []kgo.Opt
	switch protocol {
	case "PLAINTEXT", "SASL_PLAINTEXT":
	case "SSL", "SASL_SSL":
		conf, err := tlsConfig(p)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(conf))
	default:
		return nil, fmt.Errorf("security.protocol=%s: must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", protocol)
	}
	if !strings.HasPrefix(protocol, "SASL_") {
		return opts, nil
	}
	user, password := jaasLogin(p["sasl.jaas.config"])
	if user == "" {
		return nil, fmt.Errorf("security.protocol=%s needs sasl.jaas.config with username=\"...\" and password=\"...\"", protocol)
	}
	switch mechanism := p.Or("sasl.mechanism", "GSSAPI"); mechanism {
	case "PLAIN":
		opts = append(opts, kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()))
	case "SCRAM-SHA-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()))
	default:
		return nil, fmt.Errorf("sasl.mechanism=%s: must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", mechanism)
	}
	return opts, nil
}

func tlsConfig(p Props) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, store := range []string{"truststore", "keystore"} {
		kind := p.Or("ssl."+store+".type", "JKS")
		if p["ssl."+store+".location"] != "" && !strings.EqualFold(kind, "PEM") {
			return nil, fmt.Errorf("ssl.%s.type=%s is not supported: use PEM", store, kind)
		}
	}
	if path := p["ssl.truststore.location"]; path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ssl.truststore.location=%s holds no PEM certificate", path)
		}
	}
	if path := p["ssl.keystore.location"]; path != "" {
		pair, err := tls.LoadX509KeyPair(path, path)
		if err != nil {
			return nil, fmt.Errorf("ssl.keystore.location=%s: %w", path, err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	if algorithm, set := p["ssl.endpoint.identification.algorithm"]; set && algorithm == "" {
		skipHostname(conf)
	}
	return conf, nil
}

// skipHostname verifies the chain but not the name in it, which is what an empty
// ssl.endpoint.identification.algorithm means.
func skipHostname(conf *tls.Config) {
	conf.InsecureSkipVerify = true
	roots := conf.RootCAs
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			between.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
		return err
	}
}

// jaasLogin reads username and password out of a JAAS login line.
func jaasLogin(line string) (user, password string) {
	field := func(name string) string {
		m := regexp.MustCompile(`\b` + name + `\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)')`).FindStringSubmatch(line)
		if m == nil {
			return ""
		}
		return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(m[1] + m[2])
	}
	return field("username"), field("password")
}
