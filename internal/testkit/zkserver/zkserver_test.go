package zkserver

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestLaunch(t *testing.T) {
	t.Parallel()
	var dir string
	t.Run("run", func(t *testing.T) {
		e := Launch(t, Options{Config: map[string]string{"tickTime": "700"}})
		dir = e.dir
		s := e.Servers[0]
		if got := s.Mode(); got != "standalone" {
			t.Errorf("mode %q", got)
		}
		if conf, err := s.FourLetters("conf"); err != nil || !strings.Contains(conf, "tickTime=700\n") {
			t.Errorf("conf: %v\n%s", err, conf)
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if leader, err := e.Leader(); err != nil || leader != s {
			t.Errorf("leader: %v, %v", leader, err)
		}
	})
	if _, err := os.Stat(dir); dir != "" && !os.IsNotExist(err) {
		t.Errorf("the folder stays behind: %v", err)
	}
}

func TestLaunchEnsemble(t *testing.T) {
	t.Parallel()
	e := Launch(t, Options{Servers: 3, Observers: 1})
	modes := map[string]int{}
	for _, s := range e.Servers {
		modes[s.Mode()]++
	}
	if modes["leader"] != 1 || modes["follower"] != 2 || modes["observer"] != 1 {
		t.Fatalf("modes: %v", modes)
	}
	old, err := e.Leader()
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := old.Exit(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("exit: %v", err)
	}
	if leader, err := e.Leader(); err != nil || leader == old {
		t.Fatalf("leader: %v, %v", leader, err)
	}
	if err := old.Start(); err != nil {
		t.Fatal(err)
	}
}

func TestLaunchSaysWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	e, err := New(Options{Argv: []string{"sh", "-c", "echo no such thing; exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Start(); err == nil || !strings.Contains(err.Error(), "no such thing") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error: %v", err)
	}
}
