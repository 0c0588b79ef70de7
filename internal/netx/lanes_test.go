package netx

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
)

// echo is a guest that sends back what it reads. Its owner goes on where the lane stopped.
type echo struct {
	c       *Conn
	mu      sync.Mutex // the race detector sees a lane that lets two in
	unsent  []byte
	stays   int // reads until it leaves by itself; negative: it never does
	block   chan struct{}
	blocked chan struct{} // closed when it blocks
	in      bool
}

func (e *echo) Ready() bool {
	if !e.mu.TryLock() {
		panic("two in one guest")
	}
	defer e.mu.Unlock()
	if e.block != nil {
		close(e.blocked)
		<-e.block
		e.block = nil
	}
	buf := make([]byte, 1000)
	n, wait, err := e.c.ReadNow(buf)
	if wait {
		return true
	}
	if err != nil || n == 0 {
		return false
	}
	e.unsent = append(e.unsent, buf[:n]...)
	e.stays--
	return e.stays != 0
}

func (e *echo) Send() {
	n, err := e.c.WriteNow(e.unsent)
	e.unsent = e.unsent[n:]
	if err != nil || len(e.unsent) > 0 {
		e.c.EndStay()
	}
}

func (e *echo) Enter() { e.in = true }
func (e *echo) Leave() { e.in = false }

// serve is a connection that goes to a lane again and again until the peer is done.
func (e *echo) serve(l *Lanes) error {
	buf := make([]byte, 1000)
	for {
		if err := l.Stay(e.c, e); err != nil {
			return err
		}
		if e.in {
			return errors.New("a stay ended without Leave")
		}
		if _, err := e.c.Write(e.unsent); err != nil {
			return err
		}
		e.unsent = nil
		n, err := e.c.Read(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		e.unsent = append(e.unsent, buf[:n]...)
		e.stays = 5
	}
}

func newLanes(t *testing.T, n int, c clock.Clock) *Lanes {
	l := NewLanes(n, c)
	t.Cleanup(func() {
		if n := l.Guests(); n != 0 {
			t.Errorf("%d guests are still in", n)
		}
		l.Close()
		l.Close() // a second time is nothing
	})
	return l
}

// Whatever is sent comes back whole and in order, over stays that begin and end all the time,
// also with a peer that sends far more than it reads.
func TestLanesServeManyConnections(t *testing.T) {
	seed := testkit.Seed(t)
	l := newLanes(t, 2, clock.Real{})
	var wg sync.WaitGroup
	for i := range 20 {
		client, server := pair(t)
		e := &echo{c: server, stays: i - 5}
		wg.Go(func() {
			if err := e.serve(l); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		})
		sent := make([]byte, 200_000)
		rng := rand.New(rand.NewSource(int64(seed) + int64(i)))
		rng.Read(sent)
		wg.Go(func() {
			for p := sent; len(p) > 0; {
				n := min(len(p), 1+rng.Intn(3000))
				if _, err := client.Write(p[:n]); err != nil {
					t.Error(err)
					return
				}
				p = p[n:]
			}
			_ = client.(*net.TCPConn).CloseWrite()
		})
		wg.Go(func() {
			got := make([]byte, len(sent))
			if n, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("connection %d: %d bytes came back, %v", i, n, err)
			}
		})
	}
	wg.Wait()
}

// stayIn starts a stay and returns how it ends. Nothing tells when it has begun.
func stayIn(l *Lanes, e *echo) chan error {
	ended := make(chan error, 1)
	go func() { ended <- l.Stay(e.c, e) }()
	return ended
}

func roundTrip(t *testing.T, client net.Conn, word string) {
	t.Helper()
	if _, err := client.Write([]byte(word)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(word))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != word {
		t.Fatalf("%q came back for %q: %v", got, word, err)
	}
}

