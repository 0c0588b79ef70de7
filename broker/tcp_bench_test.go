package broker

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record"
)

// pump keeps depth requests in flight on one connection until n were answered.
func pump(b *testing.B, addr string, frame []byte, depth, n int) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Error(err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	in := bufio.NewReaderSize(c, 256<<10)
	burst := []byte(strings.Repeat(string(frame), depth))
	for done := 0; done < n; done += depth {
		if _, err := c.Write(burst); err != nil {
			b.Error(err)
			return
		}
		for range depth {
			var size [4]byte
			if _, err := io.ReadFull(in, size[:]); err != nil {
				b.Error(err)
				return
			}
			if _, err := in.Discard(int(binary.BigEndian.Uint32(size[:]))); err != nil {
				b.Error(err)
				return
			}
		}
	}
}

func overTCP(b *testing.B, frame func(n *node, id [16]byte) []byte) {
	for _, conns := range []int{1, 10} {
		for _, depth := range []int{1, 5} {
			b.Run(fmt.Sprintf("%dx%d", conns, depth), func(b *testing.B) {
				n := quiet(b, "log.segment.bytes=268435456", "log.retention.bytes=536870912")
				id := n.create("topic", 1)
				f := frame(n, id)
				b.ResetTimer()
				done := make(chan struct{})
				for range conns {
					go func() {
						pump(b, n.addr, f, depth, b.N/conns+1)
						done <- struct{}{}
					}()
				}
				for range conns {
					<-done
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			})
		}
	}
}

// BenchmarkProduceTCP is a small produce over loopback, client and broker on the same CPUs.
func BenchmarkProduceTCP(b *testing.B) {
	overTCP(b, func(n *node, id [16]byte) []byte {
		return withSize(frameOf(produceRequest(9, 1, "topic", id, 0, batchOf(b, record.BuilderOptions{}, strings.Repeat("x", 100)))))
	})
}

// BenchmarkFetchTCP fetches 1 MiB at a time, by sendfile.
func BenchmarkFetchTCP(b *testing.B) {
	b.SetBytes(1 << 20)
	overTCP(b, func(n *node, id [16]byte) []byte {
		for range 16 {
			n.produce("topic", id, 0, strings.Repeat("x", 64<<10))
		}
		var q kmsg.Request = fetchRequest(12, "topic", id, 0, 0)
		return withSize(frameOf(q))
	})
}

func withSize(frame []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
}
