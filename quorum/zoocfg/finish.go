package zoocfg

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// finish settles what several keys decide together, and reads the files that they name.
func (l *loader) finish() error {
	l.dirs()
	l.times()
	if err := l.dynamic(); err != nil {
		return err
	}
	l.members()
	if err := l.identity(); err != nil {
		return err
	}
	l.ports()
	l.encryption()
	switch {
	case !l.d.enforceAuth:
		l.d.AuthSchemes = nil
	case len(l.d.AuthSchemes) == 0:
		l.problem("enforce.auth.enabled", "enforce.auth.schemes is not set: name the schemes of which a client must show one, as in enforce.auth.schemes=digest,x509")
	}
	l.d.Settings = l.settings()
	return nil
}

func (l *loader) dirs() {
	d := &l.d
	if d.DataDir == "" && !l.given("dataDir") {
		l.problem("dataDir", "it is not set: name the folder for snapshots and myid, as in dataDir=/data")
	}
	for _, dir := range []struct{ key, value string }{{"dataDir", d.DataDir}, {"dataLogDir", d.DataLogDir}} {
		if dir.value != "" && !filepath.IsAbs(dir.value) && !strings.HasPrefix(dir.value, ".") {
			l.warn(l.places[dir.key].Place, dir.key, fmt.Sprintf("%s is relative to where the server is started: write ./%s if that is meant", dir.value, dir.value))
		}
	}
	if d.DataLogDir == "" {
		d.DataLogDir = d.DataDir
	}
	if d.SnapRetain < 3 {
		l.warn(l.places["autopurge.snapRetainCount"].Place, "autopurge.snapRetainCount", fmt.Sprintf("%d is too few: the last 3 are kept", d.SnapRetain))
		d.SnapRetain = 3
	}
	if !d.ForceSync {
		l.warn(l.places["forceSync"].Place, "forceSync", "without syncs a crash of the machine may lose what clients were told is done")
	}
}

func (l *loader) times() {
	d := &l.d
	if d.MinSessionTimeout < 0 {
		d.MinSessionTimeout = 2 * d.TickTime
	}
	if d.MaxSessionTimeout < 0 {
		d.MaxSessionTimeout = 20 * d.TickTime
	}
	if d.MinSessionTimeout > d.MaxSessionTimeout {
		key := "minSessionTimeout"
		if !l.given(key) {
			key = "maxSessionTimeout"
		}
		l.problem(key, fmt.Sprintf("the smallest session timeout, %d ms, is larger than the largest, %d ms (not set, they are 2 and 20 times tickTime)",
			d.MinSessionTimeout/time.Millisecond, d.MaxSessionTimeout/time.Millisecond))
	}
}

