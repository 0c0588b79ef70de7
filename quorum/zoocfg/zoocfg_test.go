package zoocfg

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs/memfs"
)

// files makes a file system that holds the given texts.
func files(t testing.TB, texts map[string]string) *memfs.FS {
	t.Helper()
	fsys := memfs.New()
	for name, text := range texts {
		if err := fsys.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := fsys.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(text), 0); err != nil && text != "" {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fsys
}

const tutorial = `tickTime=2000
initLimit=10
syncLimit=5
dataDir=/data
clientPort=2181
server.1=khg-zk001:2888:3888
server.2=khg-zk002:2888:3888
server.3=khg-zk003:2888:3888
`

func load(t testing.TB, text, myid string, environ ...string) (*Config, []Warning, error) {
	t.Helper()
	texts := map[string]string{"/conf/zoo.cfg": text}
	if myid != "" {
		texts["/data/myid"] = myid
	}
	return Load(Input{File: "/conf/zoo.cfg", FS: files(t, texts), Environ: environ})
}

func mustLoad(t testing.TB, text, myid string, environ ...string) *Config {
	t.Helper()
	c, warnings, err := load(t, text, myid, environ...)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	return c
}

func TestTutorial(t *testing.T) {
	c := mustLoad(t, tutorial, "2\n")
	if c.MyID != 2 || !c.Distributed() || c.TickTime != 2*time.Second || c.InitLimit != 10 || c.SyncLimit != 5 ||
		c.DataDir != "/data" || c.DataLogDir != "/data" || c.ClientAddress != ":2181" || len(c.Servers) != 3 {
		t.Errorf("got %+v", c)
	}
	if c.MinSessionTimeout != 4*time.Second || c.MaxSessionTimeout != 40*time.Second {
		t.Errorf("session timeouts %v to %v", c.MinSessionTimeout, c.MaxSessionTimeout)
	}
	if self, ok := c.Self(); !ok || self.PeerAddress() != "khg-zk002:2888" || self.ElectionAddress() != "khg-zk002:3888" || self.Observer {
		t.Errorf("self %+v", self)
	}
	if !c.Purge || c.SnapRetain != 3 || c.Admin.Address() != "127.0.0.1:8080" || c.Metrics.Prometheus {
		t.Errorf("defaults %+v", c)
	}
}

// Each key that acts, by what it makes of the configuration.
func TestEffects(t *testing.T) {
	for _, tt := range []struct {
		lines string
		ok    func(c *Config) bool
	}{
		{"dataLogDir=/log", func(c *Config) bool { return c.DataLogDir == "/log" && c.DataDir == "/data" }},
		{"clientPortAddress=10.0.0.1", func(c *Config) bool { return c.ClientAddress == "10.0.0.1:2181" }},
		{"clientPortAddress=[::1]", func(c *Config) bool { return c.ClientAddress == "[::1]:2181" }},
		{"maxClientCnxns=0", func(c *Config) bool { return c.MaxClientCnxns == 0 }},
		{"maxCnxns=9", func(c *Config) bool { return c.MaxCnxns == 9 }},
		{"minSessionTimeout=100\nmaxSessionTimeout=200", func(c *Config) bool {
			return c.MinSessionTimeout == 100*time.Millisecond && c.MaxSessionTimeout == 200*time.Millisecond
		}},
		{"jute.maxbuffer=4194304", func(c *Config) bool { return c.JuteMaxBuffer == 4<<20 }},
		{"zookeeper.jute.maxbuffer=0x400000", func(c *Config) bool { return c.JuteMaxBuffer == 4<<20 }},
		{"snapCount=500", func(c *Config) bool { return c.SnapCount == 500 }},
		{"zookeeper.snapCount = 501 ", func(c *Config) bool { return c.SnapCount == 501 }},
		{"snapSizeLimitInKb=-1", func(c *Config) bool { return c.SnapLogBytes == 64<<30 }},
		{"snapSizeLimitInKb=1024", func(c *Config) bool { return c.SnapLogBytes == 1<<20 }},
		{"fsync.warningthresholdms=50", func(c *Config) bool { return c.SyncWarning == 50*time.Millisecond }},
		{"autopurge.purgeInterval=0\nautopurge.snapRetainCount=5", func(c *Config) bool { return !c.Purge && c.SnapRetain == 5 }},
		{"autopurge.purgeInterval=24", func(c *Config) bool { return c.Purge }},
		{"4lw.commands.whitelist=*", func(c *Config) bool { return slices.Equal(c.FourLetterWords, []string{"*"}) }},
		{"4lw.commands.whitelist=ruok, dirs", func(c *Config) bool { return slices.Equal(c.FourLetterWords, []string{"ruok", "dirs"}) }},
		{"4lw.commands.whitelist=", func(c *Config) bool { return len(c.FourLetterWords) == 0 }},
		{"extendedTypesEnabled=false", func(c *Config) bool { return !c.ExtendedTypes }},
		{"znode.container.checkIntervalMs=10", func(c *Config) bool { return c.ContainerCheckInterval == 10*time.Millisecond }},
		{"skipACL=yes", func(c *Config) bool { return c.SkipACL }},
		{"enforceQuota=true", func(c *Config) bool { return c.EnforceQuota }},
		{"DigestAuthenticationProvider.superDigest=super:xyz", func(c *Config) bool { return c.SuperDigest == "super:xyz" }},
		{"DigestAuthenticationProvider.digestAlg=SHA1", func(c *Config) bool { return true }},
		{"enforce.auth.enabled=true\nenforce.auth.schemes=x509,digest", func(c *Config) bool { return slices.Equal(c.AuthSchemes, []string{"x509", "digest"}) }},
		{"enforce.auth.schemes=digest", func(c *Config) bool { return c.AuthSchemes == nil }},
		{"largeRequestMaxBytes=1000", func(c *Config) bool { return c.OutstandingBytes == 1000 }},
		{"X509AuthenticationProvider.superUser=CN=root", func(c *Config) bool { return c.X509SuperUser == "CN=root" }},
		{"cnxTimeout=250", func(c *Config) bool { return c.ConnectTimeout == 250*time.Millisecond }},
		{"quorumListenOnAllIPs=true", func(c *Config) bool { return c.ListenOnAllIPs }},
		{"reconfigEnabled=true", func(c *Config) bool { return c.ReconfigEnabled }},
		{"electionAlg=3", func(c *Config) bool { return true }},
		{"admin.enableServer=false", func(c *Config) bool { return !c.Admin.Enabled }},
		{"admin.serverPort=9999\nadmin.serverAddress=0.0.0.0\nadmin.commandURL=/zk/\nadmin.idleTimeout=5", func(c *Config) bool {
			return c.Admin == Admin{Enabled: true, Host: "0.0.0.0", Port: 9999, Asked: true, CommandURL: "/zk", IdleTimeout: 5 * time.Millisecond}
		}},
		{"metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider", func(c *Config) bool {
			return c.Metrics == Metrics{Prometheus: true, Host: "0.0.0.0", Port: 7000, Runtime: true}
		}},
		{"metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\nmetricsProvider.httpHost=::1\nmetricsProvider.httpPort=7001\nmetricsProvider.exportJvmInfo=false",
			func(c *Config) bool {
				return c.Metrics.Address() == "[::1]:7001" && !c.Metrics.Runtime
			}},
		{"secureClientPort=2281\nssl.keyStore.location=/k.pem\nssl.keyStore.password=x\nssl.keyStore.type=PEM\nssl.trustStore.location=/t.pem\nssl.enabledProtocols=TLSv1.3\nssl.protocol=TLSv1.2\nssl.clientAuth=want\nclient.certReload=true",
			func(c *Config) bool {
				return c.SecureClientAddress == ":2281" && c.ClientTLS.KeyStore == Store{"/k.pem", "x"} && c.ClientTLS.TrustStore.Location == "/t.pem" &&
					c.ClientTLS.MinVersion == tls.VersionTLS13 && c.ClientTLS.ClientAuth == tls.VerifyClientCertIfGiven && c.ClientTLS.Reload
			}},
		{"sslQuorum=true\nsslQuorumReloadCertFiles=true\nportUnification=true\nssl.quorum.keyStore.location=/k.pem\nssl.quorum.trustStore.location=/t.pem\nssl.quorum.hostnameVerification=false\nssl.quorum.ciphersuites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
			func(c *Config) bool {
				return c.QuorumTLS && c.PortUnification && c.ServerTLS.Reload && !c.ServerTLS.VerifyHostname && slices.Equal(c.ServerTLS.CipherSuites, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256})
			}},
	} {
		c, warnings, err := load(t, tutorial+tt.lines, "1")
		if err != nil || len(warnings) > 0 || !tt.ok(c) {
			t.Errorf("%s: error %v, warnings %v, got %+v", tt.lines, err, warnings, c)
		}
	}
}

