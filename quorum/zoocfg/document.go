package zoocfg

import (
	"fmt"
	"slices"
	"strings"
)

// effects says what each key that acts does. Document needs one for each.
func effects() map[string]string {
	return map[string]string{
		"tickTime":                                 "The length of a tick in milliseconds (3000). A dead leader is replaced after half a tick to one and a half.",
		"initLimit":                                "Ticks that a server may take to catch up when it joins. An ensemble needs it.",
		"syncLimit":                                "Ticks without the leader after which a server serves nobody. An ensemble needs it.",
		"minSessionTimeout":                        "The shortest session timeout that a client gets, in milliseconds (2 ticks).",
		"maxSessionTimeout":                        "The longest one (20 ticks).",
		"dynamicConfigFile":                        "A file that holds the server.N lines in place of zoo.cfg.",
		"standaloneEnabled":                        "Whether a single participant stands alone, without ports for others (true).",
		"reconfigEnabled":                          "Whether clients may change the ensemble by reconfig (false).",
		"peerType":                                 "participant or observer; the server.N line holds, this is compared with it.",
		"electionAlg":                              "3, as in ZooKeeper; anything else stops the start.",
		"clientPort":                               "The port for clients. A server.N line that ends in ;PORT says it as well.",
		"clientPortAddress":                        "The address that clientPort listens on (all).",
		"secureClientPort":                         "The port for clients that encrypt; needs ssl.keyStore.location.",
		"secureClientPortAddress":                  "The address that it listens on (all).",
		"maxClientCnxns":                           "Connections of one address (60; 0: no limit).",
		"maxCnxns":                                 "Connections of all clients (0: no limit).",
		"jute.maxbuffer":                           "The largest request in bytes (1048575). It can be set in zoo.cfg, which ZooKeeper's own cannot.",
		"globalOutstandingLimit":                   "Requests that may wait for their answer before clients that wait are not read any more (1000).",
		"largeRequestMaxBytes":                     "What these requests may hold together, in bytes (100 MiB).",
		"4lw.commands.whitelist":                   "The four-letter words that are answered, * for all (ruok, srvr, stat, mntr, conf, isro).",
		"enforceQuota":                             "Whether quotas refuse writes (false: they are logged).",
		"skipACL":                                  "yes: ACLs are not asked (no).",
		"enforce.auth.enabled":                     "Whether a client must show one of enforce.auth.schemes before it may do anything (false).",
		"enforce.auth.schemes":                     "A list of digest, ip, x509.",
		"extendedTypesEnabled":                     "Whether there are TTL nodes. Here they are there unless this is false.",
		"dataDir":                                  "The folder for snapshots and myid; data lies in quorum-1 in it.",
		"dataLogDir":                               "The folder for the log (dataDir).",
		"datadir.autocreate":                       "false: a missing folder stops the start.",
		"db.autocreate":                            "false: a server without data starts only after zkServer-initialize.sh.",
		"forceSync":                                "no: nothing is synced, and a crash of the machine may lose what was acknowledged (yes).",
		"fsync.warningthresholdms":                 "Writes to the disk that take longer, in milliseconds, are logged (1000). One that takes ten seconds ends the server.",
		"snapCount":                                "Entries of the log between two snapshots (100000).",
		"snapSizeLimitInKb":                        "KiB of log between two snapshots (65536).",
		"quorumListenOnAllIPs":                     "Whether the ports between servers listen on all addresses, not that of the server.N line alone (false).",
		"sslQuorum":                                "Whether servers encrypt what they say to each other; needs ssl.quorum.keyStore.location and ssl.quorum.trustStore.location.",
		"portUnification":                          "Whether their ports take plain connections too: so that sslQuorum can be switched on one server after the other.",
		"sslQuorumReloadCertFiles":                 "Whether the files of ssl.quorum are read again when they change.",
		"cnxTimeout":                               "How long a connection to another server may take to come up, in milliseconds (5000).",
		"quorumCnxnTimeoutMs":                      "The same.",
		"client.certReload":                        "Whether the files of ssl are read again when they change.",
		"client.portUnification":                   "Whether clientPort takes clients that encrypt too.",
		"ssl.authProvider":                         "x509: clients with a certificate are known by its subject.",
		"admin.enableServer":                       "Whether commands are answered over HTTP (true).",
		"admin.serverAddress":                      "The address for that. Here 127.0.0.1, since it asks nobody who they are.",
		"admin.serverPort":                         "Its port (8080). If the default port is taken there is a warning and no admin server.",
		"admin.idleTimeout":                        "When idle connections to it are closed, in milliseconds (30000).",
		"admin.commandURL":                         "The path of the commands (/commands).",
		"autopurge.snapRetainCount":                "Snapshots that are kept (3, and at least that).",
		"autopurge.purgeInterval":                  "0: no snapshot is ever removed. Otherwise, and without it, old ones go when a new one is taken.",
		"metricsProvider.className":                "…PrometheusMetricsProvider: metrics are served over HTTP.",
		"metricsProvider.httpHost":                 "The address for that (0.0.0.0).",
		"metricsProvider.httpPort":                 "Its port (7000).",
		"metricsProvider.exportJvmInfo":            "Whether what the process itself uses is among them (true).",
		"DigestAuthenticationProvider.enabled":     "The digest scheme is always there; false is a warning.",
		"DigestAuthenticationProvider.digestAlg":   "SHA1; anything else stops the start.",
		"DigestAuthenticationProvider.superDigest": "Who passes every ACL: super:base64(sha1(super:password)).",
		"X509AuthenticationProvider.superUser":     "The subject of a certificate that passes every ACL.",
		"znode.container.checkIntervalMs":          "How often the leader removes containers and TTL nodes that are due (60000).",
		"znode.container.maxPerMinute":             "How many go in a minute at most (10000).",
		"znode.container.maxNeverUsedIntervalMs":   "Age at which a container goes that never had a child (0: never).",
		"ssl.keyStore.location":                    "A PEM file with the server's certificate and its private key.",
		"ssl.keyStore.password":                    "The password of the key, if it is encrypted (PKCS #8 with AES).",
		"ssl.trustStore.location":                  "A PEM file with the authorities whose certificates are taken.",
		"ssl.trustStore.password":                  "Accepted; PEM files with certificates have none.",
		"ssl.keyStore.type":                        "PEM. JKS, PKCS12 and BCFKS stop the start and say how to convert them.",
		"ssl.trustStore.type":                      "The same.",
		"ssl.protocol":                             "TLSv1.2 or TLSv1.3 (both).",
		"ssl.enabledProtocols":                     "A list of the two; it holds where ssl.protocol says otherwise.",
		"ssl.ciphersuites":                         "The suites of TLS 1.2 that are spoken (Go's choice).",
		"ssl.hostnameVerification":                 "Whether a server's certificate must name the host that was dialled (true).",
		"ssl.clientHostnameVerification":           "Whether a client's certificate must name the host that it comes from (false).",
		"ssl.clientAuth":                           "need, want or none: whether clients show a certificate (need).",
	}
}

