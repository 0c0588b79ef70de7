package raftlog

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs/osfs"
)

// BenchmarkStoreLogs appends entries of 200 bytes on the machine's disk, so many in a call.
func BenchmarkStoreLogs(b *testing.B) {
	for _, n := range []uint64{1, 64, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := open(b, Options{FS: osfs.FS{}, Clock: clock.Real{}, Log: quiet(), Dir: b.TempDir()})
			logs := entriesOf(1, n, 1, 200)
			b.SetBytes(int64(200 * n))
			b.ReportAllocs()
			for b.Loop() {
				must(b, s.Logs().StoreLogs(logs))
				for _, l := range logs {
					l.Index += n
				}
			}
			b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "entries/s")
			must(b, s.Close())
		})
	}
}

// BenchmarkGetLog reads entries in order, as for a follower that is behind.
func BenchmarkGetLog(b *testing.B) {
	s := open(b, Options{FS: osfs.FS{}, Clock: clock.Real{}, Log: quiet(), Dir: b.TempDir()})
	const n = 10_000
	must(b, s.Logs().StoreLogs(entriesOf(1, n, 1, 200)))
	b.ReportAllocs()
	var l raft.Log
	i := uint64(0)
	for b.Loop() {
		must(b, s.Logs().GetLog(1+i%n, &l))
		i++
	}
	must(b, s.Close())
}
