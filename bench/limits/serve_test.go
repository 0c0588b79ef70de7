//go:build linux

package limits

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
)

// start starts a server of s in a process of its own and returns a connection to it.
func start(t *testing.T, s Spec, segmentBytes int64) (*child, net.Conn, job) {
	t.Helper()
	j := job{Spec: s, Dir: t.TempDir(), SegmentBytes: segmentBytes, RunNs: int64(20 * time.Millisecond)}
	switch s.Kind {
	case Sendfile, Writev, Reply:
		j.File, j.FileBytes = filepath.Join(j.Dir, "file"), 1<<20
		if err := os.WriteFile(j.File, newBatch(int(j.FileBytes), testkit.Seed(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, ready, err := startChild(t.Context(), []string{os.Args[0], serverCommand}, j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(); err != nil && !t.Failed() && !isServer(err) {
			t.Error(err)
		}
	})
	if !networked(s.Kind) {
		return c, nil, j
	}
	conn, err := net.Dial("tcp", ready.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testkit.Patience)); err != nil {
		t.Fatal(err)
	}
	return c, conn, j
}

// send writes n requests of s in pieces of odd sizes, so that they are torn.
func send(conn net.Conn, s Spec, n int) error {
	request := slices.Concat(s.request(s.body())...)
	stream := bytes.Repeat(request, n)
	for size := 1; len(stream) > 0; size = size*3 + 7 {
		piece := min(size, len(stream))
		if _, err := conn.Write(stream[:piece]); err != nil {
			return err
		}
		stream = stream[piece:]
	}
	return nil
}

func readReply(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, 4+binary.BigEndian.Uint32(size[:]))
	copy(b, size[:])
	_, err := io.ReadFull(r, b[4:])
	return b, err
}

// everyWay calls test for each way of each kind that has clients.
func everyWay(t *testing.T, kinds []string, sizes []int, test func(t *testing.T, s Spec)) {
	for _, kind := range kinds {
		for _, size := range sizes {
			ways := map[string]bool{}
			for _, connections := range []int{1, 100} {
				for _, w := range Ways(Spec{Kind: kind, SizeBytes: size, Connections: connections}) {
					ways[w] = true
				}
			}
			for way := range ways {
				s := Spec{Kind: kind, SizeBytes: size, Connections: 1, Depth: 1, Way: way}
				t.Run(strings.ReplaceAll(kind+" "+SizeName(size)+" "+way, " ", "_"), func(t *testing.T) {
					t.Parallel()
					test(t, s)
				})
			}
		}
	}
}

func TestAppendedBatchesAreInTheFileInOrder(t *testing.T) {
	const requests = 60
	everyWay(t, []string{Append, AppendOneWay, GroupCommit}, []int{200, 5000, 70000}, func(t *testing.T, s Spec) {
		c, conn, j := start(t, s, 8<<20)
		sent := make(chan error, 1)
		go func() { sent <- send(conn, s, requests) }()
		if s.Kind != AppendOneWay {
			r := bufio.NewReader(conn)
			for i := range requests {
				if reply, err := readReply(r); err != nil || len(reply) != s.replyBytes() {
					t.Fatalf("reply %d has %d bytes (%v), want %d", i, len(reply), err, s.replyBytes())
				}
			}
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		testkit.WaitFor(t, "all requests to be served", func() bool {
			m, err := c.mark(t.Context())
			return err == nil && m.Units == requests && m.CPUNs > 0
		})
		file, err := os.ReadFile(filepath.Join(j.Dir, "00000000000000000001.log"))
		if err != nil {
			t.Fatal(err)
		}
		want := s.body()
		for i := range requests {
			binary.BigEndian.PutUint64(want, uint64(i))
			if got := file[i*len(want):][:len(want)]; !bytes.Equal(got, want) {
				t.Fatalf("batch %d of the file is not what was sent", i)
			}
		}
		if rest := file[requests*len(want):]; !bytes.Equal(rest, make([]byte, len(rest))) {
			t.Error("the file has something after the last batch")
		}
	})
}

func TestFullSegmentsAreRemoved(t *testing.T) {
	everyWay(t, []string{Append, GroupCommit}, []int{20000}, func(t *testing.T, s Spec) {
		c, conn, j := start(t, s, 128<<10) // six batches
		for i := range 40 {
			if err := send(conn, s, 1); err != nil {
				t.Fatal(err)
			}
			if _, err := readReply(conn); err != nil {
				t.Fatalf("reply %d: %v", i, err)
			}
		}
		testkit.WaitFor(t, "full segments to be removed", func() bool {
			_, err := c.mark(t.Context())
			files, _ := filepath.Glob(filepath.Join(j.Dir, "*.log"))
			return err == nil && len(files) == 1 && strings.HasSuffix(files[0], "00007.log")
		})
	})
}

func TestEchoAnswersTheSame(t *testing.T) {
	everyWay(t, []string{Echo}, []int{100, 3000, 40000}, func(t *testing.T, s Spec) {
		_, conn, _ := start(t, s, 0)
		want := slices.Concat(s.request(nil)...)
		go func() { _ = send(conn, s, 50) }()
		for i := range 50 {
			if got, err := readReply(conn); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("reply %d differs from the request (%v)", i, err)
			}
		}
	})
}

func TestFetchesWalkTheFile(t *testing.T) {
	everyWay(t, []string{Sendfile, Writev, Reply}, []int{1000, 16 << 10, 300 << 10}, func(t *testing.T, s Spec) {
		_, conn, j := start(t, s, 0)
		file, err := os.ReadFile(j.File)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = send(conn, s, 30) }()
		at := 0
		for i := range 30 {
			if at+s.SizeBytes > len(file) {
				at = 0
			}
			got, err := readReply(conn)
			if err != nil || len(got) != s.replyBytes() {
				t.Fatalf("reply %d has %d bytes (%v), want %d", i, len(got), err, s.replyBytes())
			}
			if !bytes.Equal(got[fetchHeaderBytes:], file[at:at+s.SizeBytes]) {
				t.Fatalf("reply %d is not the file from %d on", i, at)
			}
			at += s.SizeBytes
		}
	})
}

