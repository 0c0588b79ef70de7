package quorum

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/bench/compare"
	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/progress"
	"github.com/millrace/millrace/bench/report"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

const examples = `  # this program's own quorum, three servers that are started for it
  {{.}}

  # an ensemble that runs, one scenario
  {{.}} --a zk1:2181,zk2:2181,zk3:2181 'set 1KiB 64'

  # Millrace and Apache ZooKeeper in turns, both started for it
  {{.}} --b-name ZooKeeper --b-command 'java -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar org.apache.zookeeper.server.quorum.QuorumPeerMain {cfg}'

  # how long until a write succeeds after the leader was killed, ten times
  {{.}} --tick-ms 600 --rounds 10 failover

  # the scenarios
  {{.}} --list`

const long = `Measures a ZooKeeper ensemble, Millrace's or any other, alone or two in turns (A B A B ...), and compares them pair by pair.

A side is an ensemble that runs (--a HOST:PORT,...) or a command that runs one server with the zoo.cfg in {cfg}'s place: then
--servers of them are started on this machine, with data in a temporary folder. Without either A is 'millrace quorum'. What is
made in an ensemble lies below /millrace-bench, which is removed before and after.

CPU time and memory are the sums of all servers of a side. Ratios are B/A: the median of the pairs, with the lowest and highest.`

// options are the flags.
type options struct {
	a, b             sideFlags
	servers, tickMs  int
	tempDir          string
	config           []string
	pairs, rounds    int
	discard          int
	warmup, duration time.Duration
	threads          int
	congestion       string
	list, quiet      bool
	outputs          report.Outputs
}

type sideFlags struct{ addresses, command, name, pids string }

