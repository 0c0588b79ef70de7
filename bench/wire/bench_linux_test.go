package wire

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

// asks returns frames of size bytes that ask echoServer for replies of reply bytes.
func asks(size, reply int) func(int, int64) [][]byte {
	f := make([]byte, 4+size)
	binary.BigEndian.PutUint32(f, uint32(size))
	binary.BigEndian.PutUint32(f[4:], uint32(reply))
	parts := [][]byte{f}
	return func(int, int64) [][]byte { return parts }
}

// BenchmarkEcho has b.N requests answered by another process. busy is the share of a core
// that the generator's thread used, gen-ns its CPU time per request.
func BenchmarkEcho(b *testing.B) {
	address := startEcho(b)
	for _, c := range []struct {
		conns, depth, size, reply int
		rate                      float64
	}{
		{1, 1, 96, 96, 0}, {1, 5, 96, 96, 0}, {100, 1, 96, 96, 0}, {100, 5, 96, 96, 0}, {1000, 5, 96, 96, 0},
		{100, 5, 1100, 60, 0}, {1, 5, 65700, 60, 0}, {1, 1, 100, 1 << 20, 0}, {1, 2, 100, 1 << 20, 0},
		{4, 1, 100, 16 << 10, 0}, {1, 100, 1100, 60, 2000}, {10, 100, 1100, 60, 20_000}, {10, 100, 1100, 60, 100_000},
	} {
		b.Run(fmt.Sprintf("%dx%d/ask=%d/reply=%d/rate=%v", c.conns, c.depth, c.size, c.reply, c.rate), func(b *testing.B) {
			st, err := Run(b.Context(), Load{
				Address: address, Connections: c.conns, Depth: c.depth, Frame: asks(c.size, c.reply),
				Rate: c.rate, HeadBytes: 64, Duration: 2 * time.Second, Warmup: 200 * time.Millisecond,
			})
			if err != nil {
				b.Fatal(err)
			}
			n := float64(st.Requests)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(n/st.SteadyS, "req/s")
			b.ReportMetric(float64(st.ReceivedBytes+st.SentBytes)/1e6/st.SteadyS, "MB/s")
			b.ReportMetric(st.BusyShare, "busy")
			b.ReportMetric(st.BusyShare*st.SteadyS*1e9/n, "gen-ns/req")
			b.ReportMetric(st.SyscallsPerRequest, "calls/req")
			b.ReportMetric(float64(st.Uncorrected.Percentile(50))/1e3, "p50us")
			if c.rate > 0 {
				b.ReportMetric(float64(st.Lateness.Percentile(50))/1e3, "late50us")
				b.ReportMetric(float64(st.Lateness.Percentile(99))/1e3, "late99us")
			}
		})
	}
}