// dynamic reads the servers from the file that dynamicConfigFile names.
func (l *loader) dynamic() error {
	file := l.d.DynamicFile
	if file == "" {
		return nil
	}
	for _, s := range l.d.servers {
		l.problems = append(l.problems, Problem{Place: s.Place, Key: s.Key, Value: s.Value, Reason: "with dynamicConfigFile the servers stand in that file, " + file + ": move the line there"})
	}
	if len(l.d.servers) > 0 {
		return nil
	}
	text, err := readFile(l.in.FS, file)
	if err != nil {
		return fmt.Errorf("%s: dynamicConfigFile=%s: %w", l.places["dynamicConfigFile"].Place, file, err)
	}
	l.dynamicLines(file, text)
	if _, suffix, ok := cutLast(file, "."); ok {
		if v, err := strconv.ParseInt(suffix, 16, 64); err == nil && v >= 0 {
			l.d.Version = v
		}
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (l *loader) members() {
	addresses := map[string]string{}
	for _, raw := range l.d.servers {
		id, err := strconv.ParseInt(raw.number, 10, 64)
		if err != nil {
			err = refused("%q is no number: the form is %s", clip(raw.number), serverForm)
		}
		var s Server
		if err == nil {
			s, err = ParseServer(id, raw.Value)
		}
		if err != nil {
			l.problems = append(l.problems, problemOf(raw.Place, raw.Key, raw.Value, err))
			continue
		}
		for _, at := range []string{s.PeerAddress(), s.ElectionAddress()} {
			if other, taken := addresses[at]; taken {
				l.problems = append(l.problems, problemOf(raw.Place, raw.Key, raw.Value, refused("%s is already that of %s: each server needs ports of its own", at, other)))
			}
			addresses[at] = raw.Key
		}
		l.d.Servers = append(l.d.Servers, s)
	}
	sortServers(l.d.Servers)
	l.voters()
}

// voters judges the list as ZooKeeper does.
func (l *loader) voters() {
	voters, observers := 0, 0
	for _, s := range l.d.Servers {
		if s.Observer {
			observers++
		} else {
			voters++
		}
	}
	at := Place{Source: l.in.File}
	if len(l.d.servers) > 0 {
		at = l.d.servers[0].Place
	}
	bad := func(reason string) {
		l.problems = append(l.problems, Problem{Place: at, Key: "server.N", Reason: reason})
	}
	switch {
	case voters == 0 && observers > 0:
		bad("all servers are observers: an ensemble needs participants, which vote")
	case voters == 0 && !l.d.StandaloneEnabled && len(l.problems) == 0:
		bad("standaloneEnabled=false wants at least one server.N line")
	case voters == 1 && observers > 0 && l.d.StandaloneEnabled:
		bad("observers beside a single participant: add participants, or set standaloneEnabled=false")
	case voters == 2:
		l.warn(at, "server.N", "two servers tolerate no failure: a majority of two is both; use three")
	case voters > 2 && voters%2 == 0:
		l.warn(at, "server.N", fmt.Sprintf("%d servers tolerate no more failures than %d do", voters, voters-1))
	}
	if !l.d.Distributed() {
		return
	}
	for _, k := range []struct {
		name, example, what string
		value               int
	}{
		{"initLimit", "10", "the ticks in which a server must have caught up", l.d.InitLimit},
		{"syncLimit", "5", "the ticks after which a server that does not hear the leader serves nobody", l.d.SyncLimit},
	} {
		if k.value == 0 && !l.given(k.name) {
			l.problem(k.name, fmt.Sprintf("it is not set, and an ensemble needs it: %s, as in %s=%s", k.what, k.name, k.example))
		}
	}
}

// identity reads myid and finds this server in the list.
func (l *loader) identity() error {
	d := &l.d
	if d.DataDir == "" {
		return nil
	}
	id, err := ReadMyID(l.in.FS, d.DataDir)
	file := filepath.Join(d.DataDir, "myid")
	bad := func(value, reason string) {
		l.problems = append(l.problems, Problem{Place: Place{Source: file}, Key: "myid", Value: value, Reason: reason})
	}
	switch {
	case missing(err) && !d.Distributed():
		if len(d.Servers) == 1 {
			d.MyID = d.Servers[0].ID
		}
		return nil
	case missing(err):
		bad("", fmt.Sprintf("the file is missing: write the N of this server's line server.N into it, as in: echo 1 > %s (servers: %s)", file, ids(d.Servers)))
		return nil
	case err != nil:
		var v *valueError
		if !asValue(err, &v) {
			return fmt.Errorf("myid: %w", err)
		}
		bad("", v.reason)
		return nil
	}
	d.MyID = id
	if _, listed := d.Self(); !listed && d.Distributed() {
		bad(strconv.FormatInt(id, 10), fmt.Sprintf("no line server.%d is in the list (servers: %s): correct the file, or add the line on every server", id, ids(d.Servers)))
	}
	if d.ExtendedTypes && id > 254 {
		bad(strconv.FormatInt(id, 10), "it must be at most 254, since the owners of TTL nodes look like sessions of server 255: choose another id, or set extendedTypesEnabled=false to do without TTL nodes")
	}
	if self, ok := d.Self(); ok && d.observer != nil && *d.observer != self.Observer {
		l.warn(l.places["peerType"].Place, "peerType", fmt.Sprintf("the line %s holds", self))
	}
	return nil
}

func ids(servers []Server) string {
	if len(servers) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, s := range servers {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d on %s", s.ID, bracket(s.Host))
	}
	return b.String()
}

// ports settles where clients come: by the keys of zoo.cfg, or by this server's own line.
func (l *loader) ports() {
	d := &l.d
	for _, k := range []struct {
		port, host string
		number     int
		address    string
		to         *string
	}{
		{"clientPort", "clientPortAddress", d.clientPort, d.clientHost, &d.ClientAddress},
		{"secureClientPort", "secureClientPortAddress", d.securePort, d.secureHost, &d.SecureClientAddress},
	} {
		if k.number > 0 {
			*k.to = net.JoinHostPort(k.address, strconv.Itoa(k.number))
		} else if k.address != "" {
			l.problem(k.host, k.port+" is not set: without it the address means nothing")
		}
	}
	if self, ok := d.Self(); ok && self.ClientPort > 0 {
		whole := d.clientHost == "" || net.ParseIP(d.clientHost).IsUnspecified()
		if d.clientPort > 0 && (self.ClientPort != d.clientPort || !whole && d.clientHost != self.ClientHost) {
			l.problem("clientPort", fmt.Sprintf("%s says otherwise: remove clientPort and clientPortAddress, or make them equal", self))
		}
		d.ClientAddress = self.ClientAddress()
	}
	if d.ClientAddress == "" && d.SecureClientAddress == "" && len(l.problems) == 0 {
		l.problem("clientPort", "neither it nor secureClientPort is set, nor does this server's line end in ;PORT: no client could connect; the usual line is clientPort=2181")
	}
	if d.ClientAddress != "" && d.ClientAddress == d.SecureClientAddress {
		l.problem("secureClientPort", "it is clientPort as well: choose another one, or set client.portUnification=true on clientPort alone")
	}
	if !d.Metrics.Prometheus && l.given("metricsProvider.httpPort") {
		l.warn(l.places["metricsProvider.httpPort"].Place, "metricsProvider.httpPort", "it has no effect without metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider")
	}
}

// encryption asks for the files that encrypted connections need.
func (l *loader) encryption() {
	d := &l.d
	if d.SecureClientAddress != "" || d.ClientPortUnification {
		key := "secureClientPort"
		if d.SecureClientAddress == "" {
			key = "client.portUnification"
		}
		l.stores(key, &d.ClientTLS)
	}
	if d.QuorumTLS || d.PortUnification {
		key := "sslQuorum"
		if !d.QuorumTLS {
			key = "portUnification"
		}
		if !d.Distributed() {
			l.warn(l.places[key].Place, key, "a lone server has no connections to others")
			return
		}
		l.stores(key, &d.ServerTLS)
	}
}

func (l *loader) stores(key string, t *TLS) {
	if t.KeyStore.Location == "" && !l.given(t.Prefix+"keyStore.location") {
		l.problem(key, fmt.Sprintf("%skeyStore.location is not set: name a PEM file with the server's certificate and its private key", t.Prefix))
	}
	// Servers are clients of each other, and so ask for certificates whatever clientAuth says.
	asks := t.ClientAuth != 0 || t.Prefix == "ssl.quorum."
	if asks && t.TrustStore.Location == "" && !l.given(t.Prefix+"trustStore.location") {
		reason := fmt.Sprintf("%strustStore.location is not set: name a PEM file with the authorities whose certificates are taken", t.Prefix)
		if t.Prefix == "ssl." {
			reason += ", or set ssl.clientAuth=none to let in clients without a certificate"
		}
		l.problem(key, reason)
	}
}