// What cannot be used: file, line, key, value, what is allowed or the way out.
func TestProblems(t *testing.T) {
	for _, tt := range []struct{ lines, want string }{
		{"tickTime=soon", "/conf/zoo.cfg:9: tickTime=soon; allowed: a whole number of milliseconds, 1 to 2147483647"},
		{"tickTime=0", "zoo.cfg:9: tickTime=0; allowed: a whole number"},
		{"clientPort=70000", "zoo.cfg:9: clientPort=70000; allowed: a whole number, 0 to 65535"},
		{"reconfigEnabled=yes", "zoo.cfg:9: reconfigEnabled=yes; allowed: true, false"},
		{"peerType=leader", "allowed: participant, observer"},
		{"electionAlg=0", "zoo.cfg:9: electionAlg=0: ZooKeeper knows 3 only"},
		{"minSessionTimeout=90000", "zoo.cfg:9: minSessionTimeout=90000: the smallest session timeout, 90000 ms, is larger than the largest, 40000 ms"},
		{"server.4=a|b:2888:3888", "zoo.cfg:9: server.4=a|b:2888:3888: a server has several addresses"},
		{"server.4=a:1:2|b:1:2", "keep one, perhaps a DNS name"},
		{"server.4=a:2888", "allowed: server.N=host:port:port"},
		{"server.4=a:2888:2888", "both ports are 2888"},
		{"server.4=a:2888:99999", `"99999" is no port`},
		{"server.4=a:2888:3888:voter", `not "voter"`},
		{"server.4=::1:2888:3888", "allowed: server.N="},
		{"server.300=a:2888:3888", "it must be 1 to 255"},
		{"server.x=a:2888:3888", `"x" is no number`},
		{"server.4=khg-zk001:2888:3888", "khg-zk001:2888 is already that of server.1"},
		{"secureClientPort=2281", "ssl.keyStore.location is not set: name a PEM file"},
		{"secureClientPort=2281\nssl.keyStore.location=/k.pem", "or set ssl.clientAuth=none"},
		{"ssl.keyStore.location=/etc/zk.jks", "keytool -importkeystore -srckeystore /etc/zk.jks"},
		{"ssl.quorum.trustStore.type=PKCS12", "openssl pkcs12"},
		{"sslQuorum=true", "sslQuorum=true: ssl.quorum.keyStore.location is not set"},
		{"ssl.enabledProtocols=TLSv1", "allowed: TLSv1.2, TLSv1.3"},
		{"secureClientPortAddress=::1", "secureClientPort is not set"},
		{"DigestAuthenticationProvider.digestAlg=SHA-256", "only SHA1"},
		{"enforce.auth.enabled=true", "enforce.auth.schemes is not set"},
		{"enforce.auth.schemes=sasl", "allowed: a list of digest, ip, x509"},
		{"quorum.auth.enableSasl=true", "guard the servers' ports with sslQuorum=true"},
		{"4lw.commands.whitelist=roku", "allowed: * or a list of conf, cons"},
		{"metricsProvider.className=org.example.Mine", "classes of Java cannot be loaded here"},
		{"DigestAuthenticationProvider.superDigest=secretword", "superDigest=[hidden]: it must be super:HASH"},
		{"dataDir=", "allowed: a value that is not empty"},
		{"a\\u12=1", `zoo.cfg:9: syntax: "\\u12" is not \u and four`},
		{"standaloneEnabled=false\nserver.1=a:1:2:observer\nserver.2=b:1:2:observer\nserver.3=c:1:2:observer", "all servers are observers"},
		{"jute.maxbuffer=12", "allowed: a whole number, 1024 to"},
	} {
		_, _, err := load(t, tutorial+tt.lines, "1")
		var problems Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:\n got %v\nwant %s", tt.lines, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secretword") {
			t.Errorf("a secret is shown: %v", err)
		}
	}
	_, _, err := load(t, "tickTime=x\nclientPort=y\nserver.1=z\n", "")
	if problems := (Problems{}); !errors.As(err, &problems) || len(problems) != 4 {
		t.Errorf("all problems at once: %v", err)
	}
}

