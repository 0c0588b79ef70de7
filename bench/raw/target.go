package raw

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/protocol"
)

// Target is a cluster that answered. It is safe for concurrent use.
type Target struct {
	clientID  string
	timeout   time.Duration
	bootstrap string              // the address that answered
	versions  map[int16]versRange // of that broker; the others are taken to serve the same

	mu    sync.Mutex // one question at a time; guards what follows
	conns map[string]net.Conn
	corr  int32
}

type versRange struct{ low, top int16 }

// message is what the codecs of package protocol have in common.
type message interface {
	APIKey() int16
	Append(dst []byte, version int16) []byte
	Decode(b []byte, version int16) error
}

const (
	defaultTimeout = 10 * time.Second
	// readyTimeout bounds the wait for partitions when ctx has no deadline.
	readyTimeout = 30 * time.Second
	readyPoll    = 50 * time.Millisecond
	// maxAnswerBytes is far above the metadata of 100,000 partitions.
	maxAnswerBytes = 64 << 20
)

// Dial connects to the first of bootstrap (HOST:PORT,HOST:PORT) that answers and learns
// which versions it serves.
func Dial(ctx context.Context, bootstrap string, o Options) (*Target, error) {
	t := &Target{clientID: o.ClientID, timeout: o.Timeout, conns: map[string]net.Conn{}}
	if t.clientID == "" {
		t.clientID = defaultClientID
	}
	if t.timeout <= 0 {
		t.timeout = defaultTimeout
	}
	var errs []error
	for _, address := range strings.Split(bootstrap, ",") {
		if address = strings.TrimSpace(address); address == "" {
			continue
		}
		err := t.learn(ctx, address)
		if err == nil {
			t.bootstrap = address
			return t, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", address, err))
	}
	t.Close()
	if errs == nil {
		return nil, &SpecError{"bootstrap server", strconv.Quote(bootstrap), "HOST:PORT,..."}
	}
	return nil, errors.Join(errs...)
}

// Close ends the connections.
func (t *Target) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		c.Close()
	}
	clear(t.conns)
	return nil
}

func (t *Target) learn(ctx context.Context, address string) error {
	resp := protocol.NewApiVersionsResponse()
	if err := t.ask(ctx, address, 0, &protocol.ApiVersionsRequest{}, &resp); err != nil {
		return err
	}
	if err := resp.ErrorCode.Err(); err != nil {
		return fmt.Errorf("ApiVersions: %w", err)
	}
	t.versions = map[int16]versRange{}
	for _, k := range resp.ApiKeys {
		t.versions[k.ApiKey] = versRange{k.MinVersion, k.MaxVersion}
	}
	return nil
}

// version picks the newest version of an API that both sides speak, of those that have
// fixed-size lengths (before KIP-482): all brokers serve some of them.
func (t *Target) version(key int16, name string, low, high int16) (int16, error) {
	v, ok := t.versions[key]
	if !ok {
		return 0, &VersionError{API: name, Low: low, High: high, BrokerLow: -1, BrokerTop: -1}
	}
	if v.top < low || v.low > high {
		return 0, &VersionError{API: name, Low: low, High: high, BrokerLow: v.low, BrokerTop: v.top}
	}
	return min(high, v.top), nil
}

// ask sends one request to a broker and waits for its reply.
func (t *Target) ask(ctx context.Context, address string, version int16, req, resp message) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	c, err := t.conn(ctx, address)
	if err != nil {
		return err
	}
	// The connection is left in the middle of something when this fails: it is not used again.
	if err := t.exchange(ctx, c, version, req, resp); err != nil {
		c.Close()
		delete(t.conns, address)
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		return err
	}
	return nil
}

func (t *Target) conn(ctx context.Context, address string) (net.Conn, error) {
	if c, ok := t.conns[address]; ok {
		return c, nil
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	t.conns[address] = c
	return c, nil
}

func (t *Target) exchange(ctx context.Context, c net.Conn, version int16, req, resp message) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	t.corr++
	key := req.APIKey()
	api, _ := protocol.Lookup(key)
	frame := protocol.BeginFrame(nil)
	frame = protocol.AppendRequestHeader(frame, protocol.RequestHeader{
		Key: key, Version: version, CorrelationID: t.corr, ClientID: t.clientID,
	})
	frame = req.Append(frame, version)
	protocol.EndFrame(frame, 0)
	if _, err := c.Write(frame); err != nil {
		return err
	}
	body, err := readFrame(c, api.Name)
	if err != nil {
		return err
	}
	corr, body, err := protocol.ParseResponseHeader(body, key, version)
	if err != nil {
		return &ReplyError{API: api.Name, Reason: err.Error()}
	}
	if corr != t.corr {
		return &ReplyError{API: api.Name, Reason: fmt.Sprintf("correlation id %d, want %d", corr, t.corr)}
	}
	if err := resp.Decode(body, version); err != nil {
		return &ReplyError{API: api.Name, Reason: err.Error()}
	}
	return nil
}

