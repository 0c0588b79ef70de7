package quorum

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/quorum/zootls"
	"github.com/millrace/millrace/tools/cli"
)

// askWait is how long status waits for an answer.
const askWait = 5 * time.Second

// status asks the server what it is.
func (t *tool) status(cmd *cobra.Command, p *place) error {
	out := cmd.OutOrStdout()
	cfg, _, err := zoocfg.Load(zoocfg.Input{File: p.config, FS: osfs.FS{}, Environ: os.Environ()})
	if err != nil {
		return &cli.ExitError{Code: InvalidInvocation, Message: err.Error()}
	}
	at, encrypted := cfg.ClientAddress, false
	if at == "" {
		fmt.Fprintln(out, "Client port not found. Looking for secureClientPort in the static config.")
		at, encrypted = cfg.SecureClientAddress, true
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	fmt.Fprintf(out, "Client port found: %s. Client address: %s. Client SSL: %t.\n", port, host, encrypted)
	var config *tls.Config
	if encrypted {
		if config, err = ownTLS(cfg); err != nil {
			return err
		}
	}
	answer, err := Ask(net.JoinHostPort(host, port), "srvr", config)
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "Mode: ") {
			_, err := fmt.Fprint(out, line)
			return err
		}
	}
	fmt.Fprintln(out, "Error contacting service. It is probably not running.")
	switch {
	case err != nil:
		fmt.Fprintln(cmd.ErrOrStderr(), err)
	case answer != "":
		fmt.Fprintln(cmd.ErrOrStderr(), strings.TrimSpace(answer))
	}
	return cli.Exit(1)
}

// ownTLS lets status in by the server's own certificate. Who answers on this machine's port is
// not asked.
func ownTLS(cfg *zoocfg.Config) (*tls.Config, error) {
	source, err := zootls.Open(osfs.FS{}, cfg.ClientTLS, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	c := source.Client("localhost")
	c.VerifyConnection = nil
	return c, nil
}

// Ask sends a four-letter word to a client port and returns the answer.
func Ask(addr, word string, config *tls.Config) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, askWait)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if config != nil {
		conn = tls.Client(conn, config)
	}
	if err := conn.SetDeadline(time.Now().Add(askWait)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, word); err != nil {
		return "", err
	}
	const maxAnswer = 1 << 20
	answer, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	if len(answer) > 0 && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil // the server closes when it has said all, in one way or another
	}
	return string(answer), err
}
