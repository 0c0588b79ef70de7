//go:build !race

package server

import (
	"testing"

	"github.com/millrace/millrace/quorum/jute"
)

// The detector of races makes pools forget.
func TestReadsDoNotAllocate(t *testing.T) {
	c := benchConn(t)
	for name, packet := range map[string][]byte{
		"get":    frame(1, jute.OpGetData, &jute.GetDataRequest{Path: "/bench/node"})[4:],
		"exists": frame(1, jute.OpExists, &jute.ExistsRequest{Path: "/bench/node"})[4:],
		"ping":   frame(1, jute.OpPing, nil)[4:],
	} {
		if n := testing.AllocsPerRun(10_000, func() { c.handle(packet); c.flush() }); n > 0.1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
