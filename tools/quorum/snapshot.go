package quorum

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
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
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/raftlog"
	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/tools/cli"
)

const snapshotHelp = `Print what is in a snapshot of a server of the quorum, as ZooKeeper's zkSnapShotToolkit.sh does.

FILE is a snapshot (INDEX-TERM.snapshot), or a dataDir, whose newest one is taken. The server
may run meanwhile.`

const snapshotExamples = `  # all znodes of the newest snapshot, with their data in base64
  {{.}} -d /data

  # as JSON, the names and sizes only
  {{.}} -json /data/quorum-1/snapshots/00000000000000100000-00000000000000000002.snapshot`

// SnapshotToolkit is zkSnapShotToolkit.sh.
func SnapshotToolkit(name string) *cobra.Command {
	cmd := snapshotCommand(name, cli.Called(name))
	args := cmd.Args
	cli.Prepare(cmd)
	cmd.Args = args
	return cmd
}

func snapshotCommand(name, called string) *cobra.Command {
	var data, asJSON bool
	cmd := &cobra.Command{
		Use: name, Short: "Print what is in a snapshot (zkSnapShotToolkit.sh).", Long: snapshotHelp,
		Example: strings.ReplaceAll(snapshotExamples, "{{.}}", called), Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().BoolVarP(&data, "data", "d", false, "Dump the data for each znode (-d).")
	cmd.Flags().BoolVar(&asJSON, "json", false, "Dump znode info in json format (-json).")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return cli.Usagef("which snapshot, or which dataDir?")
		case data && asJSON:
			return cli.Usagef("Cannot specify both data dump (-d) and json mode (-json) in same call")
		}
		state, err := readSnapshot(args[0])
		if err != nil {
			return err
		}
		out := bufio.NewWriter(cmd.OutOrStdout())
		if asJSON {
			printJSON(out, state)
		} else {
			printSnapshot(out, state, data)
		}
		return out.Flush()
	}
	return cmd
}

// readSnapshot reads a snapshot, or the newest one of a dataDir.
func readSnapshot(name string) (*tree.State, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		dir := filepath.Join(name, zoocfg.Folder, "snapshots")
		if !exists(dir) {
			dir = name
		}
		files, err := raftlog.SnapshotFiles(osfs.FS{}, dir)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s holds no snapshot yet", dir)
		}
		name = files[0]
	}
	_, r, err := raftlog.OpenSnapshotFile(osfs.FS{}, name)
	if err != nil {
		return nil, err
	}
	state, _, err := node.ReadSnapshot(bufio.NewReaderSize(r, 1<<20))
	if err == nil {
		_, err = io.Copy(io.Discard, r) // its end holds the checksum
	}
	return state, errors.Join(err, r.Close())
}

func hex14(v int64) string { return fmt.Sprintf("0x%014x", uint64(v)) }

// javaDate is Date.toString.
func javaDate(ms int64) string {
	return time.UnixMilli(ms).Local().Format("Mon Jan 02 15:04:05 MST 2006")
}

func printSnapshot(out io.Writer, s *tree.State, data bool) {
	fmt.Fprintf(out, "ZNode Details (count=%d):\n", s.NodeCount())
	s.Walk(func(path string, content []byte, st jute.Stat, _ []jute.ACL) bool {
		fmt.Fprintf(out, "----\n%s\n  cZxid = %s\n  ctime = %s\n  mZxid = %s\n  mtime = %s\n  pZxid = %s\n", path,
			hex14(st.Czxid), javaDate(st.CtimeMs), hex14(st.Mzxid), javaDate(st.MtimeMs), hex14(st.Pzxid))
		fmt.Fprintf(out, "  cversion = %d\n  dataVersion = %d\n  aclVersion = %d\n  ephemeralOwner = %s\n", st.Cversion, st.Version, st.Aversion, hex14(st.EphemeralOwner))
		if data {
			fmt.Fprintf(out, "  data = %s\n", base64.StdEncoding.EncodeToString(content))
		} else {
			fmt.Fprintf(out, "  dataLength = %d\n", len(content))
		}
		return true
	})
	fmt.Fprintf(out, "----\nSession Details (sid, timeout, ephemeralCount):\n")
	for id, info := range s.Sessions {
		fmt.Fprintf(out, "%s, %d, %d\n", hex14(id), info.TimeoutMs, len(s.Ephemerals(id)))
	}
	fmt.Fprintf(out, "----\nLast zxid: 0x%x\n", uint64(s.Zxid()))
}

// printJSON is the form that ncdu reads, as ZooKeeper's.
func printJSON(out io.Writer, s *tree.State) {
	fmt.Fprintf(out, `[1,0,{"progname":"SnapshotFormatter.java","progver":"0.01","timestamp":%d}`, time.Now().UnixMilli())
	inode := 1000
	var walk func(path, name string)
	walk = func(path, name string) {
		data, _, _ := s.Get(path)
		children, _, _ := s.Children(path)
		quoted, _ := json.Marshal(name)
		inode++
		entry := fmt.Sprintf(`{"name":%s,"asize":%d,"dsize":%d,"dev":0,"ino":%d}`, quoted, len(data), len(data), inode)
		if len(children) == 0 {
			fmt.Fprint(out, ",", entry)
			return
		}
		fmt.Fprint(out, ",[", entry)
		for _, child := range children {
			walk(strings.TrimSuffix(path, "/")+"/"+child, child)
		}
		fmt.Fprint(out, "]")
	}
	walk("/", "/")
	fmt.Fprintln(out, "]")
}
