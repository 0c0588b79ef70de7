package netx

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/clock"
)

// A lane that was woken for nothing, and found something all the same, leaves its gate open with
// an event in it. The next time that it sleeps it is woken by what is ready already.
func TestAGateThatStayedOpenWakesAgain(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	l := newLane(clock.Real{})
	l.events = make([]unix.EpollEvent, perRound)
	l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	must(err)
	defer unix.Close(l.epoll)
	must(l.openGate())
	defer unix.Close(l.spare)
	defer l.gate.Close()
	something, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	must(err)
	defer unix.Close(something)
	must(unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, something, &unix.EpollEvent{Events: unix.EPOLLIN}))
	runtimes, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC) // in place of the runtime's
	must(err)
	defer unix.Close(runtimes)

	must(l.wait.Control(func(fd uintptr) {
		must(unix.EpollCtl(runtimes, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET&0xffffffff}))
		woken := func() bool {
			var events [4]unix.EpollEvent
			n, _ := epollNow(uintptr(runtimes), events[:])
			return n > 0
		}
		happens := func() {
			_, err := unix.Write(something, []byte{1, 0, 0, 0, 0, 0, 0, 0})
			must(err)
		}
		served := func() {
			_, err := unix.Read(something, make([]byte, 8))
			must(err)
		}
		for round := range 3 {
			l.waiting = false // as await does
			if l.poll(fd) || woken() {
				t.Fatal("there is nothing to wake for")
			}
			// The wake comes too early for the event, and in time for what it tells of.
			happens()
			if !woken() {
				t.Fatalf("round %d: an open gate did not wake", round)
			}
			if l.look(); l.got != 1 {
				t.Fatalf("%d are ready", l.got)
			}
			served()

			l.waiting = false
			happens() // between the last look and the opening
			woken()   // what the runtime hears before it waits it forgets
			if l.poll(fd) || !woken() {
				t.Fatalf("round %d: what was ready before the gate opened did not wake", round)
			}
			if !l.poll(fd) || l.got != 1 {
				t.Fatalf("round %d: %d are ready", round, l.got)
			}
			served()
			woken()
		}
	}))
}
