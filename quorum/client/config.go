package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/quorum/jute"
)

// DefaultSessionTimeout is asked for when Config.SessionTimeout is 0.
const DefaultSessionTimeout = 30 * time.Second

// defaultPort is ZooKeeper's client port.
const defaultPort = "2181"

// Config says where the ensemble is and what the client is to be.
type Config struct {
	// Servers is "host:port,host:port/chroot". All servers are tried, in random order. Paths
	// are below the chroot, which has to be there.
	Servers string
	// SessionTimeout is asked for; the server keeps it within its limits.
	SessionTimeout time.Duration
	Dial           func(ctx context.Context, address string) (net.Conn, error)
	Clock          clock.Clock
	Rand           *rand.Rand
	Log            *slog.Logger // nil: no log
	// TLS makes the connection one of TLS. Without a ServerName, the host's name is checked.
	TLS       *tls.Config
	MaxBuffer int  // jute.maxbuffer: the largest packet, both ways; 0: 0xfffff
	ReadOnly  bool // a server without quorum that answers reads will do, when it offers that
	Auth      []Auth
	Session   *Session // to go on with; nil: a new one
	// OnState is told of each change of the state.
	OnState func(State)
	// OnEvent is told of each event once, however many watches it is for, and before them.
	OnEvent func(Event)
}

// Auth is what a client shows of itself: {"digest", "user:password"}.
type Auth struct {
	Scheme string
	Auth   []byte
}

// Session is what makes another connection the same client.
type Session struct {
	ID       int64
	Password []byte
}

// State is what a client is in. Expired, AuthFailed and Closed are final.
type State int32

// The states.
const (
	Connecting State = iota
	Connected
	ConnectedReadOnly
	AuthFailed
	Expired
	Closed
)

// String is the state as ZooKeeper's events call it.
func (s State) String() string {
	switch s {
	case Connected:
		return "SyncConnected"
	case ConnectedReadOnly:
		return "ConnectedReadOnly"
	case AuthFailed:
		return "AuthFailed"
	case Expired:
		return "Expired"
	case Closed:
		return "Closed"
	}
	return "Disconnected"
}

// Final tells whether a client never leaves the state.
func (s State) Final() bool { return s >= AuthFailed }

// code is what calls fail with in a final state.
func (s State) code() jute.Code {
	if s == AuthFailed {
		return jute.AuthFailed
	}
	return jute.SessionExpired
}

// ParseServers takes a connect string apart. The chroot is "" when there is none.
func ParseServers(s string) (addresses []string, chroot string, err error) {
	hosts := s
	if i := strings.IndexByte(s, '/'); i >= 0 {
		hosts, chroot = s[:i], s[i:]
		if chroot == "/" {
			chroot = ""
		} else if err := jute.CheckPath(chroot, false); err != nil {
			return nil, "", fmt.Errorf("connect string %q: chroot %s: %w", s, chroot, err)
		}
	}
	for _, h := range strings.Split(hosts, ",") {
		if h = strings.TrimSpace(h); h == "" {
			continue
		}
		a, err := serverAddress(h)
		if err != nil {
			return nil, "", fmt.Errorf("connect string %q: %w", s, err)
		}
		addresses = append(addresses, a)
	}
	if len(addresses) == 0 {
		return nil, "", fmt.Errorf("connect string %q names no server: it is host:port,host:port/chroot", s)
	}
	return addresses, chroot, nil
}

// serverAddress adds the port that is not given.
func serverAddress(h string) (string, error) {
	host, port := h, defaultPort
	switch i := strings.LastIndexByte(h, ':'); {
	case strings.HasPrefix(h, "["):
		end := strings.IndexByte(h, ']')
		if end < 0 {
			return "", fmt.Errorf("server %q: the bracket is not closed", h)
		}
		host = h[1:end]
		if rest := h[end+1:]; rest != "" && rest != ":" {
			if rest[0] != ':' {
				return "", fmt.Errorf("server %q: %q after the bracket", h, rest)
			}
			port = rest[1:]
		}
	case i >= 0:
		host = h[:i]
		if i < len(h)-1 {
			port = h[i+1:]
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("server %q: port %q is not between 1 and 65535", h, port)
	}
	if host == "" {
		return "", fmt.Errorf("server %q has no host", h)
	}
	return net.JoinHostPort(host, port), nil
}

// New returns a client that starts to connect. It fails for a Config that makes none.
func New(cfg Config) (*Client, error) {
	addresses, chroot, err := ParseServers(cfg.Servers)
	if err != nil {
		return nil, err
	}
	if cfg.Dial == nil || cfg.Clock == nil || cfg.Rand == nil {
		return nil, errors.New("client: Dial, Clock and Rand are needed")
	}
	if cfg.SessionTimeout <= 0 {
		cfg.SessionTimeout = DefaultSessionTimeout
	}
	if cfg.MaxBuffer <= 0 {
		cfg.MaxBuffer = jute.DefaultMaxBuffer
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		cfg: cfg, addresses: addresses, chroot: chroot, ctx: ctx, cancel: cancel,
		wake: make(chan struct{}, 1), changed: make(chan struct{}), stopped: make(chan struct{}),
		timeout: cfg.SessionTimeout, session: Session{Password: make([]byte, 16)},
	}
	if cfg.Session != nil {
		c.session = Session{ID: cfg.Session.ID, Password: append([]byte(nil), cfg.Session.Password...)}
		c.seenReadWrite = true
	}
	for _, a := range cfg.Auth {
		c.auths = append(c.auths, newAuth(a))
	}
	go c.run()
	return c, nil
}
