package quorum

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum"
	"github.com/millrace/millrace/quorum/zkdata"
	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/tools/cli"
)

const importHelp = `Take over the data of an Apache ZooKeeper server, of version 3.4 to 3.9: its newest snapshot
and the transaction logs after it. Nothing in its folders is changed. The server must be
stopped, or the folders copied.

FILE is the zoo.cfg of the server that will have the data; --to DIR stands for a lone server
with its data in DIR. That server must have none yet.

Of an ensemble take the folders of one server, the one with the highest zxid (its leader, when
all were stopped together), copy them to every machine, and import the same copy on each before
any is started.`

const importExamples = `  # a lone server
  {{.}} --from /var/lib/zookeeper --to /data

  # each server of an ensemble, from a copy of the same folder
  {{.}} --from /tmp/zookeeper-of-zk1 /opt/zookeeper/conf/zoo.cfg

  # logs in a folder of their own (dataLogDir)
  {{.}} --from /var/lib/zookeeper --from-log /var/lib/zookeeper-log --to /data`

func importCommand(called string) *cobra.Command {
	var from, fromLog, to string
	var trust bool
	cmd := &cobra.Command{
		Use: "import", Short: "Take over the data of an Apache ZooKeeper server.", Long: importHelp,
		Example: strings.ReplaceAll(importExamples, "{{.}}", called),
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "dataDir of Apache ZooKeeper: the folder that version-2 lies in.")
	f.StringVar(&fromLog, "from-log", "", "Its dataLogDir, if that is another folder.")
	f.StringVar(&to, "to", "", "dataDir of a lone server, in place of FILE.")
	f.BoolVar(&trust, "trust-empty", false, "Logs without any snapshot are the whole history (a server of 3.4 that never took one).")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if from == "" {
			return cli.Missing("from")
		}
		if (to == "") == (len(args) == 0) {
			return cli.Usagef("give either the zoo.cfg of the server, or --to DIR")
		}
		cfg, err := importConfig(cmd, to, args)
		if err != nil {
			return err
		}
		return runImport(cmd, cfg, zkdata.Options{DataDir: from, LogDir: fromLog, TrustEmptySnapshot: trust})
	}
	return cmd
}

// importConfig is the server that will have the data.
func importConfig(cmd *cobra.Command, to string, args []string) (*zoocfg.Config, error) {
	if to != "" {
		cfg := zoocfg.Embedded(to, "")
		id, err := zoocfg.ReadMyID(osfs.FS{}, to)
		if err == nil {
			cfg.MyID = id
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return cfg, nil
	}
	cfg, warnings, err := zoocfg.Load(zoocfg.Input{File: args[0], FS: osfs.FS{}, Environ: os.Environ()})
	if err != nil {
		return nil, &cli.ExitError{Code: InvalidInvocation, Message: err.Error()}
	}
	for _, w := range warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "WARN:", w)
	}
	return cfg, nil
}

func runImport(cmd *cobra.Command, cfg *zoocfg.Config, from zkdata.Options) error {
	began := time.Now()
	counting := &countingFS{FS: osfs.FS{}, bar: cli.NewProgress(cmd.ErrOrStderr(), "MB read"), total: sourceBytes(from)}
	from.FS = counting
	report, err := quorum.Import(quorum.ImportOptions{Config: cfg, FS: osfs.FS{}, Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler), From: from})
	counting.bar.Close()
	if err != nil {
		return &cli.ExitError{Code: DataUnusable, Message: err.Error()}
	}
	for _, w := range report.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "WARN:", w)
	}
	out := cmd.OutOrStdout()
	snapshot := report.Snapshot
	if snapshot == "" {
		snapshot = "no snapshot"
	}
	fmt.Fprintf(out, "Imported %d znodes and %d sessions, up to zxid 0x%x, into %s (%d ms).\n", report.Nodes, report.Sessions, report.Zxid, cfg.SnapshotFolder(), time.Since(began).Milliseconds())
	fmt.Fprintf(out, "Read: %s and %d logs, %d transactions.", snapshot, len(report.Logs), report.Transactions)
	if report.Digest {
		fmt.Fprint(out, " The tree has the digest that ZooKeeper wrote last.")
	}
	fmt.Fprintln(out)
	if cfg.Distributed() {
		fmt.Fprintf(out, "Import the same data on the other servers of the ensemble before one of them is started.\n")
	}
	return nil
}

// sourceBytes is the size of what may be read.
func sourceBytes(from zkdata.Options) int64 {
	var sum int64
	for _, dir := range []string{from.DataDir, from.LogDir} {
		if dir == "" {
			continue
		}
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil // what cannot be read is told by who needs it
			}
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
			return nil
		})
	}
	return sum
}

// countingFS shows how much was read.
type countingFS struct {
	vfs.FS
	bar   *cli.Progress
	read  atomic.Int64
	total int64
}

func (c *countingFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &countingFile{f, c}, nil
}

type countingFile struct {
	vfs.File
	c *countingFS
}

func (f *countingFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	f.c.bar.Set(int(f.c.read.Add(int64(n))>>20), int(f.c.total>>20))
	return n, err
}
