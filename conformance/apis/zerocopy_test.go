package apis

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// stock fills a topic with batches until it has n bytes, and returns what was sent.
func (c *client) stock(t topic, n int) []byte {
	c.Helper()
	var sent []byte
	for i := 0; len(sent) < n; i++ {
		b := sized(100_000)
		for j := range b.values[0] {
			b.values[0][j] = byte(i + j*j)
		}
		raw := b.bytes()
		code(c, c.produceAt(9, produceRequest(t, 0, raw)).ErrorCode, nil)
		sent = append(sent, raw...)
	}
	return sent
}

func TestFetchLeavesBySendfile(t *testing.T) {
	b, c := launch(t, nil)
	made := c.create(1)
	sent := c.stock(made, 1<<20)
	ask := fetchRequest(made, wanted(0, 0))
	ask.Topics[0].Partitions[0].PartitionMaxBytes = 64 << 20
	for _, v := range []int16{4, 11, 12, 18} {
		before := metric(t, b, "millrace_sendfile_bytes_total")
		got := split(t, c.fetchOne(v, ask).RecordBatches)
		equal(t, "batches", len(got), len(sent)/len(got[0].raw))
		rest := sent
		for _, g := range got {
			// Base offset and leader epoch are the broker's, everything else is as it was sent.
			if n := len(g.raw); !bytes.Equal(g.raw[atMagic:], rest[atMagic:n]) {
				t.Fatalf("v%d: the batch at offset %d is not what was sent", v, g.FirstOffset)
			}
			rest = rest[len(g.raw):]
		}
		if moved := metric(t, b, "millrace_sendfile_bytes_total") - before; moved != float64(len(sent)) {
			t.Errorf("v%d: %.0f of %d bytes left by sendfile", v, moved, len(sent))
		}
	}
	// A small one is copied: one write is cheaper.
	calls := metric(t, b, "millrace_sendfile_calls_total")
	small := c.create(1)
	c.put(small, values("small"))
	equal(t, "batches", len(split(t, c.fetchOne(12, fetchRequest(small, wanted(0, 0))).RecordBatches)), 1)
	equal(t, "sendfile calls for a small fetch", metric(t, b, "millrace_sendfile_calls_total"), calls)
}

// The kernel's view of the same, with the offset given in the call.
func TestStraceSeesSendfile(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Log("strace is not installed: TestFetchLeavesBySendfile stands alone")
		return
	}
	b, c := launch(t, nil)
	made := c.create(1)
	sent := c.stock(made, 1<<20)
	cmd := exec.Command(strace, "-f", "-e", "trace=sendfile,sendfile64", "-p", fmt.Sprint(b.PID()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(first, "attached") {
		cmd.Wait()
		t.Logf("strace may not attach here (%q, %v): TestFetchLeavesBySendfile stands alone", first, err)
		return
	}
	equal(t, "batches", len(split(t, c.fetchOne(12, fetchRequest(made, wanted(0, 0))).RecordBatches)) > 0, true)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // ends by the signal
	moved := 0
	for _, m := range regexp.MustCompile(`\[(\d+)\] => \[(\d+)\]`).FindAllStringSubmatch(string(rest), -1) {
		var from, to int
		fmt.Sscan(m[1], &from)
		fmt.Sscan(m[2], &to)
		moved += to - from
	}
	if want := len(sent) * 9 / 10; moved < want { // the fetch has 1 MiB at most, in whole batches
		t.Errorf("%d bytes left by sendfile with an offset, want at least %d:\n%s", moved, want, rest)
	}
}
