package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli"
)

const producerExamples = `  # type lines, each becomes a record; Ctrl-D or Ctrl-C ends
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic clicks

  # a file, compressed
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic clicks --compression-codec zstd < clicks.txt

  # keys: "user7:/index.html"; headers too: "trace:42|user7:/index.html"
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic clicks --reader-property parse.key=true --reader-property key.separator=:
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic clicks --reader-property parse.headers=true \
      --reader-property headers.delimiter='|' --reader-property parse.key=true --reader-property key.separator=:

  # a null value (a tombstone): "user7:NULL"
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic clicks --reader-property parse.key=true \
      --reader-property key.separator=: --reader-property null.marker=NULL`

const readerPropertyHelp = `Setting KEY=VALUE of the line reader; may be repeated. With the defaults:
parse.key=false, parse.headers=false, ignore.error=false, key.separator=\t,
headers.delimiter=\t, headers.separator=",", headers.key.separator=":",
null.marker= (a field equal to it becomes null)`

type producerOptions struct {
	topic, bootstrap, brokerList                    string
	sync                                            bool
	compression, acks                               string
	batchSize, partitionMemory, retries, socketSize int
	requestTimeout                                  int
	backoff, linger, metadataAge, maxBlock          int64
	maxMemory                                       int64
	lineReader, readerConfig, config                string
	readerProps, clientProps                        []string
}

// Producer returns kafka-console-producer.sh; name is what the user calls it by.
func Producer(name string) *cobra.Command {
	o := &producerOptions{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Send lines of standard input as records (kafka-console-producer.sh)",
		Long:    "This tool helps to read data from standard input and publish it to Kafka.",
		Example: strings.ReplaceAll(producerExamples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	o.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *producerOptions) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.topic, "topic", "", "REQUIRED: The topic name to produce messages to.")
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED: The server(s) to connect to, HOST1:PORT1,HOST2:PORT2.")
	f.StringVar(&o.brokerList, "broker-list", "", "The old name of --bootstrap-server.")
	f.BoolVar(&o.sync, "sync", false, "Send one record at a time and wait for its acknowledgement.")
	f.StringVar(&o.compression, "compression-codec", "none", "none, gzip, snappy, lz4 or zstd; gzip when given without a value.")
	cli.OptionalValue(f, "compression-codec", "gzip")
	f.StringVar(&o.acks, "request-required-acks", "-1", "The acknowledgements to wait for: 0, 1, or -1 (all).")
	f.Int64Var(&o.linger, "timeout", 1000, "How long (ms) a record may wait for others to share its batch. When not given, records leave at once.")
	f.IntVar(&o.batchSize, "batch-size", 16384, "Size (bytes) at which a batch leaves before its time; larger records still pass.")
	f.IntVar(&o.partitionMemory, "max-partition-memory-bytes", 16384, "The same as --batch-size, which it overrides.")
	f.Int64Var(&o.maxMemory, "max-memory-bytes", 32<<20, "Memory (bytes) for records that wait to be sent; reading pauses above it.")
	f.IntVar(&o.retries, "message-send-max-retries", 3, "How often a record is sent again before it is given up.")
	f.Int64Var(&o.backoff, "retry-backoff-ms", 100, "The wait (ms) before a retry.")
	f.IntVar(&o.requestTimeout, "request-timeout-ms", 1500, "How long (ms) the broker may take to acknowledge.")
	f.Int64Var(&o.metadataAge, "metadata-expiry-ms", 300_000, "How often (ms) to refresh what is known of the cluster.")
	f.Int64Var(&o.maxBlock, "max-block-ms", 60_000, "How long (ms) a record may wait for room or for its partition to be known.")
	f.IntVar(&o.socketSize, "socket-buffer-size", 102_400, "Accepted; the system sizes socket buffers.")
	f.StringVar(&o.lineReader, "line-reader", "LineMessageReader", "The reader of lines; only LineMessageReader exists.")
	f.StringArrayVar(&o.readerProps, "reader-property", nil, readerPropertyHelp)
	f.StringArrayVar(&o.readerProps, "property", nil, "The old name of --reader-property.")
	f.StringVar(&o.readerConfig, "reader-config", "", "Property file for the line reader; --reader-property wins over it.")
	f.StringArrayVar(&o.clientProps, "command-property", nil, "Setting KEY=VALUE of the producer (linger.ms=5, security.protocol=SSL, ...); may be repeated.")
	f.StringArrayVar(&o.clientProps, "producer-property", nil, "The old name of --command-property.")
	f.StringVar(&o.config, "command-config", "", "Property file for the producer; --command-property wins over it.")
	f.StringVar(&o.config, "producer.config", "", "The old name of --command-config.")
	_ = cmd.RegisterFlagCompletionFunc("topic", cli.CompleteTopics)
	_ = cmd.RegisterFlagCompletionFunc("compression-codec", cobra.FixedCompletions([]string{"none", "gzip", "snappy", "lz4", "zstd"}, cobra.ShellCompDirectiveNoFileComp))
}