func TestMyID(t *testing.T) {
	for _, tt := range []struct{ myid, want string }{
		{"", "/data/myid: myid: the file is missing: write the N of this server's line server.N into it, as in: echo 1 > /data/myid (servers: 1 on khg-zk001, 2 on khg-zk002, 3 on khg-zk003)"},
		{"7", "/data/myid: myid=7: no line server.7 is in the list (servers: 1 on khg-zk001"},
		{"one", `"one" is no server id: it is a number, 1 to 255`},
		{"\n", "it is empty"},
		{"0", `"0" is no server id`},
		{"256", `"256" is no server id`},
	} {
		if _, _, err := load(t, tutorial, tt.myid); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("myid %q:\n got %v\nwant %s", tt.myid, err, tt.want)
		}
	}
	if c := mustLoad(t, tutorial, " 3 \r\nnote"); c.MyID != 3 {
		t.Errorf("got %d", c.MyID)
	}
	lone := "dataDir=/data\nclientPort=2181\n"
	if c := mustLoad(t, lone, ""); c.MyID != 1 || c.Distributed() {
		t.Errorf("a lone server: %+v", c)
	}
	if c := mustLoad(t, lone+"server.4=a:1:2\n", ""); c.MyID != 4 || c.Distributed() {
		t.Errorf("a single line: %+v", c)
	}
	if _, _, err := load(t, lone+"server.4=a:1:2\nstandaloneEnabled=false\ninitLimit=1\nsyncLimit=1", ""); err == nil || !strings.Contains(err.Error(), "the file is missing") {
		t.Errorf("an ensemble of one: %v", err)
	}
	if _, _, err := load(t, tutorial+"server.255=a:1:2", "255"); err == nil || !strings.Contains(err.Error(), "at most 254") {
		t.Errorf("255 with TTL nodes: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct{ lines, want string }{
		{"ticktime=3", "/conf/zoo.cfg:9: ticktime: ZooKeeper 3.8 has no such key; did you mean tickTime?"},
		{"clientport=1", "did you mean clientPort?"},
		{"tickTime=2000", "zoo.cfg:9: tickTime: it was set in line 1 already; this line holds"},
		{"server.1=khg-zk001:2888:3888", "it was set in line 6 already"},
		{"localSessionsEnabled=true", "it has no effect: every session is a global one"},
		{"group.1=1:2:3", "hierarchical quorums are not supported"},
		{"weight.2=0", "hierarchical quorums are not supported"},
		{"leaderServes=no", "it has no effect"},
		{"zookeeper.nio.numWorkerThreads=4", "it has no effect"},
		{"authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider", "classes of Java"},
		{"forceSync=no", "without syncs a crash of the machine may lose"},
		{"autopurge.snapRetainCount=1", "the last 3 are kept"},
		{"server.4=d:2888:3888", "4 servers tolerate no more failures than 3 do"},
		{"peerType=observer", "the line server.1=khg-zk001:2888:3888:participant holds"},
		{"dataLogDir=logs", "write ./logs if that is meant"},
		{"metricsProvider.httpPort=7001", "it has no effect without metricsProvider.className"},
		{"ssl.ciphersuites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_NULL_MD5", "left out: TLS_RSA_WITH_NULL_MD5"},
	} {
		_, warnings, err := load(t, tutorial+tt.lines, "1")
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), tt.want) {
			t.Errorf("%s: error %v\n got %v\nwant %s", tt.lines, err, warnings, tt.want)
		}
	}
}

