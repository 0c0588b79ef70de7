package drive

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/bench/flame"
	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/record/compress"
	"github.com/millrace/millrace/tools/cli"
)

// Kind is what a run does in its steady phase.
type Kind string

// The kinds of load.
const (
	// Produce sends records. Rate 0 is a closed loop.
	Produce Kind = "produce"
	// Consume reads what was preloaded, or what the topic has: once when Records says so,
	// else again from the start until Duration is over.
	Consume Kind = "consume"
	// Both produces and consumes the same topics; each record is read by one consumer.
	Both Kind = "both"
	// FanOut lets every consumer read everything. With Producers it happens at the end of
	// the log while they send, else from what was preloaded.
	FanOut Kind = "fanout"
	// Connections is Produce over many connections, each with Depth requests in flight.
	Connections Kind = "connections"
	// Idle holds Connections open that say nothing: what the broker spends on its own.
	Idle Kind = "idle"
	// Heartbeats lets members of consumer groups that stand still say that they live, over
	// Connections with Depth in flight each.
	Heartbeats Kind = "heartbeats"
)

// Kinds lists all of them.
func Kinds() []Kind { return []Kind{Produce, Consume, Both, FanOut, Connections, Idle, Heartbeats} }

// Clients that a Spec can name.
const (
	Raw   = "raw"      // pre-built batches over raw connections, bench/raw
	Franz = "franz-go" // an ordinary client library
)

// FetchMode is where consumers read.
type FetchMode string

// The ways to read.
const (
	Replay FetchMode = "replay" // the whole log from its start, and again
	Same   FetchMode = "same"   // one place again and again: always in the page cache (raw only)
	Tail   FetchMode = "tail"   // from the end: only what comes in meanwhile
)

// Spec is one run. The zero value of a field is its default, which the comment names;
// Acks is the exception, where 0 is acks=0.
type Spec struct {
	Name  string // unique within a result; "" is made of the parameters
	Group string // heading under which the run stands in a report

	Kind   Kind
	Client string // Raw or Franz; "" is Raw

	Bootstrap string    // HOST:PORT,...
	Props     cli.Props // security.*, sasl.*, client.id and so on; Raw refuses secured listeners

	// Topics (0: 1) of Partitions partitions each (0: 1 where they are created, else all that
	// there are). Topic is the name, or with several topics its beginning ("Topic-0", ...);
	// "" is millrace-bench.
	Topics, Partitions int
	Topic              string
	TopicConfig        map[string]string // of topics that are created
	Replication        int16             // 0: the broker's default, which old brokers take for 1
	Create             bool              // topics that are absent
	Recreate           bool              // delete them first when they exist
	Delete             bool              // when the run is over

	Workload   workload.Spec
	BatchBytes int            // uncompressed; 0: 64 KiB
	LingerMs   int            // Franz only: Raw sends full batches
	Codec      compress.Codec // of the batches
	Acks       int16          // 0, 1, -1
	Idempotent bool           // Franz only
	TimeoutMs  int            // of a produce request; 0: 30000
	Batches    int            // Raw: how many different batches are made ahead; 0: 16

	// Producers and Consumers are clients: connections (Raw) or instances of the library; 0:
	// 1 of what the Kind needs. Connections, when not 0, stands for Producers in a run that
	// sends, else for Consumers; an Idle run only has them.
	Producers, Consumers, Connections int
	// Depth is requests in flight per connection; 0: 5 of produce, 1 of fetch.
	Depth int
	// PartitionsPerRequest is how many batches a Raw produce request holds; 0: 1.
	PartitionsPerRequest int
	// Rate is records/s over all producers, open loop; 0: as fast as it goes.
	Rate float64
	// FetchRate is fetch requests/s over all consumers, open loop (Raw only).
	FetchRate float64
	// BufferedRecords and BufferedBytes are what a Franz producer holds at most before it
	// makes the sender wait: the depth of its closed loop. 0: 10000 and 32 MiB, the defaults
	// of the library and of Kafka's buffer.memory.
	BufferedRecords int
	BufferedBytes   int64

	FetchBytes, FetchPartitionBytes int // 0: 50 MiB and 1 MiB, Kafka's defaults
	MinBytes, MaxWaitMs             int // 0: 1 byte and 500 ms
	FetchMode                       FetchMode
	// FetchOffset is the place of Same: an offset, or when negative a distance from the log's
	// end. 0: the log's start.
	FetchOffset   int64
	ConsumerGroup string // Franz only: join it instead of taking partitions
	ReadCommitted bool   // Franz only
	// IdleTimeout ends a Franz run that reads with an *IdleError when nothing came for so
	// long, to the next Interval; 0: it waits.
	IdleTimeout time.Duration

	// PreloadBytes of records are produced before a reading run, over all partitions.
	PreloadBytes int64
	// Cold, when not nil, empties the broker's page cache after the preload. Such a run has
	// no warm-up, and ends when everything has been read once: the rest would be warm.
	Cold func() error

	// Warmup goes on after its time until each partition of a run that produces was written to
	// (acknowledged at least once; with acks=0 sent): what a broker does for the first append
	// to a partition would stand in the figures else. It ends at WarmupLimit (0: ten times
	// Warmup) in any case, which the run's note then says. WarmupByClock: it ends by its time
	// alone, as for a run that is about first appends. No Warmup: none at all.
	Warmup, WarmupLimit time.Duration
	WarmupByClock       bool
	Duration            time.Duration // 0: until Records
	Records             int64         // of the steady phase; 0: until Duration
	Interval            time.Duration // of Progress.Point; 0: 1 s
	Congestion          string        // TCP_CONGESTION of our side (Raw); "": the system's
	Threads             int           // Raw: of the generator; 0: 1

	BrokerPID int    // 0: looked for by its listening address
	Admin     string // HOST:PORT of the broker's admin port; "": none
	Floor     string // name of the result.Floor that the run is compared with
	// Flame takes profiles of the broker in the steady phase; nil: none. Its Admin, when
	// empty, is the Spec's.
	Flame *flame.Flags

	// Trace counts every system call of the broker where the kernel permits it; all of them
	// take about 0.1 us longer then.
	Trace bool
}

