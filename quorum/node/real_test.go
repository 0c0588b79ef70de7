package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/quorum/tree"
)

// Three servers on real files and sockets: writes through each, the leader's end, and what is
// there after it.
func TestRealFilesAndSockets(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for elections by the machine's clock")
	}
	nodes := realEnsemble(t, 3, 2*time.Second)
	sinks := map[int]*recorder{}
	for id, n := range nodes {
		sinks[id] = attach(n)
	}
	var paths []string
	leader := 0
	for id, r := range sinks {
		r.serving(t, true)
		if nodes[id].reign.Load() != nil {
			leader = id
		}
		for i := range 20 {
			path := fmt.Sprintf("/n%d-%d", id, i)
			r.make(t, path)
			paths = append(paths, path)
		}
	}
	if leader == 0 {
		t.Skip("the machine is so slow that the leader changed meanwhile")
	}
	if err := nodes[leader].Close(); err != nil {
		t.Fatal(err)
	}
	delete(sinks, leader)
	for id, r := range sinks {
		r.make(t, fmt.Sprintf("/after%d", id))
		nodes[id].Read(func(s *tree.State) {
			for _, path := range paths {
				if _, err := s.Stat(path); err != nil {
					t.Errorf("server %d: %s: %v", id, path, err)
				}
			}
		})
	}
}
