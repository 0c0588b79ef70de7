package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/quorum"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/raftlog"
	clientport "github.com/millrace/millrace/quorum/server"
)

// quorumFigures is all that one scrape of a quorum reads.
type quorumFigures struct {
	server clientport.Stats
	node   node.Status
	store  raftlog.Stats
	voters int
}

// quorumMetric is one series. Names without millrace_ are those of ZooKeeper's Prometheus
// provider, with its kinds: dashboards made for it go on.
type quorumMetric struct {
	name, help string
	counter    bool
	value      func(f *quorumFigures) float64
	leader     bool // only the leader has it
}

func gauge(name, help string, value func(f *quorumFigures) float64) quorumMetric {
	return quorumMetric{name: name, help: help, value: value}
}

func counter(name, help string, value func(f *quorumFigures) float64) quorumMetric {
	return quorumMetric{name: name, help: help, counter: true, value: value}
}

func zookeeperMetrics() []quorumMetric {
	return []quorumMetric{
		gauge("znode_count", "Znodes.", func(f *quorumFigures) float64 { return float64(f.server.Nodes) }),
		gauge("ephemerals_count", "Ephemeral znodes.", func(f *quorumFigures) float64 { return float64(f.server.Ephemerals) }),
		gauge("approximate_data_size", "Bytes of paths and data.", func(f *quorumFigures) float64 { return float64(f.server.DataBytes) }),
		gauge("watch_count", "Watches of clients of this server.", func(f *quorumFigures) float64 { return float64(f.server.Watches) }),
		gauge("global_sessions", "Sessions of the ensemble.", func(f *quorumFigures) float64 { return float64(f.server.Sessions) }),
		gauge("local_sessions", "Local sessions; there are none.", func(*quorumFigures) float64 { return 0 }),
		gauge("num_alive_connections", "Connections of clients.", func(f *quorumFigures) float64 { return float64(f.server.Connections) }),
		gauge("outstanding_requests", "Requests that wait for their answer.", func(f *quorumFigures) float64 { return float64(f.server.OutstandingRequests) }),
		gauge("packets_received", "Packets from clients.", func(f *quorumFigures) float64 { return float64(f.server.PacketsReceived) }),
		gauge("packets_sent", "Packets to clients.", func(f *quorumFigures) float64 { return float64(f.server.PacketsSent) }),
		gauge("avg_latency", "Mean time to an answer, in milliseconds.", func(f *quorumFigures) float64 { return f.server.Latency.AvgMs }),
		gauge("min_latency", "Least time to an answer, in milliseconds.", func(f *quorumFigures) float64 { return float64(f.server.Latency.MinMs) }),
		gauge("max_latency", "Longest time to an answer, in milliseconds.", func(f *quorumFigures) float64 { return float64(f.server.Latency.MaxMs) }),
		gauge("uptime", "Milliseconds since the start.", func(f *quorumFigures) float64 { return float64(f.server.Uptime.Milliseconds()) }),
		gauge("last_client_response_size", "Bytes of the last answer; -1 before the first.", func(f *quorumFigures) float64 { return float64(f.server.LastResponseBytes) }),
		gauge("min_client_response_size", "Bytes of the smallest answer; -1 before the first.", func(f *quorumFigures) float64 { return float64(f.server.MinResponseBytes) }),
		gauge("max_client_response_size", "Bytes of the largest answer; -1 before the first.", func(f *quorumFigures) float64 { return float64(f.server.MaxResponseBytes) }),
		gauge("outstanding_tls_handshake", "Handshakes that go on.", func(f *quorumFigures) float64 { return float64(f.server.OutstandingHandshakes) }),
		gauge("auth_failed_count", "Clients that could not show who they are.", func(f *quorumFigures) float64 { return float64(f.server.AuthFailures) }),
		gauge("connection_drop_probability", "The share of new connections that is refused when there are many; there is no such limit.", func(*quorumFigures) float64 { return 0 }),
		gauge("open_file_descriptor_count", "Descriptors that are open.", func(*quorumFigures) float64 { open, _ := openFiles(); return float64(open) }),
		gauge("max_file_descriptor_count", "Descriptors that may be open.", func(*quorumFigures) float64 { _, limit := openFiles(); return float64(limit) }),
		gauge("quorum_size", "Voters of the ensemble.", func(f *quorumFigures) float64 { return float64(f.voters) }),
		{name: "learners", help: "Other servers of the ensemble, on the leader.", leader: true, value: func(f *quorumFigures) float64 { return float64(len(f.node.Peers) - 1) }},
		{name: "leader_uptime", help: "Milliseconds since this server leads.", leader: true, value: func(f *quorumFigures) float64 { return float64(f.node.Reign.Milliseconds()) }},
		{name: "last_proposal_size", help: "Bytes of the last transaction that the leader put into the log; -1 before the first.", leader: true, value: func(f *quorumFigures) float64 { return float64(f.node.Counts.LastBytes) }},
		{name: "min_proposal_size", help: "Bytes of the smallest since this server leads.", leader: true, value: func(f *quorumFigures) float64 { return float64(f.node.Counts.LeastBytes) }},
		{name: "max_proposal_size", help: "Bytes of the largest since this server leads.", leader: true, value: func(f *quorumFigures) float64 { return float64(f.node.Counts.MostBytes) }},
		gauge("non_mtls_local_conn_count", "Connections without TLS from this machine, since the start.", func(f *quorumFigures) float64 { return float64(f.server.PlainLocal) }),
		gauge("non_mtls_remote_conn_count", "Connections without TLS from other machines, since the start.", func(f *quorumFigures) float64 { return float64(f.server.PlainRemote) }),

		counter("connection_request_count", "Connections that asked for a session.", func(f *quorumFigures) float64 { return float64(f.server.ConnectionRequests) }),
		counter("connection_revalidate_count", "Sessions that came from another server.", func(f *quorumFigures) float64 { return float64(f.server.ConnectionRevalidations) }),
		counter("connection_rejected", "Connections beyond maxClientCnxns or maxCnxns.", func(f *quorumFigures) float64 { return float64(f.server.ConnectionsRejected) }),
		counter("connection_drop_count", "Connections that ended without closing their session.", func(f *quorumFigures) float64 { return float64(f.server.ConnectionDrops) }),
		counter("cnxn_closed_without_zk_server_running", "Connections that were refused because there is no quorum.", func(f *quorumFigures) float64 { return float64(f.server.ClosedWithoutServing) }),
		counter("sessionless_connections_expired", "Connections that never asked for a session.", func(f *quorumFigures) float64 { return float64(f.server.SessionlessExpired) }),
		counter("bytes_received_count", "Bytes from clients.", func(f *quorumFigures) float64 { return float64(f.server.BytesReceived) }),
		counter("response_bytes", "Bytes to clients.", func(f *quorumFigures) float64 { return float64(f.server.ResponseBytes) }),
		counter("watch_bytes", "Bytes of watch events.", func(f *quorumFigures) float64 { return float64(f.server.WatchBytes) }),
		counter("stale_sessions_expired", "Sessions of the ensemble that ended because nothing was heard of them.", func(f *quorumFigures) float64 { return float64(f.server.StaleSessionsExpired) }),
		counter("looking_count", "Times that this server looked for a leader.", func(f *quorumFigures) float64 { return float64(f.server.Lookings) }),
		counter("proposal_count", "Transactions that this server put into the log as the leader.", func(f *quorumFigures) float64 { return float64(f.node.Counts.Proposed) }),
		counter("commit_count", "Transactions that were committed while this server led.", func(f *quorumFigures) float64 { return float64(f.node.Counts.Committed) }),
		counter("learner_commit_received_count", "Transactions of which this server learned from a leader that they are committed.", func(f *quorumFigures) float64 { return float64(f.node.Counts.Learned) }),
		counter("digest_mismatches_count", "Transactions after which the tree was another than the leader's; a server that finds one ends.", func(*quorumFigures) float64 { return 0 }),
		counter("unrecoverable_error_count", "Errors after which a server must not go on; it ends.", func(*quorumFigures) float64 { return 0 }),
		counter("unsuccessful_handshake", "Handshakes that failed.", func(f *quorumFigures) float64 { return float64(f.server.UnsuccessfulHandshakes) }),
		counter("request_throttle_wait_count", "Times that a connection waited because globalOutstandingLimit was reached.", func(f *quorumFigures) float64 { return float64(f.server.ThrottleWaits) }),
	}
}

