package raw

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/wire"
	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/record/compress"
)

// broken is a broker with one topic "t" of one partition that answers Produce and Fetch
// with what answer returns for them: a whole reply after its correlation id; nil closes.
// Its other replies are another implementation's encoding.
type broken struct {
	answer func(key, version int16, corr int32) []byte
	top    map[int16]int16 // largest versions, to leave some out; nil: enough
}

func (b broken) start(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				defer c.Close()
				b.serve(c, l.Addr().String())
			})
		}
	})
	t.Cleanup(func() { l.Close(); cancel(); wg.Wait() })
	return l.Addr().String()
}

func (b broken) serve(c net.Conn, address string) {
	for {
		var head [12]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[:]))-8); err != nil {
			return
		}
		key, version := int16(binary.BigEndian.Uint16(head[4:])), int16(binary.BigEndian.Uint16(head[6:]))
		corr := int32(binary.BigEndian.Uint32(head[8:]))
		body := b.reply(key, version, corr, address)
		if body == nil {
			return
		}
		out := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
		if _, err := c.Write(append(out, body...)); err != nil {
			return
		}
	}
}

func (b broken) reply(key, version int16, corr int32, address string) []byte {
	var r kmsg.Response
	switch key {
	case 18:
		v := kmsg.NewPtrApiVersionsResponse()
		top := b.top
		if top == nil {
			top = map[int16]int16{0: 8, 1: 11, 2: 5, 3: 8, 18: 0}
		}
		for k, m := range top {
			v.ApiKeys = append(v.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: k, MaxVersion: m})
		}
		r = v
	case 3:
		host, port, _ := net.SplitHostPort(address)
		n, _ := strconv.Atoi(port)
		m, topic := kmsg.NewPtrMetadataResponse(), kmsg.NewMetadataResponseTopic()
		m.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: host, Port: int32(n)}}
		topic.Topic = kmsg.StringPtr("t")
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Leader = 1
		topic.Partitions = append(topic.Partitions, p)
		m.Topics = append(m.Topics, topic)
		r = m
	case 2:
		o, topic, p := kmsg.NewPtrListOffsetsResponse(), kmsg.NewListOffsetsResponseTopic(), kmsg.NewListOffsetsResponseTopicPartition()
		topic.Topic, p.Offset = "t", 100*int64(corr) // start and end differ
		topic.Partitions = append(topic.Partitions, p)
		o.Topics = append(o.Topics, topic)
		r = o
	default:
		return b.answer(key, version, corr)
	}
	r.SetVersion(version)
	return r.AppendTo(binary.BigEndian.AppendUint32(nil, uint32(corr)))
}

// produced is a proper Produce reply with a code for each partition.
func produced(version int16, corr int32, codes ...int16) []byte {
	r, topic := kmsg.NewPtrProduceResponse(), kmsg.NewProduceResponseTopic()
	topic.Topic = "t"
	for i, code := range codes {
		p := kmsg.NewProduceResponseTopicPartition()
		p.Partition, p.ErrorCode = int32(i), code
		if code != 0 {
			p.ErrorRecords = []kmsg.ProduceResponseTopicPartitionErrorRecord{{RelativeOffset: 1, ErrorMessage: kmsg.StringPtr("why")}}
			p.ErrorMessage = kmsg.StringPtr("because")
		}
		topic.Partitions = append(topic.Partitions, p)
	}
	r.Topics = append(r.Topics, topic)
	r.SetVersion(version)
	return r.AppendTo(binary.BigEndian.AppendUint32(nil, uint32(corr)))
}

// fetched is a proper Fetch reply with a code or a record set.
func fetched(version int16, corr int32, code int16, set []byte) []byte {
	r, topic, p := kmsg.NewPtrFetchResponse(), kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
	topic.Topic, p.ErrorCode, p.RecordBatches = "t", code, set
	topic.Partitions = append(topic.Partitions, p)
	r.Topics = append(r.Topics, topic)
	r.SetVersion(version)
	return r.AppendTo(binary.BigEndian.AppendUint32(nil, uint32(corr)))
}

