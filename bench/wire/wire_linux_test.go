package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/internal/testkit"
)

// serve runs handler for each connection of a listener until the test ends.
func serve(t *testing.T, handler func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer c.Close()
				handler(c)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// request reads one frame; nil at the end.
func request(c net.Conn) []byte {
	var prefix [4]byte
	if _, err := io.ReadFull(c, prefix[:]); err != nil {
		return nil
	}
	b := make([]byte, binary.BigEndian.Uint32(prefix[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return nil
	}
	return b
}

func frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// echo answers with what came.
func echo(c net.Conn) {
	for {
		b := request(c)
		if b == nil {
			return
		}
		if _, err := c.Write(frame(b)); err != nil {
			return
		}
	}
}

// body is request seq of a connection: number, then bytes that follow from it.
func body(conn int, seq int64, size int) []byte {
	b := make([]byte, max(size, 16))
	binary.BigEndian.PutUint64(b, uint64(conn))
	binary.BigEndian.PutUint64(b[8:], uint64(seq))
	for i := 16; i < len(b); i++ {
		b[i] = byte(i*7 + int(seq))
	}
	return b
}

// TestRepliesInOrder sends frames of all sizes, in several parts, and compares each reply,
// or its head, with what was sent.
func TestRepliesInOrder(t *testing.T) {
	address := serve(t, echo)
	for _, keep := range []string{"keep", "head", "want"} {
		t.Run(keep, func(t *testing.T) {
			rng := testkit.Rand(t)
			const conns, requests, headBytes = 5, 100, 40
			sizes := make([][]int, conns)
			for i := range sizes {
				for range requests {
					sizes[i] = append(sizes[i], 16+int(math.Exp(rng.Float64()*math.Log(1<<20))))
				}
			}
			wanted := func(seq int64) bool { return keep == "keep" || (keep == "want" && seq%3 == 0) }
			var failure Failure
			next := make([]int64, conns)
			l := Load{
				Address: address, Connections: conns, Depth: 5, Threads: 2, HeadBytes: headBytes,
				Keep: keep == "keep", Failure: &failure, Duration: time.Minute,
				Frame: func(conn int, seq int64) [][]byte {
					if seq == requests {
						return nil
					}
					f := frame(body(conn, seq, sizes[conn][seq]))
					return [][]byte{f[:3], f[3:15], {}, f[15:]}
				},
				OnReply: func(conn int, seq int64, size int, head []byte) {
					want := body(conn, seq, sizes[conn][seq])
					if seq != next[conn] || size != len(want) {
						failure.Fail(errors.New("reply out of order or of another size"))
					}
					next[conn]++
					if !wanted(seq) {
						want = want[:min(len(want), headBytes)]
					}
					if !bytes.Equal(head, want) {
						failure.Fail(errors.New("other bytes came back"))
					}
				},
			}
			if keep == "want" {
				l.Want = func(_ int, seq int64, _ int, _ []byte) bool { return wanted(seq) }
			}
			st, err := Run(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			total := int64(0)
			for i := range sizes {
				for _, s := range sizes[i] {
					total += int64(4 + max(s, 16))
				}
			}
			if st.Requests != conns*requests || st.SentBytes != total || st.ReceivedBytes != total {
				t.Errorf("%d requests, %d bytes sent, %d received; want %d, %d, %d", st.Requests, st.SentBytes, st.ReceivedBytes,
					conns*requests, total, total)
			}
			if st.Uncorrected.Count() != st.Requests || st.Latency.Count() != 0 {
				t.Errorf("%d and %d latencies of %d requests", st.Uncorrected.Count(), st.Latency.Count(), st.Requests)
			}
		})
	}
}

// TestDepthIsKept lets the server hold back replies until it has seen a full window.
func TestDepthIsKept(t *testing.T) {
	const depth = 4
	var most, least atomic.Int64
	least.Store(math.MaxInt64)
	address := serve(t, func(c net.Conn) {
		for {
			for range depth {
				if request(c) == nil {
					return
				}
			}
			// A request more would be one too many.
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
			if n, _ := c.Read(make([]byte, 1)); n > 0 {
				most.Add(1)
				return
			}
			_ = c.SetReadDeadline(time.Time{})
			least.Add(-1)
			for range depth {
				if _, err := c.Write(frame([]byte("x"))); err != nil {
					return
				}
			}
		}
	})
	st, err := Run(t.Context(), Load{Address: address, Connections: 2, Depth: depth, Frame: asks(16, 16), MaxRequests: 8 * depth})
	if err != nil || st.Requests != 8*depth {
		t.Fatalf("%d requests, %v", st.Requests, err)
	}
	if most.Load() != 0 {
		t.Error("more than Depth requests were sent without a reply")
	}
}

func TestWarmupLeavesNothing(t *testing.T) {
	address := serve(t, echo)
	steady, ended, points := 0, 0, []result.Point(nil)
	st, err := Run(t.Context(), Load{
		Address: address, Connections: 3, Depth: 2, Frame: asks(20, 20), Warmup: 30 * time.Millisecond, MaxRequests: 100,
		Interval: 10 * time.Millisecond, OnSteady: func() { steady++ }, OnEnd: func() { ended++ },
		OnInterval: func(p result.Point) { points = append(points, p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if st.Requests != 100 || st.Uncorrected.Count() != 100 || steady != 1 || ended != 1 {
		t.Errorf("%d requests, %d latencies, OnSteady %d, OnEnd %d; want 100, 100, 1, 1", st.Requests, st.Uncorrected.Count(), steady, ended)
	}
	if len(points) == 0 || !points[0].Warmup || points[len(points)-1].Warmup {
		t.Errorf("points %+v: want some of the warm-up first, then some of the steady phase", points)
	}
	if st.BusyShare < 0 || st.BusyShare > 1 || st.SyscallsPerRequest <= 0 {
		t.Errorf("busy %v, %v calls a request", st.BusyShare, st.SyscallsPerRequest)
	}
}

// What has to happen before the figures count: the warm-up waits for it, as long as it may.
func TestWarmupWaits(t *testing.T) {
	const wanted = 500 // requests: at one in flight they take longer than the warm-up's time
	address := serve(t, echo)
	run := func(wanted int64, limit time.Duration) (st Stats, before int64) {
		t.Helper()
		warmed, answers := make(chan struct{}), int64(0)
		var seen atomic.Int64
		st, err := Run(t.Context(), Load{
			Address: address, Connections: 1, Frame: asks(20, 20), Warmup: time.Microsecond, MaxRequests: 10,
			Warmed: warmed, WarmupLimit: limit, OnSteady: func() { before = seen.Load() },
			OnReply: func(int, int64, int, []byte) {
				if answers++; answers == wanted {
					close(warmed)
				}
				seen.Store(answers)
			},
		})
		if err != nil || st.Requests != 10 {
			t.Fatalf("%d requests, want 10; %v", st.Requests, err)
		}
		return st, before
	}
	if st, before := run(wanted, testkit.Patience); before < wanted-1 || st.WarmupCut || st.WarmupS <= 0 {
		t.Errorf("%d answers before the steady phase, want %d; %+v", before, wanted, st)
	}
	if st, _ := run(0, 20*time.Millisecond); !st.WarmupCut || st.WarmupS < 0.02 {
		t.Errorf("a warm-up that waits in vain: cut %v after %v s", st.WarmupCut, st.WarmupS)
	}
}

// TestOpenLoopCountsAStall: a server that stands still delays requests that are not sent
// yet, and they count from when they were due.
func TestOpenLoopCountsAStall(t *testing.T) {
	const stall = 60 * time.Millisecond
	address := serve(t, func(c net.Conn) {
		for n := 0; ; n++ {
			b := request(c)
			if b == nil {
				return
			}
			if n == 20 {
				until := time.NewTimer(stall)
				<-until.C
			}
			if _, err := c.Write(frame(b)); err != nil {
				return
			}
		}
	})
	st, err := Run(t.Context(), Load{Address: address, Connections: 1, Frame: asks(16, 16), Rate: 2000, MaxRequests: 200})
	if err != nil {
		t.Fatal(err)
	}
	if st.Latency.Count() != 200 || st.Lateness.Count() != 200 || st.Uncorrected.Count() != 200 {
		t.Fatalf("%d, %d, %d latencies; want 200 each", st.Latency.Count(), st.Lateness.Count(), st.Uncorrected.Count())
	}
	// 120 requests were due in the stall, one was on its way.
	if st.Latency.Percentile(75) < stall/4 {
		t.Errorf("corrected p75 %v: the stall of %v is not in it", st.Latency.Percentile(75), stall)
	}
	if st.Uncorrected.Max() < stall*9/10 {
		t.Errorf("uncorrected max %v: the stall of %v is not in it", st.Uncorrected.Max(), stall)
	}
}

func TestNoReply(t *testing.T) {
	var got atomic.Int64
	address := serve(t, func(c net.Conn) {
		n, _ := io.Copy(io.Discard, c)
		got.Add(n)
	})
	st, err := Run(t.Context(), Load{Address: address, Connections: 2, Frame: asks(70_000, 0), NoReply: true, MaxRequests: 500})
	if err != nil {
		t.Fatal(err)
	}
	if st.Requests != 500 || st.SentBytes != 500*70_004 {
		t.Fatalf("%d requests, %d bytes; want 500, %d", st.Requests, st.SentBytes, 500*70_004)
	}
	testkit.WaitFor(t, "all bytes", func() bool { return got.Load() == 500*70_004 })
}

func TestLater(t *testing.T) {
	address := serve(t, echo)
	var replies, asked int64
	_, err := Run(t.Context(), Load{
		Address: address, Connections: 1, Depth: 10,
		Frame: func(_ int, seq int64) [][]byte {
			switch {
			case seq == 50:
				return nil
			case seq > replies: // only after the reply to the one before
				return Later()
			}
			asked++
			return [][]byte{frame(body(0, seq, 30))}
		},
		OnReply: func(int, int64, int, []byte) { replies++ },
	})
	if err != nil || asked != 50 || replies != 50 {
		t.Fatalf("%d requests, %d replies, %v", asked, replies, err)
	}
}

func TestBrokenPeers(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(net.Conn, <-chan struct{})
		want    func(error) bool
	}{
		"closes at once":  {func(net.Conn, <-chan struct{}) {}, func(err error) bool { return errors.Is(err, ErrClosed) }},
		"closes in reply": {func(c net.Conn, stop <-chan struct{}) { request(c); _, _ = c.Write([]byte{0, 0, 0, 9, 1}) }, func(err error) bool { return errors.Is(err, ErrClosed) }},
		"closes after a reply": {func(c net.Conn, stop <-chan struct{}) { b := request(c); _, _ = c.Write(frame(b)) },
			func(err error) bool { return errors.Is(err, ErrClosed) }},
		"huge size": {func(c net.Conn, stop <-chan struct{}) {
			request(c)
			_, _ = c.Write([]byte{0x7f, 0, 0, 0})
			request(c)
			request(c)
		}, isSize},
		"negative size": {func(c net.Conn, stop <-chan struct{}) {
			request(c)
			_, _ = c.Write([]byte{0xff, 0xff, 0xff, 0xff})
			request(c)
			request(c)
		}, isSize},
		"text": {func(c net.Conn, stop <-chan struct{}) {
			request(c)
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			request(c)
			request(c)
		}, isSize},
		"silent": {func(c net.Conn, stop <-chan struct{}) { _, _ = io.Copy(io.Discard, c) }, func(err error) bool {
			var e *SilenceError
			return errors.As(err, &e)
		}},
		"reads nothing": {func(_ net.Conn, stop <-chan struct{}) { <-stop }, func(err error) bool {
			var e *SilenceError
			return errors.As(err, &e)
		}},
		"drips": {func(c net.Conn, stop <-chan struct{}) {
			request(c)
			_, _ = c.Write([]byte{0, 0, 0, 100})
			for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
				if _, err := c.Write([]byte{1}); err != nil {
					tick.Stop()
					return
				}
			}
		}, func(err error) bool { return err != nil }},
		"answers unasked": {func(c net.Conn, stop <-chan struct{}) {
			request(c)
			_, _ = c.Write(bytes.Repeat(frame([]byte("surprise")), 3))
			<-stop
		}, func(err error) bool {
			var e *UnaskedError
			return errors.As(err, &e)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			stop := make(chan struct{})
			address := serve(t, func(conn net.Conn) { c.handler(conn, stop) })
			defer close(stop)
			timeout := time.Minute
			if name == "silent" || name == "reads nothing" || name == "drips" {
				timeout = 50 * time.Millisecond
			}
			for _, keep := range []bool{true, false} {
				st, err := Run(t.Context(), Load{
					Address: address, Connections: 1, Depth: 1, Frame: asks(3<<20, 16), HeadBytes: 8, Keep: keep,
					ReplyTimeout: timeout, MaxReplyBytes: 8 << 20,
				})
				if !c.want(err) {
					t.Errorf("keep %v: %v", keep, err)
				}
				var ce *ConnError
				if !errors.As(err, &ce) || ce.Address != address || st.Latency == nil {
					t.Errorf("keep %v: %v does not name the connection", keep, err)
				}
			}
		})
	}
}

func isSize(err error) bool {
	var e *SizeError
	return errors.As(err, &e)
}

func TestEndsOfARun(t *testing.T) {
	address := serve(t, echo)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	var n atomic.Int64
	st, err := Run(ctx, Load{
		Address: address, Connections: 2, Frame: asks(16, 16),
		OnReply: func(int, int64, int, []byte) {
			if n.Add(1) == 50 {
				cancel(why)
			}
		},
	})
	if !errors.Is(err, why) || st.SteadyS <= 0 || st.Requests > n.Load() {
		t.Errorf("cancelled: %d requests, %v", st.Requests, err)
	}
	var failure Failure
	_, err = Run(t.Context(), Load{
		Address: address, Connections: 2, Frame: asks(16, 16), Failure: &failure,
		OnReply: func(int, int64, int, []byte) { failure.Fail(why) },
	})
	if !errors.Is(err, why) {
		t.Errorf("failed: %v", err)
	}
	st, err = Run(t.Context(), Load{Address: address, Connections: 2, Frame: asks(16, 16), Duration: time.Second})
	if err != nil || st.SteadyS < 1 || st.Requests == 0 {
		t.Errorf("duration: %v s, %d requests, %v", st.SteadyS, st.Requests, err)
	}
}

func TestRefusals(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	var ce *ConnError
	if _, err := Run(t.Context(), Load{Address: closed, Connections: 1, Frame: asks(16, 16)}); !errors.As(err, &ce) {
		t.Errorf("nobody listens: %v", err)
	}
	address := serve(t, echo)
	var cong *CongestionError
	_, err = Run(t.Context(), Load{Address: address, Connections: 1, Frame: asks(16, 16), Congestion: "no-such"})
	if !errors.As(err, &cong) {
		t.Errorf("congestion control: %v", err)
	}
	known, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
	if name := strings.Fields(string(known)); len(name) > 0 {
		if _, err := Run(t.Context(), Load{Address: address, Connections: 1, Frame: asks(16, 16), Congestion: name[0], MaxRequests: 1}); err != nil {
			t.Errorf("congestion control %s: %v", name[0], err)
		}
	}
	for _, l := range []Load{
		{}, {Address: address, Connections: 1}, {Address: address, Frame: asks(16, 16)},
		{Address: address, Connections: 1, Frame: asks(16, 16), Rate: -1},
		{Address: address, Connections: 1, Frame: asks(16, 16), HeadBytes: 1 << 20},
	} {
		var le *LoadError
		if _, err := Run(t.Context(), l); !errors.As(err, &le) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// TestTakesNoMemory: what a run allocates does not grow with its requests. The server is
// another process.
func TestTakesNoMemory(t *testing.T) {
	address := startEcho(t)
	var before, after runtime.MemStats
	// Small frames that are copied, and large ones that the kernel takes in parts.
	small, large := asks(100, 50), asks(300_000, 100_000)
	st, err := Run(t.Context(), Load{
		Address: address, Connections: 3, Depth: 4, HeadBytes: 20, Warmup: 50 * time.Millisecond, MaxRequests: 5000,
		Interval: time.Hour,
		Frame: func(conn int, seq int64) [][]byte {
			if seq%50 == 0 {
				return large(conn, seq)
			}
			return small(conn, seq)
		},
		OnSteady: func() { runtime.ReadMemStats(&before) },
		OnEnd:    func() { runtime.ReadMemStats(&after) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := after.Mallocs - before.Mallocs; n > uint64(st.Requests)/20 {
		t.Errorf("%d allocations in %d requests", n, st.Requests)
	}
}
