package groups

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is one running member.
type process struct {
	t     *testing.T
	o     Orders
	cmd   *exec.Cmd
	in    io.WriteCloser
	done  chan struct{} // its reports are read to the end
	notes []string      // guarded by mu
	mu    sync.Mutex
}

// programs of the members that are not in Go.
var programs = map[string][]string{
	"python3-confluent-kafka": {"/usr/bin/python3", "../drivers/member_confluent.py"},
	"python3-kafka":           {"/usr/bin/python3", "../drivers/member_kafka_python.py"},
	"kafkajs":                 {"node", "../drivers/member_kafkajs.js"},
}

// startMember starts a member; seen gets its reports, before it commits what they tell.
func startMember(t *testing.T, o Orders, seen func([]Seen)) *process {
	t.Helper()
	argv, other := programs[o.Client]
	if !other {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		argv = []string{self}
	}
	p := &process{t: t, o: o, cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), memberEnv+"=1")
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", o.ClientID, err)
	}
	p.in = in
	go p.read(out, seen)
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(append(text, '\n')); err != nil {
		t.Fatalf("%s: %v", o.ClientID, err)
	}
	t.Cleanup(p.kill)
	return p
}

func (p *process) read(out io.Reader, seen func([]Seen)) {
	defer close(p.done)
	lines := bufio.NewReader(out)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return // what is cut off by kill -9 was not committed
		}
		var l report
		if err := json.Unmarshal(text, &l); err != nil {
			p.note(fmt.Sprintf("report %.200q: %v", text, err))
			continue
		}
		if l.Note != "" {
			p.note(l.Note)
		}
		seen(l.Seen)
	}
}

const keptNotes = 20

func (p *process) note(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notes = append(p.notes, s)
	p.notes = p.notes[max(0, len(p.notes)-keptNotes):]
}

// kill is kill -9; all that the member had reported is taken in when it returns.
func (p *process) kill() {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	_ = p.cmd.Wait()
	if p.t.Failed() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.t.Logf("%s: last notes: %q", p.o.ClientID, p.notes)
	}
}

// suspend stops the process where it stands, and resume lets it go on as if nothing had
// happened: for the group it is a zombie by then.
func (p *process) suspend() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) resume()  { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// leave asks the member to leave its group and waits for its end.
func (p *process) leave() {
	p.t.Helper()
	_ = p.in.Close()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s: no end after it was asked to leave", p.o.ClientID)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("%s: %v", p.o.ClientID, err)
	}
}
