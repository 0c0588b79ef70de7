package suite

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/bench/drive"
	"github.com/millrace/millrace/bench/limits"
	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/record/compress"
)

// Matrix returns all scenarios, in the order in which they run. The names are stable:
// baselines and goals refer to them.
func Matrix() []Scenario {
	var all []Scenario
	for _, part := range []func() []Scenario{
		produceMatrix, acksMatrix, codecMatrix, smallMatrix, flushMatrix,
		fetchMatrix, fanoutMatrix, togetherMatrix, groupMatrix, clientMatrix, latencyMatrix,
		connectionGrowth, partitionGrowth, idleGrowth, keptGrowth,
	} {
		all = append(all, part()...)
	}
	return all
}

// Names that goals refer to.
const (
	flushName   = "produce 1KiB p1 acks=1 batch=1KiB flush=1 100x1"
	latencyName = "latency 2000/s 1KiB p1 acks=1"
	idleName    = "idle p1000"

	heartbeatName = "heartbeats 100x1"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// records describes records of one size, half of whose bytes compress away.
func records(bytes int) workload.Spec {
	return workload.Spec{Sizes: fmt.Sprint(bytes), Compressibility: 0.5, Seed: 1}
}

// produce is the load that most scenarios vary: one connection, five requests in flight as
// Kafka's producer has, batches of 64 KiB.
func produce(recordBytes, partitions int, acks int16) drive.Spec {
	return drive.Spec{
		Kind: drive.Produce, Client: drive.Raw, Topics: 1, Partitions: partitions, Create: true, Recreate: true, Delete: true,
		Workload: records(recordBytes), BatchBytes: 64 * kib, Acks: acks, Producers: 1, Depth: 5,
	}
}

func produceName(recordBytes, partitions int, acks int16, batchBytes int) string {
	return fmt.Sprintf("produce %s p%d acks=%s batch=%s", size(recordBytes), partitions, acksName(acks), size(batchBytes))
}

func produceMatrix() []Scenario {
	var out []Scenario
	for _, recordBytes := range []int{100, kib, 16 * kib} {
		for _, partitions := range []int{1, 6, 100, 1000} {
			s := Scenario{
				Name: produceName(recordBytes, partitions, 1, 64*kib), Group: "produce",
				Title: fmt.Sprintf("%s records in batches of 64KiB to %s", size(recordBytes), count(partitions, "partition")),
				Load:  produce(recordBytes, partitions, 1),
				Floor: limits.Spec{Kind: limits.Append, SizeBytes: 64 * kib, Connections: 1, Depth: 5}, Per: PerGB,
				Short: recordBytes == kib || partitions == 1,
			}
			out = append(out, s)
		}
	}
	return out
}

func acksMatrix() []Scenario {
	var out []Scenario
	for _, acks := range []int16{0, -1} {
		kind := limits.Append
		if acks == 0 {
			kind = limits.AppendOneWay
		}
		out = append(out, Scenario{
			Name: produceName(kib, 1, acks, 64*kib), Group: "acks", Title: "1KiB records with acks=" + acksName(acks),
			Load: produce(kib, 1, acks), Floor: limits.Spec{Kind: kind, SizeBytes: 64 * kib, Connections: 1, Depth: 5}, Per: PerGB, Short: true,
		})
	}
	return out
}

func codecMatrix() []Scenario {
	var out []Scenario
	for _, codec := range []compress.Codec{compress.LZ4, compress.Zstd} {
		load := produce(kib, 1, 1)
		load.Codec = codec
		out = append(out, Scenario{
			Name: produceName(kib, 1, 1, 64*kib) + " " + codec.String(), Group: "codecs",
			Title: "1KiB records compressed by " + codec.String() + " (the broker checks what is inside, and keeps the batch as it is)",
			Load:  load, Short: true, Note: "no floor: the floor's server does not look into batches",
		})
	}
	return out
}

// smallMatrix is many requests of one record each.
func smallMatrix() []Scenario {
	var out []Scenario
	for _, c := range []struct {
		connections, depth int
		short              bool
	}{{1, 1, false}, {1, 5, false}, {10, 5, false}, {100, 1, true}, {100, 5, true}} {
		load := produce(kib, 6, 1)
		load.BatchBytes, load.Connections, load.Depth = kib, c.connections, c.depth
		out = append(out, Scenario{
			Name: fmt.Sprintf("%s %dx%d", produceName(kib, 6, 1, kib), c.connections, c.depth), Group: "small requests",
			Title: fmt.Sprintf("one record of 1KiB a request, %s with %s in flight each", count(c.connections, "connection"), count(c.depth, "request")),
			Load:  load, Floor: limits.Spec{Kind: limits.Append, SizeBytes: kib, Connections: c.connections, Depth: c.depth}, Per: PerRequest, Short: c.short,
		})
	}
	return out
}

// flushMatrix waits for the disk at every batch.
func flushMatrix() []Scenario {
	perBatch := func(load drive.Spec) drive.Spec {
		load.TopicConfig = map[string]string{"flush.messages": "1"}
		return load
	}
	small := produce(kib, 1, 1)
	small.BatchBytes, small.Connections, small.Depth = kib, 100, 1
	large := produce(kib, 1, 1)
	return []Scenario{
		{
			Name: flushName, Group: "flush",
			Title: "every batch is on the disk before it is acknowledged; 100 producers, one request in flight each",
			Load:  perBatch(small), Floor: limits.Spec{Kind: limits.GroupCommit, SizeBytes: kib, Connections: 100, Depth: 1}, Per: PerRequest, Short: true,
		},
		{
			Name: "produce 1KiB p1 acks=1 batch=64KiB flush=1 1x5", Group: "flush",
			Title: "every batch of 64 KiB is on the disk before it is acknowledged; one producer",
			Load:  perBatch(large),
		},
	}
}

// fetch reads back what was preloaded: Bytes per answer of at most fetchBytes.
func fetch(fetchBytes int) drive.Spec {
	return drive.Spec{
		Kind: drive.Consume, Client: drive.Raw, Topics: 1, Partitions: 1, Create: true, Recreate: true, Delete: true,
		Workload: records(kib), BatchBytes: 64 * kib, Acks: 1, Consumers: 1, Depth: 1,
		FetchBytes: fetchBytes, FetchPartitionBytes: fetchBytes, MinBytes: 1, MaxWaitMs: 500, FetchMode: drive.Replay, PreloadBytes: gib,
	}
}

// tailRecords is where the end of a log is read, before its end: 64 records of 1 KiB.
const tailRecords = -64

func fetchMatrix() []Scenario {
	tail := fetch(16 * kib)
	tail.BatchBytes, tail.FetchMode, tail.FetchOffset, tail.PreloadBytes, tail.Connections = 16*kib, drive.Same, tailRecords, 64*mib, 10
	cold := fetch(mib)
	cold.PreloadBytes = 4 * gib
	six := fetch(mib)
	six.Partitions, six.Connections = 6, 6
	return []Scenario{
		{
			Name: "fetch 1MiB p1 hot", Group: "fetch", Title: "1 MiB an answer from page cache, one consumer walks the log",
			Load: fetch(mib), Floor: limits.Spec{Kind: limits.Sendfile, SizeBytes: mib, Connections: 1, Depth: 1}, Per: PerGB, Short: true,
		},
		{
			Name: "fetch 1MiB p6 hot", Group: "fetch", Title: "1 MiB an answer from page cache, six consumers on a partition each",
			Load: six, Floor: limits.Spec{Kind: limits.Sendfile, SizeBytes: mib, Connections: 1, Depth: 1}, Per: PerGB,
		},
		{
			Name: "fetch 16KiB tail", Group: "fetch", Title: "16 KiB an answer from the end of the log, ten consumers",
			Load: tail, Floor: limits.Spec{Kind: limits.Reply, SizeBytes: 16 * kib, Connections: 10, Depth: 1}, Per: PerRequest, Short: true,
		},
		{
			Name: "fetch 1MiB p1 cold", Group: "fetch", Title: "1 MiB an answer from the disk: the page cache is emptied first",
			Load: cold, Cold: true, Floor: limits.Spec{Kind: limits.Sendfile, SizeBytes: mib, Connections: 1, Depth: 1}, Per: PerGB,
			Note: "the floor is that of page cache",
		},
	}
}

// fanoutMatrix is many consumers of one partition.
func fanoutMatrix() []Scenario {
	var out []Scenario
	for _, f := range []struct {
		fetchBytes, consumers int
		floor                 string
		short                 bool
	}{{mib, 50, limits.Sendfile, true}, {16 * kib, 50, limits.Reply, true}, {mib, 10, limits.Sendfile, false}} {
		load := fetch(f.fetchBytes)
		load.Kind, load.Consumers, load.Connections = drive.FanOut, f.consumers, 0
		per, from := PerGB, "page cache"
		if f.floor == limits.Reply {
			load.BatchBytes, load.FetchMode, load.FetchOffset, load.PreloadBytes, per = 16*kib, drive.Same, tailRecords, 64*mib, PerRequest
			from = "the end of the log"
		}
		out = append(out, Scenario{
			Name: fmt.Sprintf("fan-out %s x%d", size(f.fetchBytes), f.consumers), Group: "fan-out",
			Title: fmt.Sprintf("%d consumers on one partition, %s an answer from %s", f.consumers, size(f.fetchBytes), from),
			Load:  load, Floor: limits.Spec{Kind: f.floor, SizeBytes: f.fetchBytes, Connections: f.consumers, Depth: 1}, Per: per, Short: f.short,
		})
	}
	live := produce(kib, 1, 1)
	live.Kind, live.Connections, live.Consumers, live.Rate = drive.FanOut, 0, 50, 20000
	live.FetchBytes, live.FetchPartitionBytes, live.MinBytes, live.MaxWaitMs, live.FetchMode = mib, mib, 1, 500, drive.Tail
	return append(out, Scenario{
		Name: "fan-out live x50", Group: "fan-out", Title: "50 consumers wait at the end of a partition that takes 20,000 records/s of 1KiB", Load: live,
	})
}

// togetherMatrix produces and consumes at once.
func togetherMatrix() []Scenario {
	var out []Scenario
	for _, partitions := range []int{1, 6} {
		load := produce(kib, partitions, 1)
		load.Kind, load.Connections, load.Consumers = drive.Both, 0, 1
		load.FetchBytes, load.FetchPartitionBytes, load.MinBytes, load.MaxWaitMs, load.FetchMode = mib, mib, 1, 500, drive.Tail
		out = append(out, Scenario{
			Name: fmt.Sprintf("produce and consume 1KiB p%d", partitions), Group: "together",
			Title: fmt.Sprintf("one producer and one consumer at the end of %s, as fast as they go", count(partitions, "partition")),
			Load:  load, Short: partitions == 6,
		})
	}
	return out
}

// groupMatrix is consumer groups that stand still.
func groupMatrix() []Scenario {
	load := drive.Spec{
		Kind: drive.Heartbeats, Client: drive.Raw, Topics: 1, Partitions: 1, Create: true, Recreate: true, Delete: true,
		Connections: 100, Depth: 1,
	}
	return []Scenario{{
		Name: heartbeatName, Group: "groups", Title: "heartbeats of 100 members of as many groups, one in flight each",
		Load: load, Floor: limits.Spec{Kind: limits.Echo, SizeBytes: 100, Connections: 100, Depth: 1}, Per: PerRequest, Short: true,
		Server: map[string]string{"group.initial.rebalance.delay.ms": "0"},
	}}
}

// clientMatrix measures what an ordinary client makes of the broker; the generator is the
// slower side here, as the figures of Apache Kafka in the documentation have it.
func clientMatrix() []Scenario {
	var out []Scenario
	for _, partitions := range []int{1, 6} {
		for _, batch := range []int{16 * kib, 64 * kib} {
			load := produce(kib, partitions, 1)
			load.Client, load.BatchBytes = drive.Franz, batch
			out = append(out, Scenario{
				Name: "franz-go " + produceName(kib, partitions, 1, batch), Group: "franz-go",
				Title: fmt.Sprintf("franz-go's producer with batches up to %s", size(batch)),
				Load:  load, Short: partitions == 1 && batch == 64*kib,
			})
		}
	}
	load := fetch(mib)
	load.Client = drive.Franz
	return append(out, Scenario{
		Name: "franz-go consume 1KiB p1", Group: "franz-go", Title: "franz-go's consumer reads a gibibyte again and again", Load: load, Short: true,
	})
}

// latencyMatrix sends at a rate that leaves the machine idle, while segments roll and are
// removed all the time.
func latencyMatrix() []Scenario {
	load := produce(kib, 1, 1)
	load.BatchBytes, load.Rate, load.Depth = kib, 2000, 100
	load.TopicConfig = map[string]string{
		"segment.bytes": fmt.Sprint(4 * mib), "retention.bytes": fmt.Sprint(8 * mib), "file.delete.delay.ms": "100",
	}
	load.Warmup, load.Duration = 2*time.Second, 15*time.Second
	return []Scenario{{
		Name: latencyName, Group: "latency",
		Title: "2,000 records/s of 1KiB, one a request, from the intended send time; a segment of 4 MiB rolls every two seconds and old ones are removed",
		Load:  load, Short: true, Rounds: 1, FullDuration: time.Minute, Server: map[string]string{"log.retention.check.interval.ms": "1000"},
	}}
}