func TestFlagsOfTheEnvironment(t *testing.T) {
	c := mustLoad(t, tutorial+"snapCount=70\n", "1",
		"SERVER_JVMFLAGS=-Xmx1000m -Dzookeeper.DigestAuthenticationProvider.superDigest=super:abc= -Dzookeeper.extendedTypesEnabled=true -Djute.maxbuffer=2000000 -Dcom.sun.management.jmxremote -Dzookeeper.log.dir=/x",
		"JVMFLAGS=-Djute.maxbuffer=3000000 -Dzookeeper.snapCount=80", "OTHER=-Dzookeeper.snapCount=90")
	if c.SuperDigest != "super:abc=" || !c.ExtendedTypes || c.JuteMaxBuffer != 3_000_000 || c.SnapCount != 70 {
		t.Errorf("got %+v", c)
	}
	for _, s := range c.Settings {
		if strings.Contains(s.Value, "abc") {
			t.Errorf("a secret is listed: %+v", s)
		}
	}
	_, warnings, err := load(t, tutorial, "1", "JVMFLAGS=-Dzookeeper.tickTime=5 -Dzookeeper.snapCont=5")
	if err != nil || len(warnings) != 2 || !strings.Contains(warnings[0].String(), "JVMFLAGS: zookeeper.tickTime: it is no system property: set tickTime in zoo.cfg") ||
		!strings.Contains(warnings[1].String(), "did you mean snapCount?") {
		t.Errorf("%v, %v", warnings, err)
	}
	if _, _, err := load(t, tutorial, "1", "SERVER_JVMFLAGS=-Djute.maxbuffer=x"); err == nil || !strings.Contains(err.Error(), "SERVER_JVMFLAGS: jute.maxbuffer=x; allowed:") {
		t.Errorf("got %v", err)
	}
}