// Document is docs/zoo-cfg.md: every key, with its effect or why it has none.
func Document() string {
	var b strings.Builder
	b.WriteString(documentHead)
	docs := effects()
	for _, chapter := range []struct {
		title string
		keys  []key
	}{
		{"The server and its ensemble", append(memberKeys(), ensembleKeys()...)},
		{"Clients", clientKeys()},
		{"Data", dataKeys()},
		{"Admin server and metrics", adminKeys()},
		{"TLS", tlsKeys()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| key | effect |\n|---|---|\n", chapter.title)
		for _, k := range chapter.keys {
			if !strings.HasPrefix(k.name, "ssl.quorum.") && docs[k.name] != "" {
				fmt.Fprintf(&b, "| `%s` | %s |\n", k.name, docs[k.name])
			}
		}
	}
	b.WriteString("\n`ssl.quorum.X` is to connections between servers what `ssl.X` is to those of clients. Key files that need a password file, revocation lists, OCSP and\nsuppliers of Java's are refused.\n")
	b.WriteString("\n## Refused when true\n\n| key | why |\n|---|---|\n")
	for _, k := range refusedKeys() {
		fmt.Fprintf(&b, "| `%s` | %v |\n", k.name, k.parse(&draft{}, "true"))
	}
	b.WriteString("\n## Without effect\n\nSetting one is a warning in the log that says why.\n\n| why | keys |\n|---|---|\n")
	for _, i := range idles() {
		names := slices.Concat(strings.Fields(i.keys), strings.Fields(i.props), strings.Fields(i.plain))
		slices.Sort(names)
		fmt.Fprintf(&b, "| %s | `%s` |\n", i.why, strings.Join(slices.Compact(names), "` `"))
	}
	return b.String()
}

const documentHead = `# zoo.cfg

The settings of a server of the quorum (` + "`millrace quorum FILE`, `zkServer.sh`" + `), under ZooKeeper's names and with ZooKeeper's defaults, which stand in
brackets. This page is generated from the catalogue in ` + "`quorum/zoocfg`" + `, which knows every key that ZooKeeper 3.8 reads or documents. An unknown key is
a warning with a suggestion. A value that cannot be used stops the start; all of them are told at once, each with file, line, key, value, what
is allowed and the way out.

A key may be written with ` + "`zookeeper.`" + ` before it. The -D words of ` + "`SERVER_JVMFLAGS` and `JVMFLAGS`" + ` count as for Java's server; zoo.cfg wins over them.

The servers of an ensemble are the lines ` + "`server.N=host:2888:3888[:participant|observer][;[address:]clientPort]`" + `, the same on every server, N from 1 to 255; a server
is the one whose N stands in ` + "`dataDir/myid`" + `. IPv6 addresses stand in brackets. The first port carries the log, the second everything else between servers. Names
are looked up anew each time that a server connects to another.
`
