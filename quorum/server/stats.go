package server

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// stats counts what the server does.
type stats struct {
	packetsReceived, packetsSent, bytesReceived, bytesSent atomic.Int64

	connects, revalidations, rejected, dropped, unserved, sessionless, silent atomic.Int64
	handshakes, handshakeFailures, authFailures                               atomic.Int64
	overflows, overwatched, throttled                                         atomic.Int64
	watchBytes                                                                atomic.Int64
	plainLocal, plainRemote                                                   atomic.Int64 // since the start
	expiredSessions, lookings                                                 atomic.Int64
	createdWatches, deletedWatches, changedWatches, childrenWatches           spread

	reads, updates histogram
	elections      histogram
	headless       histogram // those elections that this server won
	propagation    histogram
	latency        extremes
	responses      sizes
}

// replied counts the reply to one request.
func (st *stats) replied(op jute.OpCode, ns int64, bytes int) {
	st.packetsSent.Add(1)
	st.bytesSent.Add(int64(bytes))
	if isWrite(op) {
		st.updates.add(ns)
	} else {
		st.reads.add(ns)
	}
	st.latency.add(ns)
	st.responses.add(int64(bytes) - 4)
}

// resetStats is the word srst.
func (s *Server) resetStats() {
	s.stats.reset()
	s.member.ResetCounts()
}

// reset forgets all that is counted, but for what is counted since the start.
func (st *stats) reset() {
	for _, c := range []*atomic.Int64{
		&st.packetsReceived, &st.packetsSent, &st.bytesReceived, &st.bytesSent, &st.connects, &st.revalidations, &st.rejected, &st.dropped,
		&st.unserved, &st.sessionless, &st.silent, &st.handshakeFailures, &st.authFailures, &st.overflows, &st.overwatched,
		&st.throttled, &st.watchBytes, &st.expiredSessions, &st.lookings,
	} {
		c.Store(0)
	}
	for _, x := range []*spread{&st.createdWatches, &st.deletedWatches, &st.changedWatches, &st.childrenWatches} {
		x.reset()
	}
	for _, h := range []*histogram{&st.reads, &st.updates, &st.elections, &st.headless, &st.propagation} {
		h.reset()
	}
	st.latency.reset()
	st.responses.reset()
}

// extremes are the least, the most and the sum of the latencies, in nanoseconds.
type extremes struct {
	count, sum, least, most atomic.Int64
}

func (x *extremes) add(ns int64) {
	x.count.Add(1)
	x.sum.Add(ns)
	for v := x.least.Load(); v < 0 || ns < v; v = x.least.Load() {
		if x.least.CompareAndSwap(v, ns) {
			break
		}
	}
	for v := x.most.Load(); ns > v; v = x.most.Load() {
		if x.most.CompareAndSwap(v, ns) {
			break
		}
	}
}

func (x *extremes) reset() {
	x.count.Store(0)
	x.sum.Store(0)
	x.least.Store(-1)
	x.most.Store(0)
}

// Latency is what Latency min/avg/max of the words tells, in milliseconds.
type Latency struct {
	MinMs, MaxMs int64
	AvgMs        float64
}

func (x *extremes) latency() Latency {
	count := x.count.Load()
	if count == 0 {
		return Latency{}
	}
	return Latency{
		MinMs: max(x.least.Load(), 0) / int64(time.Millisecond), MaxMs: x.most.Load() / int64(time.Millisecond),
		AvgMs: float64(x.sum.Load()) / float64(count) / float64(time.Millisecond),
	}
}

// sizes are the last, the least and the most bytes of a reply; -1 before the first.
type sizes struct{ last, least, most atomic.Int64 }

func (z *sizes) add(n int64) {
	if z.last.Load() != n {
		z.last.Store(n)
	}
	if v := z.least.Load(); v < 0 || n < v {
		z.least.Store(n)
	}
	if n > z.most.Load() {
		z.most.Store(n)
	}
}

func (z *sizes) reset() {
	z.last.Store(-1)
	z.least.Store(-1)
	z.most.Store(-1)
}

// bucketCount buckets are the powers of two from 2^firstBucketBits ns, about 16 us, to 69 s.
const (
	firstBucketBits = 14
	bucketCount     = 23
)

// histogram counts durations by powers of two.
type histogram struct {
	counts [bucketCount + 1]atomic.Int64
	sum    atomic.Int64
	most   atomic.Int64
	least  atomic.Int64 // plus one; 0: none
}