func (o *producerOptions) run(cmd *cobra.Command) error {
	if o.topic == "" {
		return cli.Missing("topic")
	}
	if o.bootstrap == "" {
		o.bootstrap = o.brokerList
	}
	if o.bootstrap == "" {
		return cli.Missing("bootstrap-server")
	}
	if !strings.HasSuffix(o.lineReader, "LineMessageReader") {
		return cli.Usagef("--line-reader %s: only LineMessageReader exists (Java classes cannot be loaded)", o.lineReader)
	}
	readerProps, err := cli.LoadProps(o.readerConfig)
	if err != nil {
		return err
	}
	reader, err := newLineReader(cmd.InOrStdin(), o.topic, readerProps.AddPairs(o.readerProps))
	if err != nil {
		return err
	}
	opts, err := o.clientOptions(cmd)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := cli.WaitForCluster(cmd.Context(), client, o.bootstrap, cli.DefaultTimeout); err != nil {
		return err
	}
	if cli.Interactive(cmd.InOrStdin(), cmd.OutOrStdout()) {
		reader.prompt = func() { fmt.Fprint(cmd.OutOrStdout(), ">") }
	}
	return o.send(cmd, client, reader)
}

// send passes records on until the input or the patience of the user ends.
func (o *producerOptions) send(cmd *cobra.Command, client *kgo.Client, reader *lineReader) error {
	ctx := cmd.Context()
	type line struct {
		rec *kgo.Record
		err error
	}
	lines := make(chan line)
	go func() { // stays in a read when Ctrl-C comes: the process ends then
		for {
			rec, err := reader.next()
			select {
			case lines <- line{rec, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	var lost atomic.Int64
	for {
		select {
		case <-ctx.Done():
			return o.finish(cmd, client, &lost, cli.Exit(cli.Interrupted))
		case l := <-lines:
			if errors.Is(l.err, io.EOF) {
				return o.finish(cmd, client, &lost, nil)
			}
			if l.err != nil {
				return o.finish(cmd, client, &lost, l.err)
			}
			if o.sync {
				if err := client.ProduceSync(ctx, l.rec).FirstErr(); err != nil {
					return o.finish(cmd, client, &lost, sendError(l.rec, err))
				}
				continue
			}
			client.Produce(context.WithoutCancel(ctx), l.rec, func(rec *kgo.Record, err error) {
				if err != nil {
					lost.Add(1)
					cmd.PrintErrln(sendError(rec, err))
				}
			})
		}
	}
}

// finish sends what is buffered. Unlike Kafka's tool, whose exit code is 0 then, it fails
// when a record was lost.
func (o *producerOptions) finish(cmd *cobra.Command, client *kgo.Client, lost *atomic.Int64, end error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), 30*time.Second)
	defer cancel()
	if err := client.Flush(ctx); err != nil && end == nil {
		end = fmt.Errorf("records were not sent within 30 s: %w", err)
	}
	if end == nil && lost.Load() > 0 {
		end = cli.Exit(1)
	}
	return end
}

func sendError(rec *kgo.Record, err error) error {
	size := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return strconv.Itoa(len(b)) + " bytes"
	}
	return fmt.Errorf("ERROR Error when sending message to topic %s with key: %s, value: %s with error: %s: %s",
		rec.Topic, size(rec.Key), size(rec.Value), cli.ExceptionName(err), cli.ErrorText(err))
}

// clientOptions merges, from high to low: flags that were given, --command-property,
// --command-config, the flags' defaults.
func (o *producerOptions) clientOptions(cmd *cobra.Command) ([]kgo.Opt, error) {
	props, err := cli.LoadProps(o.config)
	if err != nil {
		return nil, err
	}
	props.AddPairs(o.clientProps)
	given := cmd.Flags().Changed
	text := func(flag, key, value string) string {
		if given(flag) {
			return value
		}
		return props.Or(key, value)
	}
	ms := &msReader{}
	linger := "0"
	if given("timeout") {
		linger = strconv.FormatInt(o.linger, 10)
	}
	opts, err := cli.ClientOptions(o.bootstrap, "console-producer", props, cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	opts = append(opts,
		kgo.AllowAutoTopicCreation(),
		kgo.ProducerLinger(ms.duration("linger.ms", text("timeout", "linger.ms", linger))),
		kgo.RecordRetries(ms.number("retries", text("message-send-max-retries", "retries", strconv.Itoa(o.retries)))),
		kgo.ProduceRequestTimeout(max(ms.duration("request.timeout.ms", text("request-timeout-ms", "request.timeout.ms", strconv.Itoa(o.requestTimeout))), 100*time.Millisecond)),
		kgo.RecordDeliveryTimeout(ms.duration("max.block.ms", text("max-block-ms", "max.block.ms", strconv.FormatInt(o.maxBlock, 10)))),
		kgo.MetadataMaxAge(ms.duration("metadata.max.age.ms", text("metadata-expiry-ms", "metadata.max.age.ms", strconv.FormatInt(o.metadataAge, 10)))),
		kgo.MaxBufferedBytes(ms.number("buffer.memory", text("max-memory-bytes", "buffer.memory", strconv.FormatInt(o.maxMemory, 10)))),
		kgo.ProducerBatchMaxBytes(int32(min(ms.number("max.request.size", props.Or("max.request.size", "1048576")), 1<<30))),
	)
	backoff := ms.duration("retry.backoff.ms", text("retry-backoff-ms", "retry.backoff.ms", strconv.FormatInt(o.backoff, 10)))
	opts = append(opts, kgo.RetryBackoffFn(func(int) time.Duration { return backoff }))
	if ms.err != nil {
		return nil, ms.err
	}
	acks, err := acksOptions(text("request-required-acks", "acks", o.acks), props)
	if err != nil {
		return nil, err
	}
	codec, err := codecOption(text("compression-codec", "compression.type", o.compression))
	if err != nil {
		return nil, err
	}
	warnUnused(cmd, props, "linger.ms retries request.timeout.ms max.block.ms metadata.max.age.ms buffer.memory max.request.size retry.backoff.ms acks compression.type enable.idempotence batch.size")
	return append(append(opts, acks...), codec), nil
}

func acksOptions(acks string, props cli.Props) ([]kgo.Opt, error) {
	plain := kgo.DisableIdempotentWrite()
	switch acks {
	case "0":
		return []kgo.Opt{kgo.RequiredAcks(kgo.NoAck()), plain}, nil
	case "1":
		return []kgo.Opt{kgo.RequiredAcks(kgo.LeaderAck()), plain}, nil
	case "-1", "all":
		opts := []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks())}
		if strings.EqualFold(props["enable.idempotence"], "false") {
			opts = append(opts, plain)
		}
		return opts, nil
	}
	return nil, cli.Usagef("Invalid value %s for configuration acks: String must be one of: all, -1, 0, 1", acks)
}

