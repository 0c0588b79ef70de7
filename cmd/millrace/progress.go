package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/millrace/millrace/engine"
)

// How often progress is told: a line that is drawn anew on a terminal, log lines elsewhere.
const (
	redrawEvery = 100 * time.Millisecond
	logEvery    = 5 * time.Second
)

// recoveryProgress returns what engine.StoreOptions.Progress wants: the progress of
// loading the log directories is shown on the terminal, or logged where there is none. A
// start that takes no time says one line for each directory.
func recoveryProgress(log *slog.Logger) func(engine.RecoveryProgress) {
	var terminal io.Writer
	if term.IsTerminal(int(os.Stderr.Fd())) {
		terminal = os.Stderr
	}
	p := &progressPrinter{log: log, terminal: terminal, now: time.Now, began: map[string]time.Time{}, told: map[string]time.Time{}}
	return p.show
}

// progressPrinter is called from several goroutines.
type progressPrinter struct {
	log      *slog.Logger
	terminal io.Writer // nil: log lines
	now      func() time.Time

	mu    sync.Mutex
	began map[string]time.Time // by directory
	told  map[string]time.Time
	drawn bool
}

func (p *progressPrinter) show(r engine.RecoveryProgress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if _, known := p.began[r.Dir]; !known {
		p.began[r.Dir], p.told[r.Dir] = now, now
		if !r.Clean && r.Logs > 0 {
			p.log.Info("recovering: the last stop was not clean", "dir", r.Dir, "partitions", r.Logs)
		}
	}
	if r.LogsDone >= r.Logs {
		p.done(r, now.Sub(p.began[r.Dir]))
		return
	}
	every := logEvery
	if p.terminal != nil {
		every = redrawEvery
	}
	if now.Sub(p.told[r.Dir]) < every {
		return
	}
	p.told[r.Dir] = now
	elapsed := now.Sub(p.began[r.Dir])
	rate := float64(r.DoneBytes) / max(elapsed.Seconds(), 1e-3)
	if p.terminal == nil {
		p.log.Info("recovering", "dir", r.Dir, "partitions_done", r.LogsDone, "partitions", r.Logs, "read", megabytes(float64(r.DoneBytes)), "per_second", megabytes(rate))
		return
	}
	p.drawn = true
	fmt.Fprintf(p.terminal, "\r\x1b[Krecovering %s: %d of %d partitions, %s read, %s/s", r.Dir, r.LogsDone, r.Logs, megabytes(float64(r.DoneBytes)), megabytes(rate))
}

// done tells how loading a directory ended; it is told only once.
func (p *progressPrinter) done(r engine.RecoveryProgress, took time.Duration) {
	if p.told[r.Dir].IsZero() {
		return
	}
	p.told[r.Dir] = time.Time{}
	if p.drawn {
		fmt.Fprint(p.terminal, "\r\x1b[K")
		p.drawn = false
	}
	args := []any{"dir", r.Dir, "partitions", r.Logs, "took", took.Round(time.Millisecond)}
	if !r.Clean && r.Logs > 0 {
		args = append(args, "read", megabytes(float64(r.DoneBytes)), "truncated_bytes", r.TruncatedBytes, "rebuilt_indexes", r.RebuiltIndexes)
	}
	p.log.Info("log directory loaded", args...)
}

func megabytes(b float64) string { return fmt.Sprintf("%.1f MB", b/1e6) }
