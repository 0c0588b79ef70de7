package netx

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/clock"
)

// lane is one epoll and the goroutine that serves it.
//
// To wait it would have to hold a thread, or be seen by the runtime's poller; but an epoll that
// another one watches wakes that at every packet, also while the lane is at work. So there is a
// gate between them: an epoll that holds the lane's own with EPOLLONESHOT. It is opened when the
// lane is about to sleep, and closes when that wakes.
type lane struct {
	counters
	clock clock.Clock
	epoll int
	gate  *os.File
	wait  syscall.RawConn // of the gate
	alone bool            // there is one processor: it must not keep that from others

	// turn is odd while a guest has its turn. The goroutine that serves makes it odd and even
	// again; the watch may make it even in its place, and then has taken the lane from it.
	turn   atomic.Uint64
	asleep atomic.Bool

	// These belong to the goroutine that serves.
	step    func(fd uintptr) bool
	waiting bool // the gate was opened in this wait
	opened  bool // it may be open still
	failed  error
	events  []unix.EpollEvent
	got     int     // of events
	round   []*stay // who is ready
	served  []*stay // who may have something to send
	serving *stay   // whose turn it is; the watch may read it once it has the lane

	watched  atomic.Bool
	lastTurn uint64 // that the watch saw

	mu      sync.Mutex
	guests  map[int32]*stay // by descriptor
	closing bool
	ticks   clock.Timer
	spare   int           // a descriptor for times without one
	gone    chan struct{} // closed when the goroutine that serves has ended
}

// perRound is how many ready connections one epoll_wait tells of.
const perRound = 64

func newLane(c clock.Clock) *lane { return &lane{clock: c, alone: runtime.GOMAXPROCS(0) == 1} }

// open makes the lane ready for its first guest.
func (l *lane) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return ErrNoLane
	}
	if l.gate != nil {
		return nil
	}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return ErrNoLane
	}
	if err = l.openGate(); err != nil {
		_ = unix.Close(l.epoll)
		return ErrNoLane
	}
	l.step, l.events, l.guests, l.gone = l.poll, make([]unix.EpollEvent, perRound), make(map[int32]*stay), make(chan struct{})
	go l.run()
	return nil
}

// openGate makes an epoll that the runtime's poller watches.
func (l *lane) openGate() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	err = unix.SetNonblock(fd, true) // tells os.NewFile that it can be polled
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, l.epoll, &unix.EpollEvent{Events: unix.EPOLLONESHOT})
	}
	if err == nil {
		// Last: what fails before leaves nothing of it behind.
		l.spare, err = unix.FcntlInt(uintptr(l.epoll), unix.F_DUPFD_CLOEXEC, 0)
	}
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	l.gate = os.NewFile(uintptr(fd), "lane")
	l.wait, err = l.gate.SyscallConn()
	return err
}

func (l *lane) close() {
	l.mu.Lock()
	again := l.closing
	l.closing = true
	if l.ticks != nil {
		l.ticks.Stop()
	}
	gate := l.gate
	l.mu.Unlock()
	if gate == nil || again {
		return
	}
	_ = gate.Close()
	<-l.gone
	_ = unix.Close(l.epoll)
	_ = unix.Close(l.spare)
}

// enter begins a stay.
func (l *lane) enter(s *stay) {
	l.mu.Lock()
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, s.interest())
	if err == nil {
		s.in = true
		l.guests[int32(s.fd)] = s
		l.inside.Add(1)
	}
	l.mu.Unlock()
	if err != nil {
		s.end() // goes on without a lane
	}
}

// interest is what the lane is to be woken for: who was asked to leave is woken by a socket that
// can be written to, as good as always.
func (s *stay) interest() *unix.EpollEvent {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(s.fd)}
	if s.asked.Load() {
		e.Events |= unix.EPOLLOUT
	}
	return &e
}

// ask has s leave soon.
func (l *lane) ask(s *stay) {
	if s.asked.Swap(true) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.in {
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, s.fd, s.interest()) // it is in: nothing can fail
	}
}

// remove ends what enter began.
func (l *lane) remove(s *stay) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.in {
		s.in = false
		delete(l.guests, int32(s.fd))
		l.inside.Add(-1)
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, s.fd, nil) // as above
	}
}

// end tells the owner.
func (s *stay) end() {
	s.guest.Leave()
	s.left <- s.conn.joinPoller(s)
}

// run serves until the lane is closed, or the watch has put another goroutine in its place.
func (l *lane) run() {
	for l.send() && l.await() {
		for _, s := range l.ready() {
			mine, stays := l.giveTurn(s, false)
			if !mine {
				return
			}
			if stays {
				l.served = append(l.served, s)
			}
		}
	}
}

// ready is who has something to read.
func (l *lane) ready() []*stay {
	clear(l.round)
	l.round = l.round[:0]
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.events[:l.got] {
		if s := l.guests[l.events[i].Fd]; s != nil {
			l.round = append(l.round, s)
		}
	}
	return l.round
}

// send has those write that were served.
func (l *lane) send() (mine bool) {
	for n := len(l.served); n > 0; n = len(l.served) {
		s := l.served[n-1]
		l.served[n-1] = nil
		l.served = l.served[:n-1] // before its turn: if the lane changes hands, the rest is for the next
		if mine, _ := l.giveTurn(s, true); !mine {
			return false
		}
	}
	return true
}

