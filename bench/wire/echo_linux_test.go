package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/testkit"
)

// echoEnv makes the test binary a server of its own: the benchmarks measure the generator
// alone, and the server's CPU is another process's.
const echoEnv = "MILLRACE_WIRE_ECHO"

func TestMain(m *testing.M) {
	if os.Getenv(echoEnv) != "" {
		if err := echoServer(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testkit.Main(m)
}

// echoServer answers each request with as many bytes (size prefix not counted) as its first
// four say, from one epoll loop. It ends with its standard input.
func echoServer() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); os.Exit(0) }()
	p, err := newPoller()
	if err != nil {
		return err
	}
	fds := make(chan int, 1<<12)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			raw, _ := c.(*net.TCPConn).SyscallConn()
			_ = raw.Control(func(s uintptr) {
				fd, _ := unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0)
				fds <- fd
			})
			c.Close()
			p.wake()
		}
	}()
	conns := map[int32]*echoConn{}
	zeros := make([]byte, 1<<20)
	in := make([]byte, 1<<20)
	for {
		n, err := p.wait(1e9)
		if err != nil {
			return err
		}
		for len(fds) > 0 {
			fd := <-fds
			conns[int32(fd)] = &echoConn{fd: fd}
			if err := p.add(fd, int32(fd)); err != nil {
				return err
			}
		}
		for i := range n {
			ev := p.events[i]
			if ev.Fd == wakeID {
				_, _ = unix.Read(p.wakeFD, in[:8])
				continue
			}
			if c := conns[ev.Fd]; !c.serve(in, zeros) {
				unix.Close(c.fd)
				delete(conns, ev.Fd)
			}
		}
	}
}

type echoConn struct {
	fd      int
	part    []byte
	out     []byte
	body    int // zeros to send after out
	written int
}

func (c *echoConn) serve(in, zeros []byte) bool {
	for {
		copy(in, c.part)
		n, errno := recv(c.fd, &in[len(c.part)], len(in)-len(c.part), 0)
		if errno == unix.EAGAIN {
			return c.flush(zeros)
		}
		if errno != 0 || n == 0 {
			return false
		}
		buf := in[:len(c.part)+n]
		for len(buf) >= 8 {
			size := 4 + int(binary.BigEndian.Uint32(buf))
			if len(buf) < size {
				break
			}
			reply := int(binary.BigEndian.Uint32(buf[4:]))
			buf = buf[size:]
			c.out = binary.BigEndian.AppendUint32(c.out, uint32(reply))
			if reply <= 4096 {
				c.out = append(c.out, zeros[:reply]...)
				continue
			}
			c.out = append(c.out, zeros[:reply]...) // fine for a test: it is not what is measured
		}
		c.part = append(c.part[:0], buf...)
		if !c.flush(zeros) {
			return false
		}
	}
}

func (c *echoConn) flush([]byte) bool {
	for c.written < len(c.out) {
		n, errno := send(c.fd, c.out[c.written:])
		if errno == unix.EAGAIN {
			return true
		}
		if errno != 0 {
			return false
		}
		c.written += n
	}
	c.out, c.written = c.out[:0], 0
	return true
}

// startEcho runs echoServer in a process of its own until the test ends.
func startEcho(tb testing.TB) string {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), echoEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	return line[:len(line)-1]
}
