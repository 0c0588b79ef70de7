package netx

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func pair(t *testing.T) (client net.Conn, server *Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); accepted.Close() })
	client.SetDeadline(time.Now().Add(testkit.Patience))
	return client, Wrap(accepted)
}

// room lends a fixed buffer and counts the sleeps.
type room struct {
	buf    []byte
	sleeps chan struct{}
	awake  bool
}

func (r *room) Lend() []byte { return r.buf }
func (r *room) Sleep() bool  { r.sleeps <- struct{}{}; return !r.awake }

func TestReaderGivesItsRoomAwayWhileItSleeps(t *testing.T) {
	client, server := pair(t)
	r := &room{buf: make([]byte, 100), sleeps: make(chan struct{}, 10)}
	type result struct {
		n   int
		err error
	}
	done := make(chan result)
	read := func() {
		n, err := server.ReadInto(r)
		done <- result{n, err}
	}
	go read()
	<-r.sleeps // nothing is there yet
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.err != nil || string(r.buf[:got.n]) != "hello" {
		t.Fatalf("%q, %v", r.buf[:got.n], got.err)
	}
	go read()
	<-r.sleeps
	server.SetReadDeadline(time.Unix(1, 0)) // how a reader is woken
	if got := <-done; !errors.Is(got.err, os.ErrDeadlineExceeded) {
		t.Fatalf("read with %v, want a deadline", got.err)
	}
	server.SetReadDeadline(time.Time{})
	client.Close()
	go read()
	if got := <-done; !errors.Is(got.err, io.EOF) {
		t.Fatalf("read with %v, want the end", got.err)
	}
}

// A range that is far larger than the socket's buffer comes through whole, beside bytes,
// by sendfile on a socket and by copying on a pipe.
func TestRangesComeThroughWhole(t *testing.T) {
	content := make([]byte, 20<<20)
	rand.New(rand.NewSource(1)).Read(content)
	name := t.TempDir() + "/file"
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := osfs.FS{}.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rng := vfs.Range{File: f, Pos: 12345, LenBytes: len(content) - 20000}
	want := append([]byte("head"), content[12345:12345+rng.LenBytes]...)
	want = append(want, "tail"...)
	send := func(c *Conn) (int, error) {
		if err := c.WriteMore([]byte("head")); err != nil {
			return 0, err
		}
		n, err := c.SendRange(rng, make([]byte, 1000))
		if err != nil {
			return n, err
		}
		_, err = c.Write([]byte("tail"))
		return n, err
	}
	check := func(client net.Conn, server *Conn, kernel int) {
		t.Helper()
		failed := make(chan error, 1)
		go func() {
			n, err := send(server)
			if err == nil && n != kernel {
				err = errors.New("not the way that it was to go")
			}
			failed <- err
			server.Close()
		}()
		got, err := io.ReadAll(client)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came, or wrong ones; want %d", len(got), len(want))
		}
	}
	client, server := pair(t)
	check(client, server, rng.LenBytes)
	a, b := net.Pipe()
	check(a, Wrap(b), 0)
}

func TestFileThatEndsEarlyIsAnError(t *testing.T) {
	name := t.TempDir() + "/file"
	if err := os.WriteFile(name, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := osfs.FS{}.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	client, server := pair(t)
	n, err := server.SendRange(vfs.Range{File: f, Pos: 900, LenBytes: 500}, make([]byte, 100))
	if n != 100 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	client.Close()
}

func TestTryWriteNeverWaits(t *testing.T) {
	client, server := pair(t)
	sent := 0
	for {
		n, err := server.TryWrite(make([]byte, 64<<10))
		if err != nil {
			t.Fatal(err)
		}
		sent += n
		if n < 64<<10 {
			break // a full socket: it returned all the same
		}
	}
	if n, err := io.CopyN(io.Discard, client, int64(sent)); err != nil {
		t.Fatalf("%d of %d bytes arrived: %v", n, sent, err)
	}
	server.Close()
	if _, err := server.TryWrite([]byte("x")); err == nil {
		t.Error("no error from a closed socket")
	}
}

func TestTryWriteWithoutSystemCallsLeavesAll(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if n, err := Wrap(a).TryWrite([]byte("x")); n != 0 || err != nil {
		t.Errorf("%d bytes, %v: a pipe cannot tell whether it would wait", n, err)
	}
}

// Pieces of all sizes, empty ones among them, come through whole while the reader is slow, on a
// socket and on a pipe.
func TestPiecesComeThroughWhole(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewSource(seed))
	var want []byte
	var pieces [2]Pieces
	for range 100 {
		n := [...]int{0, 1, 50, 16 << 10, 300 << 10}[rng.Intn(5)]
		p := make([]byte, n)
		rng.Read(p)
		want = append(want, p...)
		pieces[0], pieces[1] = append(pieces[0], p), append(pieces[1], p)
	}
	check := func(client net.Conn, server *Conn, v Pieces) {
		t.Helper()
		failed := make(chan error, 1)
		go func() {
			failed <- server.WritePieces(v)
			server.Close()
		}()
		got, err := io.ReadAll(client)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came, or wrong ones; want %d", len(got), len(want))
		}
	}
	client, server := pair(t)
	check(client, server, pieces[0])
	a, b := net.Pipe()
	check(a, Wrap(b), pieces[1])
}

// A mapping whose file was cut is an error to the write, not a signal.
func TestPiecesOfACutFileAreAnError(t *testing.T) {
	f, err := osfs.FS{}.OpenFile(t.TempDir()+"/file", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Allocate(0, 1<<20); err != nil {
		t.Fatal(err)
	}
	m, err := f.Map(1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	client, server := pair(t)
	err = server.WritePieces(Pieces{m.Bytes()[512<<10 : 513<<10]})
	if haveSyscalls && !errors.Is(err, syscall.EFAULT) {
		t.Errorf("written with %v, want EFAULT", err)
	}
	client.Close()
}

func TestShortWritesFillTheSocketAndGoOn(t *testing.T) {
	client, server := pair(t)
	const total = 20 << 20
	failed := make(chan error, 1)
	go func() {
		p := make([]byte, 10_000)
		for sent := 0; sent < total; sent += len(p) {
			if err := server.WriteShort(p); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
		server.Close()
	}()
	n, err := io.Copy(io.Discard, client)
	if err := errors.Join(err, <-failed); err != nil || n < total {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if err := server.WriteShort([]byte("x")); err == nil {
		t.Error("no error from a closed socket")
	}
}
