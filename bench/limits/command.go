package limits

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

const examples = `  # everything, about twenty minutes; the figures also as JSON
  {{.}} --all --json limits.json

  # what an append of 1 KiB and 64 KiB must cost, one connection
  {{.}} --kind append --size 1KiB,64KiB

  # the floor of a broker with 100 connections and 5 requests in flight on each, under reno
  {{.}} --kind append,echo --size 1KiB --connections 100 --depth 5 --congestion reno

  # how long the disk takes to sync
  {{.}} --kind fdatasync,fdatasync-loaded --dir /var/lib/kafka`

type flags struct {
	kinds, sizes, congestion []string
	dir, json                string
	samples                  int
	seconds                  float64
	connections, depth       int
	holdMiB                  int64
	all, quiet               bool
}

// Command returns the tool; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &flags{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Measure what this machine's system calls cost for a broker's work",
		Long:    "The floor of this machine: bare system calls doing what a broker has to do, in the same units.",
		Example: strings.ReplaceAll(examples, "{{.}}", "millrace bench "+name),
	}
	cli.Prepare(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.all, "all", false, "Measure all kinds and sizes.")
	f.StringSliceVar(&o.kinds, "kind", nil, "The kinds of work: "+strings.Join(Kinds(), ", ")+".")
	f.StringSliceVar(&o.sizes, "size", nil, "Sizes for the kinds that have one, as 200, 1KiB, 1MiB. Without it: those that each kind is known for.")
	f.IntVar(&o.connections, "connections", 0, "Connections, for the kinds that use the network. Without it: 1 or 100, as the kind has it.")
	f.IntVar(&o.depth, "depth", 0, "Requests in flight on each connection. Without it: as the kind has it.")
	f.StringSliceVar(&o.congestion, "congestion", nil, "TCP congestion controls. Without it: the system's own and reno.")
	f.IntVar(&o.samples, "samples", defaultSamples, "Samples of each way of doing the work, taken in turns.")
	f.Float64Var(&o.seconds, "seconds", defaultTime.Seconds(), "Length of a sample.")
	f.StringVar(&o.dir, "dir", "", "Where files are written: the disk that is measured. Without it: the folder for temporary files.")
	f.Int64Var(&o.holdMiB, "hold-mib", 0, "Write to so many MiB of memory and keep them for the files of each sample, so that no host has to back them then; -1 for none. Without it: a sixth of what is available, at most 1536.")
	f.StringVar(&o.json, "json", "", "Write the figures to this file.")
	f.BoolVar(&o.quiet, "quiet", false, "Print the table only.")
	complete(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func complete(cmd *cobra.Command) {
	fixed := func(values ...string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	_ = cmd.RegisterFlagCompletionFunc("kind", fixed(Kinds()...))
	_ = cmd.RegisterFlagCompletionFunc("size", fixed("200B", "1KiB", "16KiB", "64KiB", "256KiB", "1MiB"))
	_ = cmd.RegisterFlagCompletionFunc("congestion", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		text, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
		return strings.Fields(string(text)), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.MarkFlagDirname("dir")
}

func (o *flags) run(cmd *cobra.Command) error {
	opts, err := o.options()
	if err != nil {
		return err
	}
	if !o.quiet {
		opts.Progress = progress(cmd)
	}
	file := result.File{Command: result.CommandLine(os.Args), Version: result.Version(), Started: time.Now(), Machine: observe.Machine(opts.withDefaults().Dir)}
	floors, err := Measure(cmd.Context(), opts)
	if opts.Progress != nil {
		opts.Progress(Progress{})
	}
	file.Ended, file.Floors, file.Interrupted = time.Now(), floors, err != nil
	if len(floors) > 0 {
		if werr := Print(cmd.OutOrStdout(), floors); werr != nil && err == nil {
			err = werr
		}
	}
	if o.json != "" && len(floors) > 0 {
		if werr := writeJSON(o.json, &file); werr != nil && err == nil {
			err = werr
		}
	}
	if cmd.Context().Err() != nil {
		return context.Canceled
	}
	return err
}

func (o *flags) options() (Options, error) {
	opts := Options{
		Dir: o.dir, Kinds: o.kinds, Samples: o.samples, SampleTime: time.Duration(o.seconds * float64(time.Second)),
		Congestion: o.congestion, Connections: o.connections, Depth: o.depth, HoldBytes: o.holdMiB << 20,
	}
	switch {
	case o.all && len(o.kinds) > 0:
		return opts, cli.Usagef("--all and --kind exclude each other")
	case !o.all && len(o.kinds) == 0:
		return opts, cli.Usagef("nothing to measure: use --all, or --kind with some of %s", strings.Join(Kinds(), ", "))
	case o.samples < 1:
		return opts, cli.Usagef("--samples %d: at least 1", o.samples)
	case o.seconds < 0.05 || o.seconds > 600:
		return opts, cli.Usagef("--seconds %g: 0.05 to 600", o.seconds)
	case o.connections < 0 || o.connections > 30000:
		return opts, cli.Usagef("--connections %d: 1 to 30000", o.connections)
	case o.depth < 0:
		return opts, cli.Usagef("--depth %d: at least 1", o.depth)
	}
	for _, text := range o.sizes {
		n, err := ParseSize(text)
		if err != nil {
			return opts, cli.Usagef("--size: %s", err)
		}
		opts.Sizes = append(opts.Sizes, n)
	}
	specs, err := Matrix(opts)
	if err != nil {
		return opts, cli.Usagef("--kind: %s", err)
	}
	for _, s := range specs {
		if err := s.validate(); err != nil {
			return opts, cli.Usagef("--size: %s", err)
		}
	}
	return opts, nil
}

// ParseSize reads a size as SizeName writes it, or a number of bytes.
func ParseSize(text string) (int, error) {
	digits := strings.TrimRight(text, "KMiBb")
	unit := 1
	switch text[len(digits):] {
	case "", "B":
	case "KiB", "K":
		unit = 1 << 10
	case "MiB", "M":
		unit = 1 << 20
	default:
		unit = 0
	}
	n, err := strconv.Atoi(digits)
	if err != nil || unit == 0 || n <= 0 || n > maxSizeBytes/unit {
		return 0, fmt.Errorf("%q is no size: use a number with B, KiB or MiB, up to %s", text, SizeName(maxSizeBytes))
	}
	return n * unit, nil
}

// progress prints a line for each sample, over the last one on a terminal.
func progress(cmd *cobra.Command) func(Progress) {
	out := cmd.ErrOrStderr()
	f, ok := out.(*os.File)
	if !ok || !terminal(f) {
		return nil
	}
	return func(p Progress) {
		if p.Name == "" {
			fmt.Fprint(out, "\r\x1b[K")
			return
		}
		fmt.Fprintf(out, "\r\x1b[K%d/%d  %s", p.Done+1, p.Total, p.Name)
	}
}

// writeJSON writes the file under a second name first, so that a reader never sees a half.
func writeJSON(path string, file *result.File) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	err = file.Write(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
