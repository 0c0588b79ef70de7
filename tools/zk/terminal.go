package zk

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Where the history of a user is kept.
const (
	historyFile     = ".zkcli_history"
	historyVariable = "MILLRACE_ZK_HISTORY"
	historyLines    = 1000
)

// terminal edits lines on a terminal. While a command runs, the terminal is as it was found,
// so that Ctrl-C works.
type terminal struct {
	in, out *os.File
	edit    *term.Terminal

	mu    sync.Mutex
	found *term.State // to go back to; nil: it is
}

// screen is the terminal's two files as one.
type screen struct {
	io.Reader
	io.Writer
}

func openTerminal(in, out *os.File, errs io.Writer) (*terminal, error) {
	t := &terminal{in: in, out: out}
	t.edit = term.NewTerminal(screen{in, out}, "")
	t.edit.History = loadHistory(historyPath(), errs)
	return t, nil
}

// Write prints beside the line that is being typed, or plainly while none is.
func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	raw := t.found != nil
	t.mu.Unlock()
	if raw {
		return t.edit.Write(p)
	}
	return t.out.Write(p)
}

// readLine lets the user type a line.
func (t *terminal) readLine(prompt string) (string, error) {
	state, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	t.found = state
	t.mu.Unlock()
	defer t.close()
	if width, height, err := term.GetSize(int(t.out.Fd())); err == nil && width > 0 {
		_ = t.edit.SetSize(width, height)
	}
	t.edit.SetPrompt(prompt)
	return t.edit.ReadLine()
}

// close leaves the terminal as it was found.
func (t *terminal) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.found != nil {
		_ = term.Restore(int(t.in.Fd()), t.found)
		t.found = nil
	}
}

// loop runs what is typed until the user leaves.
func (t *terminal) loop(ctx context.Context, s *shell) error {
	t.edit.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		limited, cancel := context.WithTimeout(ctx, completionLimit)
		defer cancel()
		newLine, newPos, offers := completeLine(line, pos, func(dir string) []string { return s.names(limited, dir) })
		if len(offers) > 0 {
			_, _ = t.edit.Write([]byte(strings.Join(offers, "  ") + "\n"))
		}
		return newLine, newPos, true
	}
	for !s.quit {
		line, err := await(ctx, func() (string, error) { return t.readLine(s.prompt()) })
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, term.ErrPasteIndicator), err == nil:
		case errors.Is(err, io.EOF):
			_, _ = t.out.WriteString("\n")
			return nil
		default:
			return err
		}
		s.line(ctx, line)
	}
	return nil
}

// completionLimit is how long a user waits for the server after a tab.
const completionLimit = 2 * time.Second

// names lists the children of a node, for completion: none when anything is wrong.
func (s *shell) names(ctx context.Context, dir string) []string {
	if !s.alive() {
		return nil
	}
	names, _, err := s.zk.Children(ctx, dir)
	if err != nil {
		return nil
	}
	return names
}

// completeLine completes the word before pos: one that starts with a slash as a path, another
// as a command. What cannot be decided comes back as offers.
func completeLine(line string, pos int, names func(dir string) []string) (newLine string, newPos int, offers []string) {
	start := strings.LastIndexByte(line[:pos], ' ') + 1
	word := line[start:pos]
	candidates, end := commandNames(), " "
	if strings.HasPrefix(word, "/") {
		cut := strings.LastIndexByte(word, '/') + 1
		start += cut
		dir := word[:cut-1]
		if dir == "" {
			dir = "/"
		}
		word = word[cut:]
		candidates, end = names(dir), ""
	}
	candidates = slices.DeleteFunc(slices.Clone(candidates), func(c string) bool { return !strings.HasPrefix(c, word) })
	slices.Sort(candidates)
	if len(candidates) == 0 {
		return line, pos, nil
	}
	common := candidates[0]
	for _, c := range candidates[1:] {
		for !strings.HasPrefix(c, common) {
			common = common[:len(common)-1]
		}
	}
	if len(candidates) == 1 {
		common += end
	} else if common == word {
		return line, pos, candidates
	}
	return line[:start] + common + line[pos:], start + len(common), nil
}

func commandNames() []string {
	names := ownWords()
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// historyPath is the file of the history, "" for none.
func historyPath() string {
	if path, ok := os.LookupEnv(historyVariable); ok {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, historyFile)
}
