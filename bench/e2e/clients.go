package e2e

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli"
)

// known are the settings that mean something here.
const known = "bootstrap.servers client.id security.protocol sasl.mechanism sasl.jaas.config ssl.truststore.location " +
	"ssl.truststore.type ssl.keystore.location ssl.keystore.type ssl.endpoint.identification.algorithm " +
	"compression.type isolation.level enable.idempotence"

// overruled are settings that Kafka's tool replaces as well: its own need other values.
const overruled = "acks linger.ms max.block.ms group.id enable.auto.commit auto.offset.reset fetch.max.wait.ms " +
	"key.serializer value.serializer key.deserializer value.deserializer"

func warnUnused(stderr io.Writer, p cli.Props) {
	names, unused := strings.Fields(known+" "+overruled), []string(nil)
	for k := range p {
		if !slices.Contains(names, k) {
			unused = append(unused, k)
		}
	}
	slices.Sort(unused)
	for _, k := range unused {
		fmt.Fprintf(stderr, "WARN: the setting '%s' has no effect in this tool\n", k)
	}
}

// clients are the two ends of the measurement.
type clients struct {
	producer, consumer *kgo.Client
	partitions         int
}

func (c *clients) close() {
	for _, k := range []*kgo.Client{c.producer, c.consumer} {
		if k != nil {
			k.Close()
		}
	}
}

// connect makes the topic if need be, and both clients; the consumer stands at the end of
// every partition when it returns. Close the clients also after an error.
func (o *options) connect(cmd *cobra.Command) (*clients, error) {
	ctx, stderr, c := cmd.Context(), cmd.ErrOrStderr(), &clients{}
	opts, err := o.producerOptions(stderr)
	if err != nil {
		return c, err
	}
	if c.producer, err = kgo.NewClient(opts...); err != nil {
		return c, err
	}
	if err := cli.WaitForCluster(ctx, c.producer, o.bootstrap, cli.DefaultTimeout); err != nil {
		return c, err
	}
	admin := kadm.NewClient(c.producer)
	if err := o.ensureTopic(ctx, cmd.OutOrStdout(), admin); err != nil {
		return c, err
	}
	ends, err := waitForEnds(ctx, admin, o.topic)
	if err != nil {
		return c, err
	}
	c.partitions = len(ends)
	base, err := cli.ClientOptions(o.bootstrap, "e2e-consumer", o.props, stderr)
	if err != nil {
		return c, err
	}
	level := kgo.ReadUncommitted()
	if strings.EqualFold(o.props["isolation.level"], "read_committed") {
		level = kgo.ReadCommitted()
	}
	c.consumer, err = kgo.NewClient(append(base,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.topic: ends}),
		kgo.FetchIsolationLevel(level),
		kgo.FetchMaxWait(o.maxWait),
		kgo.FetchMinBytes(1),
	)...)
	return c, err
}

func (o *options) producerOptions(stderr io.Writer) ([]kgo.Opt, error) {
	opts, err := cli.ClientOptions(o.bootstrap, "e2e-producer", o.props, stderr)
	if err != nil {
		return nil, err
	}
	codec, err := codecOption(o.props.Or("compression.type", "none"))
	if err != nil {
		return nil, err
	}
	opts = append(opts,
		codec,
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(1<<20), // an open loop goes on sending while the broker stalls
		kgo.MaxBufferedBytes(1<<30),
		kgo.RecordDeliveryTimeout(max(o.patience, time.Second)),
		kgo.ProducerBatchMaxBytes(int32(min(max(1<<20, o.recordBytes()+1024), 1<<30))),
	)
	if o.acks == "1" {
		return append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(),
			kgo.MaxProduceRequestsInflightPerBroker(5)), nil // Kafka's max.in.flight.requests.per.connection
	}
	opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	if strings.EqualFold(o.props["enable.idempotence"], "false") {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5))
	}
	return opts, nil
}

// recordBytes is the size of a record's contents.
func (o *options) recordBytes() int {
	return o.size + o.keySize + o.headers*(o.headerKey+max(o.headerSize, 0))
}

func codecOption(name string) (kgo.Opt, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, ok := codecs[name]
	if !ok {
		return nil, cli.Usagef("Invalid value %s for configuration compression.type: must be one of none, gzip, snappy, lz4, zstd", name)
	}
	return kgo.ProducerBatchCompression(codec), nil
}

// ensureTopic creates the topic when it does not exist, and says so as Kafka's tool does.
func (o *options) ensureTopic(ctx context.Context, stdout io.Writer, admin *kadm.Client) error {
	topics, err := admin.ListTopics(ctx, o.topic)
	if err != nil {
		return err
	}
	if topics.Has(o.topic) && topics[o.topic].Err == nil {
		return nil
	}
	fmt.Fprintf(stdout, "Topic %s does not exist. Will create topic with %d partition(s) and replication factor = %d\n",
		strconv.Quote(o.topic), o.partitions, 1)
	made, err := admin.CreateTopic(ctx, o.partitions, 1, nil, o.topic)
	if err == nil {
		err = made.Err
	}
	if err != nil && !kerrIs(err, kerr.TopicAlreadyExists) {
		fmt.Fprintf(stdout, "Creation of topic %s failed\n", o.topic)
		return fmt.Errorf("create topic %s: %w", o.topic, err)
	}
	return nil
}

// waitForEnds returns where each partition ends. A topic that was just created may not have
// leaders yet.
func waitForEnds(ctx context.Context, admin *kadm.Client, topic string) (map[int32]kgo.Offset, error) {
	ctx, cancel := context.WithTimeout(ctx, cli.DefaultTimeout)
	defer cancel()
	for {
		listed, err := admin.ListEndOffsets(ctx, topic)
		if err == nil {
			err = listed.Error()
		}
		if ends := listed[topic]; err == nil && len(ends) > 0 {
			at := map[int32]kgo.Offset{}
			for p, end := range ends {
				at[p] = kgo.NewOffset().At(end.Offset)
			}
			return at, nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return nil, fmt.Errorf("find the ends of topic %s: %w", topic, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
