package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/internal/loglevel"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/tools/cli"
)

// running is a started broker.
type running interface {
	Addr() string      // where clients connect, host:port
	AdminAddr() string // metrics and health; empty when off
	Wait() error       // returns when the broker ended by itself, with why
	Close(ctx context.Context) error
}

// startFunc starts a broker and returns when it serves.
type startFunc func(ctx context.Context, cfg *config.Config, log *slog.Logger) (running, error)

// stopTimeout bounds a clean stop: what is not flushed then is recovered at the next start.
const stopTimeout = 5 * time.Minute

const serverExamples = `  # a broker on 127.0.0.1:9092 with its data in ./data; no configuration, nothing to format
  {{.}}

  # with Kafka's server.properties, and a setting on top
  {{.}} /opt/kafka/config/server.properties --override log.retention.hours=24

  # on another port, data elsewhere
  {{.}} --override listeners=PLAINTEXT://127.0.0.1:9093 --override log.dirs=/var/lib/millrace

  # in the background, logging to logs/server.log beside bin/
  kafka-server-start.sh -daemon /opt/kafka/config/server.properties
  kafka-server-stop.sh`

const serverHelp = `Start a broker.

FILE is Kafka's server.properties. Without it the broker listens on 127.0.0.1:9092 only
and keeps its data in ./data, or in the folder that MILLRACE_DATA names. Every setting may
also come from --override KEY=VALUE, or from the environment: MILLRACE_LOG_DIRS or
KAFKA_LOG_DIRS sets log.dirs.

Ctrl-C or SIGTERM stops it cleanly; a second Ctrl-C at once (the next start then recovers).`

// serverOptions are the flags of one command line.
type serverOptions struct {
	file      string
	overrides []string
	daemon    bool
	logFormat string
	logLevel  string
	calledAs  string // a script's name makes it write logs/server.log as Kafka's scripts do
	service   string
}

func serverCommand(name string, start startFunc) *cobra.Command {
	o := &serverOptions{calledAs: name}
	cmd := &cobra.Command{
		Use:         name,
		Short:       "Start a broker (kafka-server-start.sh)",
		Long:        serverHelp,
		Example:     strings.ReplaceAll(serverExamples, "{{.}}", cli.Called(name)),
		Annotations: map[string]string{ownSignals: "yes", noArguments: "yes"},
	}
	cli.Prepare(cmd)
	cmd.Use = name + " [FILE]"
	f := cmd.Flags()
	f.StringArrayVar(&o.overrides, "override", nil, "A setting KEY=VALUE that wins over FILE; may be repeated.")
	f.BoolVar(&o.daemon, "daemon", false, "Run in the background; returns when the broker serves or has failed. Also written -daemon.")
	f.StringVar(&o.logFormat, "log-format", "text", "Form of log lines: text or json.")
	f.StringVar(&o.logLevel, "log-level", "info", "Least level that is logged: debug, info, warn or error.")
	f.StringVar(&o.service, "name", "kafkaServer", "Name of the console file of -daemon, logs/NAME.out.")
	f.Bool("loggc", false, "")
	cli.Hide(f, "loggc")
	_ = cmd.RegisterFlagCompletionFunc("override", completeKeys)
	_ = cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return cli.Usagef("unexpected argument %q: one FILE at most", args[1])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			o.file = args[0]
		}
		if o.daemon {
			return o.background(cmd)
		}
		return o.serve(cmd, start)
	}
	return cmd
}