// load runs one kind of request against b, with a limit on the time.
func (b broken) load(t *testing.T, fetch bool, requests int64) (Stats, error) {
	t.Helper()
	target := dialTo(t, b.start(t))
	parts := partitions(t, target, "t", 1)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("it hangs"))
	defer cancel()
	c := Common{Partitions: parts, Connections: 2, Depth: 2}
	if fetch {
		return Fetch(ctx, target, FetchSpec{Common: c, Mode: Replay, Offset: -1, Once: true})
	}
	one := batches(t, workload.Spec{Sizes: "100"}, 1, 100, compress.None)
	c.Records = requests
	return Produce(ctx, target, ProduceSpec{Common: c, Acks: 1, Batches: one})
}

func TestBrokenReplies(t *testing.T) {
	set := batches(t, workload.Spec{Sizes: "100"}, 1, 1000, compress.None)[0].Bytes
	for name, c := range map[string]struct {
		fetch  bool
		answer func(version int16, corr int32) []byte
		closed bool
	}{
		"produce closes":              {answer: func(int16, int32) []byte { return nil }, closed: true},
		"produce empty":               {answer: func(int16, int32) []byte { return []byte{} }},
		"produce short":               {answer: func(v int16, c int32) []byte { b := produced(v, c, 0); return b[:len(b)-3] }},
		"produce long":                {answer: func(v int16, c int32) []byte { return append(produced(v, c, 0), 0) }},
		"produce another correlation": {answer: func(v int16, c int32) []byte { return produced(v, c+1, 0) }},
		"produce hostile count": {answer: func(_ int16, c int32) []byte {
			return append(binary.BigEndian.AppendUint32(nil, uint32(c)), 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0)
		}},
		"fetch closes":              {fetch: true, answer: func(int16, int32) []byte { return nil }, closed: true},
		"fetch empty":               {fetch: true, answer: func(int16, int32) []byte { return []byte{} }},
		"fetch short":               {fetch: true, answer: func(v int16, c int32) []byte { b := fetched(v, c, 0, set); return b[:len(b)-3] }},
		"fetch another correlation": {fetch: true, answer: func(v int16, c int32) []byte { return fetched(v, c+1, 0, set) }},
		"fetch half a batch":        {fetch: true, answer: func(v int16, c int32) []byte { return fetched(v, c, 0, set[:len(set)/2]) }},
		"fetch noise": {fetch: true, answer: func(v int16, c int32) []byte {
			return fetched(v, c, 0, make([]byte, 500))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := broken{answer: func(_, v int16, corr int32) []byte { return c.answer(v, corr) }}
			_, err := b.load(t, c.fetch, 100)
			var reply *ReplyError
			if c.closed && !errors.Is(err, wire.ErrClosed) {
				t.Errorf("%v, want %v", err, wire.ErrClosed)
			}
			if !c.closed && !errors.As(err, &reply) {
				t.Errorf("%v, want a ReplyError", err)
			}
		})
	}
}

func TestErrorCodesAreCounted(t *testing.T) {
	code := kerr.NotLeaderForPartition.Code
	b := broken{answer: func(_, v int16, corr int32) []byte {
		if corr%2 == 0 {
			return produced(v, corr, code)
		}
		return produced(v, corr, 0)
	}}
	st, err := b.load(t, false, 100)
	if err != nil || st.Requests != 100 || st.Errors == 0 || st.ErrorCodes[code] != st.Errors || st.Records != 100-st.Errors {
		t.Errorf("%d requests, %d records, %d errors %v: %v", st.Requests, st.Records, st.Errors, st.ErrorCodes, err)
	}
	b.answer = func(_, v int16, corr int32) []byte { return produced(v, corr, code) }
	st, err = b.load(t, false, 100)
	var all *AllFailedError
	if !errors.As(err, &all) || all.Codes[code] != 100 || st.Records != 0 || st.ErrorCodes[code] != 100 {
		t.Errorf("%d records, %v: %v, want an AllFailedError", st.Records, st.ErrorCodes, err)
	}
}

func TestVersionsThatDoNotMeet(t *testing.T) {
	for name, top := range map[string]map[int16]int16{
		"none":    {1: 11, 2: 5, 3: 8, 18: 0},
		"too old": {0: 2, 1: 11, 2: 5, 3: 8, 18: 0},
	} {
		_, err := broken{top: top}.load(t, false, 1)
		var v *VersionError
		if !errors.As(err, &v) {
			t.Errorf("%s: %v, want a VersionError", name, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	if _, err := Dial(t.Context(), address, Options{}); err == nil {
		t.Error("nobody listens, and Dial is content")
	}
	if _, err := Dial(t.Context(), " , ", Options{}); err == nil {
		t.Error("no address, and Dial is content")
	}
}
