package quorum

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/raftlog"
	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/tools/cli"
)

const txnLogHelp = `Print the transactions in the log of a server of the quorum, one a line, as ZooKeeper's
zkTxnLogToolkit.sh does. In the place of the zxid, which a transaction gets when it is applied,
stand the entry of the log (and the place in it) and its term.

FILE is a file of the log (INDEX.log), or a dataDir or dataLogDir: all of its log. The server
may run meanwhile. Damage is told with its place; there is no repair: a server whose log is
damaged joins anew with an empty folder.`

const txnLogExamples = `  # all transactions that a server has
  {{.}} /data

  # of one file, those of one session
  {{.}} /data/quorum-1/log/00000000000000000001.log | grep 'session 0x1007a2c5c0b0000 '`

// TxnLogToolkit is zkTxnLogToolkit.sh.
func TxnLogToolkit(name string) *cobra.Command {
	cmd := txnLogCommand(name, cli.Called(name))
	args := cmd.Args
	cli.Prepare(cmd)
	cmd.Args = args
	return cmd
}

func txnLogCommand(name, called string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: "Print the transactions in a log (zkTxnLogToolkit.sh).", Long: txnLogHelp,
		Example: strings.ReplaceAll(txnLogExamples, "{{.}}", called), Args: cobra.MaximumNArgs(1),
	}
	f := cmd.Flags()
	f.BoolP("dump", "d", false, "Dump mode. Dump all entries of the log file (-d, the default).")
	f.BoolP("verbose", "v", false, "")
	cli.Hide(f, "verbose")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cli.Usagef("which file of a log, or which dataDir?")
		}
		files, err := logFiles(args[0])
		if err != nil {
			return err
		}
		return printLogs(cmd, files)
	}
	return cmd
}

func logFiles(name string) ([]string, error) {
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		return []string{name}, err
	}
	dir := filepath.Join(name, zoocfg.Folder)
	if !exists(dir) {
		dir = name
	}
	files, err := raftlog.LogFiles(osfs.FS{}, dir)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no log yet", dir)
	}
	return files, err
}

func printLogs(cmd *cobra.Command, files []string) error {
	out := bufio.NewWriter(cmd.OutOrStdout())
	txns := 0
	for i, file := range files {
		fmt.Fprintf(out, "Quorum log file %s\n", file)
		err := raftlog.ReadLogFile(osfs.FS{}, file, func(e *raftlog.Entry) error {
			n, err := printEntry(out, e)
			txns += n
			return err
		})
		var corrupt *raftlog.CorruptError
		if errors.As(err, &corrupt) && errors.Is(corrupt.Err, io.ErrUnexpectedEOF) && i == len(files)-1 {
			fmt.Fprintf(out, "A last entry is not whole, at position %d: it was being written, or a power cut tore it.\n", corrupt.Position)
			err = nil
		}
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
	}
	fmt.Fprintf(out, "EOF reached after %d txns.\n", txns)
	return out.Flush()
}

// printEntry prints the transactions of an entry and counts them.
func printEntry(out io.Writer, e *raftlog.Entry) (int, error) {
	kind := strings.ToLower(strings.TrimPrefix(e.Log.Type.String(), "Log"))
	if kind != "command" {
		_, err := fmt.Fprintf(out, "%s entry %d term %d %s\n", javaShort(e.Log.AppendedAt), e.Log.Index, e.Log.Term, kind)
		return 0, err
	}
	entry, err := tree.DecodeEntry(e.Log.Data)
	if err != nil {
		return 0, fmt.Errorf("%s: entry %d at position %d: %w", e.File, e.Log.Index, e.Position, err)
	}
	for i := range entry.Txns {
		t := &entry.Txns[i]
		_, err := fmt.Fprintf(out, "%s session 0x%x cxid 0x%x entry %d/%d term %d %s\n", javaShort(time.UnixMilli(entry.TimeMs)), uint64(t.Session), t.Seq, e.Log.Index, i, e.Log.Term, opText(&t.Op))
		if err != nil {
			return 0, err
		}
	}
	return len(entry.Txns), nil
}

// javaShort is DateFormat's short date and long time.
func javaShort(t time.Time) string { return t.Local().Format("1/2/06 3:04:05 PM MST") }

// opText is the operation as ZooKeeper's tool prints it: its name, then its fields.
func opText(op *tree.Op) string {
	switch op.Kind {
	case tree.Noop:
		return "sync"
	case tree.Create:
		return createText(op)
	case tree.Delete:
		return fmt.Sprintf("delete %s,%d", op.Path, op.Version)
	case tree.SetData:
		return fmt.Sprintf("setData %s,%s,%d", op.Path, op.Data, op.Version)
	case tree.SetACL:
		return fmt.Sprintf("setACL %s,%s,%d", op.Path, aclText(op.ACL), op.Version)
	case tree.Check:
		return fmt.Sprintf("check %s,%d", op.Path, op.Version)
	case tree.Multi:
		parts := make([]string, len(op.Ops))
		for i := range op.Ops {
			name, rest, _ := strings.Cut(opText(&op.Ops[i]), " ")
			parts[i] = name + ":" + rest
		}
		return "multi " + strings.Join(parts, ";")
	case tree.CreateSession:
		return fmt.Sprintf("createSession %d", op.TimeoutMs)
	case tree.CloseSession:
		return "closeSession"
	case tree.DeleteContainer:
		return "deleteContainer " + op.Path
	case tree.InitCluster:
		return "initCluster [hidden]"
	case tree.SetConfig:
		return "reconfig " + strings.ReplaceAll(strings.TrimSpace(string(op.Data)), "\n", ";")
	case tree.DigestCheck:
		return fmt.Sprintf("digestCheck 0x%x,%d", uint64(op.Zxid), op.Digest)
	case tree.SetFlags:
		return fmt.Sprintf("setFlags %d", op.Flags)
	}
	return fmt.Sprintf("kind %d", op.Kind)
}

func createText(op *tree.Op) string {
	name, ephemeral := "create", "F"
	switch {
	case op.Mode == jute.Container:
		name = "createContainer"
	case op.Mode.IsTTL():
		name = "createTTL"
	case op.Mode.IsEphemeral():
		ephemeral = "T"
	}
	path := op.Path
	if op.Mode.IsSequential() {
		path += "<sequence>"
	}
	text := fmt.Sprintf("%s %s,%s,%s,%s", name, path, op.Data, aclText(op.ACL), ephemeral)
	if op.Mode.IsTTL() {
		text += fmt.Sprintf(",%d", op.TTLMs)
	}
	return text
}

// aclText is a list as Java prints it: [31,s{'world,'anyone}].
func aclText(list []jute.ACL) string {
	parts := make([]string, len(list))
	for i, a := range list {
		parts[i] = fmt.Sprintf("%d,s{'%s,'%s}\n", a.Perms, a.ID.Scheme, a.ID.ID)
	}
	return "[" + strings.ReplaceAll(strings.Join(parts, ", "), "\n", "") + "]"
}