func (h *histogram) add(ns int64) {
	ns = max(ns, 0)
	at := min(max(bits.Len64(uint64(ns))-firstBucketBits, 0), bucketCount)
	h.counts[at].Add(1)
	h.sum.Add(ns)
	if ns > h.most.Load() {
		h.most.Store(ns)
	}
	if v := h.least.Load(); v == 0 || ns+1 < v {
		h.least.Store(ns + 1)
	}
}

func (h *histogram) reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
	h.sum.Store(0)
	h.most.Store(0)
	h.least.Store(0)
}

// Histogram is how long requests took.
type Histogram struct {
	// Bounds are the upper ends of the buckets in seconds; Counts has one more, for what is
	// above the last. Counts are of each bucket alone.
	Bounds     []float64
	Counts     []int64
	Count      int64
	SumSeconds float64
	MinSeconds float64
	MaxSeconds float64
}

func (h *histogram) read() Histogram {
	out := Histogram{Bounds: make([]float64, bucketCount), Counts: make([]int64, bucketCount+1)}
	for i := range out.Counts {
		out.Counts[i] = h.counts[i].Load()
		out.Count += out.Counts[i]
		if i < bucketCount {
			out.Bounds[i] = float64(int64(1)<<(firstBucketBits+i)) / float64(time.Second)
		}
	}
	out.SumSeconds = float64(h.sum.Load()) / float64(time.Second)
	out.MaxSeconds = float64(h.most.Load()) / float64(time.Second)
	out.MinSeconds = float64(max(h.least.Load()-1, 0)) / float64(time.Second)
	return out
}

// Timing is a histogram that others fill for Facts. The zero value is empty.
type Timing struct{ h histogram }

// Add counts one duration.
func (t *Timing) Add(d time.Duration) { t.h.add(int64(d)) }

// Read is what was counted.
func (t *Timing) Read() Histogram { return t.h.read() }

// spread is a summary of small numbers.
type spread struct {
	count, sum, most atomic.Int64
	least            atomic.Int64 // plus one; 0: none
}

// add counts n, by one goroutine at a time.
func (x *spread) add(n int64) {
	x.count.Add(1)
	x.sum.Add(n)
	if n > x.most.Load() {
		x.most.Store(n)
	}
	if v := x.least.Load(); v == 0 || n+1 < v {
		x.least.Store(n + 1)
	}
}

func (x *spread) total() Sum { return Sum{x.count.Load(), x.sum.Load()} }

func (x *spread) reset() {
	for _, v := range []*atomic.Int64{&x.count, &x.sum, &x.most, &x.least} {
		v.Store(0)
	}
}

// metrics are those of ZooKeeper's summaries without quantiles.
func (x *spread) metrics(name string) []Metric {
	count, avg := x.count.Load(), 0.0
	if count > 0 {
		avg = float64(x.sum.Load()) / float64(count)
	}
	return []Metric{
		{"avg_" + name, avg}, {"min_" + name, max(x.least.Load()-1, 0)}, {"max_" + name, x.most.Load()}, {"cnt_" + name, count}, {"sum_" + name, x.sum.Load()},
	}
}

// quantile is the upper end of the bucket that holds the given share, in milliseconds.
func (h *Histogram) quantileMs(share float64) int64 {
	rank, seen := int64(share*float64(h.Count)), int64(0)
	for i, n := range h.Counts {
		seen += n
		if n > 0 && seen > rank {
			if i == len(h.Bounds) {
				break
			}
			return int64(min(h.Bounds[i], h.MaxSeconds) * 1000)
		}
	}
	return int64(h.MaxSeconds * 1000)
}

