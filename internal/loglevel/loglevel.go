// Package loglevel gives each part of a process a logger whose level can change while it
// runs. Loggers have names; one without a level of its own follows the root.
//
// The composition root makes Levels over a handler that lets everything through, and hands
// named loggers down; the broker sets levels for administrators (Kafka's BROKER_LOGGER
// resources). All methods may be called from several goroutines; a record that is not
// logged costs an atomic load or two.
package loglevel

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Root is the name of the logger that all others follow.
const Root = "root"

// Levels below and above slog's own, for Kafka's TRACE and FATAL.
const (
	Trace slog.Level = -8
	Fatal slog.Level = 12
)

// Everything is the level that the handler below Levels should have.
const Everything = slog.Level(math.MinInt32)

var names = []struct {
	name  string
	level slog.Level
}{{"TRACE", Trace}, {"DEBUG", slog.LevelDebug}, {"INFO", slog.LevelInfo}, {"WARN", slog.LevelWarn}, {"ERROR", slog.LevelError}, {"FATAL", Fatal}}

// Parse reads a level by Kafka's name for it.
func Parse(name string) (slog.Level, error) {
	var all []string
	for _, n := range names {
		if strings.EqualFold(n.name, strings.TrimSpace(name)) {
			return n.level, nil
		}
		all = append(all, n.name)
	}
	return 0, fmt.Errorf("%q is not a log level: %s are", name, strings.Join(all, ", "))
}

// Name is Kafka's name for a level, or for the next lower one that has one.
func Name(l slog.Level) string {
	best := names[0].name
	for _, n := range names {
		if l >= n.level {
			best = n.name
		}
	}
	return best
}

// Levels holds the level of each logger.
type Levels struct {
	base slog.Handler
	root *entry

	mu      sync.Mutex
	entries map[string]*entry
}

// unset marks an entry that follows the root.
const unset = math.MinInt64

// entry is one logger's level, or unset.
type entry struct {
	level atomic.Int64
	root  *entry
}

func (e *entry) effective() slog.Level {
	if l := e.level.Load(); l != unset {
		return slog.Level(l)
	}
	return slog.Level(e.root.level.Load())
}

// New makes the levels of loggers that write to base.
func New(base slog.Handler, root slog.Level) *Levels {
	l := &Levels{base: base, root: new(entry), entries: map[string]*entry{}}
	l.root.level.Store(int64(root))
	l.entries[Root] = l.root
	return l
}

// Of returns the levels that a logger was made by, or new ones on top of a logger that was
// made by none.
func Of(log *slog.Logger) *Levels {
	if h, ok := log.Handler().(*handler); ok {
		return h.levels
	}
	return New(log.Handler(), Everything)
}

// Logger returns the logger of this name.
func (l *Levels) Logger(name string) *slog.Logger {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[name]
	if !ok {
		e = &entry{root: l.root}
		e.level.Store(unset)
		l.entries[name] = e
	}
	return slog.New(&handler{Handler: l.base, levels: l, entry: e})
}

// Names returns the loggers' names, sorted, the root's too.
func (l *Levels) Names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.entries))
}

// Level returns the level that a logger has, and whether there is such a logger.
func (l *Levels) Level(name string) (slog.Level, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[name]
	if !ok {
		return 0, false
	}
	return e.effective(), true
}

// Set gives a logger a level of its own, and tells whether there is such a logger.
func (l *Levels) Set(name string, level slog.Level) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[name]
	if ok {
		e.level.Store(int64(level))
	}
	return ok
}

// Unset lets a logger follow the root again. The root keeps its level.
func (l *Levels) Unset(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[name]
	if ok && e != l.root {
		e.level.Store(unset)
	}
	return ok
}

// handler lets through what its logger's level allows.
type handler struct {
	slog.Handler
	levels *Levels
	entry  *entry
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.entry.effective() && h.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.Handler.WithAttrs(attrs), h.levels, h.entry}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.levels, h.entry}
}
