package hostile

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/conformance/quorum/wire"
	"github.com/millrace/millrace/internal/testkit/zkserver"
)

// rssLimitKB is what the server may take at most while all of this goes on: far less than what
// any one of the attacks would cost who believes it.
const rssLimitKB = 400 << 10

// sessionTimeout is more than all attacks take: who behaves says nothing meanwhile.
const sessionTimeout = 10 * time.Minute

var open = []wire.ACL{{Perms: 31, Scheme: "world", ID: "anyone"}}

func TestHostileClientsCostThemselvesOnly(t *testing.T) {
	t.Parallel()
	binary, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	s := zkserver.Launch(t, zkserver.Options{
		Argv: []string{binary, "quorum"}, Config: map[string]string{"maxSessionTimeout": fmt.Sprint(sessionTimeout.Milliseconds())},
	}).Servers[0]
	polite := session(t, s)
	ask(t, polite, 1, new(wire.Enc).String("/polite").Buffer([]byte("0")).ACLs(open).Int(0).B)
	for name, attack := range map[string]func(*testing.T, *zkserver.Server){
		"lengths": lengths, "half-open": halfOpen, "watches": watches, "slow reader": slowReader, "vectors": vectors,
	} {
		t.Run(name, func(t *testing.T) {
			attack(t, s)
			for range 20 {
				ask(t, polite, 5, new(wire.Enc).String("/polite").Buffer([]byte(name)).Int(-1).B)
			}
			kb := peakKB(t, s.PID())
			if t.Logf("the server took %d KiB at most", kb); kb > rssLimitKB {
				t.Errorf("that is above %d KiB", rssLimitKB)
			}
		})
	}
}

func session(t *testing.T, s *zkserver.Server) *wire.Conn {
	t.Helper()
	c, _, err := wire.New(s.Addr(), sessionTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func ask(t *testing.T, c *wire.Conn, op int32, body []byte) {
	t.Helper()
	if r, err := c.Call(op, body); err != nil || r.Err != 0 {
		t.Fatalf("op %d of who behaves: code %d, %v", op, r.Err, err)
	}
}

func peakKB(t *testing.T, pid int) (kb int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "VmHWM: %d kB", &kb)
	}
	if kb == 0 {
		t.Fatal("no VmHWM")
	}
	return kb
}

// lengths announces frames that nobody could hold.
func lengths(t *testing.T, s *zkserver.Server) {
	for i := range 50 {
		for _, head := range []string{"\x7f\xff\xff\xff", "\xff\xff\xff\xff", "\x80\x00\x00\x00", "\x00\x10\x00\x01"} {
			c, err := net.Dial("tcp", s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(c, head, strings.Repeat("x", i))
			closed(t, c, head)
		}
	}
	for _, n := range []uint32{1<<31 - 1, 1 << 31, 1 << 30} { // with a session
		c := session(t, s)
		c.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 0, 0, 0, 1})
		closed(t, c, fmt.Sprint(n))
	}
}

// closed waits until the server hangs up.
func closed(t *testing.T, c net.Conn, what string) {
	t.Helper()
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(wire.Timeout))
	for buf := make([]byte, 4096); ; {
		if _, err := c.Read(buf); err != nil {
			if n, ok := err.(net.Error); ok && n.Timeout() {
				t.Errorf("the connection stays open after %q", what)
			}
			return
		}
	}
}

// halfOpen leaves connections that say nothing, or not all of it.
func halfOpen(t *testing.T, s *zkserver.Server) {
	for i := range 500 {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.Write([]byte("\x00\x0f\x00\x00\x00\x00\x00")[:i%8])
	}
}

// watches asks for millions of watches on long paths that there are not.
func watches(t *testing.T, s *zkserver.Server) {
	c := session(t, s)
	c.SetReadDeadline(time.Now().Add(sessionTimeout))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		buf := make([]byte, 64<<10)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	}()
	for i := range 200 {
		paths := make([]string, 15_000)
		for j := range paths {
			paths[j] = fmt.Sprintf("/watched/by/somebody/who/wants/all-%08d-%08d", i, j)
		}
		var e wire.Enc
		e.Long(1 << 62).Strings([]string{}).Strings(paths).Strings([]string{})
		if c.SendXid(-8, 101, e.B) != nil {
			break
		}
	}
	c.Close()
	<-gone
}

// slowReader asks for far more than it takes.
func slowReader(t *testing.T, s *zkserver.Server) {
	c := session(t, s)
	ask(t, c, 1, new(wire.Enc).String("/big").Buffer(make([]byte, 1_000_000)).ACLs(open).Int(0).B)
	get := new(wire.Enc).String("/big").Bool(false).B
	for range 1_000_000 {
		c.SetWriteDeadline(time.Now().Add(time.Second))
		var e wire.Enc
		e.Int(int32(8 + len(get))).Int(1).Int(4)
		if _, err := c.Write(append(e.B, get...)); err != nil {
			return // it is not read from any more, or was hung up on
		}
	}
	t.Error("the server took a million requests of who takes no answer")
}

// vectors sends counts that the rest of the frame cannot hold.
func vectors(t *testing.T, s *zkserver.Server) {
	for _, count := range []int32{1<<31 - 1, -2, 1 << 28} {
		c := session(t, s)
		c.SendXid(-8, 101, new(wire.Enc).Long(0).Int(count).B)
		c.Send(14, new(wire.Enc).Int(count).Bool(false).Int(-1).B)
		c.Send(1, new(wire.Enc).String("/x").Int(count).B)
		c.Send(7, new(wire.Enc).String("/polite").Int(count).B)
		c.Close()
	}
}
