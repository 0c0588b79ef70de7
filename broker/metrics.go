package broker

import (
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// metrics are the broker's figures, under stable names that begin with millrace_. What
// the hot paths count are plain atomics; the rest is read from its owner when somebody scrapes.
type metrics struct {
	b   *Broker
	api [maxKey + 1]apiMetrics

	accepted, rejected, abnormal prometheus.Counter
	errors                       *prometheus.CounterVec
	autoCreated                  prometheus.Counter

	lags lags
}

type apiMetrics struct {
	aborted atomic.Int64
	latency byVersion
}

const namespace = "millrace"

func newMetrics(b *Broker) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	}
	m := &metrics{
		b:           b,
		accepted:    counter("connections_accepted_total", "Connections that were accepted."),
		rejected:    counter("connections_rejected_total", "Connections that were refused by max.connections, max.connections.per.ip or their address's connection_creation_rate."),
		abnormal:    counter("connections_aborted_total", "Connections that the broker closed because of what came from them."),
		autoCreated: counter("topics_auto_created_total", "Topics that a Metadata request created."),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "errors_total", Help: "Error codes that were answered, by API and code.",
		}, []string{"api", "code"}),
	}
	return m
}

func (m *metrics) answered(r *request) {
	m.api[r.h.Key].latency.of(r.h.Version).observe(clock.Since(r.b.clock, r.received))
}

// failed counts a request that cost its connection.
func (m *metrics) failed(key int16) { m.api[key].aborted.Add(1) }

// refused counts an error code of a reply.
func (m *metrics) refused(key int16, code protocol.ErrorCode) {
	a, _ := protocol.Lookup(key)
	m.errors.WithLabelValues(a.Name, code.Name()).Inc()
}

// Descriptors of what is read at scrape time.
type descriptors struct {
	requests, latency, aborted                       *prometheus.Desc
	connections, inLanes, laneHandovers, parked      *prometheus.Desc
	bytesIn, bytesOut, writes                        *prometheus.Desc
	sendfileBytes, sendfileCalls, panics             *prometheus.Desc
	memoryUsed, memoryLimit                          *prometheus.Desc
	produceBatches, produceBytes, records, fetched   *prometheus.Desc
	sessions, sessionEvictions                       *prometheus.Desc
	topics, partitions, offline, unsynced            *prometheus.Desc
	dirOnline, dirTotal, dirFree, dirSize, dirLogs   *prometheus.Desc
	logSize, logStart, logEnd, logHW, recoveryPoints *prometheus.Desc
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var figures = descriptors{
	requests:         desc("requests_total", "Requests that were answered, by API and version.", "api", "version"),
	latency:          desc("request_seconds", "Time from the read that a request's last byte came with to its reply in the queue, by API and version.", "api", "version"),
	aborted:          desc("requests_aborted_total", "Requests that cost their connection, by API.", "api"),
	connections:      desc("connections", "Open connections."),
	inLanes:          desc("connections_in_lanes", "Connections with small requests that share a goroutine with others."),
	laneHandovers:    desc("lane_handovers_total", "Requests that held up a lane for so long that another goroutine went on with its other connections."),
	parked:           desc("requests_parked", "Requests that wait for acks, for records or for a sync."),
	bytesIn:          desc("network_received_bytes_total", "Bytes received from clients."),
	bytesOut:         desc("network_sent_bytes_total", "Bytes sent to clients."),
	writes:           desc("network_writes_total", "Write calls to sockets, sendfile apart."),
	sendfileBytes:    desc("sendfile_bytes_total", "Bytes that left files for sockets without passing through the broker's memory."),
	sendfileCalls:    desc("sendfile_calls_total", "Calls of sendfile."),
	panics:           desc("handler_panics_total", "Request handlers that panicked."),
	memoryUsed:       desc("request_memory_bytes", "Bytes of request buffers that are held."),
	memoryLimit:      desc("request_memory_limit_bytes", "Budget of request buffers (queued.max.request.bytes)."),
	produceBatches:   desc("produce_batches_total", "Batches that were appended at once for Produce requests."),
	produceBytes:     desc("produce_bytes_total", "Bytes of those batches."),
	records:          desc("produce_records_total", "Records of those batches."),
	fetched:          desc("fetch_bytes_total", "Bytes of records in Fetch responses."),
	sessions:         desc("fetch_sessions", "Cached fetch sessions."),
	sessionEvictions: desc("fetch_session_evictions_total", "Fetch sessions that made room for others."),
	topics:           desc("topics", "Topics of the cluster."),
	partitions:       desc("partitions", "Partitions of the cluster."),
	offline:          desc("partitions_offline", "Partitions of this broker that have no leader or no log."),
	unsynced:         desc("log_unsynced_records", "Records in all logs that are not yet synced to the disk."),
	dirOnline:        desc("log_dir_online", "1 while the log directory works.", "dir"),
	dirTotal:         desc("log_dir_capacity_bytes", "Size of the volume of a log directory.", "dir"),
	dirFree:          desc("log_dir_free_bytes", "Free space of the volume of a log directory.", "dir"),
	dirSize:          desc("log_dir_size_bytes", "Size of all logs in a log directory.", "dir"),
	dirLogs:          desc("log_dir_partitions", "Partitions in a log directory.", "dir"),
	logSize:          desc("log_size_bytes", "Size of a partition's log.", "topic", "partition"),
	logStart:         desc("log_start_offset", "First offset of a partition.", "topic", "partition"),
	logEnd:           desc("log_end_offset", "Offset that the next record of a partition gets.", "topic", "partition"),
	logHW:            desc("log_high_watermark", "Offset up to which consumers read a partition.", "topic", "partition"),
	recoveryPoints:   desc("log_synced_offset", "Offset up to which a partition's records are on the disk.", "topic", "partition"),
}

// Describe implements prometheus.Collector. The collector is unchecked: which logs there
// are is not known ahead.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- figures.connections
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{m.accepted, m.rejected, m.abnormal, m.autoCreated, m.errors} {
		c.Collect(ch)
	}
	s := scrape{ch}
	for a := range m.b.endpoints.served() {
		s.latencies(&m.api[a.Key].latency, a)
		s.count(figures.aborted, m.api[a.Key].aborted.Load(), a.Name)
	}
	s.network(m.b)
	s.traffic(m.b)
	sessions, evicted := m.b.sessions.stats()
	s.gauge(figures.sessions, int64(sessions))
	s.count(figures.sessionEvictions, evicted)
	s.quotas(m.b.limits)
	s.groups(m.b, &m.lags)
	s.storage(m.b)
}

