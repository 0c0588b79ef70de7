// Package zkserver runs ZooKeeper servers for tests: an ensemble of processes, of Debian's
// Apache ZooKeeper or of any program that takes a zoo.cfg as its last argument, with one
// zoo.cfg for both. Everything is temporary; the servers die with the test.
//
// Debian's server is the oracle of the tests of the quorum. A machine without it skips
// them, unless ZOOKEEPER_REQUIRED is set: then its absence fails them, so that a run that
// is meant to prove something cannot pass by skipping.
package zkserver

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/netx/ports"
)

// Options says what ensemble is wanted. The zero value is one standalone server of Debian's.
type Options struct {
	// Servers is the number of participants; 0 means 1. A single one is standalone.
	Servers int
	// Observers come after the participants.
	Observers int
	// Config holds lines of zoo.cfg, over those that the launcher writes. An empty value
	// takes a line away.
	Config map[string]string
	// Argv is the server's command, without its last argument, the file; nil means Debian's.
	Argv []string
	// Properties holds what Apache ZooKeeper takes from the JVM and not from the file, as
	// jute.maxbuffer and znode.container.checkIntervalMs. Another server finds them in
	// SERVER_JVMFLAGS, which is where zkServer.sh looks.
	Properties map[string]string
	// PeerPorts, if set, is where the server from looks for the server to, on loopback: a
	// proxy's ports, say, in front of quorum and election, which are to's own.
	PeerPorts func(from, to, quorum, election int) (int, int, error)
	// Env is added to the servers' environment.
	Env []string
	// ReadyTimeout is how long the start may take; 0 means two minutes.
	ReadyTimeout time.Duration
}

// SuperDigest is the DigestAuthenticationProvider.superDigest of every server launched:
// who adds the authentication "digest", SuperAuth may do everything.
const (
	SuperDigest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
	SuperAuth   = "super:test"
)

// Ensemble is the servers that belong together. Its methods are not for concurrent use.
type Ensemble struct {
	Servers []*Server
	dir     string
	opts    Options
	ports   *ports.Reserved
}

// Launch starts an ensemble for a test and returns once all of it serves. It is gone after
// the test; if the test failed, the ends of the servers' logs are shown, and the logs kept.
func Launch(t testing.TB, o Options) *Ensemble {
	t.Helper()
	e := Prepare(t, o)
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	return e
}

