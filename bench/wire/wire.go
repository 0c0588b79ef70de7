// Package wire is a load generator for protocols in which a client sends requests with a
// size prefix (int32, big-endian, of what follows) and gets a reply of the same form to
// each, in order: Kafka's, and the bare servers of bench/limits. It is as cheap as the
// machine allows, so that it is not what a measurement measures, and says how busy it was.
//
// A thread of it is a goroutine locked to its operating system thread with an epoll of its
// own and its share of the connections (connection i belongs to thread i mod Threads). What
// became possible by one wake-up leaves in one system call per connection; replies of which
// only the head is wanted are discarded in the kernel (MSG_TRUNC).
//
// Invariants:
//   - Requests of a connection are sent in the order of seq (0, 1, 2...), replies are given
//     to OnReply in that order, and both calls come from the connection's one thread.
//   - No more than Depth requests of a connection are unanswered.
//   - Run returns: a peer that closes, lies about a size, or is silent for ReplyTimeout ends
//     it with an error that names the connection.
//   - 0 allocations per request once it runs.
//
// Called by bench/raw (Kafka), bench/limits (floors). Latencies are in bench/hist, the time
// is bench/pace's.
package wire

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/result"
)

// What Load's zero values stand for.
const (
	DefaultInterval      = time.Second
	DefaultReplyTimeout  = 30 * time.Second
	DefaultMaxReplyBytes = 256 << 20
	DefaultDialTimeout   = 10 * time.Second
)

// Load says what to send where. Address, Connections and Frame are needed.
type Load struct {
	Address     string                // HOST:PORT
	AddressOf   func(conn int) string // instead of Address, when connections go to several servers
	Connections int
	Depth       int // most unanswered requests of a connection; 0: 1
	Threads     int // 0: 1

	// Frame returns the next request of a connection, its size prefix included; the parts
	// must stay as they are until the next call for the same connection. No parts (nil) end
	// the connection's requests: it is not asked again. Later has it asked again after
	// the connection's next reply.
	Frame func(conn int, seq int64) (parts [][]byte)
	// OnReply gets each reply: size is that of the reply after its prefix, head the first
	// HeadBytes of it (fewer when it is shorter; all of it with Keep), valid during the call.
	// May be nil. An error goes to Failure.
	OnReply func(conn int, seq int64, size int, head []byte)
	// Failure, when not nil, lets OnReply and Frame end the run.
	Failure   *Failure
	HeadBytes int
	Keep      bool
	// Want, when not nil, is asked about each reply whose head is there whether OnReply
	// should get all of it, as with Keep.
	Want    func(conn int, seq int64, size int, head []byte) bool
	NoReply bool // requests have no reply (acks=0); Depth does not matter then

	// Rate is requests/s over all connections in turn, each with an intended time; a
	// connection that has Depth unanswered requests sends late, and that shows in Latency.
	// 0: closed loop, Depth is kept full.
	Rate       float64
	Congestion string // TCP_CONGESTION of this side; "": the system's

	// The run ends after Duration, or when MaxRequests requests were sent and answered,
	// whichever is first (0: no limit; at least one of them, or ctx, has to end it). Both
	// count after the Warmup.
	Warmup, Duration time.Duration
	MaxRequests      int64

	// Warmed, when not nil, has the Warmup go on until it is closed, WarmupLimit (0: any time)
	// from the start at the longest. Without a Warmup it says nothing.
	Warmed      <-chan struct{}
	WarmupLimit time.Duration

	OnSteady   func() // the warm-up is over: the steady phase begins when it returns
	OnEnd      func() // the steady phase is over; unanswered requests are still waited for
	OnInterval func(result.Point)
	Interval   time.Duration

	ReplyTimeout  time.Duration // longest wait for a reply, or for a peer that takes nothing
	MaxReplyBytes int
}

// Later is what Frame returns when the next request depends on a reply that has not come.
// There must be one to come.
func Later() [][]byte { return [][]byte{nil} }

// Stats is what Run saw between OnSteady and OnEnd.
type Stats struct {
	Requests      int64 // answered (with NoReply: sent)
	SentBytes     int64 // with prefixes
	ReceivedBytes int64 // with prefixes
	SteadyS       float64
	WarmupS       float64 // before OnSteady, of a run that got there
	WarmupCut     bool    // it ended at WarmupLimit, before Warmed was closed

	// Never nil. Latency is from the intended time and empty in a closed loop, Lateness is
	// from the intended time to the send, Uncorrected from the send to the reply (empty
	// with NoReply).
	Latency, Uncorrected, Lateness *hist.Histogram

	BusyShare          float64        // CPU time of the generator's threads by their wall time, 0 to 1
	Series             []result.Point // RecordsPerS is requests/s, MBPerS both directions
	SyscallsPerRequest float64        // of the generator's threads
}

