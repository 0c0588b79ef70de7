package perf

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/record/compress"
	"github.com/millrace/millrace/tools/cli"
)

// producerSettings are the settings of a producer under Kafka's names, with the defaults
// of Kafka 4.0 (org.apache.kafka.clients.producer.ProducerConfig).
type producerSettings struct {
	bootstrap       string
	clientID        string
	transactionalID string
	acks            int16
	idempotent      bool
	codec           string
	batchBytes      int
	linger          time.Duration
	bufferBytes     int
	maxRequestBytes int
	inFlight        int
	requestTimeout  time.Duration
	deliveryTimeout time.Duration
	retryBackoff    time.Duration
	txnTimeout      time.Duration
	retries         int
	props           cli.Props
}

// clientProps are what cli.ClientOptions understands, for every client.
const clientProps = " bootstrap.servers client.id security.protocol sasl.mechanism sasl.jaas.config ssl.truststore.location ssl.truststore.type " +
	"ssl.keystore.location ssl.keystore.type ssl.endpoint.identification.algorithm "

const producerProps = clientProps + "acks enable.idempotence compression.type batch.size linger.ms buffer.memory max.request.size " +
	"max.in.flight.requests.per.connection request.timeout.ms delivery.timeout.ms retry.backoff.ms retries transactional.id transaction.timeout.ms " +
	"key.serializer value.serializer "

// readProducerSettings reads p; the first value that makes no sense is the error.
func readProducerSettings(p cli.Props) (producerSettings, error) {
	r := reader{props: p}
	s := producerSettings{
		props:           p,
		bootstrap:       p["bootstrap.servers"],
		clientID:        p.Or("client.id", "perf-producer-client"),
		transactionalID: p["transactional.id"],
		codec:           p.Or("compression.type", "none"),
		batchBytes:      int(r.number("batch.size", 16384)),
		linger:          r.ms("linger.ms", 5),
		bufferBytes:     int(r.number("buffer.memory", 32<<20)),
		maxRequestBytes: int(r.number("max.request.size", 1<<20)),
		inFlight:        int(r.number("max.in.flight.requests.per.connection", 5)),
		requestTimeout:  r.ms("request.timeout.ms", 30_000),
		deliveryTimeout: r.ms("delivery.timeout.ms", 120_000),
		retryBackoff:    r.ms("retry.backoff.ms", 100),
		txnTimeout:      r.ms("transaction.timeout.ms", 60_000),
		retries:         int(r.number("retries", 1<<31-1)),
	}
	switch acks := p.Or("acks", "all"); acks {
	case "all", "-1":
		s.acks = -1
	case "0", "1":
		s.acks = int16(acks[0] - '0')
	default:
		return s, cli.Usagef("Invalid value %s for configuration acks: String must be one of: all, -1, 0, 1", acks)
	}
	if r.err != nil {
		return s, r.err
	}
	if _, err := codecOf(s.codec); err != nil {
		return s, err
	}
	return s, s.checkIdempotence()
}

// checkIdempotence decides as Kafka does: on by default where acks and the requests in
// flight allow it, and a contradiction in words is an error.
func (s *producerSettings) checkIdempotence() error {
	word, asked := s.props["enable.idempotence"]
	asked = asked && strings.EqualFold(word, "true")
	s.idempotent = !strings.EqualFold(word, "false") && s.acks == -1 && s.inFlight <= 5 && s.retries > 0
	switch {
	case s.inFlight < 1:
		return cli.Usagef("Invalid value %d for configuration max.in.flight.requests.per.connection: Value must be at least 1", s.inFlight)
	case asked && s.acks != -1:
		return cli.Usagef("Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence.")
	case asked && s.inFlight > 5:
		return cli.Usagef("Must set max.in.flight.requests.per.connection to at most 5 to use the idempotent producer.")
	case s.transactionalID != "" && !s.idempotent:
		return cli.Usagef("Cannot set a transactional.id without also enabling idempotence (acks=all, max.in.flight.requests.per.connection up to 5).")
	}
	return nil
}

// options builds a franz-go producer for records of up to maxRecord bytes. Memory is bounded
// by the caller (gate): franz-go's own bound starts a goroutine for each record that waits.
func (s *producerSettings) options(stderr io.Writer, maxRecord int) ([]kgo.Opt, error) {
	opts, err := cli.ClientOptions(s.bootstrap, s.clientID, s.props, stderr)
	if err != nil {
		return nil, err
	}
	codec, err := codecOf(s.codec)
	if err != nil {
		return nil, err
	}
	// Kafka lets a record that is larger than batch.size have a batch of its own; franz-go
	// knows one hard limit.
	const framing = 512
	batch := max(s.batchBytes, maxRecord+framing, 512)
	acks := map[int16]kgo.Acks{0: kgo.NoAck(), 1: kgo.LeaderAck(), -1: kgo.AllISRAcks()}[s.acks]
	opts = append(opts,
		kgo.AllowAutoTopicCreation(),
		kgo.RequiredAcks(acks),
		kgo.ProducerBatchMaxBytes(int32(min(batch, 1<<30))),
		kgo.BrokerMaxWriteBytes(int32(min(max(s.maxRequestBytes, batch)+64<<10, 1<<30))),
		kgo.ProducerLinger(s.linger),
		kgo.MaxBufferedRecords(1<<31-1),
		kgo.ProducerBatchCompression(codec.option),
		kgo.ProduceRequestTimeout(max(s.requestTimeout, 100*time.Millisecond)),
		kgo.RecordDeliveryTimeout(max(s.deliveryTimeout, time.Second)),
		kgo.RecordRetries(max(s.retries, 1)),
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(max(s.batchBytes, 1), true, true, nil)),
		kgo.RetryBackoffFn(func(int) time.Duration { return s.retryBackoff }),
	)
	if !s.idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(s.inFlight))
	}
	if s.transactionalID != "" {
		opts = append(opts, kgo.TransactionalID(s.transactionalID), kgo.TransactionTimeout(s.txnTimeout))
	}
	return opts, nil
}