// Every name that ZooKeeper 3.8 reads or documents is known: it acts, or says why not.
func TestEveryNameOfZooKeeper(t *testing.T) {
	names, err := os.ReadFile("testdata/names-3.8.txt")
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{keys: newCatalogue()}
	n := 0
	for name := range strings.FieldsSeq(string(names)) {
		n++
		if k := l.find(name); k == nil {
			t.Errorf("%s is not known", name)
		} else if (k.parse == nil) == (k.why == "") {
			t.Errorf("%s must act, or say why it does not", name)
		}
	}
	if n < 200 {
		t.Errorf("%d names: the test looks in the wrong place", n)
	}
}

func TestDynamicFile(t *testing.T) {
	static := "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/data\ndynamicConfigFile=/conf/zoo.cfg.dynamic.1f\n"
	servers := "server.1=a:2888:3888:participant;2181\nserver.2=b:2888:3888:participant;[::1]:2182\nserver.3=[fe80::1]:2888:3888:observer;0.0.0.0:2183\n"
	try := func(static, dynamic, myid string) (*Config, error) {
		c, warnings, err := Load(Input{File: "/conf/zoo.cfg", FS: files(t, map[string]string{"/conf/zoo.cfg": static, "/conf/zoo.cfg.dynamic.1f": dynamic, "/data/myid": myid})})
		if err == nil && (len(warnings) != 1 || !strings.Contains(warnings[0].String(), "two servers tolerate no failure")) {
			t.Errorf("warnings %v", warnings)
		}
		return c, err
	}
	c, err := try(static, servers, "2")
	if err != nil {
		t.Fatal(err)
	}
	if c.ClientAddress != "[::1]:2182" || c.Version != 0x1f || !c.Servers[2].Observer || c.Servers[2].PeerAddress() != "[fe80::1]:2888" || c.Servers[0].ClientAddress() != ":2181" {
		t.Errorf("got %+v", c)
	}
	want := "server.1=a:2888:3888:participant;0.0.0.0:2181\nserver.2=b:2888:3888:participant;[::1]:2182\nserver.3=[fe80::1]:2888:3888:observer;0.0.0.0:2183\n"
	if got := FormatServers(c.Servers); got != want {
		t.Errorf("formatted %s", got)
	}
	for _, tt := range []struct{ static, dynamic, want string }{
		{static + "server.1=a:1:2\n", servers, "zoo.cfg:6: server.1=a:1:2: with dynamicConfigFile the servers stand in that file"},
		{static, servers + "version=5\n", "zoo.cfg.dynamic.1f:4: version=5: the version stands in the file's name"},
		{static, servers + "tickTime=5\n", "zoo.cfg.dynamic.1f:4: tickTime=5: a dynamic file holds server.N lines only"},
		{static + "clientPort=2000\n", servers, "says otherwise: remove clientPort"},
		{strings.ReplaceAll(static, "1f", "2f"), servers, "zoo.cfg:5: dynamicConfigFile=/conf/zoo.cfg.dynamic.2f: "},
	} {
		if _, err := try(tt.static, tt.dynamic, "2"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v\nwant %s", err, tt.want)
		}
	}
}

func TestMissingFile(t *testing.T) {
	_, _, err := Load(Input{File: "/none", FS: memfs.New()})
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestEmbedded(t *testing.T) {
	c := Embedded("/d", "")
	if c.Distributed() || c.MyID != 1 || c.ClientAddress != "" || c.Admin.Enabled || c.DataLogDir != "/d" || c.TickTime != 600*time.Millisecond {
		t.Errorf("got %+v", c)
	}
}
