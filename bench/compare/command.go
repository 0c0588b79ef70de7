package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/progress"
	"github.com/millrace/millrace/bench/report"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/suite"
	"github.com/millrace/millrace/tools/cli"
)

const examples = `  # two brokers that run, five pairs of one scenario; tab completes its name
  {{.}} --a 127.0.0.1:9092 --b 127.0.0.1:9093 'produce 1KiB p1 acks=1 batch=64KiB'

  # Kafka against Millrace: name them, and their processes when they are not found
  {{.}} --a 127.0.0.1:9092 --a-name Kafka --a-pid 4711 --b 127.0.0.1:9093 --b-name Millrace 'fetch 1MiB p1 hot'

  # two builds; brokers of both are started on temporary folders
  {{.}} --a-binary /tmp/old/millrace --b-binary bin/millrace --pairs 7 --html compare.html \
      'produce 1KiB p1 acks=1 batch=64KiB' 'fetch 16KiB tail'

  # every scenario of the short suite that matches
  {{.}} --a 127.0.0.1:9092 --b 127.0.0.1:9093 --short --run '^produce'`

const long = `Measures two brokers in turns, A B A B ..., and compares them pair by pair. SCENARIO is a name of
'millrace bench suite --list'; --run selects several by a regular expression. The topic millrace-bench is created and
deleted in both.

B/A is the median of the pairs' ratios, with the lowest and the highest beside it. A difference counts when all pairs have
it on the same side and the median is off by more than 3 %.`

// options are the flags of one command line.
type options struct {
	a, b                   sideOptions
	commandConfig, tempDir string
	run, congestion        string
	short, quiet           bool
	pairs                  int
	warmup, duration       time.Duration
	overrides              []string
	outputs                report.Outputs
}

// sideOptions are the flags of one side.
type sideOptions struct {
	letter                       string
	address, binary, name, admin string
	pid                          int
}