func TestWrongCRCIsRefused(t *testing.T) {
	s := Spec{Kind: Append, SizeBytes: 500, Connections: 1, Depth: 1, Way: "mmap epoll"}
	c, conn, _ := start(t, s, 1<<20)
	request := slices.Concat(s.request(s.body())...)
	request[len(request)-1] ^= 1
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	if b, err := readReply(conn); err == nil {
		t.Fatalf("a broken batch is answered with %d bytes", len(b))
	}
	var failed *ServerError
	if err := c.stop(); !errors.As(err, &failed) || !strings.Contains(failed.Text, "CRC") {
		t.Fatalf("the server says %v, want a word on the CRC", err)
	}
}

func TestUnknownCongestionControlIsTold(t *testing.T) {
	s := Spec{Kind: Echo, SizeBytes: 100, Connections: 1, Depth: 1, Way: onEpoll, Congestion: "nosuch"}
	_, _, err := startChild(t.Context(), []string{os.Args[0], serverCommand}, job{Spec: s, Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), `"nosuch"`) {
		t.Fatalf("error is %v, want one that names the congestion control", err)
	}
}

func TestServerThatIsNoneIsTold(t *testing.T) {
	_, _, err := startChild(t.Context(), []string{"/bin/true"}, job{Spec: Spec{Kind: Echo, SizeBytes: 100}})
	if err == nil {
		t.Fatal("no error for a command that ends at once")
	}
}

func TestDiskKindsRun(t *testing.T) {
	dir := t.TempDir()
	b := &Bench{o: Options{SampleTime: 10 * time.Millisecond, Server: []string{os.Args[0], serverCommand}}.withDefaults(), dir: dir, memory: &Memory{}}
	for _, s := range []Spec{
		{Kind: Fdatasync, SizeBytes: 4096, Way: wayExtending}, {Kind: Fdatasync, SizeBytes: 4096, Way: wayFallocated},
		{Kind: FdatasyncLoaded, SizeBytes: 4096, Way: wayFallocated},
	} {
		sample, err := b.Sample(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if sample.Units < 1 || sample.Latency.Count() != sample.Units || sample.Seconds < 0.01 {
			t.Errorf("%s: sample is %+v", s.Name(), sample)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%d entries are left in the folder", len(left))
	}
}

func TestInterruptedSampleEndsTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := &Bench{o: Options{SampleTime: time.Hour, Server: []string{os.Args[0], serverCommand}}.withDefaults(), dir: t.TempDir(), memory: &Memory{}}
	c, _, err := startChild(ctx, b.o.Server, job{Spec: Spec{Kind: Fdatasync, SizeBytes: 4096, Way: wayExtending}, Dir: b.dir, RunNs: int64(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := b.await(ctx, c, Spec{Kind: Fdatasync}); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = c.stop() }()
	select {
	case <-done:
	case <-time.After(testkit.Patience):
		t.Error("the server still runs")
		_ = c.cmd.Process.Kill()
		<-done
	}
}
