package apis

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/process"
)

// Bounds of what hostile peers may cost others.
const (
	boundLatency = 2 * time.Second
	boundMemory  = 96 << 20
)

// siege is a broker under attack: a bystander calls it all the time, and its memory is looked at.
type siege struct {
	*client
	broker *harness.Broker
	before int64
	bound  int64 // of what its memory may grow by
	stop   chan struct{}
	worst  chan time.Duration
}

func besiege(t *testing.T) *siege {
	t.Helper()
	b, c := launch(t, nil)
	s := &siege{c, b, peakBytes(t, b), boundMemory, make(chan struct{}), make(chan time.Duration)}
	bystander := c.another()
	pid := fmt.Sprint(b.PID())
	// What others run on the machine is not counted.
	waits := func() time.Duration { return process.Waits(pid) + process.Waits("self") }
	go func() {
		var worst time.Duration
		before, seen := waits(), time.Now()
		ping := bystander.frame(0, kmsg.NewPtrApiVersionsRequest())
		for {
			select {
			case <-s.stop:
				s.worst <- worst
				return
			default:
			}
			start := time.Now()
			if start.Sub(seen) > boundLatency/10 {
				before, seen = waits(), start
			}
			if _, err := bystander.nc.Write(ping); err != nil {
				worst = patience // told by lifted
				continue
			}
			if _, _, err := bystander.readFrame(); err != nil {
				worst = patience
				continue
			}
			took := time.Since(start)
			if took > boundLatency {
				took -= waits() - before
			}
			worst = max(worst, took)
		}
	}()
	return s
}

// lifted ends the siege and looks at what it cost.
func (s *siege) lifted() {
	s.Helper()
	close(s.stop)
	if worst := <-s.worst; worst > boundLatency {
		s.Errorf("a bystander waited %v, or lost its connection", worst)
	}
	if grown := peakBytes(s, s.broker) - s.before; grown > s.bound {
		s.Errorf("the broker's memory grew by %d MiB at its peak", grown>>20)
	}
	mustServe(s, s.addr)
}

// throw sends bytes over a connection of their own, ends its sending half, and returns
// what came back until the broker closed it.
func (s *siege) throw(b []byte) []byte {
	s.Helper()
	nc, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		s.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		s.Fatal(err)
	}
	// The broker may close before all is written: then the write fails, which is right.
	if _, err := nc.Write(b); err == nil {
		_ = nc.(*net.TCPConn).CloseWrite() // fails only when the peer closed
	}
	got, err := io.ReadAll(io.LimitReader(nc, 64<<20))
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		s.Fatalf("the connection stays open after %x", b[:min(len(b), 100)])
	}
	return got
}

func TestHostileFrames(t *testing.T) {
	s := besiege(t)
	sized := func(n uint32, rest string) []byte { return append(binary.BigEndian.AppendUint32(nil, n), rest...) }
	for name, b := range map[string][]byte{
		"negative length":             sized(1<<32-1, "\x00\x12\x00\x00\x00\x00\x00\x01\x00\x00"),
		"most negative length":        sized(1<<31, "\x00\x12\x00\x00\x00\x00\x00\x01\x00\x00"),
		"length 0":                    sized(0, ""),
		"length below a header":       sized(7, "\x00\x12\x00\x00\x00\x00\x00"),
		"length of 2 GiB":             sized(1<<31-1, "\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00"),
		"length above the socket's":   sized(100<<20+1, "\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00"),
		"length above the API's":      sized(50<<20, "\x00\x12\x00\x00\x00\x00\x00\x01\x00\x00"),
		"TLS":                         []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
		"HTTP":                        []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"zeros":                       make([]byte, 1<<16),
		"ones":                        bytes.Repeat([]byte{0xff}, 1<<16),
		"client id beyond the frame":  framed(request(18, 0, 1, []byte("\x7f\xffx"))),
		"client id of length -2":      framed(request(18, 0, 1, []byte("\xff\xfe"))),
		"no client id":                framed(request(18, 0, 1, nil)),
		"response in place of a call": framed(request(-1, -1, -1, nil)),
	} {
		if got := s.throw(b); len(got) > 0 {
			t.Errorf("%s: an answer: %x", name, got[:min(len(got), 100)])
		}
	}
	s.lifted()
}

// varints of counts that no request can have.
var hugeCounts = [][]byte{
	{0xff, 0xff, 0xff, 0xff, 0x0f}, {0xff, 0xff, 0xff, 0xff, 0x07}, {0x80, 0x80, 0x80, 0x80, 0x08},
	{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}, {0xff, 0xff, 0x3f},
}

func TestHostileTags(t *testing.T) {
	s := besiege(t)
	for key, r := range ranges {
		head := request(key, r[1], 1, []byte("\x00\x01x"))
		for _, count := range hugeCounts {
			for _, rest := range [][]byte{nil, {0}, {0, 0}, bytes.Repeat([]byte{0}, 4096), bytes.Repeat([]byte{0, 1}, 4096)} {
				s.throw(framed(append(append(bytes.Clone(head), count...), rest...)))
				// One tag, whose size is the lie.
				s.throw(framed(append(append(append(bytes.Clone(head), 1, 0), count...), rest...)))
			}
		}
	}
	s.lifted()
}

func TestHostileCounts(t *testing.T) {
	s := besiege(t)
	fill := [][]byte{
		bytes.Repeat([]byte{0x7f, 0xff, 0xff, 0xff}, 64), bytes.Repeat([]byte{0, 0xff, 0xff, 0xff}, 64), bytes.Repeat([]byte{0xff}, 256),
		append([]byte{0, 0xff, 0xff, 0xff, 0xff, 0x07}, make([]byte, 64)...), make([]byte, 64), bytes.Repeat([]byte{0, 1}, 128),
	}
	for key, r := range ranges {
		for v := r[0]; v <= r[1]; v++ {
			for _, f := range fill {
				for skip := range 4 { // so that the count falls on each place
					body := append(make([]byte, skip), f...)
					s.throw(framed(request(key, v, 1, append([]byte("\x00\x01x"), body...))))
				}
			}
		}
	}
	s.lifted()
}