// Command returns `bench compare`; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &options{a: sideOptions{letter: "a"}, b: sideOptions{letter: "b"}}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Compare two brokers, or two builds, in turns",
		Long:    long,
		Example: strings.ReplaceAll(examples, "{{.}}", "millrace bench "+name),
	}
	cli.Prepare(cmd)
	cmd.Use = name + " SCENARIO..."
	o.register(cmd)
	cmd.Args = nil
	cmd.ValidArgsFunction = func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, s := range suite.Matrix() {
			if strings.HasPrefix(s.Name, typed) {
				out = append(out, s.Name+"\t"+s.Title)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = o.measure
	return cmd
}

func (o *options) register(cmd *cobra.Command) {
	f := cmd.Flags()
	for _, s := range []*sideOptions{&o.a, &o.b} {
		up := strings.ToUpper(s.letter)
		f.StringVar(&s.address, s.letter, "", "Broker "+up+" that runs, HOST:PORT.")
		f.StringVar(&s.binary, s.letter+"-binary", "", "The millrace whose broker is started as "+up+", instead of --"+s.letter+".")
		f.StringVar(&s.name, s.letter+"-name", "", "What the report calls "+up+"; by default its address or binary.")
		f.IntVar(&s.pid, s.letter+"-pid", 0, "Process of "+up+", for its CPU time and memory; 0: found by its listening address when it is on this machine.")
		f.StringVar(&s.admin, s.letter+"-admin", "", "Admin port of "+up+", HOST:PORT, for its allocations.")
		_ = cmd.MarkFlagFilename(s.letter + "-binary")
	}
	f.StringVar(&o.run, "run", "", "All scenarios whose name or group matches this regular expression.")
	f.BoolVar(&o.short, "short", false, "Only scenarios of the short suite.")
	f.IntVar(&o.pairs, "pairs", 5, "How many pairs of each scenario.")
	f.DurationVar(&o.warmup, "warmup", 0, "Warm-up before each measurement, up to ten times as long until each partition was written to; 0: 1 s, or the scenario's own.")
	f.DurationVar(&o.duration, "duration", 0, "Steady phase of each measurement; 0: 3 s, or the scenario's own.")
	f.StringVar(&o.commandConfig, "command-config", "", "Property file with client settings for both.")
	f.StringArrayVar(&o.overrides, "override", nil, "A setting KEY=VALUE of brokers that are started; may be repeated.")
	f.StringVar(&o.tempDir, "temp-dir", "", "Where brokers that are started keep their data.")
	f.StringVar(&o.congestion, "congestion", "", "TCP congestion control of the generator (reno, cubic, bbr); the system's by default.")
	f.BoolVar(&o.quiet, "quiet", false, "No progress on stderr.")
	o.outputs.Flags(f)
	o.outputs.Complete(cmd)
	_ = cmd.RegisterFlagCompletionFunc("congestion", cobra.FixedCompletions([]string{"reno", "cubic", "bbr"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("run", suite.CompleteScenarios)
	_ = cmd.MarkFlagDirname("temp-dir")
}

// selected are the scenarios that the command line names. Those that fill a broker first
// (growth with what is kept) are not for pairs.
func (o *options) selected(names []string) ([]suite.Scenario, error) {
	all := slices.DeleteFunc(suite.Matrix(), func(s suite.Scenario) bool { return s.KeptBytes > 0 })
	if o.run != "" || o.short && len(names) == 0 {
		if len(names) > 0 {
			return nil, cli.Usagef("unexpected argument %q: --run selects already", names[0])
		}
		return suite.Select(all, o.run, o.short)
	}
	if len(names) == 0 {
		return nil, cli.Usagef("which scenario? 'millrace bench suite --list' shows their names; --run REGEXP or --short selects several")
	}
	return suite.Named(all, names)
}

func (o *options) validate() error {
	for _, s := range []sideOptions{o.a, o.b} {
		switch {
		case s.address == "" && s.binary == "":
			return cli.Usagef("where is %s? give --%s HOST:PORT, or --%s-binary FILE to have one started", strings.ToUpper(s.letter), s.letter, s.letter)
		case s.address != "" && s.binary != "":
			return cli.Usagef("--%s and --%s-binary: one of them", s.letter, s.letter)
		case s.binary != "" && (s.pid != 0 || s.admin != ""):
			return cli.Usagef("--%s-pid and --%s-admin are about a broker that runs: give --%s", s.letter, s.letter, s.letter)
		}
	}
	switch {
	case o.pairs < 1 || o.pairs > 1000:
		return cli.Usagef("--pairs %d: from 1 to 1000", o.pairs)
	case o.warmup < 0 || o.duration < 0:
		return cli.Usagef("--warmup and --duration: from 0")
	}
	for _, kv := range o.overrides {
		if !strings.Contains(kv, "=") {
			return cli.Usagef("--override %q: must be KEY=VALUE", kv)
		}
	}
	return nil
}

func (o *options) measure(cmd *cobra.Command, names []string) (err error) {
	scenarios, err := o.selected(names)
	if err != nil {
		return err
	}
	if err := o.validate(); err != nil {
		return err
	}
	props, err := cli.LoadProps(o.commandConfig)
	if err != nil {
		return err
	}
	tell := progress.New(cmd.ErrOrStderr(), o.quiet)
	defer tell.Close()
	driver := &suite.Machine{TempDir: o.tempDir, Congestion: o.congestion}
	defer func() { err = errors.Join(err, driver.Close()) }()
	c := &comparison{
		a: o.side(o.a, props), b: o.side(o.b, props), pairs: o.pairs, warmup: o.warmup, duration: o.duration,
		tell: tell, drive: driver.Drive,
		file: &result.File{Command: result.CommandLine(os.Args), Version: result.Version(), Started: time.Now(), Machine: observe.Machine(o.tempDir)},
		save: (&report.Outputs{JSON: o.outputs.JSON}).Save,
	}
	ended := c.run(cmd.Context(), scenarios)
	tell.Close()
	return errors.Join(ended, o.outputs.Save(c.file), PrintPairs(cmd.OutOrStdout(), c.file))
}

// side makes a side of its flags.
func (o *options) side(s sideOptions, props cli.Props) side {
	m := &suite.Machine{Binary: s.binary, TempDir: o.tempDir, Settings: map[string]string{}}
	for _, kv := range o.overrides {
		k, v, _ := strings.Cut(kv, "=")
		m.Settings[k] = v
	}
	name := cmp.Or(s.name, s.address)
	if s.binary != "" {
		name = cmp.Or(s.name, filepath.Base(s.binary))
	} else {
		m.Running = &suite.Target{Bootstrap: s.address, Props: props, PID: s.pid, Admin: s.admin}
	}
	name = strings.ToUpper(s.letter) + " (" + name + ")"
	return side{name: name, open: func(ctx context.Context, settings map[string]string) (*suite.Target, error) {
		return m.Broker(ctx, settings)
	}}
}

// printPairs writes one table for each scenario.
// PrintPairs prints the comparisons of a file as a table.
func PrintPairs(w io.Writer, f *result.File) error {
	if f.Interrupted {
		fmt.Fprintln(w, "Interrupted: this is what was measured until then.")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	last := ""
	for _, p := range f.Pairs {
		if p.Scenario != last {
			fmt.Fprintf(t, "\n%s\t\t\t\t\t\t\n\t%s\t%s\tB/A\tlowest\thighest\tpairs\t\n", p.Scenario, p.AName, p.BName)
			last = p.Scenario
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.3f\t%.3f\t%.3f\t%d\t%s\n", p.Metric, result.Significant(p.MedianA), result.Significant(p.MedianB),
			p.Ratio, p.Low, p.High, len(p.Ratios), verdict(p))
	}
	if len(f.Pairs) == 0 {
		fmt.Fprintln(t, "no pair was measured")
	}
	return t.Flush()
}
