package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/progress"
	"github.com/millrace/millrace/bench/report"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

// session is one run with all that it measures.
type session struct {
	o        *options
	c        *clients
	maker    *maker
	out, err io.Writer
	progress *progress.Progress
	costs    *costs
	began    time.Time

	records     *hist.Recorder // from intended send (open loop) or send to consumption
	uncorrected *hist.Recorder // from the send itself (open loop)
	late        *hist.Recorder // the generator's own lateness (open loop)
	acks        *hist.Recorder // to the acknowledgement, from where records count
	warming     *hist.Recorder // like records, of the warm-up: for the points only

	// Of the goroutine that consumes, until it is done.
	counted   int64
	sumNs     float64
	millis    millis
	strangers int64
	failures  int64

	mu     sync.Mutex // steady, series
	steady time.Time  // zero: not yet
	series []result.Point
}

// run is the whole command.
func (o *options) run(cmd *cobra.Command) error {
	if err := o.check(cmd.ErrOrStderr()); err != nil {
		return err
	}
	// Collections of the generator's garbage would count as the broker's latency.
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	clients, err := o.connect(cmd)
	defer clients.close()
	if err != nil {
		return err
	}
	m, err := newMaker(o)
	if err != nil {
		return err
	}
	s := &session{
		o: o, c: clients, maker: m, out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), began: time.Now(),
		records: hist.NewRecorder(), uncorrected: hist.NewRecorder(), late: hist.NewRecorder(), acks: hist.NewRecorder(),
		warming: hist.NewRecorder(),
		// Kafka's lines are the progress on a terminal; two kinds would tear each other.
		progress: progress.New(cmd.ErrOrStderr(), isTerminal(cmd.OutOrStdout())),
		costs:    openCosts(o),
	}
	defer s.costs.close()
	defer s.progress.Close()
	return s.measure(cmd.Context())
}

// gcPercent lets the heap of some MiB grow ninefold before it is collected.
const gcPercent = 800

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && cli.Interactive(f, f)
}

// measure runs the loop and tells what came of it, also when it was interrupted or failed.
func (s *session) measure(ctx context.Context) error {
	loop := s.closed
	if s.o.open() {
		loop = s.open
	}
	stop := s.watch(ctx)
	runErr := loop(ctx)
	s.costs.end()
	ended := time.Now()
	files, flameErr := stop()
	s.progress.Close()
	if s.counted > 0 {
		if runErr == nil {
			s.printTotals()
		}
		s.printDetails(ended)
	}
	for _, f := range files {
		fmt.Fprintf(s.err, "wrote %s\n", f)
	}
	err := s.save(ended, runErr, ctx.Err() != nil)
	switch {
	case runErr != nil:
		return runErr
	case err != nil:
		return err
	case ctx.Err() != nil:
		return cli.Exit(cli.Interrupted)
	}
	return flameErr
}

// watch starts what goes on beside the loop: a point every second, and the profiles once the
// steady phase has begun. The function that it returns ends both.
func (s *session) watch(ctx context.Context) (stop func() ([]string, error)) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	var files []string
	var flameErr error
	done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		last, profiling := time.Now(), false
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				s.point(now, now.Sub(last))
				last = now
			}
			if !profiling && s.isSteady() && s.o.flame.Enabled() {
				profiling = true
				done.Go(func() { files, flameErr = s.o.flame.Take(ctx, s.profileTime(), s.o.name()) })
			}
		}
	})
	return func() ([]string, error) {
		cancel()
		done.Wait()
		if errors.Is(flameErr, context.Canceled) {
			flameErr = &ShortError{}
		}
		return files, flameErr
	}
}

// profileTime is how long the steady phase lasts, less what is gone of it.
func (s *session) profileTime() time.Duration {
	const guess, margin = 5 * time.Second, 1500 * time.Millisecond
	switch {
	case s.o.duration > 0:
		return max(s.o.duration-margin, time.Second)
	case s.o.open():
		return max(time.Duration(float64(s.o.records)/s.o.throughput*1e9)-margin, time.Second)
	}
	return guess
}

// phase tells where the run is.
func (s *session) phase(name string) { s.progress.Phase(s.o.name(), name) }

// beginSteady is the end of the warm-up.
func (s *session) beginSteady() {
	s.costs.begin()
	s.mu.Lock()
	s.steady = time.Now()
	s.mu.Unlock()
	s.phase("steady")
}

