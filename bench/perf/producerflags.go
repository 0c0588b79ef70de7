package perf

import (
	"math"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
)

func (o *producerOptions) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.topic, "topic", "", "REQUIRED: produce messages to this topic; with commas between them to several, in turn.")
	f.Int64Var(&o.records, "num-records", 0, "Number of messages to produce. REQUIRED without --duration.")
	f.Int64Var(&o.recordSize, "record-size", 0, "Message size in bytes. Exactly one of --record-size, --record-sizes, --payload-file and --payload-monotonic is needed.")
	f.StringVar(&o.payloadFile, "payload-file", "", "File to read the message payloads from; each message is one of them by chance.")
	f.StringVar(&o.payloadDelimiter, "payload-delimiter", `\n`, "What stands between the payloads of --payload-file.")
	f.BoolVar(&o.payloadMonotonic, "payload-monotonic", false, "The payload is a number that grows.")
	f.Float64Var(&o.throughput, "throughput", -1, "Messages/s, at the times of a fixed schedule (open loop). -1: as fast as the client goes.")
	f.StringArrayVar(&o.props, "producer-props", nil, "Producer settings KEY=VALUE, several words: bootstrap.servers, client.id, acks, batch.size, linger.ms, compression.type, ... They win over --producer.config.")
	f.StringVar(&o.config, "producer.config", "", "Property file with producer settings.")
	f.BoolVar(&o.printMetrics, "print-metrics", false, "Print the client's metrics at the end.")
	f.StringVar(&o.transactionalID, "transactional-id", "", "Produce in transactions with this id; it wins over transactional.id among the settings.")
	f.Int64Var(&o.transactionMs, "transaction-duration-ms", 0, "Age (ms) at which a transaction is committed: 3000 when only an id is given. Without an id one is made up.")
	f.Int64Var(&o.warmupRecords, "warmup-records", 0, "So many of the first messages are not counted in the steady state, which is printed apart.")
	f.Int64Var(&o.reportEvery, "reporting-interval", 5000, "Milliseconds between the lines of a run.")
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "The server(s) to connect to, HOST1:PORT1,HOST2:PORT2; the same as bootstrap.servers among the settings.")
	f.StringArrayVar(&o.commandProps, "command-property", nil, "One producer setting KEY=VALUE; may be repeated.")
	f.StringVar(&o.config, "command-config", "", "The same as --producer.config.")
	f.DurationVar(&o.duration, "duration", 0, "Produce for this long after the warm-up (30s, 2m), instead of or at most --num-records.")
	f.DurationVar(&o.warmup, "warmup", 0, "Produce for this long before anything counts; the steady state is printed apart.")
	f.IntVar(&o.producers, "producers", 1, "Producers side by side, each with a client of its own; --throughput is of all together.")
	f.StringVar(&o.client, "client", clientFranz, "franz-go (an ordinary client) or raw (pre-built batches over bare connections: the load that the generator limits least).")
	f.StringVar(&o.recordSizes, "record-sizes", "", "Distribution of sizes: 100..2000 (uniform) or exp:200 (exponential with this mean).")
	f.StringVar(&o.keys, "keys", "", "Keys of the messages: none, seq, uniform:N or zipf:N (N different ones).")
	f.Float64Var(&o.compressibility, "compressibility", 0, "Share of a payload that is always the same: 0 (random letters, as Kafka's tool) to 1.")
	f.IntVar(&o.headers, "headers", 0, "Headers of each message, of 16 bytes.")
	f.Uint64Var(&o.seed, "seed", 0, "Seed of payloads and keys: the same gives the same load.")
	f.IntVar(&o.batches, "batches", 64, "With --client raw: how many different batches are built ahead and sent in turn.")
	f.StringVar(&o.congestion, "congestion", "", "With --client raw: TCP congestion control of the generator's side (reno, cubic, bbr).")
	o.common.register(cmd, o.script)
	_ = cmd.RegisterFlagCompletionFunc("topic", cli.CompleteTopics)
	words := func(flag string, of ...string) {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(of, cobra.ShellCompDirectiveNoFileComp))
	}
	words("client", clientFranz, clientRaw)
	words("keys", "none", "seq", "uniform:1000", "zipf:1000")
	words("record-sizes", "100..2000", "exp:200")
	words("congestion", "reno", "cubic", "bbr")
	words("throughput", "-1", "2000")
	settings := []string{"bootstrap.servers=", "acks=all", "acks=1", "acks=0", "batch.size=65536", "linger.ms=0", "client.id=", "buffer.memory=", "enable.idempotence=false", "max.in.flight.requests.per.connection="}
	for _, c := range codecNames() {
		settings = append(settings, "compression.type="+c)
	}
	noSpace := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	_ = cmd.RegisterFlagCompletionFunc("producer-props", cobra.FixedCompletions(settings, noSpace))
	_ = cmd.RegisterFlagCompletionFunc("command-property", cobra.FixedCompletions(settings, noSpace))
	cmd.ValidArgsFunction = func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		if cmd.Flags().Changed("producer-props") {
			return settings, noSpace
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// The clients that can make the load.
const (
	clientFranz = "franz-go"
	clientRaw   = "raw"
)

// check refuses what makes no sense, in the words of Kafka's tool where it has some.
func (o *producerOptions) check(cmd *cobra.Command) error {
	given, ways := cmd.Flags().Changed, []string(nil)
	for _, way := range []string{"record-size", "record-sizes", "payload-file", "payload-monotonic"} {
		if given(way) {
			ways = append(ways, way)
		}
	}
	switch {
	case o.topic == "":
		return cli.Usagef("argument --topic is required")
	case !given("num-records") && o.duration == 0:
		return cli.Usagef("argument --num-records is required (or --duration)")
	case given("num-records") && o.records <= 0:
		return cli.Usagef("--num-records should be greater than zero")
	case len(ways) == 0:
		return cli.Usagef("one of the arguments --record-size --payload-file --payload-monotonic is required")
	case len(ways) > 1:
		return cli.Usagef("argument --%s: not allowed with argument --%s", ways[1], ways[0])
	case given("record-size") && o.recordSize <= 0:
		return cli.Usagef("--record-size should be greater than zero")
	case o.recordSize > math.MaxInt32/2:
		return cli.Usagef("--record-size %d: a message has at most %d bytes here", o.recordSize, math.MaxInt32/2)
	case given("transaction-duration-ms") && o.transactionMs <= 0:
		return cli.Usagef("--transaction-duration-ms should be greater than zero")
	case o.throughput == 0 || math.IsNaN(o.throughput) || o.throughput > 1e9:
		return cli.Usagef("--throughput %v: a rate up to 10^9 messages/s, or -1 for as fast as it goes (0 would never send)", o.throughput)
	case given("warmup-records") && (o.warmupRecords < 0 || o.records > 0 && o.warmupRecords >= o.records || o.records == 0):
		return cli.Usagef("--warmup-records %d: from 0 to less than --num-records (%d)", o.warmupRecords, o.records)
	case given("warmup-records") && given("warmup"):
		return cli.Usagef("argument --warmup: not allowed with argument --warmup-records")
	case o.duration < 0 || o.warmup < 0:
		return cli.Usagef("--duration and --warmup: from 0")
	case o.producers < 1 || o.producers > 10_000:
		return cli.Usagef("--producers %d: from 1 to 10000", o.producers)
	case o.reportEvery < 1:
		return cli.Usagef("--reporting-interval %d: from 1 ms", o.reportEvery)
	case o.client != clientFranz && o.client != clientRaw:
		return cli.Usagef("--client %s: %s or %s", o.client, clientFranz, clientRaw)
	case o.client == clientRaw && (o.printMetrics || o.warmupRecords > 0):
		return cli.Usagef("--client raw has neither --print-metrics nor --warmup-records (but --warmup): use --client %s", clientFranz)
	case o.batches < 1 || o.batches > 100_000:
		return cli.Usagef("--batches %d: from 1 to 100000", o.batches)
	case given("congestion") && o.client != clientRaw:
		return cli.Usagef("--congestion needs --client raw")
	}
	return o.common.check()
}
