package server

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/quorum/node"
)

// Metric is one line of the word mntr; Value is an int64, a float64 or a string.
type Metric struct {
	Name  string
	Value any
}

func (m Metric) text() string {
	if f, ok := m.Value.(float64); ok {
		return javaFloat(f)
	}
	return fmt.Sprint(m.Value)
}

// monitor is what mntr prints, under ZooKeeper's names and in its order as far as this server
// has such a thing.
func (s *Server) monitor() []Metric {
	st, status := s.Stats(), s.member.Status()
	list := []Metric{{"version", s.version()}, {"server_state", status.Mode.String()}}
	add := func(name string, value any) { list = append(list, Metric{name, value}) }
	if status.Mode != node.Standalone {
		state := "looking"
		switch status.Mode {
		case node.Leader:
			state = "leading - broadcast"
		case node.Follower:
			state = "following - broadcast"
		case node.Observer:
			state = "observing - broadcast"
		}
		add("peer_state", state)
	}
	add("ephemerals_count", int64(st.Ephemerals))
	add("num_alive_connections", int64(st.Connections))
	add("avg_latency", st.Latency.AvgMs)
	add("outstanding_requests", st.OutstandingRequests)
	add("znode_count", int64(st.Nodes))
	add("global_sessions", int64(st.Sessions))
	add("last_client_response_size", st.LastResponseBytes)
	add("packets_sent", st.PacketsSent)
	add("packets_received", st.PacketsReceived)
	add("max_client_response_size", st.MaxResponseBytes)
	add("connection_drop_probability", 0.0)
	add("watch_count", int64(st.Watches))
	add("auth_failed_count", st.AuthFailures)
	add("min_latency", st.Latency.MinMs)
	if s.facts.FileDescriptors != nil {
		open, limit := s.facts.FileDescriptors()
		add("max_file_descriptor_count", limit)
		add("open_file_descriptor_count", open)
	}
	add("approximate_data_size", st.DataBytes)
	add("local_sessions", int64(0))
	add("uptime", st.Uptime.Milliseconds())
	add("max_latency", st.Latency.MaxMs)
	add("outstanding_tls_handshake", st.OutstandingHandshakes)
	add("min_client_response_size", st.MinResponseBytes)
	if status.Mode != node.Standalone {
		add("quorum_size", int64(status.Voters))
	}
	if status.Mode == node.Leader {
		add("learners", int64(status.SyncedFollowers+status.SyncedObservers))
		add("synced_followers", int64(status.SyncedFollowers))
		add("synced_non_voting_followers", int64(0))
		add("synced_observers", int64(status.SyncedObservers))
		add("pending_syncs", int64(0)) // a sync is a transaction like any other
		add("leader_uptime", status.Reign.Milliseconds())
		add("last_proposal_size", status.Counts.LastBytes)
		add("max_proposal_size", status.Counts.MostBytes)
		add("min_proposal_size", status.Counts.LeastBytes)
	}
	return append(list, s.counters(&st, &status)...)
}

// counters are the metrics that only grow, and the summaries.
func (s *Server) counters(st *Stats, status *Status) []Metric {
	list := []Metric{
		{"watch_bytes", st.WatchBytes},
		{"connection_rejected", st.ConnectionsRejected},
		{"cnxn_closed_without_zk_server_running", st.ClosedWithoutServing},
		{"sessionless_connections_expired", st.SessionlessExpired},
		{"connection_drop_count", st.ConnectionDrops},
		{"bytes_received_count", st.BytesReceived},
		{"request_throttle_wait_count", st.ThrottleWaits},
		{"connection_request_count", st.ConnectionRequests},
		{"response_bytes", st.ResponseBytes},
		{"connection_revalidate_count", st.ConnectionRevalidations},
		{"unsuccessful_handshake", st.UnsuccessfulHandshakes},
		{"stale_sessions_expired", st.StaleSessionsExpired},
		{"digest_mismatches_count", int64(0)}, // a server that finds one ends
		{"unrecoverable_error_count", int64(0)},
		{"non_mtls_local_conn_count", st.PlainLocal},
		{"non_mtls_remote_conn_count", st.PlainRemote},
	}
	c := &s.stats
	list = append(list, c.createdWatches.metrics("node_created_watch_count")...)
	list = append(list, c.deletedWatches.metrics("node_deleted_watch_count")...)
	list = append(list, c.changedWatches.metrics("node_changed_watch_count")...)
	list = append(list, c.childrenWatches.metrics("node_children_watch_count")...)
	if st.SyncTimes != nil {
		list = append(list, summary("fsynctime", st.SyncTimes)[:summaryBasic]...)
	}
	if st.SnapshotTimes != nil {
		list = append(list, summary("snapshottime", st.SnapshotTimes)[:summaryBasic]...)
	}
	if status.Mode != node.Standalone { // which never looks for a leader, and has nobody to propose to
		n := &status.Counts
		list = append(list, Metric{"looking_count", st.Lookings}, Metric{"proposal_count", n.Proposed}, Metric{"commit_count", n.Committed},
			Metric{"learner_commit_received_count", n.Learned})
		list = append(list, summary("election_time", &st.Elections)[:summaryBasic]...)
		list = append(list, summary("unavailable_time", &st.Elections)[:summaryBasic]...)
		list = append(list, summary("leader_unavailable_time", &st.LeaderUnavailable)[:summaryBasic]...)
	}
	list = append(list, summary("propagation_latency", &st.Propagation)...)
	return append(append(list, summary("updatelatency", &st.UpdateLatency)...), summary("readlatency", &st.ReadLatency)...)
}

