package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/raftlog"
	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/tools/cli"
	quorumtools "github.com/millrace/millrace/tools/quorum"
)

// startQuorumFunc starts a server of the quorum and returns when its ports are open.
type startQuorumFunc func(ctx context.Context, cfg *zoocfg.Config, log *slog.Logger) (running, error)

func quorumCommand(name string, start startQuorumFunc) *cobra.Command {
	return quorumtools.Command(name, ownSignals, quorumtools.Program{
		Version: version,
		Serve: func(cmd *cobra.Command, file string, log quorumtools.Logging) error {
			return serveQuorum(cmd, file, log, start)
		},
	})
}

// serveQuorum runs a server in this process until it is told to stop.
func serveQuorum(cmd *cobra.Command, file string, logging quorumtools.Logging, start startQuorumFunc) error {
	began := time.Now()
	parent := cli.ParentPipe()
	cfg, warnings, err := zoocfg.Load(zoocfg.Input{File: file, FS: osfs.FS{}, Environ: os.Environ()})
	if err != nil {
		return &cli.ExitError{Code: quorumtools.InvalidInvocation, Message: err.Error()}
	}
	out, logFile := io.Writer(&lockedWriter{w: cmd.OutOrStdout()}), ""
	if cli.InBackground() {
		out, logFile = io.Discard, quorumtools.LogFile()
	}
	log, closeLog, err := newLogger(out, logging.Format, logging.Level, logFile, "quorum")
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
			log.Error("the server did not start", "err", err)
			return quorumExit(err)
		}
	}
	parent.Ready()
	notifySystemd("READY=1")
	log.Info(fmt.Sprintf("[QuorumServer myid=%d] started", cfg.MyID), "clients", srv.Addr(), "admin", srv.AdminAddr(), "servers", max(len(cfg.Servers), 1),
		"version", version, "took", time.Since(began).Round(time.Millisecond))
	err = awaitEnd(srv, stopping, log)
	if errors.Is(err, node.ErrDiverged) {
		setAside(cfg, log)
	}
	return quorumExit(err)
}

// setAside keeps a state that differs from the leader's from coming back: whoever starts the
// server again, as systemd does, has one that joins anew.
func setAside(cfg *zoocfg.Config, log *slog.Logger) {
	moved, err := quorum.SetAside(osfs.FS{}, cfg, ".diverged-"+time.Now().UTC().Format("20060102T150405"))
	if err != nil {
		log.Error("the data that differs could not be moved away: do so before the next start", "err", err)
		return
	}
	log.Warn("the data that differs was moved away; the next start joins the ensemble anew. The difference is a bug: please report it with these folders", "moved", moved)
}

// quorumExit gives an error ZooKeeper's exit code.
func quorumExit(err error) error {
	var data *quorum.DataError
	var port *quorum.PortError
	var store *node.StoreError
	code := 1
	switch {
	case err == nil:
		return nil
	case errors.As(err, &data), errors.As(err, &store), errors.Is(err, raftlog.ErrCorrupt):
		code = quorumtools.DataUnusable
	case errors.As(err, &port) && port.Between:
		code = quorumtools.QuorumPortTaken
	case errors.As(err, &port) && strings.HasPrefix(port.Key, "admin."):
		code = quorumtools.AdminFailed
	}
	return &cli.ExitError{Code: code, Message: err.Error()}
}
