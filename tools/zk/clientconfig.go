package zk

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/properties"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/quorum/zootls"
)

// clientConfig is what -client-configuration says (ZKClientConfig).
type clientConfig struct {
	maxBuffer int
	secure    bool
	tls       zoocfg.TLS
}

// readClientConfig reads a properties file. Keys without effect here are told on errs.
func readClientConfig(file string, errs io.Writer) (*clientConfig, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, failure("-client-configuration: " + err.Error())
	}
	props, err := properties.Parse(string(text))
	if err != nil {
		return nil, failure(fmt.Sprintf("-client-configuration %s: %v", file, err))
	}
	c := &clientConfig{tls: zoocfg.TLS{Prefix: "zookeeper.ssl.", MinVersion: tls.VersionTLS12, VerifyHostname: true}}
	for _, p := range props {
		known, err := c.set(p.Key, strings.TrimSpace(p.Value))
		if err != nil {
			return nil, failure(fmt.Sprintf("%s:%d: %s=%s: %v", file, p.Line, p.Key, p.Value, err))
		}
		if !known {
			fmt.Fprintf(errs, "%s:%d: %s has no effect here\n", file, p.Line, p.Key)
		}
	}
	return c, nil
}

func (c *clientConfig) set(key, value string) (known bool, err error) {
	switch key {
	case "jute.maxbuffer":
		n, err := strconv.ParseInt(value, 0, 32)
		if err == nil && n <= 0 {
			err = fmt.Errorf("it is a number of bytes above 0")
		}
		c.maxBuffer = int(n)
		return true, err
	case "zookeeper.client.secure":
		c.secure, err = parseBool(value)
	case "zookeeper.ssl.hostnameVerification":
		c.tls.VerifyHostname, err = parseBool(value)
	case "zookeeper.ssl.keyStore.location":
		c.tls.KeyStore.Location = value
	case "zookeeper.ssl.keyStore.password":
		c.tls.KeyStore.Password = value
	case "zookeeper.ssl.trustStore.location":
		c.tls.TrustStore.Location = value
	case "zookeeper.ssl.trustStore.password":
		c.tls.TrustStore.Password = value
	case "zookeeper.ssl.keyStore.type", "zookeeper.ssl.trustStore.type":
		if !strings.EqualFold(value, "PEM") {
			err = fmt.Errorf("only PEM files can be read (keytool -exportcert -rfc, openssl pkcs12 -nodes make them)")
		}
	case "zookeeper.ssl.protocol":
		if value == "TLSv1.3" {
			c.tls.MinVersion = tls.VersionTLS13
		} else if value != "TLSv1.2" && value != "TLS" {
			err = fmt.Errorf("it is TLSv1.2 or TLSv1.3")
		}
	case "zookeeper.clientCnxnSocket":
		// Java chooses its network library by it.
	default:
		return false, nil
	}
	return true, err
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("it is true or false")
}

// dialer returns how servers are reached.
func (c *clientConfig) dialer() (func(context.Context, string) (net.Conn, error), error) {
	plain := func(ctx context.Context, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	if !c.secure {
		return plain, nil
	}
	source, err := zootls.Open(osfs.FS{}, c.tls, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, failure(err.Error())
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := plain(ctx, address)
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(address)
		secured := tls.Client(conn, source.Client(host))
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("TLS with %s: %w", address, err)
		}
		return secured, nil
	}, nil
}
