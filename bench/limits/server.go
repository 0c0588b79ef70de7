package limits

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"
)

// serverCommand is the hidden subcommand of `millrace bench` that is the server.
const serverCommand = "limits-server"

// job is what the parent asks of a server process: the first line on its standard input.
type job struct {
	Spec
	Dir          string // where it may write
	SegmentBytes int64
	File         string // what the kinds that fetch serve, FileBytes long
	FileBytes    int64
	RunNs        int64 // how long a kind without clients runs
}

// report is a line that the server writes to its standard output.
type report struct {
	Error   string `json:",omitempty"`
	Address string `json:",omitempty"` // ready, clients may come
	Ready   bool   `json:",omitempty"` // ready, no clients are needed
	Sealed  string `json:",omitempty"` // a segment that is full and closed: the parent removes it
	Mark    *mark  `json:",omitempty"`
	Outcome *outcome
}

// mark is where the server stands at a moment.
type mark struct {
	CPUNs int64 // user and system, all threads
	Units int64 // requests served
	Slow  timings
}

// outcome is the result of a kind without clients.
type outcome struct {
	CPUNs, WallNs, Units int64
	LatencyNs            []int64
}

// ServerCommand returns the hidden command that is the server of a measurement. It is told
// what to do on its standard input and ends with it.
func ServerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    serverCommand,
		Short:  "Serve a floor for millrace bench limits, which starts it",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return Serve(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// Serve is the server process: it reads a job from in, does it, and answers on out until in
// ends. Programs that use this package in their tests call it from TestMain when they were
// started with the words of Options.Server.
func Serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	w := &reporter{enc: json.NewEncoder(out)}
	if !lines.Scan() {
		return errors.Join(io.ErrUnexpectedEOF, lines.Err())
	}
	var j job
	if err := json.Unmarshal(lines.Bytes(), &j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	w.failed(serve(j, lines, w))
	return nil
}

// reporter writes reports; from any goroutine.
type reporter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (r *reporter) send(l report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.enc.Encode(l) // a parent that is gone also closed our input, which ends us
}

func (r *reporter) failed(err error) {
	if err != nil {
		r.send(report{Error: err.Error()})
	}
}

// timings counts calls by the CPU time that they took, in powers of two of nanoseconds, so that those
// which met memory that the host had not backed yet can be told apart.
type timings struct {
	Count, SumNs [40]int64
}

// since returns what was added to t after earlier.
func (t timings) since(earlier timings) timings {
	for i := range t.Count {
		t.Count[i] -= earlier.Count[i]
		t.SumNs[i] -= earlier.SumNs[i]
	}
	return t
}

// slowFactor is from how many times the median on a call counts as disturbed, a power of two.
const slowFactor = 16

// slowShare returns the share of the time that was spent in disturbed calls.
func (t timings) slowShare() float64 {
	var calls, seen, total, slow int64
	for _, n := range t.Count {
		calls += n
	}
	median := -1
	for i, n := range t.Count {
		if seen += n; median < 0 && 2*seen >= calls {
			median = i
		}
		total += t.SumNs[i]
		if median >= 0 && 1<<(i-median) >= slowFactor {
			slow += t.SumNs[i]
		}
	}
	if total == 0 {
		return 0
	}
	return float64(slow) / float64(total)
}
