package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/bench/launch"
	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/result"
)

// side is one of the two ensembles: servers that run, or a command that starts some.
type side struct {
	name      string
	addresses []string // that run
	pids      []int    // theirs, when they are not found by their ports
	command   []string // else
	servers   int
	tickMs    int
	tempDir   string
	config    []string

	running *launch.Ensemble
	size    int // of running
}

// open makes servers ready for a scenario: a launched ensemble lives on until another size
// is wanted.
func (s *side) open(ctx context.Context, sc scenario) error {
	if s.command == nil {
		if sc.kind != kindLoad {
			return fmt.Errorf("%s kills servers: it starts its own, with --%s-command", sc.name, strings.ToLower(s.name[:1]))
		}
		return nil
	}
	size := s.servers
	if sc.alone {
		size = 1
	}
	if s.running != nil && s.size == size && sc.kind == kindLoad {
		return nil
	}
	if err := s.close(ctx); err != nil {
		return err
	}
	e, err := launch.StartEnsemble(ctx, launch.EnsembleOptions{Command: s.command, Servers: size, TickMs: s.tickMs, TempDir: s.tempDir, Config: s.config})
	if err != nil {
		return err
	}
	s.running, s.size, s.addresses = e, size, nil
	for _, m := range e.Members {
		s.addresses = append(s.addresses, m.Address)
	}
	return nil
}

// close ends what open started.
func (s *side) close(ctx context.Context) error {
	if s.running == nil {
		return nil
	}
	err := s.running.Stop(ctx)
	s.running = nil
	return err
}

// targets are the addresses that a load goes to.
func (s *side) targets(w where) ([]string, error) {
	if w == anyServer {
		return s.addresses, nil
	}
	var found []string
	for _, a := range s.addresses {
		switch mode := launch.Mode(a); {
		case w == theLeader && (mode == "leader" || mode == "standalone"),
			w == aFollower && mode == "follower":
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no server says that it is " + map[where]string{theLeader: "the leader", aFollower: "a follower"}[w])
	}
	return found[:1], nil
}

// watchers watch the processes of all servers; none when they cannot be seen.
func (s *side) watchers() ([]*observe.Watcher, error) {
	var all []*observe.Watcher
	fail := func(err error) ([]*observe.Watcher, error) {
		for _, w := range all {
			w.Close()
		}
		return nil, err
	}
	pids := slices.Clone(s.pids)
	if s.running != nil {
		pids = nil
		for _, m := range s.running.Members {
			pids = append(pids, m.PID())
		}
	}
	for i, a := range s.addresses {
		o := observe.Options{Address: a}
		if len(pids) > i {
			o.PID = pids[i]
		}
		w, err := observe.Open(o)
		if err != nil {
			return fail(err)
		}
		all = append(all, w)
	}
	return all, nil
}

// total adds up what the servers spent, per request of all.
func total(costs []*result.Cost, requests int64) *result.Cost {
	if len(costs) == 0 {
		return nil
	}
	var t result.Cost
	for _, c := range costs {
		t.CPUSeconds += c.CPUSeconds
		t.Cores += c.Cores
		t.RSSAnonBytes += c.RSSAnonBytes
		t.RSSFileBytes += c.RSSFileBytes
		t.SyscallsPerRequest += c.SyscallsPerRequest
		t.SyscallsBy = c.SyscallsBy
	}
	if requests > 0 {
		t.CPUPerRequestUs = t.CPUSeconds * 1e6 / float64(requests)
	}
	return &t
}
