package ports

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAPortIsGivenOnce holds a port whose server is down against a search in this process and
// in another one.
func TestAPortIsGivenOnce(t *testing.T) {
	r := reserve(t, 1)
	if os.Getenv("PORTS_CHILD") != "" {
		fmt.Println("port", r.Numbers[0])
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent is done
		return
	}
	var again Reserved
	if err := again.take(r.Numbers[0]); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("port %d again: %v", r.Numbers[0], err)
	}
	must(t, r.Close())
	must(t, again.take(r.Numbers[0]))
	must(t, again.Close())

	theirs, end := child(t)
	if err := again.take(theirs); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("port %d of another process: %v", theirs, err)
	}
	end()
	must(t, again.take(theirs))
	must(t, again.Close())
}

// child runs TestAPortIsGivenOnce in a process of its own until end is called.
func child(t *testing.T) (port int, end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestAPortIsGivenOnce$")
	cmd.Env = append(os.Environ(), "PORTS_CHILD=1", "GORACE=atexit_sleep_ms=0")
	hold, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	_, err = fmt.Fscanf(out, "port %d\n", &port)
	must(t, err)
	return port, func() {
		hold.Close()
		must(t, cmd.Wait())
	}
}

// TestATakenPortIsNotReserved: a port that someone listens on stays available to a later
// search.
func TestATakenPortIsNotReserved(t *testing.T) {
	r := reserve(t, 1)
	port := r.Numbers[0]
	var l net.Listener
	for l == nil && port < outgoingFrom() {
		port++
		l, _ = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	}
	if l == nil {
		t.Fatal("no port to listen on")
	}
	if err := r.take(port); err == nil || strings.Contains(err.Error(), "reserve") {
		t.Errorf("port %d with a listener: %v", port, err)
	}
	must(t, l.Close())
	must(t, r.take(port))
}

func TestManyPortsDiffer(t *testing.T) {
	r := reserve(t, 500)
	if n := len(slices.Compact(slices.Sorted(slices.Values(r.Numbers)))); n != 500 {
		t.Errorf("%d ports", n)
	}
}

func reserve(t *testing.T, n int) *Reserved {
	t.Helper()
	r, err := Reserve(n)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
