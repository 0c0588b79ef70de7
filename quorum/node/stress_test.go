package node

import (
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/quorum/tree"
)

// BenchmarkPings keeps 10,000 sessions with timeouts of 30 s alive on three servers: each op is
// the pings of one second, a third of a session's timeout between two of its pings.
func BenchmarkPings(b *testing.B) {
	nodes := realEnsemble(b, 3, 2*time.Second)
	const sessions = 10_000
	var ids [4][]int64
	sinks := map[int]*callers{}
	for id, n := range nodes {
		sinks[id] = newCallers(n)
		sinks[id].serving(b, true)
		for range sessions / 3 {
			s := n.NewSessionID()
			sinks[id].do(b, tree.Txn{Session: s, Op: tree.Op{Kind: tree.CreateSession, TimeoutMs: 30_000}})
			ids[id] = append(ids[id], s)
		}
	}
	before := cpuTime(b)
	b.ResetTimer()
	for i := range b.N {
		for id := range nodes {
			for k := i % 10; k < len(ids[id]); k += 10 {
				sinks[id].h.Touch(ids[id][k])
			}
		}
		time.Sleep(time.Second)
	}
	b.StopTimer()
	b.ReportMetric(100*(cpuTime(b)-before).Seconds()/b.Elapsed().Seconds(), "cpu%")
	for id, n := range nodes {
		n.Read(func(s *tree.State) {
			if got := s.SessionCount(); got != 3*(sessions/3) {
				b.Errorf("server %d has %d sessions", id, got)
			}
		})
	}
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
