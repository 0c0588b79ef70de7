package zoocfg

import (
	"slices"
	"strings"
	"time"
)

// key is one setting of ZooKeeper's.
type key struct {
	name   string
	prop   string // the system property that ZooKeeper reads; empty: a key of zoo.cfg only
	secret bool
	parse  parser // nil: no effect
	why    string // it has no effect
}

// catalogue is all keys by their names and their properties' names.
type catalogue map[string]*key

func newCatalogue() catalogue {
	c := catalogue{}
	for _, keys := range [][]key{memberKeys(), clientKeys(), dataKeys(), ensembleKeys(), adminKeys(), tlsKeys(), refusedKeys(), idleKeys()} {
		for i := range keys {
			k := &keys[i]
			c[k.name] = k
			if k.prop != "" {
				c[k.prop] = k
				c[strings.TrimPrefix(k.prop, "zookeeper.")] = k
			}
		}
	}
	return c
}

// names are what a misspelt key may have meant.
func (c catalogue) names() []string {
	var names []string
	for name := range c {
		if !strings.HasPrefix(name, "zookeeper.") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// property gives a key the system property zookeeper.NAME.
func property(name string, p parser) key { return key{name: name, prop: "zookeeper." + name, parse: p} }

// propertyAs gives a key a property of another name.
func propertyAs(name, prop string, p parser) key { return key{name: name, prop: prop, parse: p} }

func secret(k key) key { k.secret = true; return k }

// memberKeys say who the server is and how time passes.
func memberKeys() []key {
	return []key{
		{name: "tickTime", parse: millis(1, func(d *draft, t time.Duration) { d.TickTime = t })},
		{name: "initLimit", parse: count(1, func(d *draft, n int) { d.InitLimit = n })},
		{name: "syncLimit", parse: count(1, func(d *draft, n int) { d.SyncLimit = n })},
		{name: "minSessionTimeout", parse: millis(-1, func(d *draft, t time.Duration) { d.MinSessionTimeout = t })},
		{name: "maxSessionTimeout", parse: millis(-1, func(d *draft, t time.Duration) { d.MaxSessionTimeout = t })},
		{name: "dynamicConfigFile", parse: text(func(d *draft, v string) { d.DynamicFile = v })},
		{name: "standaloneEnabled", parse: flag(func(d *draft, on bool) { d.StandaloneEnabled = on })},
		{name: "reconfigEnabled", parse: flag(func(d *draft, on bool) { d.ReconfigEnabled = on })},
		{name: "peerType", parse: func(d *draft, v string) error {
			observer := strings.EqualFold(v, "observer")
			if !observer && !strings.EqualFold(v, "participant") {
				return allowed("participant, observer")
			}
			d.observer = &observer
			return nil
		}},
		{name: "electionAlg", parse: func(_ *draft, v string) error {
			if v != "3" {
				return refused("ZooKeeper knows 3 only, and this server elects by Raft: remove the line")
			}
			return nil
		}},
	}
}

// clientKeys say what clients meet, and who they are.
func clientKeys() []key {
	return []key{
		{name: "clientPort", parse: portNumber(func(d *draft, n int) { d.clientPort = n })},
		{name: "clientPortAddress", parse: host(func(d *draft, v string) { d.clientHost = v })},
		{name: "secureClientPort", parse: portNumber(func(d *draft, n int) { d.securePort = n })},
		{name: "secureClientPortAddress", parse: host(func(d *draft, v string) { d.secureHost = v })},
		{name: "maxClientCnxns", parse: count(0, func(d *draft, n int) { d.MaxClientCnxns = n })},
		property("maxCnxns", count(0, func(d *draft, n int) { d.MaxCnxns = n })),
		propertyAs("jute.maxbuffer", "jute.maxbuffer", count(1024, func(d *draft, n int) { d.JuteMaxBuffer = n })),
		property("globalOutstandingLimit", count(1, func(d *draft, n int) { d.OutstandingLimit = n })),
		property("largeRequestMaxBytes", count(1, func(d *draft, n int) { d.OutstandingBytes = int64(n) })),
		property("enforce.auth.enabled", flag(func(d *draft, on bool) { d.enforceAuth = on })),
		property("enforce.auth.schemes", authSchemes),
		property("4lw.commands.whitelist", fourLetterWords),
		property("enforceQuota", flag(func(d *draft, on bool) { d.EnforceQuota = on })),
		property("skipACL", yesNo(func(d *draft, on bool) { d.SkipACL = on })),
		property("DigestAuthenticationProvider.enabled", flag(func(d *draft, on bool) {
			if !on {
				d.note("it has no effect: the digest scheme is always there")
			}
		})),
		property("DigestAuthenticationProvider.digestAlg", digestAlg),
		secret(property("DigestAuthenticationProvider.superDigest", superDigest)),
		property("X509AuthenticationProvider.superUser", text(func(d *draft, v string) { d.X509SuperUser = v })),
		property("extendedTypesEnabled", flag(func(d *draft, on bool) { d.ExtendedTypes = on })),
		propertyAs("znode.container.checkIntervalMs", "znode.container.checkIntervalMs", millis(1, func(d *draft, t time.Duration) { d.ContainerCheckInterval = t })),
		propertyAs("znode.container.maxPerMinute", "znode.container.maxPerMinute", count(1, func(d *draft, n int) { d.ContainerMaxPerMinute = n })),
		propertyAs("znode.container.maxNeverUsedIntervalMs", "znode.container.maxNeverUsedIntervalMs", millis(0, func(d *draft, t time.Duration) { d.ContainerMaxNeverUsed = t })),
	}
}

// dataKeys say where and how data is kept.
func dataKeys() []key {
	return []key{
		{name: "dataDir", parse: text(func(d *draft, v string) { d.DataDir = v })},
		{name: "dataLogDir", parse: text(func(d *draft, v string) { d.DataLogDir = v })},
		property("datadir.autocreate", flag(func(d *draft, on bool) { d.CreateDirs = on })),
		property("db.autocreate", flag(func(d *draft, on bool) { d.CreateData = on })),
		property("forceSync", yesNo(func(d *draft, on bool) { d.ForceSync = on })),
		property("fsync.warningthresholdms", millis(0, func(d *draft, t time.Duration) { d.SyncWarning = t })),
		property("snapCount", count(2, func(d *draft, n int) { d.SnapCount = n })),
		property("snapSizeLimitInKb", number(-1, 1<<40, "KiB", func(d *draft, n int64) { d.SnapLogBytes = snapLogBytes(n) })),
		{name: "autopurge.snapRetainCount", parse: count(0, func(d *draft, n int) { d.SnapRetain = n })},
		{name: "autopurge.purgeInterval", parse: count(0, func(d *draft, n int) { d.Purge = n > 0 })},
	}
}

// ensembleKeys say how servers meet each other.
func ensembleKeys() []key {
	return []key{
		{name: "quorumListenOnAllIPs", parse: flag(func(d *draft, on bool) { d.ListenOnAllIPs = on })},
		{name: "sslQuorum", prop: "zookeeper.sslQuorum", parse: flag(func(d *draft, on bool) { d.QuorumTLS = on })},
		{name: "portUnification", parse: flag(func(d *draft, on bool) { d.PortUnification = on })},
		{name: "sslQuorumReloadCertFiles", parse: flag(func(d *draft, on bool) { d.ServerTLS.Reload = on })},
		property("cnxTimeout", millis(1, func(d *draft, t time.Duration) { d.ConnectTimeout = t })),
		property("quorumCnxnTimeoutMs", millis(-1, func(d *draft, t time.Duration) {
			if t > 0 {
				d.ConnectTimeout = t
			}
		})),
	}
}

// adminKeys are the HTTP server for commands, and metrics.
func adminKeys() []key {
	return []key{
		property("admin.enableServer", flag(func(d *draft, on bool) { d.Admin.Enabled = on })),
		property("admin.serverAddress", host(func(d *draft, v string) { d.Admin.Host = v })),
		property("admin.serverPort", number(0, 65535, "", func(d *draft, n int64) { d.Admin.Port, d.Admin.Asked = int(n), true })),
		property("admin.idleTimeout", millis(1, func(d *draft, t time.Duration) { d.Admin.IdleTimeout = t })),
		property("admin.commandURL", func(d *draft, v string) error {
			if !strings.HasPrefix(v, "/") || strings.ContainsAny(v, " {}?#") {
				return allowed("a path as in /commands")
			}
			d.Admin.CommandURL = strings.TrimRight(v, "/")
			return nil
		}),
		{name: "metricsProvider.className", parse: metricsProvider},
		{name: "metricsProvider.httpHost", parse: host(func(d *draft, v string) { d.Metrics.Host = v })},
		{name: "metricsProvider.httpPort", parse: number(0, 65535, "", func(d *draft, n int64) { d.Metrics.Port = int(n) })},
		{name: "metricsProvider.exportJvmInfo", parse: flag(func(d *draft, on bool) { d.Metrics.Runtime = on })},
	}
}

// snapLogBytes: no limit is the log that a restart would have to read for an hour.
func snapLogBytes(kib int64) int64 {
	const most = 64 << 30
	if kib <= 0 {
		return most
	}
	return min(kib<<10, most)
}

func metricsProvider(d *draft, v string) error {
	switch v[strings.LastIndexByte(v, '.')+1:] {
	case "PrometheusMetricsProvider":
		d.Metrics.Prometheus = true
	case "DefaultMetricsProvider", "NullMetricsProvider":
		d.Metrics.Prometheus = false
	default:
		return refused("classes of Java cannot be loaded here; the one that works is org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider")
	}
	return nil
}

// words are the four-letter words of ZooKeeper 3.8.
const words = "conf cons crst dirs dump envi gtmk hash isro mntr ruok srst srvr stat stmk wchc wchp wchs"

func fourLetterWords(d *draft, v string) error {
	known := strings.Fields(words)
	d.FourLetterWords = nil
	for _, w := range list(v) {
		if w == "*" {
			d.FourLetterWords = []string{"*"}
			return nil
		}
		if !slices.Contains(known, w) {
			return allowed("* or a list of %s", strings.Join(known, ", "))
		}
		d.FourLetterWords = append(d.FourLetterWords, w)
	}
	return nil
}

func digestAlg(_ *draft, v string) error {
	if alg := strings.ToUpper(v); alg != "SHA1" && alg != "SHA-1" {
		return refused("only SHA1, ZooKeeper's default, is there: with another one the digests in ACLs would be others")
	}
	return nil
}

func authSchemes(d *draft, v string) error {
	known := []string{"digest", "ip", "x509"}
	d.AuthSchemes = list(v)
	for _, s := range d.AuthSchemes {
		if !slices.Contains(known, s) {
			return allowed("a list of %s", strings.Join(known, ", "))
		}
	}
	return nil
}

func superDigest(d *draft, v string) error {
	if user, hash, ok := strings.Cut(v, ":"); !ok || user == "" || hash == "" {
		return refused("it must be super:HASH, where HASH is base64 of the SHA-1 hash of super:PASSWORD: " +
			"printf %%s super:PASSWORD | openssl dgst -sha1 -binary | base64")
	}
	d.SuperDigest = v
	return nil
}