// withDefaults returns s with every zero value replaced by what it stands for.
func (s Spec) withDefaults() Spec {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	if s.Client == "" {
		s.Client = Raw
	}
	def(&s.Topics, 1)
	def(&s.BatchBytes, 64<<10)
	def(&s.TimeoutMs, 30_000)
	def(&s.Batches, 16)
	def(&s.PartitionsPerRequest, 1)
	def(&s.BufferedRecords, 10_000)
	if s.BufferedBytes == 0 {
		s.BufferedBytes = 32 << 20
	}
	def(&s.FetchBytes, 50<<20)
	def(&s.FetchPartitionBytes, 1<<20)
	def(&s.MinBytes, 1)
	def(&s.MaxWaitMs, 500)
	if s.Interval == 0 {
		s.Interval = time.Second
	}
	if s.Connections > 0 {
		if s.produces() {
			s.Producers = s.Connections
		}
		if s.consumes() && !s.produces() {
			s.Consumers = s.Connections
		}
	}
	if s.produces() {
		def(&s.Producers, 1)
	}
	if s.consumes() {
		def(&s.Consumers, 1)
	}
	if s.FetchMode == "" {
		s.FetchMode = Replay
		if s.Kind == Both || s.Kind == FanOut && s.Producers > 0 {
			s.FetchMode = Tail
		}
	}
	if s.Cold != nil {
		s.Warmup = 0
	}
	if s.WarmupLimit <= 0 {
		s.WarmupLimit = warmupFactor * s.Warmup
	}
	s.WarmupLimit = max(s.WarmupLimit, s.Warmup)
	if s.Topic == "" {
		s.Topic = "millrace-bench"
	}
	if s.Name == "" {
		s.Name = s.describe()
	}
	return s
}

// produces says whether the steady phase sends records.
func (s *Spec) produces() bool {
	return s.Kind == Produce || s.Kind == Both || s.Kind == Connections || s.Kind == FanOut && s.Producers > 0
}

// consumes says whether the steady phase reads records.
func (s *Spec) consumes() bool { return s.Kind == Consume || s.Kind == Both || s.Kind == FanOut }

// depth is requests in flight per connection of the side that is asked for.
func (s *Spec) depth(otherwise int) int {
	if s.Depth > 0 {
		return s.Depth
	}
	return otherwise
}

// Names are the topics of the run.
func (s *Spec) Names() []string {
	if s.Topics <= 1 {
		return []string{s.Topic}
	}
	names := make([]string, s.Topics)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", s.Topic, i)
	}
	return names
}

// describe is a name made of the parameters.
func (s *Spec) describe() string {
	words := []string{string(s.Kind)}
	for _, p := range s.parameters() {
		words = append(words, p.name+"="+p.value)
	}
	return strings.Join(words, " ")
}
