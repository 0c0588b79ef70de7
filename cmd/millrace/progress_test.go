package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine"
)

func TestProgressIsALineOnATerminalAndLogLinesElsewhere(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		var log, screen bytes.Buffer
		now := time.UnixMilli(0)
		p := &progressPrinter{log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now }, began: map[string]time.Time{}, told: map[string]time.Time{}}
		if terminal {
			p.terminal = &screen
		}
		for done := range 101 {
			p.show(engine.RecoveryProgress{Dir: "/d", Logs: 100, LogsDone: done, DoneBytes: int64(done) * 1e6, TruncatedBytes: 7})
			now = now.Add(120 * time.Millisecond)
		}
		p.show(engine.RecoveryProgress{Dir: "/d", Logs: 100, LogsDone: 100})
		lines, redraws := strings.Count(log.String(), "msg=recovering "), strings.Count(screen.String(), "\r\x1b[Krecovering /d: ")
		if terminal && (lines != 0 || redraws != 99 || !strings.HasSuffix(screen.String(), "\r\x1b[K")) {
			t.Errorf("%d lines, %d redraws, screen ends %.40q", lines, redraws, screen.String()[max(0, screen.Len()-40):])
		}
		if !terminal && (lines != 2 || redraws != 0) {
			t.Errorf("%d lines, %d redraws: %s", lines, redraws, log.String())
		}
		if got := strings.Count(log.String(), `msg="log directory loaded"`); got != 1 || !strings.Contains(log.String(), "truncated_bytes=7") {
			t.Errorf("loaded is told %d times: %s", got, log.String())
		}
	}
}
