package zoocfg

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Config is how one member of an ensemble runs. Where ZooKeeper has a default it is that.
type Config struct {
	File     string    // zoo.cfg; empty for an embedded member
	Text     string    // File as it was read
	Settings []Setting // what somebody set, by key

	// Who it is.
	MyID    int64    // 1 to 255; 1 for a lone server without a myid file
	Servers []Server // by ID; empty for a lone server that no line names
	// StandaloneEnabled lets a single voter run as a server that expects no others.
	StandaloneEnabled bool
	ReconfigEnabled   bool
	DynamicFile       string // where Servers stand, if not in File
	Version           int64  // of the dynamic file, from its name

	// Where its data lies.
	DataDir    string // snapshots, myid
	DataLogDir string // the log; DataDir unless it was set
	// CreateDirs is false where a missing folder stops the start (zookeeper.datadir.autocreate).
	CreateDirs bool
	// CreateData is false where a member without data starts only if the file "initialize"
	// lies in DataDir (zookeeper.db.autocreate).
	CreateData bool

	// Times.
	TickTime          time.Duration
	InitLimit         int // ticks that a joining server may take to catch up
	SyncLimit         int // ticks without the leader after which a server serves nobody
	MinSessionTimeout time.Duration
	MaxSessionTimeout time.Duration
	ConnectTimeout    time.Duration // to another server (cnxTimeout)

	// What clients meet.
	ClientAddress       string // host:port; empty: none
	SecureClientAddress string
	MaxClientCnxns      int      // of one address; 0: no limit
	MaxCnxns            int      // of all; 0: no limit
	JuteMaxBuffer       int      // largest packet in bytes
	OutstandingLimit    int      // requests that wait, of all clients
	OutstandingBytes    int64    // what they may hold together
	FourLetterWords     []string // "*" for all
	EnforceQuota        bool

	// Who clients are.
	SkipACL       bool
	SuperDigest   string // super:base64(sha1(super:password)); empty: there is no super user
	X509SuperUser string // subject of a certificate
	// AuthSchemes, if any, are those of which a client must show one before it may do anything.
	AuthSchemes []string

	// Nodes that go by themselves.
	ExtendedTypes          bool // TTL nodes; ZooKeeper has them only where extendedTypesEnabled=true
	ContainerCheckInterval time.Duration
	ContainerMaxPerMinute  int
	ContainerMaxNeverUsed  time.Duration // 0: an unused container stays

	// The log and its snapshots.
	ForceSync    bool // false: a crash of the machine may lose what was acknowledged
	SyncWarning  time.Duration
	SnapCount    int   // transactions between two snapshots
	SnapLogBytes int64 // bytes of log between two snapshots
	SnapRetain   int   // snapshots that are kept
	Purge        bool  // whether older ones are removed

	// The ensemble.
	ListenOnAllIPs  bool
	QuorumTLS       bool // sslQuorum: connections to other servers are encrypted
	PortUnification bool // the servers' ports take encrypted and plain connections

	ClientTLS TLS // of SecureClientAddress
	ServerTLS TLS // between servers
	// ClientPortUnification lets encrypted connections come to ClientAddress too.
	ClientPortUnification bool

	Admin   Admin
	Metrics Metrics
}

// Admin is the HTTP server for commands.
type Admin struct {
	Enabled     bool
	Host        string
	Port        int
	Asked       bool // the port was set: that it is taken is an error then, not a warning
	CommandURL  string
	IdleTimeout time.Duration
}

// Metrics is ZooKeeper's Prometheus provider.
type Metrics struct {
	Prometheus bool
	Host       string
	Port       int
	Runtime    bool // also what the process itself uses (exportJvmInfo)
}

// Store is a PEM file with keys or certificates.
type Store struct {
	Location string
	Password string
}