// giveTurn is a guest's turn. If it takes so long that the lane is not mine any more, another
// goroutine has it, with all that was left to do.
func (l *lane) giveTurn(s *stay, sends bool) (mine, stays bool) {
	turn := l.turn.Load() + 1
	l.serving = s
	l.turn.Store(turn)
	stays = !s.asked.Load()
	if sends {
		s.guest.Send()
	} else if stays {
		stays = s.guest.Ready()
	}
	mine = l.turn.CompareAndSwap(turn, turn+1)
	if !mine || !stays {
		l.remove(s)
		s.end()
	}
	return mine, stays
}

// await waits for events. It reports false when the lane is closed.
func (l *lane) await() bool {
	l.got, l.waiting, l.failed = 0, false, nil
	if l.look(); l.got > 0 {
		if l.alone {
			runtime.Gosched() // else others take from it what waits for its processor
		}
		return true
	}
	l.asleep.Store(true)
	err := l.wait.Read(l.step)
	l.asleep.Store(false)
	if err != nil || l.failed != nil {
		close(l.gone)
		return false
	}
	l.watch()
	return true
}

// look asks the epoll who is ready now.
func (l *lane) look() {
	n, errno := epollNow(uintptr(l.epoll), l.events)
	if l.got = n; errno != 0 && errno != unix.EINTR {
		l.failed = errno
	}
}

// epollNow does not wait, see readNow.
func epollNow(fd uintptr, events []unix.EpollEvent) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		n = 0
	}
	return int(n), errno
}

// poll is a step of the wait for the gate, which the runtime calls before it sleeps and when it
// was woken, perhaps for nothing.
func (l *lane) poll(fd uintptr) bool {
	l.closeGate(fd)
	if l.waiting {
		if l.look(); l.got > 0 || l.failed != nil {
			return true
		}
	}
	l.waiting, l.opened = true, true
	l.failed = unix.EpollCtl(int(fd), unix.EPOLL_CTL_MOD, l.epoll, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT})
	return l.failed != nil
}

// closeGate takes the gate's event, if there is one, which is what closes it. One that stayed
// would have the next opening say nothing of what is ready already. A wake for nothing finds no
// event; it may come a moment later, so the gate counts as open.
func (l *lane) closeGate(fd uintptr) {
	if !l.opened {
		return
	}
	var passed [1]unix.EpollEvent
	n, _ := epollNow(fd, passed[:])
	l.opened = n == 0
}

// watch sees to it that somebody looks after the lane while it is at work.
func (l *lane) watch() {
	if l.watched.Load() || l.watched.Swap(true) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closing:
	case l.ticks == nil:
		l.ticks = l.clock.AfterFunc(watchEvery, l.tick)
	default:
		l.ticks.Reset(watchEvery)
	}
}

// tick takes the lane from a goroutine that has been with the same guest since the tick before,
// and puts another one in. The guest is left to the old one.
func (l *lane) tick() {
	if l.asleep.Load() {
		l.watched.Store(false)
		if !l.asleep.Load() {
			l.watch() // it woke in between, and may have counted on this one
		}
		return
	}
	turn := l.turn.Load()
	if turn%2 == 1 && turn == l.lastTurn && l.turn.CompareAndSwap(turn, turn+1) {
		l.handovers.Add(1)
		l.remove(l.serving)
		go l.run()
	}
	l.lastTurn = turn
	l.mu.Lock()
	if !l.closing {
		l.ticks.Reset(watchEvery)
	}
	l.mu.Unlock()
}

// netConn makes a net.Conn of a descriptor, which it closes.
func (l *lane) netConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "tcp")
	defer f.Close()
	nc, err := net.FileConn(f) // has one more for a moment
	if !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) {
		return nc, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = unix.Close(l.spare)
	nc, err = net.FileConn(f)
	_ = f.Close()
	l.spare, _ = unix.FcntlInt(uintptr(l.epoll), unix.F_DUPFD_CLOEXEC, 0) // without one the next time is as now
	if err != nil {
		return nil, fmt.Errorf("out of a lane: %w", err)
	}
	return nc, nil
}

// ReadNow reads what is there into p, and never waits. wait means that nothing is; no bytes and
// no error that the peer has closed its side. Only a Guest calls it.
func (c *Conn) ReadNow(p []byte) (n int, wait bool, err error) {
	for {
		n, errno := readNow(uintptr(c.fd), p)
		switch errno {
		case 0:
			return n, false, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, c.opError("read", errno)
		}
	}
}

// WriteNow writes what the socket takes at once. Only a Guest calls it.
func (c *Conn) WriteNow(p []byte) (n int, err error) {
	for {
		n, errno := writeNow(uintptr(c.fd), p)
		switch errno {
		case 0:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, c.opError("write", errno)
		}
	}
}

// WritePiecesNow writes of v what the socket takes at once and returns the rest. It changes what is
// in v. Only a Guest calls it.
func (c *Conn) WritePiecesNow(v Pieces) (rest Pieces, err error) {
	w := &c.write
	w.vec, w.err = v, nil
	w.vector(uintptr(c.fd))
	rest = w.vec
	w.vec, w.iov = nil, iovecs{}
	return rest, c.writeError(nil)
}

func duplicate(raw syscall.RawConn) (fd int, err error) {
	controlErr := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(controlErr, err)
}

func closeDescriptor(fd int) { _ = unix.Close(fd) }
