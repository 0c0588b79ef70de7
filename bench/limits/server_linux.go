package limits

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// heapLimitBytes is from where on the server collects garbage after all.
const heapLimitBytes = 512 << 20

// serve does j until lines end.
func serve(j job, lines *bufio.Scanner, out *reporter) error {
	// No garbage is made while measuring, and a collection would wait for threads that sit in
	// raw system calls.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(heapLimitBytes)
	if !networked(j.Kind) {
		return serveLocal(j, lines, out)
	}
	s, err := newServer(j, out)
	if err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	out.send(report{Address: s.address})
	for lines.Scan() {
		out.send(report{Mark: s.mark()})
	}
	return nil
}

// serveLocal does j, which has no clients: it prepares, waits for a line, runs, reports.
func serveLocal(j job, lines *bufio.Scanner, out *reporter) error {
	run, err := prepareDisk(j)
	if err != nil {
		return err
	}
	out.send(report{Ready: true})
	if !lines.Scan() {
		return nil
	}
	go func() {
		before, began := processCPU(), time.Now()
		latencies, err := run(began.Add(time.Duration(j.RunNs)))
		if err != nil {
			out.failed(err)
			return
		}
		out.send(report{Outcome: &outcome{
			CPUNs: processCPU() - before, WallNs: int64(time.Since(began)), Units: int64(len(latencies)), LatencyNs: latencies,
		}})
	}()
	// The process ends with its input, whether the run has ended or not.
	for lines.Scan() {
	}
	return nil
}

// processCPU returns the CPU time of this process in nanoseconds: the scheduler's count,
// exact, where times(2) has ticks.
func processCPU() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}

// server is one server process's state: a listener, a handler of requests, and a loop that
// moves bytes.
type server struct {
	j        job
	out      *reporter
	listener *net.TCPListener
	address  string
	handler  handler
	ring     *timing
	units    atomic.Int64
}

// handler does the work of one kind.
type handler interface {
	// serve handles a request, its length included, and puts the reply into c.
	serve(c *conn, request []byte) error
	// round is called when all sockets that were ready have been read.
	round() error
}

func newServer(j job, out *reporter) (*server, error) {
	s := &server{j: j, out: out, ring: &timing{}}
	var err error
	if s.handler, err = s.newHandler(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.listener = l.(*net.TCPListener)
	s.address = l.Addr().String()
	if j.Congestion == "" {
		return s, nil
	}
	rc, err := s.listener.SyscallConn()
	if err != nil {
		return nil, err
	}
	var set error
	if err := rc.Control(func(fd uintptr) {
		set = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, j.Congestion)
	}); err != nil {
		return nil, err
	}
	if set != nil {
		return nil, fmt.Errorf("congestion control %q: %w (see net.ipv4.tcp_allowed_congestion_control)", j.Congestion, set)
	}
	return s, nil
}

func (s *server) newHandler() (handler, error) {
	j := s.j
	sealed := func(path string) { s.out.send(report{Sealed: path}) }
	switch j.Kind {
	case Append, AppendOneWay:
		seg := &segment{dir: j.Dir, sizeBytes: j.SegmentBytes, mapped: strings.HasPrefix(j.Way, byMmap), sealed: sealed, timing: s.ring}
		if err := seg.roll(); err != nil {
			return nil, err
		}
		h := &appender{seg: seg, table: castagnoli(), answer: j.Kind == Append}
		if strings.HasSuffix(j.Way, onEpoll) {
			return h, nil
		}
		return &lockedAppender{appender: h}, nil
	case GroupCommit:
		return newCommitter(s, sealed)
	case Echo:
		return echoer{}, nil
	case Sendfile, Writev, Reply:
		return newFetcher(j)
	}
	return nil, &UnknownError{What: "kind", Value: j.Kind, Known: Kinds()}
}

// start begins to accept and serve.
func (s *server) start() error {
	switch {
	case strings.HasSuffix(s.j.Way, onGoroutine):
		go s.accept(func(c *net.TCPConn) { go s.onGoroutine(c) })
	case strings.HasSuffix(s.j.Way, onBlocking):
		go s.accept(func(c *net.TCPConn) { go s.onThread(c) })
	default:
		// The loop's thread keeps its P while it waits in epoll; others need theirs.
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
		l, err := newLoop(s)
		if err != nil {
			return err
		}
		go s.accept(l.add)
		go l.run()
	}
	return nil
}

func (s *server) accept(serve func(*net.TCPConn)) {
	for {
		c, err := s.listener.AcceptTCP()
		if err != nil {
			s.out.failed(err)
			return
		}
		serve(c)
	}
}

func (s *server) mark() *mark {
	return &mark{CPUNs: processCPU(), Units: s.units.Load(), Slow: s.ring.load()}
}

// timing is timings that are added to by serving threads and read by another.
type timing struct {
	count, sumNs [40]atomic.Int64
}

func (t *timing) add(ns int64) {
	i := 0
	for v := ns; v > 1 && i < len(t.count)-1; v >>= 1 {
		i++
	}
	t.count[i].Add(1)
	t.sumNs[i].Add(ns)
}

func (t *timing) load() timings {
	var l timings
	for i := range t.count {
		l.Count[i], l.SumNs[i] = t.count[i].Load(), t.sumNs[i].Load()
	}
	return l
}
