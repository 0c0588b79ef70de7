package zk

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// lineHistory is what a user typed, oldest first, kept in a file. It implements
// term.History.
type lineHistory struct {
	path  string
	lines []string
	errs  io.Writer
}

// loadHistory reads the file at path; "" keeps nothing. It never fails: a history that
// cannot be read or kept is told once.
func loadHistory(path string, errs io.Writer) *lineHistory {
	h := &lineHistory{path: path, errs: errs}
	if path == "" {
		return h
	}
	text, err := os.ReadFile(path)
	if err != nil {
		if !os.IsNotExist(err) {
			h.giveUp(err)
		}
		return h
	}
	h.lines = slices.DeleteFunc(strings.Split(string(text), "\n"), func(l string) bool { return l == "" })
	if n := len(h.lines); n > 2*historyLines {
		h.lines = slices.Clone(h.lines[n-historyLines:])
		if err := os.WriteFile(path, []byte(strings.Join(h.lines, "\n")+"\n"), 0o600); err != nil {
			h.giveUp(err)
		}
	}
	return h
}

func (h *lineHistory) giveUp(err error) {
	fmt.Fprintf(h.errs, "the history is not kept: %v\n", err)
	h.path = ""
}

// Add implements term.History. Empty lines, repetitions and passwords are left out.
func (h *lineHistory) Add(line string) {
	if strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "addauth") || h.Len() > 0 && h.At(0) == line {
		return
	}
	h.lines = append(h.lines, line)
	if h.path == "" {
		return
	}
	f, err := os.OpenFile(h.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(line + "\n")
		if e := f.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		h.giveUp(err)
	}
}

// Len implements term.History.
func (h *lineHistory) Len() int { return len(h.lines) }

// At implements term.History: 0 is the last line.
func (h *lineHistory) At(i int) string { return h.lines[len(h.lines)-1-i] }
