package zk

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openPTY returns both ends of a pseudo terminal: what a person holds, and what a program has.
func openPTY(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// A person at a terminal: the prompt, a path completed by the tab key, an earlier line by the
// arrow, Ctrl-D.
func TestOnATerminal(t *testing.T) {
	address := ownServer(t)
	history := filepath.Join(t.TempDir(), "history")
	t.Setenv(historyVariable, history)
	person, program := openPTY(t)
	cmd := Command("zkCli.sh")
	cmd.SetIn(program)
	cmd.SetOut(program)
	cmd.SetErr(program)
	cmd.SetArgs([]string{"-server", address, "-waitforconnection"})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(patience(t)) }()

	seen := ""
	read := make([]byte, 4096)
	await := func(what string) {
		t.Helper()
		for !strings.Contains(seen, what) {
			n, err := person.Read(read)
			if err != nil {
				t.Fatalf("waiting for %q: %v, after %q", what, err, seen)
			}
			seen += string(read[:n])
		}
		seen = seen[strings.Index(seen, what)+len(what):]
	}
	press := func(keys string) {
		t.Helper()
		if _, err := person.WriteString(keys); err != nil {
			t.Fatal(err)
		}
	}
	prompt := func(n int) string { return fmt.Sprintf("[zk: %s(CONNECTED) %d] ", address, n) }
	await("Welcome to ZooKeeper!\r\n")
	await(prompt(0))
	press("get /zoo\t/quo\t\r")
	await("zookeeper")
	await("/quota")
	await("\r\n\r\n")
	await(prompt(1))
	press("create -e /mine x\r")
	await("Created /mine\r\n")
	await(prompt(2))
	press("\x1b[A\r") // the line before, by the arrow
	await("Node already exists: /mine")
	await(prompt(3))
	press("addauth digest u:secret\r")
	await(prompt(4))
	press("dele\t\t")
	await("delete  deleteall")
	press(" /mine\r")
	await(prompt(5))
	press("\x04")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	kept, err := os.ReadFile(history)
	if want := "get /zookeeper/quota\ncreate -e /mine x\ndelete /mine\n"; err != nil || string(kept) != want {
		t.Errorf("the history is %q (%v), want %q", kept, err, want)
	}
}