func TestHostileRandomBodies(t *testing.T) {
	s := besiege(t)
	rng := testkit.Rand(t)
	for range 1500 {
		keys := []int16{0, 1, 2, 3, 18, 19, 20, 21, 22, 23, 32, 35, 37, 60}
		key := keys[rng.IntN(len(keys))]
		r := ranges[key]
		body := make([]byte, rng.IntN(200))
		for i := range body {
			switch rng.IntN(3) {
			case 0:
				body[i] = byte(rng.Uint32())
			case 1:
				body[i] = byte(rng.IntN(4))
			}
		}
		s.throw(framed(request(key, r[0]+int16(rng.IntN(int(r[1]-r[0])+1)), 1, append([]byte("\x00\x01x\x00"), body...))))
	}
	s.lifted()
}

// samples are valid requests of each API that change nothing which the tests look at.
func (c *client) samples(made topic) []kmsg.Request {
	all := kmsg.NewPtrMetadataRequest()
	create := kmsg.NewPtrCreateTopicsRequest()
	create.ValidateOnly, create.Topics = true, append(create.Topics, newTopic("sample", 1))
	remove := kmsg.NewPtrDeleteTopicsRequest()
	name := "sample"
	remove.TopicNames, remove.Topics = []string{name}, []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.ValidateOnly, grow.Topics = true, append(grow.Topics, more(made.name, 9))
	configs := kmsg.NewPtrDescribeConfigsRequest()
	configs.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: made.name, ConfigNames: []string{"retention.ms"}}}
	dirs := kmsg.NewPtrDescribeLogDirsRequest()
	dirs.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: made.name, Partitions: []int32{0}}}
	session := fetchRequest(made, wanted(0, 0))
	session.SessionEpoch = 0
	return []kmsg.Request{
		produceRequest(made, 0, values("x").bytes()), session, all, metadataOf(made.name), kmsg.NewPtrApiVersionsRequest(), create, remove, grow,
		kmsg.NewPtrInitProducerIDRequest(), configs, kmsg.NewPtrDescribeClusterRequest(), dirs,
	}
}

// A request that is cut off, with or without a size that says so, does nothing.
func TestHostileTornRequests(t *testing.T) {
	s := besiege(t)
	made := s.create(1)
	for _, req := range s.samples(made) {
		r := ranges[req.Key()]
		low := r[0]
		if req.Key() == 0 {
			low = 3
		}
		for _, v := range []int16{low, r[1]} {
			whole := s.frame(v, req)
			for n := 0; n < len(whole); n += 1 + len(whole)/60 {
				if got := s.throw(whole[:n]); len(got) > 0 {
					t.Errorf("%s v%d: an answer to %d of %d bytes", kmsg.NameForKey(req.Key()), v, n, len(whole))
				}
				if n > 4 {
					s.throw(framed(whole[4:n]))
				}
			}
			if req.Key() != 0 {
				equal(t, fmt.Sprintf("%s v%d: the whole request is answered", kmsg.NameForKey(req.Key()), v), len(s.throw(whole)) > 0, true)
			}
		}
	}
	equal(t, "records of torn requests", s.offset(made, 0, -1), 0)
	s.lifted()
}

// Peers that claim much and send little hold little.
func TestHostileClaimsHoldLittle(t *testing.T) {
	s := besiege(t)
	claim := append(binary.BigEndian.AppendUint32(nil, 90<<20), request(0, 9, 1, bytes.Repeat([]byte{0}, 3000))...)
	var open []net.Conn
	for range 300 {
		nc, err := net.DialTimeout("tcp", s.addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := nc.Write(claim); err != nil {
			t.Fatal(err)
		}
		open = append(open, nc)
	}
	// All of it was received when the broker's counter says so.
	deadline := time.Now().Add(patience)
	for metric(t, s.broker, "millrace_network_received_bytes_total") < float64(len(open)*len(claim)) {
		if time.Now().After(deadline) {
			t.Fatal("the broker does not read")
		}
	}
	if held := metric(t, s.broker, "millrace_request_memory_bytes"); held > 64<<20 {
		t.Errorf("%d connections with 3 KiB each hold %.0f MiB", len(open), held/(1<<20))
	}
	made := s.create(1)
	s.put(made, sized(900_000)) // room for others
	s.lifted()
}

// One byte at a time is slow, but right.
func TestSlowDrip(t *testing.T) {
	s := besiege(t)
	made := s.create(1)
	slow := s.another()
	for _, req := range []kmsg.Request{metadataOf(made.name), produceRequest(made, 0, values("drip").bytes())} {
		b := slow.frame(9, req)
		slow.expected = append(slow.expected, slow.correlation)
		for i := range b {
			slow.write(b[i : i+1])
		}
		resp := req.ResponseKind()
		resp.SetVersion(9)
		slow.receive(resp)
	}
	equal(t, "end", s.offset(made, 0, -1), 1)

	var drips []*client
	for range 50 {
		drips = append(drips, s.another())
	}
	large := binary.BigEndian.AppendUint32(nil, 50<<20)
	large = append(large, request(0, 9, 1, make([]byte, 600))...)
	for i := range large {
		for _, d := range drips {
			d.write(large[i : i+1])
		}
	}
	if held := metric(t, s.broker, "millrace_request_memory_bytes"); held > 8<<20 {
		t.Errorf("50 slow connections hold %.0f KiB", held/1024)
	}
	s.lifted()
}
