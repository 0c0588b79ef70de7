package node

import (
	"context"
	"io"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/internal/clock"
)

// repeatInterval is how often one message of Raft's may be logged: a peer that is down makes it
// say the same several times a second.
const repeatInterval = 10 * time.Second

// raftLog is Raft's log on ours. Raft calls errors what is daily life in an ensemble (a peer
// that does not answer), so each level becomes the one below it. A message that was logged
// within repeatInterval is counted instead, and told with the next one.
type raftLog struct {
	out   *slog.Logger
	clock clock.Clock
	args  []any
	seen  *repeats
	stop  <-chan struct{} // when it is closed, nothing that fails is news any more
}

type repeats struct {
	mu   sync.Mutex
	last map[string]repeat
}

type repeat struct {
	at      time.Time
	dropped int
}

var _ hclog.Logger = (*raftLog)(nil)

func newRaftLog(out *slog.Logger, c clock.Clock, stop <-chan struct{}) *raftLog {
	return &raftLog{out: out.With("part", "raft"), clock: c, seen: &repeats{last: map[string]repeat{}}, stop: stop}
}

// pass tells whether a message may be logged now, and how many like it were dropped before.
func (r *repeats) pass(msg string, now time.Time) (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.last[msg]
	if known && now.Sub(last.at) < repeatInterval {
		last.dropped++
		r.last[msg] = last
		return 0, false
	}
	r.last[msg] = repeat{at: now}
	return last.dropped, true
}

func slogLevel(l hclog.Level) slog.Level {
	switch l {
	case hclog.Error:
		return slog.LevelWarn
	case hclog.Warn:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// Log implements hclog.Logger.
func (l *raftLog) Log(level hclog.Level, msg string, args ...any) {
	at := slogLevel(level)
	if !l.out.Enabled(context.Background(), at) {
		return
	}
	select {
	case <-l.stop:
		return
	default:
	}
	dropped, ok := l.seen.pass(msg, l.clock.Now())
	if !ok {
		return
	}
	all := append(append([]any(nil), l.args...), args...)
	if dropped > 0 {
		all = append(all, "dropped", dropped)
	}
	l.out.Log(context.Background(), at, msg, all...)
}

func (l *raftLog) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l *raftLog) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l *raftLog) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *raftLog) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *raftLog) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *raftLog) enabled(level hclog.Level) bool {
	return l.out.Enabled(context.Background(), slogLevel(level))
}

func (l *raftLog) IsTrace() bool { return l.enabled(hclog.Trace) }
func (l *raftLog) IsDebug() bool { return l.enabled(hclog.Debug) }
func (l *raftLog) IsInfo() bool  { return l.enabled(hclog.Info) }
func (l *raftLog) IsWarn() bool  { return l.enabled(hclog.Warn) }
func (l *raftLog) IsError() bool { return l.enabled(hclog.Error) }

func (l *raftLog) ImpliedArgs() []any { return l.args }
func (l *raftLog) Name() string       { return "raft" }

// With implements hclog.Logger.
func (l *raftLog) With(args ...any) hclog.Logger {
	with := *l
	with.args = append(append([]any(nil), l.args...), args...)
	return &with
}

func (l *raftLog) Named(string) hclog.Logger      { return l }
func (l *raftLog) ResetNamed(string) hclog.Logger { return l }
func (l *raftLog) SetLevel(hclog.Level)           {} // the levels are slog's
func (l *raftLog) GetLevel() hclog.Level          { return hclog.NoLevel }

// StandardLogger implements hclog.Logger.
func (l *raftLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(l.StandardWriter(nil), "", 0)
}

// StandardWriter implements hclog.Logger.
func (l *raftLog) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return logWriter{l} }

type logWriter struct{ l *raftLog }

func (w logWriter) Write(p []byte) (int, error) {
	w.l.Debug(string(p))
	return len(p), nil
}