// Prepare does everything but the start.
func Prepare(t testing.TB, o Options) *Ensemble {
	t.Helper()
	if o.Argv == nil {
		Need(t)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(e.Logs())
			if dir, err := e.keepLogs(); err == nil {
				t.Logf("the whole logs are in %s", dir)
			}
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// New prepares an ensemble outside of a test; Close ends it.
func New(o Options) (*Ensemble, error) {
	o.Servers = max(o.Servers, 1)
	if o.ReadyTimeout == 0 {
		o.ReadyTimeout = 2 * time.Minute
	}
	flags := o.flags()
	if o.Argv == nil {
		o.Argv = debianCommand(flags)
	} else if len(flags) > 0 {
		o.Env = append(slices.Clone(o.Env), "SERVER_JVMFLAGS="+strings.Join(flags, " "))
	}
	dir, err := os.MkdirTemp("", "millrace-zookeeper-")
	if err != nil {
		return nil, err
	}
	e := &Ensemble{dir: dir, opts: o}
	servers := o.Servers + o.Observers
	if e.ports, err = ports.Reserve(4 * servers); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	for id := 1; id <= servers; id++ {
		s := &Server{ID: id, ensemble: e, observer: id > o.Servers, dir: filepath.Join(dir, strconv.Itoa(id))}
		of := e.ports.Numbers[4*(id-1):]
		s.client, s.quorum, s.election, s.admin = of[0], of[1], of[2], of[3]
		e.Servers = append(e.Servers, s)
	}
	for _, s := range e.Servers {
		if err := errors.Join(e.findPeers(s), s.write()); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	return e, nil
}

// findPeers tells a server where it finds the others.
func (e *Ensemble) findPeers(s *Server) error {
	s.peers = map[int]peer{}
	for _, p := range e.Servers {
		at := peer{p.quorum, p.election}
		if e.opts.PeerPorts != nil && p != s {
			var err error
			if at.quorum, at.election, err = e.opts.PeerPorts(s.ID, p.ID, p.quorum, p.election); err != nil {
				return err
			}
		}
		s.peers[p.ID] = at
	}
	return nil
}

// flags is the properties as java takes them.
func (o *Options) flags() []string {
	var flags []string
	for _, k := range slices.Sorted(maps.Keys(o.Properties)) {
		flags = append(flags, "-D"+k+"="+o.Properties[k])
	}
	return flags
}

// Start starts all servers and returns once all of them serve.
func (e *Ensemble) Start() error {
	for _, s := range e.Servers {
		if err := s.StartOnly(); err != nil {
			return err
		}
	}
	for _, s := range e.Servers {
		if err := s.WaitServing(); err != nil {
			return err
		}
	}
	return nil
}

// ConnectString is the addresses of all servers, as clients take them.
func (e *Ensemble) ConnectString() string {
	var addrs []string
	for _, s := range e.Servers {
		addrs = append(addrs, s.Addr())
	}
	return strings.Join(addrs, ",")
}

// Leader is the server that leads or stands alone. It waits for one.
func (e *Ensemble) Leader() (*Server, error) {
	deadline := time.Now().Add(e.opts.ReadyTimeout)
	for {
		for _, s := range e.Servers {
			if m := s.Mode(); m == "leader" || m == "standalone" {
				return s, nil
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("no leader in %v\n%s", e.opts.ReadyTimeout, e.Logs())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Close kills all servers and removes their folders.
func (e *Ensemble) Close() error {
	var errs []error
	for _, s := range e.Servers {
		errs = append(errs, s.Kill())
	}
	return errors.Join(append(errs, e.ports.Close(), os.RemoveAll(e.dir))...)
}

// keepLogs moves the logs to a folder that stays.
func (e *Ensemble) keepLogs() (string, error) {
	dir, err := os.MkdirTemp("", "millrace-zookeeper-failed-")
	if err != nil {
		return "", err
	}
	for _, s := range e.Servers {
		err = errors.Join(err, os.Rename(s.logFile(), filepath.Join(dir, strconv.Itoa(s.ID)+".log")))
	}
	return dir, err
}

// Logs returns the ends of what the servers printed.
func (e *Ensemble) Logs() string {
	var b strings.Builder
	for _, s := range e.Servers {
		fmt.Fprintf(&b, "the end of the log of server %d:\n%s\n", s.ID, s.Log())
	}
	return b.String()
}

// zooCfg is the file of one server.
func (e *Ensemble) zooCfg(s *Server) string {
	lines := map[string]string{
		"tickTime":               "500",
		"initLimit":              "40",
		"syncLimit":              "20",
		"dataDir":                filepath.Join(s.dir, "data"),
		"clientPort":             strconv.Itoa(s.client),
		"clientPortAddress":      "127.0.0.1",
		"maxClientCnxns":         "0",
		"4lw.commands.whitelist": "*",
		"admin.serverAddress":    "127.0.0.1",
		"admin.serverPort":       strconv.Itoa(s.admin),
		// The JVM's properties of the same names behind "zookeeper.".
		"extendedTypesEnabled":                     "true",
		"DigestAuthenticationProvider.superDigest": SuperDigest,
		"preAllocSize":                             "1024",
	}
	if len(e.Servers) > 1 {
		// Elections start after half a tick: not for every hiccup of a busy machine.
		lines["tickTime"], lines["initLimit"], lines["syncLimit"] = "2000", "10", "5"
		for _, p := range e.Servers {
			line := fmt.Sprintf("127.0.0.1:%d:%d", s.peers[p.ID].quorum, s.peers[p.ID].election)
			if p.observer {
				line += ":observer"
			}
			lines["server."+strconv.Itoa(p.ID)] = line
		}
	}
	if s.observer {
		lines["peerType"] = "observer"
	}
	for k, v := range e.opts.Config {
		lines[k] = v
	}
	var text []string
	for k, v := range lines {
		if v != "" {
			text = append(text, k+"="+v+"\n")
		}
	}
	slices.Sort(text)
	return strings.Join(text, "")
}
