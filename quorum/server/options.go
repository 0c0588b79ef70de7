package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/quorum/jute"
)

// Options is what Start needs.
type Options struct {
	Member Member
	// Listeners and SecureListeners are for clients without and with TLS. What they accept is a
	// net.Conn, or has the methods HandshakeContext and ConnectionState of a *tls.Conn and
	// possibly NetConn. Start and Close take them over.
	Listeners       []net.Listener
	SecureListeners []net.Listener
	Config          Config
	Facts           Facts
	Clock           clock.Clock  // nil: the machine's
	Log             *slog.Logger // nil: silent

	// Tests have lanes of their own (nil: as many as the machine wants), and bring connections to
	// them after other than swiftRun requests (0).
	lanes    *netx.Lanes
	swiftRun int
}

// Config is the settings of the client port, under the names of zoo.cfg. Zero values mean what
// the comments say.
type Config struct {
	TickTime          time.Duration // 0: 2 s
	MinSessionTimeout time.Duration // 0: 2 ticks
	MaxSessionTimeout time.Duration // 0: 20 ticks
	// MaxClientCnxns is how many connections one address may have; 0: no limit.
	MaxClientCnxns int
	// MaxCnxns is how many connections there may be in all; 0: no limit.
	MaxCnxns int
	// MaxBufferBytes is jute.maxbuffer, the largest request; 0: 1 MiB less one.
	MaxBufferBytes int
	// GlobalOutstandingLimit is how many requests may wait for their answer before
	// connections that wait for one are not read any more; 0: 1000.
	GlobalOutstandingLimit int
	// OutstandingBytes bounds the bytes of those requests in the same way; 0: 64 MiB.
	OutstandingBytes int64
	// OutputBytes is how many bytes of replies and events may wait for one connection, which
	// is closed beyond it; 0: 16 MiB.
	OutputBytes int
	// WatchBytes bounds the watches of one connection, TotalWatchBytes those of all; 0: 64
	// and 512 MiB.
	WatchBytes, TotalWatchBytes int64
	// SessionlessTimeout is how long a connection may take to open a session; 0: 10 s.
	SessionlessTimeout time.Duration

	// Words are the four-letter words that are answered (4lw.commands.whitelist): "*" is all.
	// nil: ruok, srvr, stat, mntr, conf, isro. srvr always is.
	Words []string

	// SuperDigest is who passes every ACL: user:base64(sha1(user:password)), as
	// zookeeper.DigestAuthenticationProvider.superDigest; "": nobody.
	SuperDigest string
	// SuperX509 is the subject of a client certificate that passes every ACL; "": none.
	SuperX509 string
	// EnforceAuthSchemes, if any, are those of which a client must show one before it may do
	// anything (enforce.auth.enabled, enforce.auth.schemes).
	EnforceAuthSchemes []string

	Reconfig bool // membership changes (reconfigEnabled)
}

// Facts is what the port only tells: words and admin commands print it.
type Facts struct {
	Version         string    // "": 3.8.0-millrace
	Built           time.Time // zero: the start of 2026
	DataDir         string
	DataLogDir      string
	ListenBacklog   int // 0: -1, the system's own
	InitLimit       int // in ticks, as SyncLimit: what conf tells of a server of an ensemble
	SyncLimit       int
	InitialConfig   string
	Environment     func() []Pair // what envi prints after the version; nil: nothing
	DirSizes        func() (dataBytes, logBytes int64)
	LastSnapshot    func() (zxid int64, at time.Time, ok bool)
	FileDescriptors func() (open, limit int64)
	// SyncTimes and SnapshotTimes are how long the log's syncs and the writing of snapshots took;
	// nil: mntr has nothing of it.
	SyncTimes, SnapshotTimes func() Histogram
	SystemProperties         func() []Pair
}

// Pair is a name and a value.
type Pair struct{ Name, Value string }

// defaultWords are answered when the configuration names none.
var defaultWords = []string{"ruok", "srvr", "stat", "mntr", "conf", "isro"}

func (o *Options) withDefaults() error {
	if o.Member == nil {
		return errors.New("the client port needs a member")
	}
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.swiftRun, netx.SwiftRun)
	if o.lanes == nil {
		// A second one on two processors took back what the first had brought.
		o.lanes = netx.NewLanes(max(1, runtime.GOMAXPROCS(0)/2), o.Clock)
	}
	o.Facts.withDefaults()
	return o.Config.withDefaults()
}

func (f *Facts) withDefaults() {
	setDefault(&f.Version, "3.8.0-millrace")
	setDefault(&f.ListenBacklog, -1)
	if f.Built.IsZero() {
		f.Built = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if f.Environment == nil {
		f.Environment = func() []Pair { return nil }
	}
	if f.SystemProperties == nil {
		f.SystemProperties = f.Environment
	}
	if f.DirSizes == nil {
		f.DirSizes = func() (int64, int64) { return 0, 0 }
	}
	if f.LastSnapshot == nil {
		f.LastSnapshot = func() (int64, time.Time, bool) { return 0, time.Time{}, false }
	}
}

func (c *Config) withDefaults() error {
	setDefault(&c.TickTime, 2*time.Second)
	setDefault(&c.MinSessionTimeout, 2*c.TickTime)
	setDefault(&c.MaxSessionTimeout, 20*c.TickTime)
	setDefault(&c.MaxBufferBytes, jute.DefaultMaxBuffer)
	setDefault(&c.GlobalOutstandingLimit, 1000)
	setDefault(&c.OutstandingBytes, 64<<20)
	setDefault(&c.OutputBytes, 16<<20)
	setDefault(&c.WatchBytes, 64<<20)
	setDefault(&c.TotalWatchBytes, 512<<20)
	setDefault(&c.SessionlessTimeout, 10*time.Second)
	if c.Words == nil {
		c.Words = defaultWords
	}
	if c.MinSessionTimeout > c.MaxSessionTimeout {
		return fmt.Errorf("minSessionTimeout of %v must not be larger than maxSessionTimeout of %v", c.MinSessionTimeout, c.MaxSessionTimeout)
	}
	if c.MaxBufferBytes < 0 {
		return fmt.Errorf("jute.maxbuffer of %d is negative", c.MaxBufferBytes)
	}
	return nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