// completeKeys offers the names of the settings.
func completeKeys(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	cfg, _, err := config.Load(config.Input{FS: osfs.FS{}})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, row := range cfg.DescribeBroker() {
		if strings.HasPrefix(row.Name, typed) {
			names = append(names, row.Name+"=")
		}
	}
	return names, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// serve runs the broker in this process until it is told to stop.
func (o *serverOptions) serve(cmd *cobra.Command, start startFunc) error {
	began := time.Now()
	parent := cli.ParentPipe()
	cfg, warnings, err := o.load()
	if err != nil {
		return err
	}
	out := &lockedWriter{w: cmd.OutOrStdout()} // log lines come from everywhere
	log, closeLog, err := o.logger(out)
	if err != nil {
		return err
	}
	defer closeLog()
	for _, w := range warnings {
		log.Warn(w.String())
	}
	ctx, stopping, release := untilSignal(cmd.Context(), log)
	defer release()
	srv, err := start(ctx, cfg, log)
	if err != nil {
		select {
		case <-stopping: // told to stop while it recovered
			return nil
		default:
			return explain(err)
		}
	}
	parent.Ready()
	notifySystemd("READY=1")
	id := cfg.Broker.ID
	if s, ok := srv.(*server); ok {
		id = s.id // may have been drawn
	}
	log.Info(fmt.Sprintf("[KafkaServer id=%d] started", id), "address", srv.Addr(), "version", version, "took", time.Since(began).Round(time.Millisecond))
	if o.file == "" && !cli.InBackground() {
		fmt.Fprint(out, banner(srv, cfg.Broker.LogDirs, time.Since(began)))
	}
	return awaitEnd(srv, stopping, log)
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM, from the start
// on, since recovery may be long; stopping is closed then. A second Ctrl-C ends the process
// at once. A second SIGTERM does not: systemd sends one after ExecStop has.
func untilSignal(parent context.Context, log *slog.Logger) (ctx context.Context, stopping chan struct{}, release func()) {
	ctx, cancel := context.WithCancel(parent)
	stopping, released := make(chan struct{}), make(chan struct{})
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !cli.InBackground() {
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		for first := true; ; first = false {
			select {
			case <-released:
				return
			case s := <-signals:
				if first {
					log.Info("stopping", "signal", s.String())
					close(stopping)
					cancel()
				} else if s == os.Interrupt {
					log.Warn("stopped without flushing: the next start recovers")
					os.Exit(cli.Interrupted)
				}
			}
		}
	}()
	return ctx, stopping, func() {
		signal.Stop(signals)
		close(released)
		cancel()
	}
}

// awaitEnd waits for a signal or for the broker's own end, and closes it.
func awaitEnd(srv running, stopping <-chan struct{}, log *slog.Logger) error {
	ended := make(chan error, 1)
	go func() { ended <- srv.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			log.Error("the server ended by itself", "error", err)
		}
		return errors.Join(err, closeServer(srv))
	case <-stopping:
		notifySystemd("STOPPING=1")
		began := time.Now()
		if err := closeServer(srv); err != nil {
			log.Error("stop was not clean: the next start recovers", "error", err)
			return err
		}
		log.Info("stopped", "took", time.Since(began).Round(time.Millisecond))
		return nil
	}
}

func closeServer(srv running) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return srv.Close(ctx)
}

// load reads the settings; without FILE the data lies in ./data.
func (o *serverOptions) load() (*config.Config, []config.Warning, error) {
	in := config.Input{File: o.file, FS: osfs.FS{}, Environ: os.Environ(), Overrides: o.overrides}
	if o.file == "" {
		data := os.Getenv("MILLRACE_DATA")
		if data == "" {
			data = "data"
		}
		dir, err := filepath.Abs(data)
		if err != nil {
			return nil, nil, err
		}
		in.Defaults = map[string]string{"log.dirs": dir}
	}
	return config.Load(in)
}

// logger writes to out and, for Kafka's scripts, to logs/server.log under their home.
func (o *serverOptions) logger(out io.Writer) (*slog.Logger, func(), error) {
	file := ""
	if dir := o.logDir(); dir != "" {
		file = filepath.Join(dir, "server.log")
	}
	return newLogger(out, o.logFormat, o.logLevel, file, "server")
}

