package suite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/bench/flame"
	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/progress"
	"github.com/millrace/millrace/bench/report"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

const examples = `  # what there is, and how long it takes
  {{.}} --list
  {{.}} --list --short

  # the short suite (minutes) against brokers of this very program, each on a temporary folder
  {{.}} --short --json suite.json --html suite.html

  # everything, growth curves included; the 30 GB of the last one may be too much for a disk
  {{.}} --json suite.json --html suite.html
  {{.}} --run '^kept' --max-kept-gb 10

  # one scenario with a flame graph of the broker
  {{.}} --run '^produce 1KiB p1 acks=1 batch=64KiB$' --flame produce.svg

  # any Kafka broker that runs already; on this machine its CPU time is seen too
  {{.}} --short --bootstrap-server 127.0.0.1:9092

  # fail when a goal is missed
  {{.}} --short --check`

const long = `Measures a matrix of scenarios: record sizes, partitions, acks, codecs, flushing, hot and cold reads, many consumers,
many connections, an idle broker, latency at a rate. Between the runs it measures what bare system calls need for the same
work on this machine (millrace bench limits), and it sets the demands of this project on the speed beside what came out.

Without --bootstrap-server a broker of this program is started for each scenario, on private ports and a temporary folder
that is removed. With it a broker that runs is measured; the suite then creates and deletes the topic millrace-bench in it.

What is measured is written to --json after each scenario: an interrupted suite keeps what it has.`

// options are the flags of one command line.
type options struct {
	run, bootstrap, commandConfig, dataDir, binary, tempDir, congestion string
	list, short, quiet, check                                           bool
	pid, rounds                                                         int
	warmup, duration                                                    time.Duration
	overrides                                                           []string
	maxKeptGB, maxPartitions, maxConnections                            int
	outputs                                                             report.Outputs
	flame                                                               *flame.Flags
}

// Command returns `bench suite`; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Measure a matrix of scenarios beside the machine's floor",
		Long:    long,
		Example: strings.ReplaceAll(examples, "{{.}}", "millrace bench "+name),
		// Without any argument it measures everything.
		Annotations: map[string]string{"millrace/no-arguments": "yes"},
	}
	cli.Prepare(cmd)
	o.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.measure(cmd) }
	return cmd
}

func (o *options) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.run, "run", "", "Only scenarios whose name or group matches this regular expression.")
	f.BoolVar(&o.list, "list", false, "Print the scenarios that are selected, and how long they should take; measure nothing.")
	f.BoolVar(&o.short, "short", false, "The short suite: what the goals need and one of each kind, in minutes.")
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "A broker that runs, HOST:PORT. Without it brokers are started.")
	f.StringVar(&o.commandConfig, "command-config", "", "Property file with client settings for --bootstrap-server.")
	f.IntVar(&o.pid, "pid", 0, "Process of the broker that runs; 0: found by its listening address when it is on this machine.")
	f.StringVar(&o.dataDir, "data-dir", "", "Log directory of the broker that runs, for cold reads: its page cache is emptied.")
	f.StringVar(&o.binary, "binary", "", "The millrace whose brokers are started; this one by default.")
	f.StringArrayVar(&o.overrides, "override", nil, "A setting KEY=VALUE of brokers that are started; may be repeated.")
	f.StringVar(&o.tempDir, "temp-dir", "", "Where brokers that are started and floors keep their data: it decides which disk is measured.")
	f.StringVar(&o.congestion, "congestion", "", "TCP congestion control of the generator and of the floors (reno, cubic, bbr); the system's by default.")
	f.IntVar(&o.rounds, "rounds", 0, "How often each scenario is measured; the median counts. 0: 1 in the short suite and 3 in the full one, more where a goal is judged.")
	f.DurationVar(&o.warmup, "warmup", 0, "Warm-up before each measurement, up to ten times as long until each partition was written to; 0: 0.5 s in the short suite, 1 s in the full one.")
	f.DurationVar(&o.duration, "duration", 0, "Steady phase of each measurement; 0: 1.5 s in the short suite, 3 s in the full one, longer for latency.")
	f.IntVar(&o.maxKeptGB, "max-kept-gb", 30, "Leave out scenarios that keep more than so many GB on the disk; 0 with --bootstrap-server unless given.")
	f.IntVar(&o.maxPartitions, "max-partitions", 10000, "Leave out scenarios with more partitions; 1000 with --bootstrap-server unless given.")
	f.IntVar(&o.maxConnections, "max-connections", 1000, "Leave out scenarios with more connections.")
	f.BoolVar(&o.check, "check", false, "End with exit code 1 when a goal is missed or a scenario fails.")
	f.BoolVar(&o.quiet, "quiet", false, "No progress on stderr.")
	o.outputs.Flags(f)
	o.outputs.Complete(cmd)
	o.flame = flame.AddFlags(cmd)
	fixed := func(flag string, of ...string) {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(of, cobra.ShellCompDirectiveNoFileComp))
	}
	fixed("congestion", "reno", "cubic", "bbr")
	for _, dir := range []string{"data-dir", "temp-dir"} {
		_ = cmd.MarkFlagDirname(dir)
	}
	_ = cmd.RegisterFlagCompletionFunc("run", CompleteScenarios)
}

