package quorum

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/quorum/jute"
)

// mntr asks a server for its metrics.
func mntr(t *testing.T, q *Quorum) map[string]string {
	t.Helper()
	c, err := net.Dial("tcp", q.Addr())
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "mntr")
	must(t, err)
	text, err := io.ReadAll(c)
	must(t, err)
	m := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		m[strings.TrimPrefix(name, "zk_")] = value
	}
	return m
}

// TestWhatIsMeasured: the syncs of the log are counted; there is no snapshot yet.
func TestWhatIsMeasured(t *testing.T) {
	q := start(t, options(t, load(t, t.TempDir(), "")))
	must(t, q.WaitServing(t.Context()))
	if _, _, ok := q.lastSnapshot(); ok {
		t.Error("a snapshot is told of before there is one")
	}
	c := connect(t, q.Addr(), nil)
	for i := range 60 {
		_, err := c.Create(t.Context(), fmt.Sprintf("/n%d", i), nil, nil, jute.Persistent)
		must(t, err)
	}
	m := mntr(t, q)
	if n, err := strconv.Atoi(m["cnt_fsynctime"]); err != nil || n < 60 || m["min_fsynctime"] == "" || m["cnt_snapshottime"] != "0" {
		t.Errorf("60 writes and their syncs: %v", m)
	}
	if _, there := m["cnt_election_time"]; there {
		t.Error("a server that stands alone tells of elections")
	}
}