// Failure carries the first error out of a run's callbacks.
type Failure struct{ err atomic.Pointer[error] }

// Fail ends the run with err; the first one counts.
func (f *Failure) Fail(err error) { f.err.CompareAndSwap(nil, &err) }

// Err is the first error, or nil.
func (f *Failure) Err() error {
	if e := f.err.Load(); e != nil {
		return *e
	}
	return nil
}

// Run drives the load until it ends, ctx is done, or something breaks. In every case the
// Stats hold what was measured until then; the error is then ctx's cause, a *ConnError, or
// what Failure got.
func Run(ctx context.Context, l Load) (Stats, error) {
	if err := l.check(); err != nil {
		return NoStats(), err
	}
	return run(ctx, &l)
}

// NoStats is what a run that never began measured: zeros, and empty histograms.
func NoStats() Stats {
	return Stats{Latency: hist.New(), Uncorrected: hist.New(), Lateness: hist.New()}
}

// check fills in defaults and refuses what makes no sense.
func (l *Load) check() error {
	switch {
	case l.Frame == nil:
		return &LoadError{"Frame", "nil", "a function that returns requests"}
	case l.Address == "" && l.AddressOf == nil:
		return &LoadError{"Address", `""`, "HOST:PORT"}
	case l.Connections < 1:
		return &LoadError{"Connections", fmt.Sprint(l.Connections), "1 or more"}
	case l.Depth < 0 || l.Depth > 1<<20:
		return &LoadError{"Depth", fmt.Sprint(l.Depth), "1 to 1048576"}
	case l.Threads < 0 || l.Threads > 1024:
		return &LoadError{"Threads", fmt.Sprint(l.Threads), "1 to 1024"}
	case l.Rate < 0 || l.Rate > 1e9:
		return &LoadError{"Rate", fmt.Sprint(l.Rate), "0 (closed loop) to 10^9 requests/s"}
	case l.HeadBytes < 0 || l.HeadBytes > 64<<10:
		return &LoadError{"HeadBytes", fmt.Sprint(l.HeadBytes), "0 to 65536; Keep takes whole replies"}
	}
	l.Depth = max(l.Depth, 1)
	l.Threads = min(max(l.Threads, 1), l.Connections)
	if l.Interval <= 0 {
		l.Interval = DefaultInterval
	}
	if l.ReplyTimeout <= 0 {
		l.ReplyTimeout = DefaultReplyTimeout
	}
	if l.MaxReplyBytes <= 0 {
		l.MaxReplyBytes = DefaultMaxReplyBytes
	}
	if l.Failure == nil {
		l.Failure = new(Failure)
	}
	return nil
}

func (l *Load) address(conn int) string {
	if l.AddressOf != nil {
		return l.AddressOf(conn)
	}
	return l.Address
}

// LoadError is a field of Load that cannot be.
type LoadError struct{ Field, Value, Want string }

func (e *LoadError) Error() string {
	return fmt.Sprintf("wire: %s is %s, want %s", e.Field, e.Value, e.Want)
}

// ConnError is what ended one connection and with it the run.
type ConnError struct {
	Address  string
	Conn     int
	Answered int64 // requests answered before
	InFlight int   // requests sent without a reply
	Err      error // a *SizeError, *SilenceError, ErrClosed, or the system's
}

func (e *ConnError) Error() string {
	return fmt.Sprintf("connection %d to %s, after %d replies and with %d requests unanswered: %v",
		e.Conn, e.Address, e.Answered, e.InFlight, e.Err)
}

func (e *ConnError) Unwrap() error { return e.Err }

// SizeError is a size prefix that no reply has.
type SizeError struct{ Size, Limit int64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("a reply's size prefix is %d, limit 0 to %d: the peer does not speak this protocol, or is broken", e.Size, e.Limit)
}

// SilenceError is a request that had no reply, or that the peer did not take, for
// ReplyTimeout.
type SilenceError struct{ For time.Duration }

func (e *SilenceError) Error() string {
	return fmt.Sprintf("a request was not answered within %v (ReplyTimeout): the server is stuck, or does not speak this protocol", e.For)
}

// ErrClosed is under a *ConnError when the peer closed the connection.
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string {
	return "the peer closed the connection (its log says why; a broker does so on a request that it cannot parse, and with acks=0 on any error)"
}

// UnsupportedError: the generator needs Linux's epoll.
type UnsupportedError struct{ OS string }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("the raw load generator needs Linux (epoll, MSG_TRUNC), this is %s: use the franz-go client", e.OS)
}

// UnaskedError is a reply without a request.
type UnaskedError struct{ Bytes int }

func (e *UnaskedError) Error() string {
	return fmt.Sprintf("%d bytes came as a reply to nothing: the peer does not speak this protocol, or the load wants NoReply", e.Bytes)
}