// readFrame takes memory only for what has arrived.
func readFrame(c net.Conn, api string) ([]byte, error) {
	var prefix [4]byte
	if _, err := io.ReadFull(c, prefix[:]); err != nil {
		return nil, fmt.Errorf("%s: the peer closed the connection before it answered (a broker of another protocol or listener type does so): %w", api, err)
	}
	size := int64(int32(binary.BigEndian.Uint32(prefix[:])))
	if size < 4 || size > maxAnswerBytes {
		return nil, &ReplyError{API: api, Reason: fmt.Sprintf("its size is %d, limit 4 to %d", size, maxAnswerBytes)}
	}
	var b bytes.Buffer
	if n, err := io.CopyN(&b, c, size); err != nil {
		return nil, fmt.Errorf("%s: the reply ends after %d of %d bytes: %w", api, n, size, err)
	}
	return b.Bytes(), nil
}

// Partitions returns the first n partitions of topic (0: all) with their leaders. It waits
// until they exist and have one, as long as ctx allows, but without a deadline 30 s.
func (t *Target) Partitions(ctx context.Context, topic string, n int) ([]Partition, error) {
	version, err := t.version(protocol.KeyMetadata, "Metadata", 1, 8)
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, readyTimeout)
		defer cancel()
	}
	req := protocol.NewMetadataRequest()
	req.AllowAutoTopicCreation = false
	req.Topics = []protocol.MetadataRequestTopic{{Name: protocol.Str(topic)}}
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		resp := protocol.NewMetadataResponse()
		if err := t.ask(ctx, t.bootstrap, version, &req, &resp); err != nil {
			return nil, fmt.Errorf("leaders of topic %q: %w", topic, err)
		}
		parts, state, err := leaders(&resp, topic, n)
		if err != nil || state == "" {
			return parts, err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, &NotReadyError{Topic: topic, State: state, Err: context.Cause(ctx)}
		}
	}
}

// leaders reads a Metadata reply; state says what is missing, "" is nothing.
func leaders(resp *protocol.MetadataResponse, topic string, n int) (parts []Partition, state string, err error) {
	address := map[int32]string{}
	for _, b := range resp.Brokers {
		address[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	for _, tp := range resp.Topics {
		if tp.Name.Value != topic {
			continue
		}
		switch {
		case tp.ErrorCode == protocol.CodeUnknownTopicOrPartition || tp.ErrorCode.Retriable():
			return nil, tp.ErrorCode.Name(), nil
		case tp.ErrorCode != 0:
			return nil, "", &TopicError{Topic: topic, Code: tp.ErrorCode}
		}
		byIndex := map[int32]protocol.MetadataResponsePartition{}
		for _, p := range tp.Partitions {
			byIndex[p.PartitionIndex] = p
		}
		if n <= 0 {
			n = len(tp.Partitions)
		}
		if n == 0 {
			return nil, "it has no partitions", nil
		}
		for i := range int32(n) {
			p, ok := byIndex[i]
			if !ok {
				return nil, fmt.Sprintf("it has %d partitions, %d are wanted", len(byIndex), n), nil
			}
			a, ok := address[p.LeaderID]
			if !ok {
				return nil, fmt.Sprintf("partition %d has no leader (%v)", i, p.ErrorCode), nil
			}
			parts = append(parts, Partition{Topic: topic, Index: i, LeaderID: p.LeaderID, Address: a})
		}
		return parts, "", nil
	}
	return nil, "the broker does not mention it", nil
}

// Timestamps that ListOffsets takes for the two ends of a log.
const (
	logStart int64 = -2
	logEnd   int64 = -1
)

// offsets asks the leaders of parts for one end of each log, in the order of parts.
func (t *Target) offsets(ctx context.Context, parts []Partition, at int64) ([]int64, error) {
	version, err := t.version(protocol.KeyListOffsets, "ListOffsets", 1, 5)
	if err != nil {
		return nil, err
	}
	type place struct {
		topic string
		index int32
	}
	found := map[place]int64{}
	for _, group := range byLeader(parts) {
		req := protocol.ListOffsetsRequest{ReplicaID: -1}
		for _, i := range group.parts {
			p := protocol.NewListOffsetsRequestPartition()
			p.PartitionIndex, p.Timestamp = parts[i].Index, at
			if k := len(req.Topics) - 1; k >= 0 && req.Topics[k].Name == parts[i].Topic {
				req.Topics[k].Partitions = append(req.Topics[k].Partitions, p)
				continue
			}
			req.Topics = append(req.Topics, protocol.ListOffsetsRequestTopic{
				Name: parts[i].Topic, Partitions: []protocol.ListOffsetsRequestPartition{p},
			})
		}
		var resp protocol.ListOffsetsResponse
		if err := t.ask(ctx, group.address, version, &req, &resp); err != nil {
			return nil, fmt.Errorf("offsets at %s: %w", group.address, err)
		}
		for _, tp := range resp.Topics {
			for _, p := range tp.Partitions {
				if err := p.ErrorCode.Err(); err != nil {
					return nil, fmt.Errorf("offsets of %s-%d: %w", tp.Name, p.PartitionIndex, err)
				}
				found[place{tp.Name, p.PartitionIndex}] = p.Offset
			}
		}
	}
	out := make([]int64, len(parts))
	for i, p := range parts {
		o, ok := found[place{p.Topic, p.Index}]
		if !ok {
			return nil, &ReplyError{API: "ListOffsets", Reason: fmt.Sprintf("%s-%d is missing", p.Topic, p.Index)}
		}
		out[i] = o
	}
	return out, nil
}