// TLS is the settings of one kind of encrypted connections.
type TLS struct {
	Prefix         string // of its keys: "ssl." or "ssl.quorum."
	KeyStore       Store
	TrustStore     Store
	MinVersion     uint16
	MaxVersion     uint16
	CipherSuites   []uint16 // nil: Go's choice
	ClientAuth     tls.ClientAuthType
	VerifyHostname bool
	// VerifyClientHostname also asks whether a peer that connected comes from a host that its
	// certificate names.
	VerifyClientHostname bool
	Reload               bool // the files are looked at again when they change
}

// Setting is one value that somebody set. Those of secret keys are hidden.
type Setting struct {
	Key, Value string
	Place      Place
}

// The ports that ZooKeeper has.
const (
	defaultAdminPort   = 8080
	defaultMetricsPort = 7000
)

// Default is the configuration of a server about which nothing was said. It has no data
// directory and no client port.
func Default() *Config {
	return &Config{
		MyID: 1, StandaloneEnabled: true, CreateDirs: true, CreateData: true,
		TickTime: 3 * time.Second, MinSessionTimeout: -1, MaxSessionTimeout: -1, ConnectTimeout: 5 * time.Second,
		MaxClientCnxns: 60, JuteMaxBuffer: 0xfffff, OutstandingLimit: 1000,
		OutstandingBytes: 100 << 20, ExtendedTypes: true,
		FourLetterWords:        []string{"ruok", "srvr", "stat", "mntr", "conf", "isro"},
		ContainerCheckInterval: time.Minute, ContainerMaxPerMinute: 10_000,
		ForceSync: true, SyncWarning: time.Second, SnapCount: 100_000, SnapLogBytes: 64 << 20, SnapRetain: 3, Purge: true,
		ClientTLS: TLS{Prefix: "ssl.", MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, VerifyHostname: true},
		ServerTLS: TLS{Prefix: "ssl.quorum.", MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, VerifyHostname: true},
		Admin:     Admin{Enabled: true, Host: "127.0.0.1", Port: defaultAdminPort, CommandURL: "/commands", IdleTimeout: 30 * time.Second},
		Metrics:   Metrics{Host: "0.0.0.0", Port: defaultMetricsPort, Runtime: true},
	}
}

// Embedded is the configuration of a quorum of one inside another process: its data in dir,
// its clients on clientAddress (empty: only this process), nothing else open.
func Embedded(dir, clientAddress string) *Config {
	c := Default()
	c.DataDir, c.DataLogDir, c.ClientAddress = dir, dir, clientAddress
	c.TickTime = 600 * time.Millisecond
	c.MinSessionTimeout, c.MaxSessionTimeout = 2*c.TickTime, time.Minute
	c.InitLimit, c.SyncLimit = 10, 5
	c.Admin.Enabled = false
	return c
}

// Distributed tells whether the server is one of an ensemble, as against a lone one.
func (c *Config) Distributed() bool {
	voters := 0
	for _, s := range c.Servers {
		if !s.Observer {
			voters++
		}
	}
	return voters > 1 || voters == 1 && !c.StandaloneEnabled
}

// Self is the line of this server, false where no line names it.
func (c *Config) Self() (Server, bool) {
	i := slices.IndexFunc(c.Servers, func(s Server) bool { return s.ID == c.MyID })
	if i < 0 {
		return Server{}, false
	}
	return c.Servers[i], true
}

// Address is where the admin server listens.
func (a Admin) Address() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// Address is where metrics are served.
func (m Metrics) Address() string { return net.JoinHostPort(m.Host, strconv.Itoa(m.Port)) }

// Folder is the name of what the server keeps in dataDir and dataLogDir. Apache ZooKeeper has
// version-2 there, which is never touched.
const Folder = "quorum-1"

// LogFolder is where the log and the stable state lie.
func (c *Config) LogFolder() string { return filepath.Join(c.DataLogDir, Folder) }

// SnapshotFolder is where the snapshots lie.
func (c *Config) SnapshotFolder() string { return filepath.Join(c.DataDir, Folder, "snapshots") }