// CompleteScenarios offers the groups and names of scenarios to the shell.
func CompleteScenarios(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var out []string
	seen := map[string]bool{}
	for _, s := range Matrix() {
		for word, help := range map[string]string{s.Group: "group", s.Name: s.Title} {
			if strings.HasPrefix(word, typed) && !seen[word] {
				seen[word] = true
				out = append(out, word+"\t"+help)
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// selected are the scenarios that the flags ask for, and notes on those that cannot be had.
func (o *options) selected(flags *pflag.FlagSet) (out []Scenario, notes []string, err error) {
	all, err := Select(Matrix(), o.run, o.short)
	if err != nil {
		return nil, nil, err
	}
	if o.bootstrap != "" { // somebody's broker: what fills it wants to be asked for
		for flag, limit := range map[string]struct {
			v    *int
			most int
		}{"max-kept-gb": {&o.maxKeptGB, 0}, "max-partitions": {&o.maxPartitions, 1000}} {
			if !flags.Changed(flag) {
				*limit.v = limit.most
			}
		}
	}
	free := freeBytes(o.tempDir)
	for _, s := range all {
		switch {
		case s.KeptBytes > int64(o.maxKeptGB)*1e9 || s.Load.Partitions > o.maxPartitions || s.Load.Connections > o.maxConnections:
		case s.Cold && o.bootstrap != "" && o.dataDir == "":
			notes = append(notes, fmt.Sprintf("Left out: %s. It needs --data-dir, the broker's log directory on this machine.", s.Name))
		case s.KeptBytes > 0 && o.bootstrap == "" && free >= 0 && free < s.KeptBytes+s.KeptBytes/4+spareBytes:
			notes = append(notes, fmt.Sprintf("Left out: %s. The disk has %d GB free; give --temp-dir on another one.", s.Name, free/1e9))
		default:
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, nil, cli.Usagef("nothing is left of %s: raise --max-kept-gb, --max-partitions or --max-connections. %s", count(len(all), "scenario"), strings.Join(notes, " "))
	}
	return out, notes, nil
}

// spareBytes stay free on the disk.
const spareBytes = 5e9

// validate refuses what makes no sense together.
func (o *options) validate(selected []Scenario) error {
	switch {
	case o.rounds < 0 || o.rounds > 1000:
		return cli.Usagef("--rounds %d: from 1 to 1000, or 0", o.rounds)
	case o.warmup < 0 || o.duration < 0:
		return cli.Usagef("--warmup and --duration: from 0")
	case o.bootstrap == "" && (o.pid != 0 || o.dataDir != "" || o.commandConfig != "" || o.flame.Admin != ""):
		return cli.Usagef("--pid, --data-dir, --admin and --command-config are about a broker that runs: give --bootstrap-server too")
	case o.bootstrap != "" && (o.binary != "" || len(o.overrides) > 0):
		return cli.Usagef("--binary and --override are about brokers that are started: leave --bootstrap-server out")
	case o.flame.Enabled() && len(selected) > 1:
		return cli.Usagef("--flame and --profile-out want one scenario, %d are selected: use --run '^NAME$' (--list shows the names)", len(selected))
	}
	for _, kv := range o.overrides {
		if !strings.Contains(kv, "=") {
			return cli.Usagef("--override %q: must be KEY=VALUE", kv)
		}
	}
	asked := *o.flame
	if o.bootstrap == "" && asked.Enabled() {
		asked.Admin = "that of the broker that is started"
	}
	return asked.Check()
}

func (o *options) measure(cmd *cobra.Command) (err error) {
	scenarios, notes, err := o.selected(cmd.Flags())
	if err != nil {
		return err
	}
	if err := o.validate(scenarios); err != nil {
		return err
	}
	s := o.session()
	if o.list {
		for _, n := range notes {
			fmt.Fprintln(cmd.ErrOrStderr(), n)
		}
		return printList(cmd.OutOrStdout(), scenarios, s)
	}
	m, err := o.machine()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	tell := progress.New(cmd.ErrOrStderr(), o.quiet)
	defer tell.Close()
	s.rig, s.tell = m, tell
	s.file = &result.File{Command: result.CommandLine(os.Args), Version: result.Version(), Started: time.Now(), Machine: observe.Machine(o.tempDir), Notes: notes}
	s.save = func(f *result.File) error { return (&report.Outputs{JSON: o.outputs.JSON}).Save(f) }
	ended := s.run(cmd.Context(), scenarios)
	tell.Close()
	if err := errors.Join(o.outputs.Save(s.file), report.Text(cmd.OutOrStdout(), s.file)); err != nil {
		return errors.Join(ended, err)
	}
	measured := func(r result.Run) bool { return r.Error == "" }
	switch {
	case ended == nil && !slices.ContainsFunc(s.file.Runs, measured):
		return &cli.ExitError{Code: 1, Message: "nothing was measured: " + s.file.Runs[0].Error}
	case ended == nil && o.check:
		return verdict(s.file)
	}
	return ended
}

// session is one without a machine.
func (o *options) session() *session {
	s := &session{full: !o.short, selected: o.run != "", flame: o.flame, forced: o.duration > 0}
	s.rounds, s.goalRounds, s.warmup, s.duration = 3, 5, time.Second, 3*time.Second
	if o.short {
		s.rounds, s.goalRounds, s.warmup, s.duration = 1, 3, 500*time.Millisecond, 1500*time.Millisecond
	}
	if o.rounds > 0 {
		s.rounds, s.goalRounds = o.rounds, o.rounds
	}
	if o.warmup > 0 {
		s.warmup = o.warmup
	}
	if o.duration > 0 {
		s.duration = o.duration
	}
	return s
}

func (o *options) machine() (*Machine, error) {
	m := &Machine{Binary: o.binary, TempDir: o.tempDir, Congestion: o.congestion, SampleTime: time.Second, AllWays: !o.short, Settings: map[string]string{}}
	if o.short {
		m.SampleTime, m.HoldBytes = 700*time.Millisecond, 3*gib
	}
	for _, kv := range o.overrides {
		k, v, _ := strings.Cut(kv, "=")
		m.Settings[k] = v
	}
	if o.bootstrap == "" {
		return m, nil
	}
	props, err := cli.LoadProps(o.commandConfig)
	if err != nil {
		return nil, err
	}
	m.Running = &Target{Bootstrap: o.bootstrap, Props: props, PID: o.pid, Admin: o.flame.Admin, DataDir: o.dataDir}
	return m, nil
}

func printList(w io.Writer, scenarios []Scenario, s *session) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var total time.Duration
	fmt.Fprintln(t, "SCENARIO\tGROUP\tFLOOR\tROUNDS\tTIME\tWHAT")
	for i, step := range s.plan(scenarios) {
		sc, floor := scenarios[i], "-"
		if sc.Floor.Kind != "" {
			floor = sc.Floor.Name()
		}
		total += step.Expect
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%v\t%s\n", sc.Name, sc.Group, floor, s.roundsOf(sc), step.Expect.Round(time.Second), sc.Title)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d scenarios, about %v\n", len(scenarios), total.Round(10*time.Second))
	return err
}

// verdict is an error when a goal was missed, or could not be judged, or a scenario failed.
func verdict(f *result.File) error {
	var wrong []string
	for _, g := range f.Goals {
		switch {
		case g.Unknown == notRun:
		case g.Unknown != "":
			wrong = append(wrong, fmt.Sprintf("not measured: %s: %s", g.Title, g.Unknown))
		case !g.Met:
			wrong = append(wrong, "missed: "+g.Title)
		}
	}
	for _, r := range f.Runs {
		if r.Error != "" {
			wrong = append(wrong, fmt.Sprintf("failed: %s: %s", r.Name, r.Error))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return &cli.ExitError{Code: 1, Message: strings.Join(wrong, "\n")}
}

var _ rig = (*Machine)(nil)
