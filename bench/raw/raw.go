// Package raw loads a Kafka broker over bench/wire: produce requests of batches that were
// built before the run, and fetches of which only the head is looked at. It speaks our own
// protocol code, and only versions that every broker since Apache Kafka 1.0 serves.
//
// Dial asks a cluster for its versions, Target.Partitions for leaders; Produce and Fetch
// then go to the leaders over connections of their own. A partition that moves during a run
// shows as error codes.
//
// Invariants:
//
//   - A connection talks about partitions of one broker only.
//
//   - What a reply says is checked for length and correlation id; one that makes no sense
//     ends the run with a *ReplyError.
//
//   - Error codes are counted; a run in which nothing else comes back ends with a
//     *AllFailedError.
//
//   - A replay learns a partition's fetch positions on its first pass, by copying and walking
//     the batches; later passes discard the records in the kernel.
//
// Called by bench/drive.
package raw

import (
	"time"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/wire"
	"github.com/millrace/millrace/bench/workload"
)

// Partition is where a partition's leader was when it was asked for.
type Partition struct {
	Topic    string
	Index    int32
	LeaderID int32
	Address  string // HOST:PORT of the leader
}

// Common is what produce and fetch loads share.
type Common struct {
	// Partitions to use, as Target.Partitions returns them. Connections go to their leaders
	// in turn; a producing one takes its leader's partitions in turn.
	Partitions  []Partition
	ClientID    string // "": millrace-bench
	Connections int    // at least one for each leader
	Depth       int    // most unanswered requests of a connection; 0: 1
	Threads     int    // of the generator; 0: 1
	Congestion  string // TCP_CONGESTION of this side; "": the system's

	// The run ends after Duration or when Records were acknowledged or fetched (rounded up to
	// whole requests), whichever is first; both count after the Warmup.
	Warmup, Duration time.Duration
	Records          int64
	// Touched, when not nil, has the Warmup go on until all of Partitions were written to,
	// WarmupLimit (0: any time) from the start at the longest. A produce load marks in it what
	// was acknowledged (acks=0: sent).
	Touched     *Touched
	WarmupLimit time.Duration

	OnSteady   func()             // the warm-up is over
	OnEnd      func()             // the steady phase is over
	OnInterval func(result.Point) // once every Interval (0: a second), in records and their bytes
	Interval   time.Duration

	ReplyTimeout time.Duration // 0: 30 s, more when the request itself may take longer
}

// ProduceSpec is a produce load.
type ProduceSpec struct {
	Common
	Acks                 int16 // 0, 1 or -1
	TimeoutMs            int32 // 0: 30000
	Batches              []workload.Batch
	PartitionsPerRequest int     // one batch for each; 0: 1
	Rate                 float64 // records/s, open loop; 0: closed loop
}

// FetchMode says which offsets are fetched.
type FetchMode string

// Replay walks the log from its start and begins again at its end; Same asks for the same
// offset again and again (its pages stay hot); Tail waits at the log's end for what is
// appended.
const (
	Replay FetchMode = "replay"
	Same   FetchMode = "same"
	Tail   FetchMode = "tail"
)

// FetchSpec is a fetch load. A request asks for one partition. The connections of a leader
// share its partitions; when there are more connections than partitions, several read the
// same one.
type FetchSpec struct {
	Common
	Mode              FetchMode
	Every             bool    // each connection reads all partitions of its leader
	Once              bool    // Replay: a connection ends when it has read its partitions to their end
	MaxBytes          int32   // fetch.max.bytes; 0: 50 MiB
	PartitionMaxBytes int32   // max.partition.fetch.bytes; 0: 1 MiB
	MinBytes          int32   // 0: 1
	MaxWaitMs         int32   // 0: 500
	Offset            int64   // for Same: offset to fetch; -1: the log's start. For Replay where it starts.
	Rate              float64 // requests/s, open loop; 0: closed loop
}

// Stats is what a run did in its steady phase. Requests, latencies and busy share are in
// the embedded Stats, whose Series is in records and their bytes.
type Stats struct {
	wire.Stats
	Records    int64
	Bytes      int64           // produce: of records before compression; fetch: of record sets as they came
	Errors     int64           // answers with an error code, of partitions or of a whole fetch
	ErrorCodes map[int16]int64 // how many by code; nil: none
}

// Options for Dial; the zero value is good.
type Options struct {
	ClientID string        // "": millrace-bench
	Timeout  time.Duration // for a connection and for each answer; 0: 10 s
}

// defaultClientID is what brokers see in their logs and quotas.
const defaultClientID = "millrace-bench"