// codec is a compression in the words of franz-go and of our own batches.
type codec struct {
	option kgo.CompressionCodec
	own    compress.Codec
}

func codecNames() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

func codecOf(name string) (codec, error) {
	switch name {
	case "none":
		return codec{kgo.NoCompression(), compress.None}, nil
	case "gzip":
		return codec{kgo.GzipCompression(), compress.Gzip}, nil
	case "snappy":
		return codec{kgo.SnappyCompression(), compress.Snappy}, nil
	case "lz4":
		return codec{kgo.Lz4Compression(), compress.LZ4}, nil
	case "zstd":
		return codec{kgo.ZstdCompression(), compress.Zstd}, nil
	}
	return codec{}, cli.Usagef("Invalid value %s for configuration compression.type: must be one of %s", name, strings.Join(codecNames(), ", "))
}

// consumerSettings are the settings of a consumer under Kafka's names.
type consumerSettings struct {
	bootstrap, clientID   string
	minBytes, maxBytes    int
	partitionBytes        int
	maxWait               time.Duration
	pollRecords           int
	readCommitted, commit bool
	commitEvery           time.Duration
	sessionTimeout        time.Duration
	props                 cli.Props
}

const consumerProps = clientProps + "group.id fetch.min.bytes fetch.max.bytes max.partition.fetch.bytes fetch.max.wait.ms max.poll.records isolation.level " +
	"enable.auto.commit auto.commit.interval.ms session.timeout.ms auto.offset.reset check.crcs receive.buffer.bytes key.deserializer value.deserializer "

func readConsumerSettings(p cli.Props) (consumerSettings, error) {
	r := reader{props: p}
	s := consumerSettings{
		props:          p,
		bootstrap:      p["bootstrap.servers"],
		clientID:       p.Or("client.id", "perf-consumer-client"),
		minBytes:       int(r.number("fetch.min.bytes", 1)),
		maxBytes:       int(r.number("fetch.max.bytes", 50<<20)),
		partitionBytes: int(r.number("max.partition.fetch.bytes", 1<<20)),
		maxWait:        r.ms("fetch.max.wait.ms", 500),
		pollRecords:    int(r.number("max.poll.records", 500)),
		commit:         !strings.EqualFold(p["enable.auto.commit"], "false"),
		commitEvery:    r.ms("auto.commit.interval.ms", 5000),
		sessionTimeout: r.ms("session.timeout.ms", 45_000),
	}
	switch level := strings.ToLower(p.Or("isolation.level", "read_uncommitted")); level {
	case "read_committed":
		s.readCommitted = true
	case "read_uncommitted":
	default:
		return s, cli.Usagef("Invalid value %s for configuration isolation.level: String must be one of: read_committed, read_uncommitted", level)
	}
	if r.err == nil && s.pollRecords < 1 {
		r.err = cli.Usagef("Invalid value %d for configuration max.poll.records: Value must be at least 1", s.pollRecords)
	}
	return s, r.err
}

// options builds a franz-go consumer, but for what it reads.
func (s *consumerSettings) options(stderr io.Writer) ([]kgo.Opt, error) {
	opts, err := cli.ClientOptions(s.bootstrap, s.clientID, s.props, stderr)
	if err != nil {
		return nil, err
	}
	level := kgo.ReadUncommitted()
	if s.readCommitted {
		level = kgo.ReadCommitted()
	}
	clamp := func(v int) int32 { return int32(min(max(v, 1), 1<<31-1)) }
	opts = append(opts,
		kgo.FetchIsolationLevel(level),
		kgo.FetchMinBytes(clamp(s.minBytes)),
		kgo.FetchMaxBytes(clamp(s.maxBytes)),
		kgo.FetchMaxPartitionBytes(clamp(s.partitionBytes)),
		kgo.BrokerMaxReadBytes(clamp(max(100<<20, 2*s.maxBytes, 2*s.partitionBytes))),
		kgo.FetchMaxWait(s.maxWait),
		kgo.AllowAutoTopicCreation(), // as Kafka's consumer: allow.auto.create.topics=true
	)
	if !strings.EqualFold(s.props["check.crcs"], "true") {
		opts = append(opts, kgo.DisableFetchCRCValidation()) // check.crcs=false, as Kafka's tool
	}
	return opts, nil
}

// reader reads numbers of settings and keeps the first error.
type reader struct {
	props cli.Props
	err   error
}

func (r *reader) number(key string, otherwise int64) int64 {
	text, ok := r.props[key]
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if (err != nil || n < 0 || n > 1<<40) && r.err == nil {
		r.err = cli.Usagef("Invalid value %s for configuration %s: a number from 0 is wanted", text, key)
	}
	return n
}

func (r *reader) ms(key string, otherwise int64) time.Duration {
	return time.Duration(r.number(key, otherwise)) * time.Millisecond
}

// pairs adds KEY=VALUE words to p; one of another form is an error, as in Kafka's tool.
func pairs(p cli.Props, words []string) error {
	for _, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok || k == "" {
			return cli.Usagef("Invalid property: %s (KEY=VALUE is wanted)", w)
		}
		p[k] = v
	}
	return nil
}

// warnUnused tells which settings have no effect here.
func warnUnused(stderr io.Writer, p cli.Props, known string) {
	names, unused := strings.Fields(known), []string(nil)
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