func ownQuorumMetrics() []quorumMetric {
	bool2 := func(on bool) float64 {
		if on {
			return 1
		}
		return 0
	}
	return []quorumMetric{
		gauge("millrace_quorum_serving", "1 while this server serves clients, 0 while it has no quorum.", func(f *quorumFigures) float64 { return bool2(f.node.Serving) }),
		gauge("millrace_quorum_leader", "1 while this server leads, or stands alone.", func(f *quorumFigures) float64 {
			return bool2(f.node.Mode == node.Leader || f.node.Mode == node.Standalone)
		}),
		gauge("millrace_quorum_leader_id", "The number of the leader; 0 while none is known.", func(f *quorumFigures) float64 { return float64(f.node.LeaderID) }),
		gauge("millrace_quorum_term", "Raft's term: it grows with each election.", func(f *quorumFigures) float64 { return float64(f.node.Term) }),
		gauge("millrace_quorum_applied_index", "The last entry of the log that is in the tree.", func(f *quorumFigures) float64 { return float64(f.node.Applied) }),
		gauge("millrace_quorum_zxid", "The last transaction that is in the tree.", func(f *quorumFigures) float64 { return float64(f.node.Zxid) }),
		gauge("millrace_quorum_log_first_index", "The first entry of the log.", func(f *quorumFigures) float64 { return float64(f.store.FirstIndex) }),
		gauge("millrace_quorum_log_last_index", "The last entry of the log.", func(f *quorumFigures) float64 { return float64(f.store.LastIndex) }),
		gauge("millrace_quorum_log_bytes", "Bytes of the log on disk.", func(f *quorumFigures) float64 { return float64(f.store.LogBytes) }),
		gauge("millrace_quorum_snapshots", "Snapshots that are kept.", func(f *quorumFigures) float64 { return float64(f.store.Snapshots) }),
		gauge("millrace_quorum_reserve_in_use", "1 while the disk is full and the space held back is used.", func(f *quorumFigures) float64 { return bool2(f.store.ReserveInUse) }),
		gauge("millrace_quorum_watch_memory_bytes", "Memory that watches take.", func(f *quorumFigures) float64 { return float64(f.server.WatchMemoryBytes) }),
		counter("millrace_quorum_log_appended_bytes_total", "Bytes that were appended to the log.", func(f *quorumFigures) float64 { return float64(f.store.AppendedBytes) }),
		counter("millrace_quorum_log_syncs_total", "Syncs of the log.", func(f *quorumFigures) float64 { return float64(f.store.Syncs) }),
		counter("millrace_quorum_overflows_total", "Connections that were closed because they did not take their answers or had too many watches.", func(f *quorumFigures) float64 {
			return float64(f.server.OutputOverflows + f.server.WatchOverflows)
		}),
	}
}

