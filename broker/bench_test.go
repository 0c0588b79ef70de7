package broker

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/record"
)

// sink is a connection that swallows what is written; nobody reads from it.
type sink struct{ n int64 }

func (s *sink) Read([]byte) (int, error)         { return 0, io.EOF }
func (s *sink) Write(p []byte) (int, error)      { s.n += int64(len(p)); return len(p), nil }
func (s *sink) Close() error                     { return nil }
func (s *sink) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (s *sink) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }
func (s *sink) SetDeadline(time.Time) error      { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// handler is a session without a reader: request bytes in, response bytes out.
func (n *node) handler() (*session, *sink) {
	out := new(sink)
	return newSession(n.broker, n.broker.listeners[0], out), out
}

func quiet(b testing.TB, settings ...string) *node {
	n := startNode(b, settings...)
	n.broker.log = slog.New(slog.DiscardHandler)
	return n
}

// frameOf is a request without its size.
func frameOf(req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, 1)[4:]
}

// BenchmarkProduceHandler is one Produce request with one batch, from request bytes to
// response bytes, into a log on the disk.
func BenchmarkProduceHandler(b *testing.B) {
	for _, size := range []int{200, 1 << 10, 16 << 10, 256 << 10} {
		b.Run(vfsSize(size), func(b *testing.B) {
			n := quiet(b, "log.segment.bytes=268435456", "log.retention.bytes=536870912")
			id := n.create("topic", 1)
			frame := frameOf(produceRequest(9, 1, "topic", id, 0, batchOf(b, record.BuilderOptions{}, strings.Repeat("x", size))))
			s, out := n.handler()
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				s.Serve(frame)
				s.c.Flush()
			}
			b.StopTimer()
			if out.n == 0 {
				b.Fatal("nothing was answered")
			}
		})
	}
}

// BenchmarkFetchHandler is one Fetch request, from request bytes to response bytes; there
// is no socket, so the larger one is copied instead of sent by sendfile.
func BenchmarkFetchHandler(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 1 << 20} {
		b.Run(vfsSize(size), func(b *testing.B) {
			n := quiet(b)
			id := n.create("topic", 1)
			for range 1 << 20 / size {
				n.produce("topic", id, 0, strings.Repeat("x", size-200))
			}
			q := fetchRequest(12, "topic", id, 0, 0)
			q.Topics[0].Partitions[0].PartitionMaxBytes = int32(size)
			frame := frameOf(q)
			s, out := n.handler()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				s.Serve(frame)
				s.c.Flush()
			}
			b.StopTimer()
			if out.n < int64(b.N)*int64(size-300) {
				b.Fatalf("%d bytes came for %d requests", out.n, b.N)
			}
		})
	}
}

func vfsSize(n int) string {
	if n >= 1<<20 {
		return itoa(int32(n>>20)) + "MiB"
	}
	if n >= 1<<10 {
		return itoa(int32(n>>10)) + "KiB"
	}
	return itoa(int32(n)) + "B"
}

// The promise of the produce path: at most two allocations for a 16 KiB batch.
func TestProduceAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	n := quiet(t)
	id := n.create("topic", 1)
	frame := frameOf(produceRequest(9, 1, "topic", id, 0, batchOf(t, record.BuilderOptions{}, strings.Repeat("x", 16<<10))))
	s, _ := n.handler()
	for _, acks := range []byte{1, 0xff} {
		// acks stand after the header (2+2+4+2+5 bytes, a tag byte) and the null transactional id.
		frame[18] = acks
		if frame[17] = 0; acks == 0xff {
			frame[17] = 0xff
		}
		got := testing.AllocsPerRun(500, func() {
			s.Serve(frame)
			s.c.Flush()
		})
		if got > 2 {
			t.Errorf("%v allocations for a produce with acks %d, at most 2 are allowed", got, int8(acks))
		}
		t.Logf("acks %d: %v allocations", int8(acks), got)
	}
}

// The batch is copied once: into the log. It is stamped where it lies in the request.
func TestProduceStampsTheRequestInPlace(t *testing.T) {
	n := quiet(t)
	id := n.create("topic", 1)
	n.produce("topic", id, 0, "a", "b")
	frame := frameOf(produceRequest(9, 1, "topic", id, 0, batchOf(t, record.BuilderOptions{}, "c")))
	s, _ := n.handler()
	s.Serve(frame)
	s.c.Flush()
	b, _, err := record.Next(frame[len(frame)-3-len(batchOf(t, record.BuilderOptions{}, "c")):])
	if err != nil {
		t.Fatal(err)
	}
	if b.BaseOffset() != 2 {
		t.Fatalf("the batch in the request has offset %d, want the assigned 2", b.BaseOffset())
	}
}

// Steady fetches of one partition do not allocate more than the poll's bookkeeping.
func TestFetchAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	n := quiet(t)
	id := n.create("topic", 1)
	n.produce("topic", id, 0, strings.Repeat("x", 1000))
	frame := frameOf(fetchRequest(12, "topic", id, 0, 0))
	s, _ := n.handler()
	got := testing.AllocsPerRun(500, func() {
		s.Serve(frame)
		s.c.Flush()
	})
	if got > 4 {
		t.Errorf("%v allocations for a fetch, at most 4 are allowed", got)
	}
	t.Logf("%v allocations", got)
}