type scrape struct{ ch chan<- prometheus.Metric }

func (s scrape) count(d *prometheus.Desc, v int64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (s scrape) gauge(d *prometheus.Desc, v int64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
}

func (s scrape) network(b *Broker) {
	st := b.connOptions.Stats
	b.mu.Lock()
	open := len(b.open)
	b.mu.Unlock()
	s.gauge(figures.connections, int64(open))
	s.gauge(figures.inLanes, b.connOptions.Lanes.Guests())
	s.count(figures.laneHandovers, b.connOptions.Lanes.Handovers())
	s.gauge(figures.parked, st.Parked.Load())
	s.count(figures.bytesIn, st.BytesIn.Load())
	s.count(figures.bytesOut, st.BytesOut.Load())
	s.count(figures.writes, st.Writes.Load())
	s.count(figures.sendfileBytes, st.SendfileBytes.Load())
	s.count(figures.sendfileCalls, st.SendfileCalls.Load())
	s.count(figures.panics, st.Panics.Load())
	s.gauge(figures.memoryUsed, b.connOptions.Memory.UsedBytes())
	s.gauge(figures.memoryLimit, b.connOptions.Memory.LimitBytes())
}

func (s scrape) storage(b *Broker) {
	img := b.loader.Image()
	partitions, offline := 0, 0
	for _, t := range img.Topics() {
		partitions += len(t.Partitions)
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if slices.Contains(p.Replicas, b.id) && (p.Leader == metadata.NoLeader || b.offline(t.Name, p.Index)) {
				offline++
			}
		}
	}
	s.gauge(figures.topics, int64(len(img.Topics())))
	s.gauge(figures.partitions, int64(partitions))
	s.gauge(figures.offline, int64(offline))
	s.cleaner(b.store.CleanerStatus())
	for _, d := range b.store.Dirs() {
		online := int64(1)
		if d.Err != nil {
			online = 0
		}
		s.gauge(figures.dirOnline, online, d.Path)
		s.gauge(figures.dirTotal, d.TotalBytes, d.Path)
		s.gauge(figures.dirFree, d.FreeBytes, d.Path)
		s.gauge(figures.dirSize, d.SizeBytes, d.Path)
		s.gauge(figures.dirLogs, int64(d.Logs), d.Path)
	}
	var unsynced int64
	for l := range b.store.Logs() {
		unsynced += max(0, l.LogEndOffset()-l.SyncedOffset())
		tp := l.TopicPartition()
		labels := newLabels("topic", tp.Topic, "partition", itoa(tp.Partition))
		for _, f := range [...]struct {
			d *prometheus.Desc
			v int64
		}{
			{figures.logSize, l.SizeBytes()}, {figures.logStart, l.LogStartOffset()}, {figures.logEnd, l.LogEndOffset()},
			{figures.logHW, l.HighWatermark()}, {figures.recoveryPoints, l.SyncedOffset()},
		} {
			s.labelled(f.d, prometheus.GaugeValue, float64(f.v), labels)
		}
	}
	s.gauge(figures.unsynced, unsynced)
}