// summaryBasic is how many metrics of a summary have no quantiles.
const summaryBasic = 5

// summary is a set of metrics as ZooKeeper makes them of a latency, in milliseconds.
func summary(name string, h *Histogram) []Metric {
	avg := 0.0
	if h.Count > 0 {
		avg = h.SumSeconds * 1000 / float64(h.Count)
	}
	return []Metric{
		{"avg_" + name, avg},
		{"min_" + name, int64(h.MinSeconds * 1000)},
		{"max_" + name, int64(h.MaxSeconds * 1000)},
		{"cnt_" + name, h.Count},
		{"sum_" + name, int64(h.SumSeconds * 1000)},
		{"p50_" + name, h.quantileMs(0.50)},
		{"p95_" + name, h.quantileMs(0.95)},
		{"p99_" + name, h.quantileMs(0.99)},
		{"p999_" + name, h.quantileMs(0.999)},
	}
}

// configuration is what conf prints.
func (s *Server) configuration() []Pair {
	data, log := s.facts.DirSizes()
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	id := int64(0)
	if status := s.member.Status(); status.Mode != node.Standalone {
		id = int64(status.ID)
	}
	return []Pair{
		{"clientPort", n(int64(port(s.listen)))},
		{"secureClientPort", n(int64(port(s.secure)))},
		{"dataDir", s.facts.DataDir},
		{"dataDirSize", n(data)},
		{"dataLogDir", cmp.Or(s.facts.DataLogDir, s.facts.DataDir)},
		{"dataLogSize", n(log)},
		{"tickTime", n(s.cfg.TickTime.Milliseconds())},
		{"maxClientCnxns", n(int64(s.cfg.MaxClientCnxns))},
		{"minSessionTimeout", n(s.cfg.MinSessionTimeout.Milliseconds())},
		{"maxSessionTimeout", n(s.cfg.MaxSessionTimeout.Milliseconds())},
		{"clientPortListenBacklog", n(int64(s.facts.ListenBacklog))},
		{"serverId", n(id)},
	}
}

// environment is what envi prints.
func (s *Server) environment() []Pair {
	return append([]Pair{{"zookeeper.version", s.version()}}, s.facts.Environment()...)
}

// port is that of the first listener, -1 without one.
func port(list []net.Listener) int {
	for _, l := range list {
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			return a.Port
		}
	}
	return -1
}

// connInfo is what words and commands tell of a connection.
type connInfo struct {
	remote              string
	interest            int
	queued              int
	session             int64
	established         int64
	timeoutMs           int32
	secure              bool
	counters            counters
	minMs, avgMs, maxMs int64
}

// info reads a connection's counters. The interest is Java's selection key: 1 reads, 4 has
// something to send.
func (c *conn) info() connInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := connInfo{
		remote: javaAddrPort(c.remote), queued: c.pending.len(), session: c.session.Load(), established: c.since,
		timeoutMs: c.timeoutMs.Load(), secure: c.secure, counters: c.counters,
	}
	if c.reading.Load() {
		i.interest |= 1
	}
	if c.queueBytesLocked() > 0 {
		i.interest |= 4
	}
	i.minMs, i.maxMs = max(c.minNs, 0)/int64(time.Millisecond), c.maxNs/int64(time.Millisecond)
	if c.measurements > 0 {
		i.avgMs = c.totalNs / c.measurements / int64(time.Millisecond)
	}
	return i
}

// text is a line of cons, or of stat if it is brief.
func (i connInfo) text(brief bool) string {
	var b strings.Builder
	k := &i.counters
	fmt.Fprintf(&b, " %s[%x](queued=%d,recved=%d,sent=%d", i.remote, i.interest, i.queued, k.received, k.sent)
	if !brief && i.session != 0 {
		fmt.Fprintf(&b, ",sid=%s,lop=%s,est=%d,to=%d", hex(i.session), k.lastOp, i.established, i.timeoutMs)
		if k.lastXid >= 0 {
			fmt.Fprintf(&b, ",lcxid=%s", hex(k.lastXid))
		}
		fmt.Fprintf(&b, ",lzxid=%s,lresp=%d,llat=%d,minlat=%d,avglat=%d,maxlat=%d", hex(k.lastZxid),
			k.lastResponse/int64(time.Millisecond), k.lastNs/int64(time.Millisecond), i.minMs, i.avgMs, i.maxMs)
	}
	b.WriteByte(')')
	return b.String()
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func countAll(sets map[int64][]int64) int {
	n := 0
	for _, ids := range sets {
		n += len(ids)
	}
	return n
}

// member is one line server.N of the configuration in the tree.
type memberLine struct {
	id                       int
	quorum, election, client string
	observer                 bool
}

// members reads the lines "server.N=host:port:port[:role];[client]" of /zookeeper/config.
func members(text string) []memberLine {
	var list []memberLine
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		number, isServer := strings.CutPrefix(name, "server.")
		id, err := strconv.Atoi(number)
		if !ok || !isServer || err != nil {
			continue
		}
		m := memberLine{id: id}
		address, client, _ := strings.Cut(value, ";")
		m.client = client
		if client != "" && !strings.Contains(client, ":") {
			m.client = "0.0.0.0:" + client
		}
		if rest, ok := strings.CutSuffix(address, ":observer"); ok {
			address, m.observer = rest, true
		}
		address = strings.TrimSuffix(address, ":participant")
		if at := strings.LastIndexByte(address, ':'); at > 0 {
			if host := strings.LastIndexByte(address[:at], ':'); host > 0 {
				m.quorum, m.election = address[:at], address[:host]+address[at:]
			}
		}
		list = append(list, m)
	}
	return list
}
