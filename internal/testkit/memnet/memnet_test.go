package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func pair(t *testing.T, n *Network) (a, b net.Conn) {
	t.Helper()
	l, err := n.Host("b").Listen(context.Background(), "b:1")
	if err != nil {
		t.Fatal(err)
	}
	if a, err = n.Host("a").Dial(context.Background(), "b:1"); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func read(t *testing.T, c net.Conn, want string) time.Time {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v, want %q", b, err, want)
	}
	return time.Now()
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

func TestBytesTakeTheirTimeAndStayInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		delay := 5 * time.Second
		n.SetDelay(func(from, to string) time.Duration { return delay })
		a, b := pair(t, n)
		start := time.Now()
		write(t, a, "one")
		delay = time.Second
		write(t, a, "two")
		if at := read(t, b, "onetwo").Sub(start); at != 5*time.Second {
			t.Errorf("arrived after %v", at)
		}
		write(t, a, "three")
		_ = a.Close()
		if at := read(t, b, "three").Sub(start); at != 6*time.Second {
			t.Errorf("arrived after %v", at)
		}
		if _, err := b.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		_ = b.Close()
	})
}

func TestACutHoldsOneDirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b := pair(t, n)
		n.Cut("a", "b")
		write(t, a, "x")
		write(t, b, "y")
		read(t, a, "y")
		_ = b.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("over a cut link: %v", err)
		}
		_ = b.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Minute, func() { n.Heal("a", "b") })
		read(t, b, "x")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		n.Cut("b", "a")
		if _, err := n.Host("a").Dial(ctx, "b:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial over a cut link: %v", err)
		}
	})
}

func TestAKilledHostResetsAndItsProgramsAreDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		old := n.Host("b")
		a, b := pair(t, n)
		n.Kill("b")
		for _, c := range []net.Conn{a, b} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
		}
		if _, err := n.Host("a").Dial(context.Background(), "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
		if _, err := old.Listen(context.Background(), "b:1"); err == nil {
			t.Error("a dead program listens")
		}
		if _, err := old.Dial(context.Background(), "a:1"); err == nil {
			t.Error("a dead program dials")
		}
		if _, err := n.Host("b").Listen(context.Background(), "b:1"); err != nil {
			t.Error(err)
		}
	})
}

func TestAHostWithoutPowerSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b := pair(t, n)
		write(t, b, "sent before")
		n.PowerOff("b")
		if _, err := b.Write([]byte("x")); err == nil {
			t.Error("a program without power writes")
		}
		_ = b.Close()
		read(t, a, "sent before")
		write(t, a, "into the void")
		_ = a.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("while it is off: %v", err)
		}
		_ = a.SetReadDeadline(time.Time{})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := n.Host("a").Dial(ctx, "b:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v", err)
		}
		n.Host("b")
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("when it is on again: %v", err)
		}
	})
}
