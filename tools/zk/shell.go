package zk

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/millrace/millrace/quorum/client"
)

// shell is one run of zkCli: a connection and what was typed.
type shell struct {
	out, errs io.Writer
	connect   func(servers string, s *shell) (*client.Client, error)

	host      string
	zk        *client.Client // nil: never connected
	watching  bool           // events are printed
	ephemeral bool           // the session made an ephemeral node
	count     int            // of commands
	history   map[int]string
	exit      int // code of the last command
	quit      bool

	mu sync.Mutex // events are printed by the client's goroutine
}

// newShell returns one that is not connected.
func newShell(out, errs io.Writer, connect func(string, *shell) (*client.Client, error)) *shell {
	s := &shell{connect: connect, watching: true, history: map[int]string{}}
	s.out, s.errs = &lockedWriter{s, out}, &lockedWriter{s, errs}
	return s
}

// lockedWriter keeps what events print apart from what commands print.
type lockedWriter struct {
	s *shell
	w io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.w.Write(p)
}

// connectTo connects to servers, and leaves those of before.
func (s *shell) connectTo(ctx context.Context, servers string) error {
	s.close(ctx)
	zk, err := s.connect(servers, s)
	if err != nil {
		return failure(err.Error())
	}
	s.host, s.zk, s.ephemeral = servers, zk, false
	return nil
}

// close ends the session.
func (s *shell) close(ctx context.Context) {
	if s.alive() {
		_ = s.zk.Close(ctx)
	}
}

// leave ends the shell. A session with ephemeral nodes is left to its timeout.
func (s *shell) leave(ctx context.Context) {
	s.setWatching(false)
	if !s.alive() {
		return
	}
	if s.ephemeral {
		s.zk.Abandon()
		return
	}
	s.close(ctx)
}

func (s *shell) alive() bool { return s.zk != nil && !s.zk.State().Final() }

func (s *shell) setWatching(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watching = on
}

// onState and onEvent print what ZooKeeper's default watcher prints. Both are called by the
// client's goroutine.
func (s *shell) onState(st client.State) { s.event(st.String(), "None", "null") }

func (s *shell) onEvent(e client.Event) { s.event(e.State.String(), e.Type.String(), e.Path) }

func (s *shell) event(state, kind, path string) {
	s.mu.Lock()
	on := s.watching
	s.mu.Unlock()
	if on {
		fmt.Fprintf(s.out, "\nWATCHER::\n\nWatchedEvent state:%s type:%s path:%s\n", state, kind, path)
	}
}

// prompt is what stands before a line on a terminal.
func (s *shell) prompt() string {
	state := "CLOSED"
	if s.zk != nil {
		switch s.zk.State() {
		case client.Connecting:
			state = "CONNECTING"
		case client.Connected:
			state = "CONNECTED"
		case client.ConnectedReadOnly:
			state = "CONNECTEDREADONLY"
		case client.AuthFailed:
			state = "AUTH_FAILED"
		}
	}
	return fmt.Sprintf("[zk: %s(%s) %d] ", s.host, state, s.count)
}

var wordPattern = regexp.MustCompile(`\s*([^"']\S*|"[^"]*"|'[^']*')\s*`)

// words splits a line at white space that is not between quotes.
func words(line string) []string {
	var out []string
	for _, m := range wordPattern.FindAllStringSubmatch(line, -1) {
		w := m[1]
		if n := len(w); n > 1 && (w[0] == '"' || w[0] == '\'') && w[0] == w[n-1] {
			w = w[1 : n-1]
		}
		out = append(out, w)
	}
	return out
}

// line runs a line that was typed.
func (s *shell) line(ctx context.Context, line string) {
	if line == "" {
		return
	}
	s.history[s.count] = line
	s.run(ctx, words(line))
	s.count++
}

// run runs a command and tells its failure.
func (s *shell) run(ctx context.Context, args []string) {
	err := s.command(ctx, args)
	if s.quit {
		return // with the code of the command before
	}
	s.exit = 0
	if err == nil {
		return
	}
	s.exit = 1
	if f, ok := err.(*failed); ok {
		s.exit = f.code
	}
	fmt.Fprintln(s.errs, err)
}

// notFound is the exit code of a command that there is not.
const notFound = 127

func (s *shell) command(ctx context.Context, args []string) error {
	if len(args) == 0 {
		s.usage(s.errs)
		return failure("No command entered")
	}
	name := args[0]
	cmd := find(name)
	if cmd == nil && !slices.Contains(ownWords(), name) {
		s.usage(s.errs)
		return &failed{"Command not found: Command not found " + name, notFound}
	}
	if err := s.ownCommand(ctx, args); err != nil || s.quit {
		return err
	}
	if name == "help" {
		return nil
	}
	if !s.alive() {
		fmt.Fprintln(s.out, "Not connected")
		return nil
	}
	if cmd == nil {
		return nil
	}
	if cmd.raw {
		return cmd.run(ctx, s, &parsed{words: args})
	}
	p, err := cmd.options.parse(args)
	if err != nil {
		return err
	}
	if len(p.words) < cmd.words {
		return failure(cmd.usage())
	}
	return cmd.run(ctx, s, p)
}

// ownWords are the commands that need no server.
func ownWords() []string {
	return []string{"connect", "help", "history", "printwatches", "quit", "redo"}
}

// ownCommand runs a command of the shell itself, if args is one.
func (s *shell) ownCommand(ctx context.Context, args []string) error {
	switch args[0] {
	case "help":
		s.usage(s.out)
	case "quit":
		s.close(ctx)
		s.quit = true
	case "redo":
		if len(args) > 1 {
			return s.redo(ctx, args[1])
		}
	case "history":
		for i := max(0, s.count-10); i <= s.count; i++ {
			line, ok := s.history[i]
			if !ok {
				line = "null"
			}
			fmt.Fprintf(s.out, "%d - %s\n", i, line)
		}
	case "printwatches":
		if len(args) > 1 {
			s.setWatching(args[1] == "on")
			break
		}
		state := "off"
		if s.watching {
			state = "on"
		}
		fmt.Fprintln(s.out, "printwatches is", state)
	case "connect":
		host := s.host
		if len(args) > 1 {
			host = args[1]
		}
		return s.connectTo(ctx, host)
	}
	return nil
}

// redo runs an earlier line again, under the number of this one.
func (s *shell) redo(ctx context.Context, number string) error {
	i, err := strconv.ParseInt(number, 0, 32)
	if err != nil {
		return failure(fmt.Sprintf("redo takes the number of a command, not %q", number))
	}
	if int(i) >= s.count || i < 0 {
		return failure("Command index out of range")
	}
	args := words(s.history[int(i)])
	if len(args) > 0 && args[0] == "redo" {
		return failure("No redoing redos")
	}
	s.history[s.count] = s.history[int(i)]
	s.run(ctx, args) // which tells what fails
	return nil
}

// usage prints all commands.
func (s *shell) usage(w io.Writer) {
	lines := []string{}
	for _, c := range commands() {
		lines = append(lines, "\t"+c.usage())
	}
	lines = append(lines, "\tconnect host:port", "\thelp ", "\thistory ", "\tprintwatches on|off", "\tquit ", "\tredo cmdno")
	slices.Sort(lines)
	fmt.Fprintf(w, "ZooKeeper -server host:port -client-configuration properties-file cmd args\n%s\n", strings.Join(lines, "\n"))
}