func (s *session) isSteady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.steady.IsZero()
}

// count takes record number n (from 0) of those that count, by the consuming goroutine.
func (s *session) count(n, ns int64) {
	if n%1000 == 0 {
		fmt.Fprintf(s.out, "%d\t%s\n", n, javaDouble(float64(ns)/1000/1000))
	}
	s.counted++
	s.sumNs += float64(ns)
	s.millis.add(ns)
}

// point adds what came in since the last one.
func (s *session) point(now time.Time, interval time.Duration) {
	h := s.records.Interval()
	h.Merge(s.warming.Interval())
	p := result.Point{AtS: now.Sub(s.began).Seconds(), IntervalS: interval.Seconds()}
	p.RecordsPerS = float64(h.Count()) / p.IntervalS
	p.MBPerS = p.RecordsPerS * float64(s.o.recordBytes()) / 1e6
	p.MeanMs, p.P50Ms, p.P99Ms, p.MaxMs = ms(h.Mean()), ms(h.Percentile(50)), ms(h.Percentile(99)), ms(h.Max())
	p.BrokerCores = s.costs.cores(now)
	s.mu.Lock()
	p.Warmup = s.steady.IsZero()
	s.series = append(s.series, p)
	s.mu.Unlock()
	s.progress.Point(s.o.name(), p)
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// runs are the results: to the consumer, and to the acknowledgement.
func (s *session) runs(ended time.Time, failed error) []result.Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := result.Run{
		Name: s.o.name(), Group: "End to end", Target: s.o.bootstrap, Client: "franz-go",
		Scenario: map[string]string{
			"record": bytesText(s.o.size), "acks": s.o.acks, "partitions": strconv.Itoa(s.c.partitions),
			"compression": s.o.props.Or("compression.type", "none"), "fetch wait": s.o.maxWait.String(),
		},
		Note:    "from send to consumption; a record counts when it is consumed",
		Started: s.began, WarmupS: s.steady.Sub(s.began).Seconds(), SteadyS: ended.Sub(s.steady).Seconds(),
		Records: s.counted, Bytes: s.counted * int64(s.o.recordBytes()), Errors: s.failures, Series: s.series,
	}
	if s.steady.IsZero() {
		run.WarmupS, run.SteadyS = ended.Sub(s.began).Seconds(), 0
	}
	if run.SteadyS > 0 {
		run.RecordsPerS = float64(run.Records) / run.SteadyS
		run.MBPerS = float64(run.Bytes) / 1e6 / run.SteadyS
	}
	if failed != nil {
		run.Error = failed.Error()
	}
	s.costs.fill(&run)
	ack := run
	ack.Name += ", acknowledgement"
	ack.Note = "from send to acknowledgement, of the same records"
	ack.Series, ack.Broker, ack.Generator = nil, nil, nil
	if s.o.open() {
		run.TargetRate, ack.TargetRate = s.o.throughput, s.o.throughput
		run.Latency, run.Uncorrected, run.Lateness = s.records.Total().Latency(), s.uncorrected.Total().Latency(), s.late.Total().Latency()
		ack.Latency = s.acks.Total().Latency()
	} else {
		run.Uncorrected, ack.Uncorrected = s.records.Total().Latency(), s.acks.Total().Latency()
	}
	return []result.Run{run, ack}
}

// save writes the files that were asked for.
func (s *session) save(ended time.Time, failed error, interrupted bool) error {
	if s.o.hgrm != "" && s.counted > 0 {
		if err := report.WriteFile(s.o.hgrm, s.records.Total().WriteHGRM); err != nil {
			return err
		}
	}
	if s.o.files.JSON == "" && s.o.files.HTML == "" {
		return nil
	}
	f := &result.File{
		Command: result.CommandLine(os.Args), Version: result.Version(), Started: s.began, Ended: ended, Interrupted: interrupted,
		Machine: observe.Machine(os.TempDir()), Runs: s.runs(ended, failed),
	}
	if why := s.costs.why; why != "" {
		f.Notes = append(f.Notes, "No figures of the broker's process: "+why)
	}
	return s.o.files.Save(f)
}

// ShortError is a run that was over before its profile was.
type ShortError struct{}

func (*ShortError) Error() string {
	return "the run ended before its profile was taken: give it a --duration of some seconds"
}

func kerrIs(err error, code *kerr.Error) bool { return errors.Is(err, code) }
