package main

import (
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// logFile is logs/server.log. Like Kafka's it starts anew each hour and keeps the old
// one as server.log.2026-11-22-18; deleting old ones is the owner's affair.
type logFile struct {
	mu   sync.Mutex
	path string
	hour string
	file *os.File
}

func openLogFile(path string) (*logFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	l := &logFile{path: path}
	if info, err := os.Stat(path); err == nil {
		l.hour = hourOf(info.ModTime())
	}
	return l, l.roll(time.Now())
}

func hourOf(t time.Time) string { return t.Format("2006-01-02-15") }

// roll opens the file, after moving one of an earlier hour away. It is called with mu
// held, or before anyone else knows l.
func (l *logFile) roll(now time.Time) error {
	if l.file != nil {
		l.file.Close()
	}
	if l.hour != "" && l.hour != hourOf(now) {
		_ = os.Rename(l.path, l.path+"."+l.hour) // one long file is better than none
	}
	l.hour = hourOf(now)
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	l.file = file
	return err
}

// Write appends one log line. A full disk loses lines, not the broker.
func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); hourOf(now) != l.hour {
		if err := l.roll(now); err != nil {
			return len(line), nil
		}
	}
	_, _ = l.file.Write(line)
	return len(line), nil
}

// Close ends it.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// lockedWriter lets a line of one goroutine not fall into that of another.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