func codecOption(name string) (kgo.Opt, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, ok := codecs[name]
	if !ok {
		return nil, cli.Usagef("Unknown compression name: %s (none, gzip, snappy, lz4, zstd)", name)
	}
	return kgo.ProducerBatchCompression(codec), nil
}

// msReader parses settings and keeps the first error.
type msReader struct{ err error }

func (m *msReader) number(key, value string) int {
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if (err != nil || n < 0) && m.err == nil {
		m.err = cli.Usagef("Invalid value %s for configuration %s: Not a number of type INT", value, key)
	}
	return int(n)
}

func (m *msReader) duration(key, value string) time.Duration {
	return time.Duration(m.number(key, value)) * time.Millisecond
}

// warnUnused tells which client settings this tool does not know.
func warnUnused(cmd *cobra.Command, props cli.Props, known string) {
	names := strings.Fields(known + " client.id security.protocol sasl.mechanism sasl.jaas.config bootstrap.servers " +
		"ssl.truststore.location ssl.truststore.type ssl.keystore.location ssl.keystore.type ssl.endpoint.identification.algorithm")
	var unused []string
	for k := range props {
		if !slices.Contains(names, k) {
			unused = append(unused, k)
		}
	}
	slices.Sort(unused)
	for _, k := range unused {
		cmd.PrintErrf("WARN: the setting '%s' has no effect in this tool\n", k)
	}
}