// newLogger writes to out and, unless it is empty, to a file.
func newLogger(out io.Writer, format, least, file, name string) (*slog.Logger, func(), error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(least)); err != nil {
		return nil, nil, cli.Usagef("--log-level %s: must be debug, info, warn or error", least)
	}
	done := func() {}
	if file != "" {
		opened, err := openLogFile(file)
		if err != nil {
			fmt.Fprintf(os.Stderr, "WARN: no log file: %v\n", err)
		} else {
			out, done = io.MultiWriter(out, opened), func() { opened.Close() }
		}
	}
	// The levels stand above the handler: administrators change them while the broker runs.
	opts := &slog.HandlerOptions{Level: loglevel.Everything}
	switch format {
	case "text":
		return loglevel.New(slog.NewTextHandler(out, opts), level).Logger(name), done, nil
	case "json":
		return loglevel.New(slog.NewJSONHandler(out, opts), level).Logger(name), done, nil
	}
	done()
	return nil, nil, cli.Usagef("--log-format %s: must be text or json", format)
}

// logDir is where server.log goes: LOG_DIR, or logs/ beside bin/ for Kafka's scripts and
// in the background; empty for "millrace server", which logs to its terminal only.
func (o *serverOptions) logDir() string {
	if !strings.HasPrefix(o.calledAs, "kafka-") && !o.daemon && !cli.InBackground() {
		return ""
	}
	if dir := os.Getenv("LOG_DIR"); dir != "" {
		return dir
	}
	return filepath.Join(home(), "logs")
}

// home is the folder that bin/ lies in, or the working directory.
func home() string {
	if exe, err := os.Executable(); err == nil && filepath.Base(filepath.Dir(exe)) == "bin" {
		return filepath.Dir(filepath.Dir(exe))
	}
	return "."
}

// explain adds what to do to errors that everybody meets once.
func explain(err error) error {
	var port *QuorumPortError
	switch {
	case errors.As(err, &port) && errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w\nThe port of the quorum inside the broker is taken, perhaps by another broker or by a ZooKeeper. Use that ZooKeeper with --override zookeeper.connect=%s; or choose a port with --override quorum.client.listener=127.0.0.1:2182; or open none with --override quorum.client.listener= (only ZooKeeper's clients need it)", err, port.Address)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w\nThe port is taken, perhaps by another broker: stop that one (kafka-server-stop.sh), or choose a port with --override listeners=PLAINTEXT://127.0.0.1:9093", err)
	case errors.As(err, new(*os.PathError)) && errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w\nGive the user that runs the broker the right to it, or choose another folder with --override log.dirs=DIR", err)
	}
	return err
}

// banner tells a person what to do next.
func banner(srv running, dirs []string, took time.Duration) string {
	at := srv.Addr()
	var b strings.Builder
	fmt.Fprintf(&b, "\nMillrace %s is ready on %s (%d ms), its data in %s\n\n", version, at, took.Milliseconds(), strings.Join(dirs, ", "))
	fmt.Fprintf(&b, "  produce   echo hello | %s --bootstrap-server %s --topic test\n", toolPath("console-producer"), at)
	fmt.Fprintf(&b, "  consume   %s --bootstrap-server %s --topic test --from-beginning\n", toolPath("console-consumer"), at)
	fmt.Fprintf(&b, "  topics    %s --bootstrap-server %s --list\n", toolPath("topics"), at)
	if s, ok := srv.(*server); ok && s.QuorumAddr() != "" {
		fmt.Fprintf(&b, "  znodes    %s zk --server %s ls /brokers/topics\n", shorten(self()), s.QuorumAddr())
	}
	if admin := srv.AdminAddr(); admin != "" {
		fmt.Fprintf(&b, "  metrics   curl http://%s/metrics\n", admin)
	}
	b.WriteString("\nAny Kafka client works. Ctrl-C stops it.\n\n")
	return b.String()
}

// self is how to call this binary.
func self() string {
	exe, err := os.Executable()
	if err != nil {
		return "millrace"
	}
	return exe
}

// toolPath is how to call a tool from here: the script beside this binary, or the
// subcommand.
func toolPath(name string) string {
	exe, err := os.Executable()
	if err != nil {
		return "millrace " + name
	}
	script := filepath.Join(filepath.Dir(exe), "kafka-"+name+".sh")
	if _, err := os.Stat(script); err != nil {
		return shorten(exe) + " " + name
	}
	return shorten(script)
}

// shorten writes a path relative to here when it lies below.
func shorten(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(here, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	return rel
}
