package wire

import (
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/pace"
)

// thread is one epoll loop with its connections. Fields without another word belong to its
// goroutine.
type thread struct {
	r     *runner
	l     *Load
	poll  *poller
	conns []*conn // conns[j].id is first + j*Threads
	ready []*conn // with more to send, after their turn
	phase int32   // as of this round

	in  []byte // shared by the reads of all connections
	out []byte // frames of one connection on their way to its socket
	iov []unix.Iovec

	// Open loop: event next is frame next/len(conns) of connection next%len(conns).
	next   int64
	nextNs int64
	spinNs int64 // how long before an intended time waiting ends and polling begins

	latency, corrected, late shards
	figures
	published struct{ requests, counted, sentBytes, receivedBytes, syscalls atomic.Int64 }

	tid     atomic.Int64
	cpuNs   atomic.Int64 // at its end
	checkNs int64        // when silence is looked for next,
	everyNs int64        // and how often
}

// figures only grow.
type figures struct{ requests, counted, sentBytes, receivedBytes, syscalls int64 }

// shards are where a thread records one kind of duration.
type shards struct{ warm, steady *hist.Shard }

func (s shards) record(steady bool, ns int64) {
	if steady {
		s.steady.Record(ns)
		return
	}
	s.warm.Record(ns)
}

const hungUp = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR

const (
	longestWaitNs = int64(100 * time.Millisecond)
	checkEveryNs  = int64(250 * time.Millisecond)
	// Polling before an intended time takes at most this long and this share of the time
	// between two: a thread that polls all the time takes a core from the server.
	longestSpinNs = 60_000
	spinShare     = 8
)

// run is the thread's goroutine. It stays locked, so that its thread, and with it its
// timer slack, ends with it.
func (t *thread) run() error {
	runtime.LockOSThread()
	tight()
	t.tid.Store(int64(unix.Gettid()))
	err := t.loop()
	t.publish()
	if d, ok := threadCPU(unix.Gettid()); ok {
		t.cpuNs.Store(int64(d))
	}
	t.tid.Store(0)
	return err
}

func (t *thread) loop() error {
	t.phase = t.r.phase.Load()
	if t.r.paced {
		t.nextNs = t.r.intended(t.conns[0].id, 0)
	}
	t.everyNs = min(checkEveryNs, int64(t.l.ReplyTimeout)/4)
	t.checkNs = pace.Now() + t.everyNs
	for _, c := range t.conns { // a closed loop begins here
		if err := t.fill(c, pace.Now()); err != nil {
			return err
		}
	}
	for {
		t.publish()
		if t.over() {
			return nil
		}
		n, err := t.poll.wait(t.waitNs())
		t.syscalls++
		if err != nil {
			return errors.Join(errors.New("wait for events"), err)
		}
		t.phase = t.r.phase.Load()
		if err := t.serve(n); err != nil {
			return err
		}
		if err := t.r.failure(); err != nil {
			return err
		}
	}
}

// serve handles n events, then what the clock says is due, then who had to wait a turn.
func (t *thread) serve(n int) error {
	for i := range n {
		ev := &t.poll.events[i]
		if ev.Fd == wakeID {
			var b [8]byte
			_, _ = unix.Read(t.poll.wakeFD, b[:])
			continue
		}
		c := t.conns[ev.Fd]
		var now int64
		if ev.Events&^unix.EPOLLOUT != 0 {
			var err error
			if now, err = c.read(ev.Events&hungUp != 0); err != nil {
				return err
			}
		} else {
			now = pace.Now()
		}
		if err := t.fill(c, now); err != nil {
			return err
		}
	}
	if t.r.paced {
		if err := t.serveDue(); err != nil {
			return err
		}
	}
	if err := t.serveReady(); err != nil {
		return err
	}
	return t.checkSilence()
}

// serveDue sends what should have left by now.
func (t *thread) serveDue() error {
	now := pace.Now()
	for t.nextNs <= now && t.phase < draining {
		c := t.conns[t.next%int64(len(t.conns))]
		c.due++
		if err := t.fill(c, now); err != nil {
			return err
		}
		t.next++
		n := int64(len(t.conns))
		t.nextNs = t.r.intended(t.conns[t.next%n].id, t.next/n)
		if t.nextNs <= now {
			now = pace.Now()
		}
	}
	return nil
}

func (t *thread) serveReady() error {
	n := len(t.ready)
	for i := range n {
		c := t.ready[i]
		c.inReady = false
		if err := t.fill(c, pace.Now()); err != nil {
			return err
		}
	}
	t.ready = t.ready[:copy(t.ready, t.ready[n:])]
	return nil
}

func (t *thread) fill(c *conn, now int64) error {
	done, err := c.fill(now)
	if !done && err == nil && !c.inReady {
		c.inReady = true
		t.ready = append(t.ready, c)
	}
	return err
}

// waitNs is how long nothing has to be done but for events.
func (t *thread) waitNs() int64 {
	if len(t.ready) > 0 {
		return 0
	}
	if !t.r.paced || t.phase >= draining {
		return min(longestWaitNs, t.everyNs)
	}
	return min(t.nextNs-pace.Now()-t.spinNs, longestWaitNs, t.everyNs)
}

// over says whether nothing is left to do.
func (t *thread) over() bool {
	switch {
	case t.phase >= stopped:
		return true
	case t.phase < draining && !t.r.finite.Load():
		return false
	}
	for _, c := range t.conns {
		if !c.idle() || (t.phase < draining && !c.ended) {
			return false
		}
	}
	return true
}

// checkSilence looks now and then for requests that are not answered, or not taken.
func (t *thread) checkSilence() error {
	now := pace.Now()
	if now < t.checkNs {
		return nil
	}
	t.checkNs = now + t.everyNs
	for _, c := range t.conns {
		since := now
		if c.waiting.n > 0 {
			since = c.waiting.first().sent
		}
		if c.pending() {
			since = min(since, c.lastMoveNs)
		}
		if now-since > int64(t.l.ReplyTimeout) {
			return c.broken(&SilenceError{For: t.l.ReplyTimeout})
		}
	}
	return nil
}

// publish lets the runner see the figures.
func (t *thread) publish() {
	p := &t.published
	p.requests.Store(t.requests)
	p.counted.Store(t.counted)
	p.sentBytes.Store(t.sentBytes)
	p.receivedBytes.Store(t.receivedBytes)
	p.syscalls.Store(t.syscalls)
	if t.l.MaxRequests > 0 {
		t.r.countMax()
	}
}

// cpu is the thread's CPU time so far.
func (t *thread) cpu() time.Duration {
	if tid := t.tid.Load(); tid != 0 {
		if d, ok := threadCPU(int(tid)); ok {
			return d
		}
	}
	return time.Duration(t.cpuNs.Load())
}

func (t *thread) close() {
	if t.poll != nil {
		t.poll.close()
	}
	for _, c := range t.conns {
		if c.fd >= 0 {
			unix.Close(c.fd)
		}
	}
}