// Stats is what the port tells of itself. The comments name ZooKeeper's metrics.
type Stats struct {
	Connections         int   // num_alive_connections
	OutstandingRequests int64 // outstanding_requests
	OutstandingBytes    int64
	Sessions            int // global_sessions, of the ensemble
	Nodes               int // znode_count
	Ephemerals          int // ephemerals_count
	DataBytes           int64
	Watches             int // watch_count
	WatchMemoryBytes    int64
	Zxid                int64
	Uptime              time.Duration
	Serving             bool
	Latency             Latency

	PacketsReceived, PacketsSent, BytesReceived, ResponseBytes int64
	ConnectionRequests                                         int64 // connection_request_count
	ConnectionRevalidations                                    int64 // connection_revalidate_count
	ConnectionsRejected                                        int64 // connection_rejected
	ConnectionDrops                                            int64 // connection_drop_count
	ClosedWithoutServing                                       int64 // cnxn_closed_without_zk_server_running
	SessionlessExpired                                         int64 // sessionless_connections_expired
	SilentClosed                                               int64
	OutputOverflows                                            int64
	WatchOverflows                                             int64
	ThrottleWaits                                              int64 // request_throttle_wait_count
	OutstandingHandshakes                                      int64 // outstanding_tls_handshake
	UnsuccessfulHandshakes                                     int64 // unsuccessful_handshake
	AuthFailures                                               int64 // auth_failed_count
	WatchBytes                                                 int64 // watch_bytes
	StaleSessionsExpired                                       int64 // stale_sessions_expired, of the ensemble
	Lookings                                                   int64 // looking_count
	PlainLocal, PlainRemote                                    int64 // non_mtls_local_conn_count, non_mtls_remote_conn_count

	// How many watches each change told: node_created_watch_count, and so on.
	NodeCreatedWatches, NodeDeletedWatches, NodeChangedWatches, NodeChildrenWatches Sum

	LastResponseBytes, MinResponseBytes, MaxResponseBytes int64 // -1: none yet

	ReadLatency, UpdateLatency Histogram  // readlatency, updatelatency
	SyncTimes, SnapshotTimes   *Histogram // fsynctime, snapshottime; nil: nobody measures them
	// Elections is election_time: how long this server looked for a leader, until it served.
	Elections Histogram
	// LeaderUnavailable is leader_unavailable_time: those at whose end this server led.
	LeaderUnavailable Histogram
	// Propagation is propagation_latency: from the leader's proposal of a transaction, by its
	// clock, until it is applied here, by this server's.
	Propagation Histogram
}

// Sum is how many values there were, and their sum.
type Sum struct{ Count, Sum int64 }

func times(read func() Histogram) *Histogram {
	if read == nil {
		return nil
	}
	h := read()
	return &h
}

// Stats reads all counters.
func (s *Server) Stats() Stats {
	st := &s.stats
	w := s.watches.Summary()
	out := Stats{
		OutstandingRequests: s.outstanding.Load(), OutstandingBytes: s.outstandingBytes.Load(),
		Watches: w.All, WatchMemoryBytes: w.Bytes, Uptime: time.Duration(s.now()), Serving: s.serving.Load(), Latency: st.latency.latency(),
		PacketsReceived: st.packetsReceived.Load(), PacketsSent: st.packetsSent.Load(), BytesReceived: st.bytesReceived.Load(), ResponseBytes: st.bytesSent.Load(),
		ConnectionRequests: st.connects.Load(), ConnectionRevalidations: st.revalidations.Load(), ConnectionsRejected: st.rejected.Load(),
		ConnectionDrops: st.dropped.Load(), ClosedWithoutServing: st.unserved.Load(), SessionlessExpired: st.sessionless.Load(), SilentClosed: st.silent.Load(),
		OutputOverflows: st.overflows.Load(), WatchOverflows: st.overwatched.Load(), ThrottleWaits: st.throttled.Load(),
		OutstandingHandshakes: st.handshakes.Load(), UnsuccessfulHandshakes: st.handshakeFailures.Load(), AuthFailures: st.authFailures.Load(),
		WatchBytes: st.watchBytes.Load(), StaleSessionsExpired: st.expiredSessions.Load(), Lookings: st.lookings.Load(),
		NodeCreatedWatches: st.createdWatches.total(), NodeDeletedWatches: st.deletedWatches.total(),
		NodeChangedWatches: st.changedWatches.total(), NodeChildrenWatches: st.childrenWatches.total(),
		SyncTimes: times(s.facts.SyncTimes), SnapshotTimes: times(s.facts.SnapshotTimes),
		LastResponseBytes: st.responses.last.Load(), MinResponseBytes: st.responses.least.Load(), MaxResponseBytes: st.responses.most.Load(),
		ReadLatency: st.reads.read(), UpdateLatency: st.updates.read(), Elections: st.elections.read(),
		LeaderUnavailable: st.headless.read(), Propagation: st.propagation.read(),
		PlainLocal: st.plainLocal.Load(), PlainRemote: st.plainRemote.Load(),
	}
	s.mu.RLock()
	out.Connections = len(s.conns)
	s.mu.RUnlock()
	s.member.Read(func(t *tree.State) {
		out.Sessions, out.Nodes, out.Ephemerals = t.SessionCount(), t.NodeCount(), t.EphemeralCount()
		out.DataBytes, out.Zxid = t.Bytes(), t.Zxid()
	})
	return out
}
