package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
)

// ends are a connection from host 1 to host 2 and both of its ends.
func ends(t *testing.T, n *Net) (near, far *net.TCPConn, dial func() (net.Conn, error)) {
	t.Helper()
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	addr, err := n.Listen(1, 2, target.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dial = func() (net.Conn, error) { return net.Dial("tcp", addr.String()) }
	a, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	b, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn), dial
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("received %q, %v, want %q", got, err, want)
	}
}

// nothing fails the test if something comes; it cannot wait for ever to see that nothing does.
func nothing(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	defer c.SetReadDeadline(time.Time{})
	if k, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes came, %v", k, err)
	}
}

func TestHoldKeepsOneWay(t *testing.T) {
	n := New()
	defer n.Close()
	near, far, _ := ends(t, n)
	send(t, near, "a")
	receive(t, far, "a")
	n.Set(1, 2, Rule{Hold: true})
	send(t, near, "b")
	send(t, far, "c")
	receive(t, near, "c")
	nothing(t, far)
	near.CloseWrite()
	nothing(t, far) // the end is held too
	n.Heal()
	receive(t, far, "b")
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the end is %v", err)
	}
	n.Set(2, 1, Rule{Hold: true})
	send(t, far, "d")
	nothing(t, near)
	n.Heal()
	receive(t, near, "d")
}

func TestSlowLinksKeepEveryByte(t *testing.T) {
	n := New()
	defer n.Close()
	near, far, _ := ends(t, n)
	n.SetBoth(1, 2, Rule{Delay: time.Microsecond, Piece: 777})
	sent := make([]byte, 200<<10)
	r := testkit.Rand(t)
	for i := range sent {
		sent[i] = byte(r.Uint32())
	}
	failed := make(chan error, 1)
	go func() {
		_, err := near.Write(sent)
		failed <- errors.Join(err, near.CloseWrite())
	}()
	got, err := io.ReadAll(far)
	if err := errors.Join(err, <-failed); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d came, %v", len(got), len(sent), err)
	}
}

func TestResetAndRefuse(t *testing.T) {
	n := New()
	defer n.Close()
	near, far, dial := ends(t, n)
	if k := n.Reset(3, 1); k != 0 {
		t.Errorf("%d connections of others broke", k)
	}
	n.Set(1, 2, Rule{Refuse: true})
	send(t, near, "a")
	receive(t, far, "a") // what is there goes on
	if k := n.Reset(2, 1); k != 1 {
		t.Errorf("%d connections broke", k)
	}
	for _, c := range []net.Conn{near, far} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("an end saw %v", err)
		}
	}
	c, err := dial()
	if err == nil {
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that is refused: %v", err)
	}
}
