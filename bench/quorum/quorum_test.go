package quorum

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/wire"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// read takes a frame apart: length, header, record.
func read(t *testing.T, parts [][]byte, record jute.Record) jute.RequestHeader {
	t.Helper()
	b := bytes.Join(parts, nil)
	if n := binary.BigEndian.Uint32(b); int(n) != len(b)-4 {
		t.Fatalf("a frame of %d bytes says %d", len(b)-4, n)
	}
	r := jute.NewReader(b[4:])
	var h jute.RequestHeader
	if err := h.Decode(r); err != nil {
		t.Fatal(err)
	}
	if err := record.Decode(r); err != nil || r.Len() != 0 {
		t.Fatalf("%v, %d bytes left", err, r.Len())
	}
	return h
}

func TestCreatesHaveNamesOfTheirOwn(t *testing.T) {
	f := newFrames(scenario{op: opCreate, valueBytes: 100, conns: 2}, 7, 20)
	seen := map[string]bool{}
	for conn := range 2 {
		for seq := int64(1); seq <= 20; seq++ {
			var c jute.CreateRequest
			if h := read(t, f.frame(conn, seq), &c); h.Op != jute.OpCreate || len(c.Data) != 100 {
				t.Fatalf("%v of %d bytes", h.Op, len(c.Data))
			}
			if jute.CheckPath(c.Path, false) != nil || !strings.HasPrefix(c.Path, nodeOf(conn)+"/n7-") || seen[c.Path] {
				t.Fatalf("path %q", c.Path)
			}
			seen[c.Path] = true
		}
		if f.frame(conn, 21) != nil {
			t.Error("more requests than the limit")
		}
	}
}

