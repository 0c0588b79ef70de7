package zkserver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/testkit/process"
)

// Server is one server, or the place for one while it is down: it keeps its folder and
// its ports over restarts.
type Server struct {
	ID       int
	ensemble *Ensemble
	observer bool
	dir      string
	proc     *process.Process
	peers    map[int]peer

	client, quorum, election, admin int
}

// peer is where a server finds one of its ensemble.
type peer struct{ quorum, election int }

// Addr is the address of the client port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.client) }

// Admin is the address of the admin server (HTTP).
func (s *Server) Admin() string { return fmt.Sprintf("127.0.0.1:%d", s.admin) }

// QuorumAddr and ElectionAddr are the first and the second port of its server line.
func (s *Server) QuorumAddr() string { return fmt.Sprintf("127.0.0.1:%d", s.quorum) }

// ElectionAddr is the second port of its server line.
func (s *Server) ElectionAddr() string { return fmt.Sprintf("127.0.0.1:%d", s.election) }

// ConfigFile is its zoo.cfg.
func (s *Server) ConfigFile() string { return filepath.Join(s.dir, "zoo.cfg") }

// DataDir is where its myid, log and snapshots lie.
func (s *Server) DataDir() string { return filepath.Join(s.dir, "data") }

func (s *Server) logFile() string { return filepath.Join(s.dir, "server.log") }

func (s *Server) write() error {
	if err := os.MkdirAll(s.DataDir(), 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(s.DataDir(), "myid"), []byte(strconv.Itoa(s.ID)+"\n"), 0o644),
		os.WriteFile(s.ConfigFile(), []byte(s.ensemble.zooCfg(s)), 0o644))
}

// Wipe takes everything from a server that is down but its number: a new disk.
func (s *Server) Wipe() error {
	if s.proc != nil && s.proc.Running() {
		return fmt.Errorf("server %d runs", s.ID)
	}
	return errors.Join(os.RemoveAll(s.DataDir()), s.write())
}

// Start starts the server and returns once it serves.
func (s *Server) Start() error {
	if err := s.StartOnly(); err != nil {
		return err
	}
	return s.WaitServing()
}

// StartOnly starts the process and does not wait for it.
func (s *Server) StartOnly() error {
	if s.proc != nil && s.proc.Running() {
		return fmt.Errorf("server %d runs already", s.ID)
	}
	argv := append(append([]string{}, s.ensemble.opts.Argv...), s.ConfigFile())
	p, err := process.Start(argv, s.ensemble.opts.Env, s.dir, s.logFile())
	if err != nil {
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	s.proc = p
	return nil
}

// WaitServing returns once the server serves clients, which in an ensemble takes a quorum.
func (s *Server) WaitServing() error {
	limit := s.ensemble.opts.ReadyTimeout
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(2*pause, 25*time.Millisecond) {
		if s.Mode() != "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("server %d does not serve after %v; its log ends with:\n%s", s.ID, limit, s.Log())
		}
		select {
		case <-s.proc.Done():
			return fmt.Errorf("server %d ended during its start: %v; its log ends with:\n%s", s.ID, s.proc.Exit(), s.Log())
		case <-time.After(pause):
		}
	}
}

// Mode is the word behind "Mode:" in the answer to srvr; empty while it does not serve.
func (s *Server) Mode() string {
	// Apache ZooKeeper forgets who connects in the middle of its start.
	text, err := s.word("srvr", time.Second)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(text) {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return strings.TrimSpace(mode)
		}
	}
	return ""
}

// FourLetters sends a four-letter word and returns the answer.
func (s *Server) FourLetters(word string) (string, error) { return s.word(word, time.Minute) }

func (s *Server) word(word string, limit time.Duration) (string, error) {
	c, err := net.DialTimeout("tcp", s.Addr(), limit)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, word); err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	if err != nil && len(text) > 0 && errors.Is(err, syscall.ECONNRESET) {
		err = nil // Java closes with what it did not read still there
	}
	return string(text), err
}

// Running reports whether the process runs.
func (s *Server) Running() bool { return s.proc != nil && s.proc.Running() }

// PID is the process id, 0 while the server is down.
func (s *Server) PID() int {
	if !s.Running() {
		return 0
	}
	return s.proc.PID()
}

// Signal sends a signal to the server, if it runs.
func (s *Server) Signal(sig syscall.Signal) error {
	if s.proc == nil {
		return nil
	}
	return s.proc.Signal(sig)
}

// Kill ends the server as kill -9 does and waits for its end. It is no error when it does
// not run.
func (s *Server) Kill() error {
	if s.proc == nil {
		return nil
	}
	return s.proc.Kill()
}

const stopTimeout = 2 * time.Minute

// Stop sends SIGTERM and waits for the end; after two minutes it kills, which is an error.
func (s *Server) Stop() error {
	if err := s.Signal(syscall.SIGTERM); err != nil || s.proc == nil {
		return err
	}
	select {
	case <-s.proc.Done():
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("server %d does not end in %v; its log ends with:\n%s", s.ID, stopTimeout, s.Log()), s.Kill())
	}
}

// Exit is how the last run ended, as exec.Cmd.Wait tells it; it waits for the end.
func (s *Server) Exit() error {
	<-s.proc.Done()
	return s.proc.Exit()
}

// Log returns the end of what the server printed, over all its starts.
func (s *Server) Log() string {
	const tailBytes = 8 << 10
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-tailBytes):])
}
