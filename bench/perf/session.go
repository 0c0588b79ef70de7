package perf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/bench/flame"
	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/progress"
	"github.com/millrace/millrace/bench/report"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

// commonOptions are the flags that producer and consumer share: what is left behind beside
// Kafka's lines.
type commonOptions struct {
	outputs   report.Outputs
	flame     *flame.Flags
	hgrm      string
	name      string
	brokerPID int
	details   bool
	quiet     bool
}

func (o *commonOptions) register(cmd *cobra.Command, script bool) {
	f := cmd.Flags()
	o.outputs.Flags(f)
	o.outputs.Complete(cmd)
	f.StringVar(&o.hgrm, "hgrm", "", "Write the latencies as HdrHistogram percentile files: PREFIX.hgrm, and PREFIX.uncorrected.hgrm under --throughput.")
	f.StringVar(&o.name, "name", "", "Name of this run in --json and --html.")
	f.IntVar(&o.brokerPID, "broker-pid", 0, "Process of the broker, for its CPU and memory; without it the local process that listens on the first address.")
	f.BoolVar(&o.details, "details", !script, "Tell on standard error what Kafka's lines do not: finer latencies, from the intended send time too, what broker and generator cost.")
	f.BoolVar(&o.quiet, "quiet", false, "No progress and no details on standard error.")
	o.flame = flame.AddFlags(cmd)
}

func (o *commonOptions) check() error {
	if o.brokerPID < 0 {
		return cli.Usagef("--broker-pid %d: no process has that number", o.brokerPID)
	}
	return o.flame.Check()
}

// session is one run seen from outside: what watches it and what is written of it.
type session struct {
	o        *commonOptions
	cmd      *cobra.Command
	watch    *watch
	started  time.Time
	show     *progress.Progress // nil: not on a terminal, or not wanted
	duration time.Duration      // of the steady phase, when it is known

	closedLoop string // what the latency of a load without a rate is

	profile   sync.WaitGroup
	files     []string // of profiles; after profile.Wait
	flameErr  error
	stopFlame context.CancelFunc
}

func (o *commonOptions) open(cmd *cobra.Command, bootstrap string, duration time.Duration) *session {
	s := &session{o: o, cmd: cmd, started: time.Now(), duration: duration, watch: openWatch(bootstrap, o.brokerPID, o.flame.Admin)}
	// A log has Kafka's lines; only a person at a terminal wants a line that moves too.
	if out, ok := cmd.ErrOrStderr().(*os.File); ok && o.details && !o.quiet && terminal(out) {
		s.show = progress.New(out, false)
	}
	return s
}

// lines is where Kafka's lines go: standard output; on a terminal on which a line moves,
// above that line.
func (s *session) lines() io.Writer {
	out, ok := s.cmd.OutOrStdout().(*os.File)
	if s.show == nil || !ok || !terminal(out) {
		return s.cmd.OutOrStdout()
	}
	return &above{s.show}
}

// above writes whole lines above the line that moves.
type above struct{ show *progress.Progress }

func (a *above) Write(p []byte) (int, error) {
	a.show.Printf("%s", strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// point shows one second of the run.
func (s *session) point(p result.Point) {
	if s.show != nil {
		s.show.Point(s.cmd.Name(), p)
	}
}

// phase shows what the run does now.
func (s *session) phase(name string) {
	if s.show != nil {
		s.show.Phase(s.cmd.Name(), name)
	}
}

// steady is called when the steady phase begins: profiles are taken from then on.
func (s *session) steady() {
	s.phase("steady")
	if !s.o.flame.Enabled() {
		return
	}
	length := s.duration
	if length == 0 {
		length = 5 * time.Second
	}
	ctx, cancel := context.WithCancel(s.cmd.Context())
	s.stopFlame = cancel
	s.profile.Go(func() {
		s.files, s.flameErr = s.o.flame.Take(ctx, length, result.CommandLine(os.Args))
	})
}

// finish writes what was asked for and returns the end of the command: end, or why a file
// could not be written.
func (s *session) finish(run result.Run, end error) error {
	if s.show != nil {
		s.show.Close()
	}
	s.profile.Wait()
	s.watch.costs(&run)
	interrupted := errors.Is(end, context.Canceled)
	if end != nil && !interrupted && run.Error == "" {
		run.Error = end.Error()
	}
	f := &result.File{
		Command: result.CommandLine(os.Args), Version: result.Version(),
		Started: s.started, Ended: time.Now(), Interrupted: interrupted, Machine: observe.Machine(""), Runs: []result.Run{run},
	}
	if s.watch.broker == nil {
		f.Notes = append(f.Notes, "The broker's cost is not known: "+s.watch.why)
	}
	if s.o.details && !s.o.quiet {
		writeDetails(s.cmd.ErrOrStderr(), &run, s.watch, s.closedLoop)
		for _, file := range s.files {
			fmt.Fprintf(s.cmd.ErrOrStderr(), "profile: %s\n", file)
		}
	}
	errs := []error{s.flameErr, s.o.outputs.Save(f), s.writeHGRM(&run)}
	if err := errors.Join(errs...); err != nil && (end == nil || !interrupted) {
		return errors.Join(end, err)
	}
	return end
}

// writeHGRM writes the percentile files.
func (s *session) writeHGRM(run *result.Run) error {
	if s.o.hgrm == "" {
		return nil
	}
	prefix := strings.TrimSuffix(s.o.hgrm, ".hgrm")
	main, plain := run.Latency, run.Uncorrected
	if main == nil {
		main, plain = plain, nil
	}
	if main == nil {
		return fmt.Errorf("--hgrm %s: no latency was measured, nothing is written", s.o.hgrm)
	}
	for file, l := range map[string]*result.Latency{prefix + ".hgrm": main, prefix + ".uncorrected.hgrm": plain} {
		if l == nil {
			continue
		}
		h, err := hist.FromLatency(l)
		if err != nil {
			return err
		}
		if err := report.WriteFile(file, h.WriteHGRM); err != nil {
			return err
		}
	}
	return nil
}

// close ends what open began.
func (s *session) close() {
	if s.show != nil {
		s.show.Close()
	}
	if s.stopFlame != nil {
		s.stopFlame()
	}
	s.profile.Wait()
	s.watch.close()
}