func TestFixedRequestsAreWhatTheySay(t *testing.T) {
	f := newFrames(scenario{op: opSet, valueBytes: 1024, conns: 3}, 1, 0)
	var s jute.SetDataRequest
	if h := read(t, f.frame(2, 5), &s); h.Op != jute.OpSetData || s.Path != nodeOf(2) || len(s.Data) != 1024 || s.Version != -1 {
		t.Errorf("%v %+v", h, s)
	}
	var g jute.GetDataRequest
	if h := read(t, newFrames(scenario{op: opGet, conns: 1}, 1, 0).frame(0, 1), &g); h.Op != jute.OpGetData || g.Path != nodeOf(0) || g.Watch {
		t.Errorf("%v %+v", h, g)
	}
	var c jute.ConnectRequest
	if err := c.Decode(jute.NewReader(f.frame(0, 0)[0][4:])); err != nil || c.TimeoutMs != sessionTimeoutMs || c.SessionID != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestRefusalsEndTheRun(t *testing.T) {
	head := make([]byte, headBytes)
	for name, c := range map[string]struct {
		seq  int64
		head []byte
		bad  bool
	}{
		"session refused": {0, head, true},
		"session":         {0, binary.BigEndian.AppendUint64(make([]byte, 4, 16), 30_000<<32)[:12:12], true}, // too short
		"opened":          {0, append(binary.BigEndian.AppendUint32(make([]byte, 4), 30_000), make([]byte, 8)...), false},
		"ok":              {3, head, false},
		"no node":         {3, append(make([]byte, 12), 0xff, 0xff, 0xff, 0x9b), true},
	} {
		var fail wire.Failure
		check(&fail)(1, c.seq, 20, c.head)
		if got := fail.Err() != nil; got != c.bad {
			t.Errorf("%s: %v", name, fail.Err())
		}
		if name == "no node" && !errors.Is(fail.Err(), jute.NoNode) {
			t.Errorf("%v is not NoNode", fail.Err())
		}
	}
}

func TestHeapOfAJVM(t *testing.T) {
	const g1 = `12345:
 garbage-first heap   total 262144K, used 34816K [0x00000000f0000000, 0x0000000100000000)
  region size 1024K, 12 young (12288K), 3 survivors (3072K)
 Metaspace       used 17000K, committed 17408K, reserved 1114112K
  class space    used 1800K, committed 1984K, reserved 1048576K`
	const serial = `def new generation   total 9792K, used 100K [0x1, 0x2, 0x3)
  eden space 8704K,   0% used [0x1, 0x2, 0x3)
 tenured generation   total 21888K, used 1900K [0x1, 0x2, 0x3)
   the space 21888K,   8% used [0x1, 0x2, 0x3, 0x4)
 Metaspace       used 5000K, committed 5120K, reserved 1114112K`
	for want, text := range map[int64]string{34816 << 10: g1, 2000 << 10: serial} {
		if got, err := heapInfo(text); got != want || err != nil {
			t.Errorf("%d, %v; want %d", got, err, want)
		}
	}
	if _, err := heapInfo("no such thing"); err == nil {
		t.Error("no error where nothing is told")
	}
}

func TestScenariosByName(t *testing.T) {
	all, err := selected(nil)
	if err != nil || len(all) == 0 || len(all) == len(matrix()) {
		t.Errorf("%d of %d without names, %v: long ones only run when they are named", len(all), len(matrix()), err)
	}
	two, err := selected([]string{"failover", "set 1KiB 64"})
	if err != nil || len(two) != 2 || two[0].name != "set 1KiB 64" {
		t.Errorf("%v, %v", two, err)
	}
	if _, err := selected([]string{"no"}); err == nil {
		t.Error("an unknown name passes")
	}
}

func TestCostsOfAllServersCount(t *testing.T) {
	got := total([]*result.Cost{{CPUSeconds: 1, Cores: 0.5, RSSAnonBytes: 10}, {CPUSeconds: 2, Cores: 1, RSSAnonBytes: 20}}, 1_000_000)
	if got.CPUSeconds != 3 || got.Cores != 1.5 || got.RSSAnonBytes != 30 || got.CPUPerRequestUs != 3 {
		t.Errorf("%+v", got)
	}
	if total(nil, 5) != nil {
		t.Error("a cost of no server")
	}
}

// answering is a server that answers every request with OK and opens every session.
func answering(t *testing.T) (address string, creates func() int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	var mu sync.Mutex
	made := 0
	serve := func(c net.Conn) {
		defer c.Close()
		for first := true; ; first = false {
			b, err := jute.ReadFrame(c, nil, 1<<20)
			if err != nil {
				return
			}
			out := jute.BeginFrame(nil)
			if first {
				out = (&jute.ConnectResponse{TimeoutMs: 30_000, SessionID: 1, Password: make([]byte, 16), HasReadOnly: true}).AppendTo(out)
			} else {
				var h jute.RequestHeader
				if h.Decode(jute.NewReader(b)) != nil {
					return
				}
				out = (&jute.ReplyHeader{Xid: h.Xid, Zxid: 1}).AppendTo(out)
				switch h.Op {
				case jute.OpCreate:
					mu.Lock()
					made++
					mu.Unlock()
				case jute.OpGetChildren:
					out = (&jute.StringsResponse{}).AppendTo(out)
				}
			}
			jute.EndFrame(out, 0)
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); open.Wait() })
	return l.Addr().String(), func() int { mu.Lock(); defer mu.Unlock(); return made }
}

func TestTwoSidesInTurns(t *testing.T) {
	a, creates := answering(t)
	b, _ := answering(t)
	cmd := Command("quorum")
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{"--a", a, "--b", b, "--pairs", "3", "--discard", "1", "--warmup", "10ms", "--duration", "200ms", "--quiet", "create 100B 64", "get 100B 64"})
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	if err := cmd.ExecuteContext(ctx); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"create 100B 64", "get 100B 64", "requests/s", "B/A"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "warm up") {
		t.Errorf("what does not count is in\n%s", out.String())
	}
	if creates() == 0 {
		t.Errorf("%d creates arrived", creates())
	}
}

func TestWrongFlagsAreToldOf(t *testing.T) {
	for _, args := range [][]string{
		{"--a", "x:1", "--a-command", "y"}, {"--servers", "0"}, {"--discard", "-1"}, {"--b-name", "x"}, {"--a", "x:1", "--a-pid", "1,2"}, {"--a", "x:1", "--a-pid", "no"}, {"nothing of this name"},
	} {
		cmd := Command("quorum")
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		cmd.SetArgs(append(args, "--quiet"))
		if err := cmd.Execute(); err == nil {
			t.Errorf("%v passes", args)
		}
	}
}