// quorumCollector reads a quorum when somebody scrapes.
type quorumCollector struct{ q *quorum.Quorum }

// Describe implements prometheus.Collector: which series there are depends on the server.
func (quorumCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c quorumCollector) Collect(out chan<- prometheus.Metric) {
	f := &quorumFigures{server: c.q.Server().Stats(), node: c.q.Node().Status(), store: c.q.Store().Stats()}
	for _, p := range f.node.Peers {
		if p.Voter {
			f.voters++
		}
	}
	for _, m := range append(zookeeperMetrics(), ownQuorumMetrics()...) {
		if m.leader && f.node.Mode != node.Leader {
			continue
		}
		kind := prometheus.GaugeValue
		if m.counter {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.name, m.help, nil, nil), kind, m.value(f))
	}
	summaries(&f.server, out)
}

// summaries sends the distributions, with the quantiles that ZooKeeper's provider has of each.
func summaries(st *clientport.Stats, out chan<- prometheus.Metric) {
	basic, advanced := []float64{0.5}, []float64{0.5, 0.9, 0.99}
	for _, h := range []struct {
		name, help string
		of         *clientport.Histogram
		quantiles  []float64
	}{
		{"readlatency", "Time to answer a read, in milliseconds.", &st.ReadLatency, advanced},
		{"updatelatency", "Time to answer a write, in milliseconds.", &st.UpdateLatency, advanced},
		{"fsynctime", "Time of a sync of the log, in milliseconds.", st.SyncTimes, basic},
		{"snapshottime", "Time to write a snapshot, in milliseconds.", st.SnapshotTimes, basic},
		{"election_time", "Time from looking for a leader until this server serves again, in milliseconds.", &st.Elections, basic},
		{"unavailable_time", "Time in which this server did not serve, in milliseconds.", &st.Elections, basic},
		{"leader_unavailable_time", "Of these, times at whose end this server led.", &st.LeaderUnavailable, basic},
		{"propagation_latency", "Time from the leader's proposal of a transaction until it is applied here, in milliseconds, by the clocks of the two.", &st.Propagation, advanced},
	} {
		if h.of == nil {
			continue
		}
		quantiles := map[float64]float64{}
		for _, q := range h.quantiles {
			quantiles[q] = quantileMs(h.of, q)
		}
		out <- prometheus.MustNewConstSummary(prometheus.NewDesc(h.name, h.help, nil, nil), uint64(h.of.Count), h.of.SumSeconds*1000, quantiles)
	}
	for _, s := range []struct {
		name, help string
		of         clientport.Sum
	}{
		{"node_created_watch_count", "Watches that the creation of a znode told.", st.NodeCreatedWatches},
		{"node_deleted_watch_count", "Watches that the deletion of a znode told.", st.NodeDeletedWatches},
		{"node_changed_watch_count", "Watches that a change of a znode's data told.", st.NodeChangedWatches},
		{"node_children_watch_count", "Watches that a change of a znode's children told.", st.NodeChildrenWatches},
	} {
		out <- prometheus.MustNewConstSummary(prometheus.NewDesc(s.name, s.help, nil, nil), uint64(s.of.Count), float64(s.of.Sum), nil)
	}
}

// quantileMs is the upper end of the bucket that holds the given share, in milliseconds.
func quantileMs(h *clientport.Histogram, share float64) float64 {
	rank, seen := int64(share*float64(h.Count)), int64(0)
	for i, n := range h.Counts {
		if seen += n; n > 0 && seen > rank && i < len(h.Bounds) {
			return min(h.Bounds[i], h.MaxSeconds) * 1000
		}
	}
	return h.MaxSeconds * 1000
}