func TestAStayEndsWhenSomebodyWants(t *testing.T) {
	for _, quiet := range []bool{true, false} { // asked while nothing is to be read, or before it began
		l := newLanes(t, 1, clock.Real{})
		client, server := pair(t)
		e := &echo{c: server}
		ended := stayIn(l, e)
		if quiet {
			roundTrip(t, client, "hello")
		}
		local, remote := server.LocalAddr(), server.RemoteAddr()
		server.SetReadDeadline(time.Unix(1, 0))
		if quiet || l.Guests() > 0 {
			if err := <-ended; err != nil {
				t.Fatalf("the stay ended with %v", err)
			}
		} else if err := <-ended; err != nil && !errors.Is(err, ErrNoLane) {
			t.Fatal(err)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the deadline that ended a stay is not in force: %v", err)
		}
		server.SetReadDeadline(time.Time{})
		if server.LocalAddr() != local || server.RemoteAddr() != remote || server.Conn.RemoteAddr().String() != client.LocalAddr().String() {
			t.Errorf("the connection has other ends now: %v to %v", server.LocalAddr(), server.Conn.RemoteAddr())
		}
		ended = stayIn(l, e)
		roundTrip(t, client, "again")
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("a stay that Close ended: %v", err)
		}
		if n, err := client.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("the peer of a closed connection read %d bytes, %v", n, err)
		}
		if err := l.Stay(server, e); !errors.Is(err, ErrNoLane) {
			t.Errorf("a closed connection: %v", err)
		}
	}
}

// A guest that waits costs the others nothing: the watch has another goroutine go on, and the
// guest leaves as soon as it can.
func TestAGuestThatWaitsIsLeftAlone(t *testing.T) {
	clk := testkit.NewClock(time.Unix(1000, 0))
	l := newLanes(t, 1, clk)
	slowClient, slow := pair(t)
	client, server := pair(t)
	other := stayIn(l, &echo{c: server})
	roundTrip(t, client, "a")
	e := &echo{c: slow, block: make(chan struct{}), blocked: make(chan struct{})}
	stuck, release := stayIn(l, e), e.block
	if _, err := slowClient.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	<-e.blocked
	clk.Advance(watchEvery)
	if n := l.Handovers(); n != 0 {
		t.Fatalf("%d handovers at the first look", n)
	}
	clk.Advance(watchEvery)
	for _, word := range []string{"b", "c", "d"} {
		roundTrip(t, client, word)
	}
	if h, g := l.Handovers(), l.Guests(); h != 1 || g != 1 {
		t.Fatalf("%d handovers, %d guests; one each was expected", h, g)
	}
	close(release)
	if err := <-stuck; err != nil || string(e.unsent) != "x" {
		t.Fatalf("the slow guest left with %v, and %q to send", err, e.unsent)
	}
	if _, err := slow.Write(e.unsent); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(slowClient, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "the lane sleeps", func() bool { return l.lanes[0].asleep.Load() })
	clk.Advance(10 * watchEvery) // nothing is slow any more
	roundTrip(t, client, "e")
	if h := l.Handovers(); h != 1 {
		t.Errorf("%d handovers", h)
	}
	client.Close()
	if err := <-other; err != nil {
		t.Error(err)
	}
}

// Without a descriptor to spare a connection still gets out: the lane keeps one for it.
func TestLeavingWithoutDescriptors(t *testing.T) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)
	l := newLanes(t, 1, clock.Real{})
	client, server := pair(t)
	e := &echo{c: server, stays: 2}
	ended := stayIn(l, e)
	roundTrip(t, client, "one")
	few := before
	for range 64 { // all that are free below the highest one
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		few.Cur = uint64(f.Fd()) + 1
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	if f, err := os.Open(os.DevNull); err == nil {
		f.Close()
		t.Fatal("there still are descriptors")
	}
	if _, err := client.Write([]byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the connection is lost: %v", err)
	}
	if _, err := server.Write([]byte("three")); err != nil {
		t.Error(err)
	}
}

func TestWhoCannotStay(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	e := &echo{c: Wrap(a)}
	if err := newLanes(t, 1, clock.Real{}).Stay(e.c, e); !errors.Is(err, ErrNoLane) || e.in {
		t.Errorf("a pipe: %v, entered %v", err, e.in)
	}
	_, server := pair(t)
	if (*Lanes)(nil).Takes(server) || NewLanes(0, clock.Real{}).Takes(server) {
		t.Error("there is no lane to take it")
	}
}