// Command returns `bench quorum`; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use: name, Short: "Measure a ZooKeeper ensemble, or two in turns", Long: long,
		Example:     strings.ReplaceAll(examples, "{{.}}", "millrace bench "+name),
		Annotations: map[string]string{cli.NoArguments: "yes"},
	}
	cli.Prepare(cmd)
	cmd.Use = name + " [SCENARIO...]"
	o.register(cmd)
	cmd.Args = nil
	cmd.ValidArgsFunction = func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, s := range matrix() {
			if strings.HasPrefix(s.name, typed) {
				out = append(out, s.name+"\t"+s.title)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = o.run
	return cmd
}

func (o *options) register(cmd *cobra.Command) {
	f := cmd.Flags()
	for letter, s := range map[string]*sideFlags{"a": &o.a, "b": &o.b} {
		up := strings.ToUpper(letter)
		f.StringVar(&s.addresses, letter, "", "Servers of "+up+" that run, HOST:PORT,...")
		f.StringVar(&s.command, letter+"-command", "", "The command that runs one server of "+up+" with the zoo.cfg in the place of {cfg}, instead of --"+letter+".")
		f.StringVar(&s.name, letter+"-name", "", "What the report calls "+up+".")
		f.StringVar(&s.pids, letter+"-pid", "", "Processes of --"+letter+"'s servers, PID,...; found by their ports when they are on this machine.")
	}
	f.IntVar(&o.servers, "servers", 3, "How many servers a command starts.")
	f.IntVar(&o.tickMs, "tick-ms", 2000, "Their tickTime.")
	f.StringArrayVar(&o.config, "config", nil, "A further line of their zoo.cfg, KEY=VALUE; may be repeated.")
	f.StringVar(&o.tempDir, "temp-dir", "", "Where servers that are started keep their data.")
	f.IntVar(&o.pairs, "pairs", 5, "How many pairs of each scenario; with one side, how many runs.")
	f.IntVar(&o.discard, "discard", 0, "Pairs of each load that are run before those that count: a JVM warms up.")
	f.IntVar(&o.rounds, "rounds", 5, "Of failover and restart: how often in each run.")
	f.DurationVar(&o.warmup, "warmup", time.Second, "Warm-up before each measurement.")
	f.DurationVar(&o.duration, "duration", 3*time.Second, "Steady phase of each measurement.")
	f.IntVar(&o.threads, "threads", 1, "Threads that send.")
	f.StringVar(&o.congestion, "congestion", "", "TCP congestion control of the generator (reno, cubic, bbr); the system's by default.")
	f.BoolVar(&o.list, "list", false, "Print the scenarios and end.")
	f.BoolVar(&o.quiet, "quiet", false, "No progress on stderr.")
	o.outputs.Flags(f)
	o.outputs.Complete(cmd)
	_ = cmd.RegisterFlagCompletionFunc("congestion", cobra.FixedCompletions([]string{"reno", "cubic", "bbr"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagDirname("temp-dir")
}

func (o *options) run(cmd *cobra.Command, names []string) error {
	if o.list {
		_, err := fmt.Fprint(cmd.OutOrStdout(), list())
		return err
	}
	scenarios, err := selected(names)
	if err != nil {
		return err
	}
	sides, err := o.sides()
	if err != nil {
		return err
	}
	tell := progress.New(cmd.ErrOrStderr(), o.quiet)
	defer tell.Close()
	m := &measurement{
		o: o, sides: sides, tell: tell,
		file: &result.File{Command: result.CommandLine(os.Args), Version: result.Version(), Started: time.Now(), Machine: observe.Machine(o.tempDir)},
	}
	ended := m.all(cmd.Context(), scenarios)
	tell.Close()
	show := report.Text
	if len(sides) == 2 {
		show = compare.PrintPairs
	}
	return errors.Join(ended, o.outputs.Save(m.file), show(cmd.OutOrStdout(), m.file))
}

// sides makes the one or two sides of the flags.
func (o *options) sides() ([]*side, error) {
	switch {
	case o.servers < 1 || o.servers > 9:
		return nil, cli.Usagef("--servers %d: from 1 to 9", o.servers)
	case o.tickMs < 10:
		return nil, cli.Usagef("--tick-ms %d: from 10", o.tickMs)
	case o.discard < 0:
		return nil, cli.Usagef("--discard %d: from 0", o.discard)
	case o.pairs < 1 || o.rounds < 1 || o.threads < 1:
		return nil, cli.Usagef("--pairs, --rounds and --threads: from 1")
	case o.duration <= 0 || o.warmup < 0:
		return nil, cli.Usagef("--duration: above 0; --warmup: from 0")
	}
	a, err := o.side("A", o.a)
	if err != nil {
		return nil, err
	}
	if o.b == (sideFlags{}) {
		return []*side{a}, nil
	}
	if o.b.addresses == "" && o.b.command == "" {
		return nil, cli.Usagef("where is B? give --b HOST:PORT,... or --b-command")
	}
	b, err := o.side("B", o.b)
	return []*side{a, b}, err
}

func (o *options) side(letter string, f sideFlags) (*side, error) {
	low := strings.ToLower(letter)
	if f.addresses != "" && f.command != "" {
		return nil, cli.Usagef("--%s and --%s-command: one of them", low, low)
	}
	s := &side{servers: o.servers, tickMs: o.tickMs, tempDir: o.tempDir, config: o.config}
	name := f.name
	switch {
	case f.addresses != "":
		s.addresses = strings.Split(f.addresses, ",")
		if name == "" {
			name = f.addresses
		}
		for _, p := range strings.FieldsFunc(f.pids, func(r rune) bool { return r == ',' }) {
			pid, err := strconv.Atoi(p)
			if err != nil || pid <= 0 {
				return nil, cli.Usagef("--%s-pid %q: process numbers, as many as addresses", low, f.pids)
			}
			s.pids = append(s.pids, pid)
		}
		if n := len(s.pids); n != 0 && n != len(s.addresses) {
			return nil, cli.Usagef("--%s-pid %q: %d processes for %d addresses", low, f.pids, n, len(s.addresses))
		}
	case f.command != "":
		s.command = strings.Fields(f.command)
	default:
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		s.command = []string{self, "quorum"}
	}
	if name == "" {
		name = "millrace"
		if f.command != "" {
			name = s.command[0]
		}
	}
	s.name = letter + " (" + name + ")"
	return s, nil
}

// measurement is one command's work.
type measurement struct {
	o     *options
	sides []*side
	tell  *progress.Progress
	file  *result.File
	runs  int
}

// all measures the scenarios one after the other. What fails is told and kept, and the rest
// goes on; only the end of ctx ends it.
func (m *measurement) all(ctx context.Context, scenarios []scenario) (err error) {
	defer func() {
		for _, s := range m.sides {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	m.plan(scenarios)
	for _, sc := range scenarios {
		if ctx.Err() != nil {
			break
		}
		if failed := m.scenario(ctx, sc); failed != nil {
			m.tell.Printf("%s: %v", sc.name, failed)
			err = errors.Join(err, fmt.Errorf("%s: %w", sc.name, failed))
		}
		m.file.Ended = time.Now()
		if saved := (&report.Outputs{JSON: m.o.outputs.JSON}).Save(m.file); saved != nil {
			return errors.Join(err, saved)
		}
	}
	if ctx.Err() != nil {
		m.file.Interrupted = true
		err = errors.Join(err, ctx.Err())
	}
	return err
}

func (m *measurement) scenario(ctx context.Context, sc scenario) error {
	var pairs []compare.Pair
	for n := -m.discarded(sc); n < m.o.pairs; n++ {
		var runs [2]result.Run
		for i, s := range m.sides {
			var err error
			if runs[i], err = m.one(ctx, sc, s, n); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if n < 0 {
				continue
			}
			m.file.Runs = append(m.file.Runs, runs[i])
			m.tell.Done(runs[i])
		}
		if n >= 0 {
			pairs = append(pairs, compare.Pair{A: runs[0], B: runs[1]})
		}
	}
	if len(m.sides) == 2 {
		m.file.Pairs = append(m.file.Pairs, compare.Pairings(sc.name, m.sides[0].name, m.sides[1].name, pairs)...)
	}
	return nil
}

// discarded is how many pairs of a scenario do not count.
func (m *measurement) discarded(sc scenario) int {
	if sc.kind != kindLoad {
		return 0 // its servers are new in each run
	}
	return m.o.discard
}

func (m *measurement) one(ctx context.Context, sc scenario, s *side, n int) (result.Run, error) {
	name := m.name(sc, s, n)
	phase := func(text string) { m.tell.Phase(name, text) }
	phase("servers")
	if err := s.open(ctx, sc); err != nil {
		return result.Run{}, err
	}
	m.runs++
	if sc.kind != kindLoad {
		e := &event{sc: sc, name: name, rounds: m.o.rounds, phase: phase}
		run, err := e.measure(ctx, s)
		return run, errors.Join(err, s.close(ctx)) // its servers are not as a load finds them
	}
	l := &load{
		sc: sc, name: name, run: m.runs, warmup: m.o.warmup, duration: m.o.duration, threads: m.o.threads, congestion: m.o.congestion,
		point: func(p result.Point) { m.tell.Point(name, p) }, phase: phase,
	}
	return l.measure(ctx, s)
}

func (m *measurement) name(sc scenario, s *side, n int) string {
	if n < 0 {
		return fmt.Sprintf("%s, to warm up, %s", sc.name, s.name[:1])
	}
	if len(m.sides) == 1 {
		return fmt.Sprintf("%s, run %d", sc.name, n+1)
	}
	return fmt.Sprintf("%s, pair %d, %s", sc.name, n+1, s.name[:1])
}

func (m *measurement) plan(scenarios []scenario) {
	var steps []progress.Step
	for _, sc := range scenarios {
		for n := -m.discarded(sc); n < m.o.pairs; n++ {
			for _, s := range m.sides {
				expect := m.o.warmup + m.o.duration + time.Second
				if sc.kind != kindLoad {
					expect = time.Duration(m.o.rounds) * 5 * time.Second
				} else if sc.every > 0 {
					expect = 3*sc.every + 2*time.Second
				}
				steps = append(steps, progress.Step{Run: m.name(sc, s, n), Expect: expect})
			}
		}
	}
	m.tell.Plan(steps)
}
