package quorum

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/quorum/zootls"
)

// PortError says that a port cannot be opened, which key names it, and the way out.
type PortError struct {
	Key     string // "clientPort", "server.2"
	Addr    string
	File    string // zoo.cfg, if there is one
	Between bool   // it is one of those between servers
	Err     error
}

func (e *PortError) Error() string {
	where := ""
	if e.File != "" {
		where = " in " + e.File
	}
	text := fmt.Sprintf("%s: %s cannot be opened: %v", e.Key, e.Addr, e.Err)
	switch {
	case errors.Is(e.Err, syscall.EADDRINUSE):
		return fmt.Sprintf("%s\nAnother process has the port, perhaps another server: stop it, or change %s%s", text, e.Key, where)
	case errors.Is(e.Err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("%s\nThe address is none of this machine's: change %s%s, or set quorumListenOnAllIPs=true where the machine is reached by another address than its own", text, e.Key, where)
	case errors.Is(e.Err, syscall.EACCES):
		return fmt.Sprintf("%s\nThe user may not open it: choose a port above 1023 in %s%s", text, e.Key, where)
	}
	return text
}

func (e *PortError) Unwrap() error { return e.Err }

// listen opens a port and names its key if that fails.
func (q *Quorum) listen(ctx context.Context, key, addr string) (net.Listener, error) {
	l, err := q.o.Net.Listen(ctx, addr)
	if err != nil {
		return nil, &PortError{Key: key, Addr: addr, File: q.o.Config.File, Err: err}
	}
	return l, nil
}

// clientPorts opens what clients connect to, before anything is recovered: a port that is
// taken should not cost that first.
func (q *Quorum) clientPorts(ctx context.Context) error {
	c := q.o.Config
	source, err := q.clientTLS()
	if err != nil {
		return err
	}
	plain := q.o.Client
	q.o.Client = nil
	if plain == nil && c.ClientAddress != "" {
		key := "clientPort"
		if self, ok := c.Self(); ok && self.ClientPort > 0 {
			key = fmt.Sprintf("server.%d", self.ID)
		}
		if plain, err = q.listen(ctx, key, c.ClientAddress); err != nil {
			return err
		}
	}
	if plain != nil {
		q.addr = plain.Addr()
		if c.ClientPortUnification {
			plain = source.Listener(plain, true)
		}
		q.plain = append(q.plain, plain)
	}
	if c.SecureClientAddress == "" {
		return nil
	}
	secure, err := q.listen(ctx, "secureClientPort", c.SecureClientAddress)
	if err != nil {
		return err
	}
	q.secureAddr = secure.Addr()
	if q.addr == nil {
		q.addr = secure.Addr()
	}
	q.secure = append(q.secure, source.Listener(secure, false))
	return nil
}

func (q *Quorum) clientTLS() (*zootls.Source, error) {
	c := q.o.Config
	if c.SecureClientAddress == "" && !c.ClientPortUnification {
		return nil, nil
	}
	return zootls.Open(q.o.FS, c.ClientTLS, q.o.Log)
}

// peers is the network between the servers: encrypted if the configuration says so.
type peers struct {
	net    node.Net
	c      *zoocfg.Config
	source *zootls.Source // nil: all is plain
}

func newPeers(q *Quorum) (*peers, error) {
	c := q.o.Config
	p := &peers{net: q.o.Net, c: c}
	if !c.Distributed() || !c.QuorumTLS && !c.PortUnification {
		return p, nil
	}
	var err error
	p.source, err = zootls.Open(q.o.FS, c.ServerTLS, q.o.Log)
	return p, err
}

// Listen implements node.Net.
func (p *peers) Listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := p.net.Listen(ctx, addr)
	if err != nil {
		return nil, &PortError{Key: fmt.Sprintf("server.%d", p.c.MyID), Addr: addr, File: p.c.File, Between: true, Err: err}
	}
	if p.source == nil {
		return l, nil
	}
	return p.source.Listener(l, p.c.PortUnification), nil
}

// Dial implements node.Net.
func (p *peers) Dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.c.ConnectTimeout)
	defer cancel()
	conn, err := p.net.Dial(ctx, addr)
	if err != nil || !p.c.QuorumTLS {
		return conn, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	encrypted := tls.Client(conn, p.source.Client(host))
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: TLS: %w", addr, err), conn.Close())
	}
	_ = encrypted.SetDeadline(time.Time{}) // what the context had set
	return encrypted, nil
}
