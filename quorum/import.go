package quorum

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/raftlog"
	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zkdata"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// ImportOptions say what is imported, and for which server.
type ImportOptions struct {
	Config *zoocfg.Config // the server that will have the data
	FS     vfs.FS
	Clock  clock.Clock
	Log    *slog.Logger
	From   zkdata.Options // Apache ZooKeeper's directories; its FS may be another one
}

// importIndex and importTerm are those of the snapshot that an import writes: the log of the
// ensemble goes on behind them.
const (
	importIndex = 2
	importTerm  = 1
)

// Import makes the data of a server of what an Apache ZooKeeper server left. The server must
// have none yet. Each server of an ensemble imports the same directory: the result is the same
// on all of them, byte for byte, and so they agree on it from the start.
func Import(o ImportOptions) (*zkdata.Report, error) {
	c := o.Config
	var made []string
	for _, d := range []struct{ key, dir string }{{"dataDir", c.DataDir}, {"dataLogDir", c.DataLogDir}} {
		folder := filepath.Join(d.dir, zoocfg.Folder)
		there, err := isFolder(o.FS, folder)
		if err == nil && there {
			err = fmt.Errorf("%s is there: this server has data already; an import needs an empty one", folder)
		}
		if err != nil {
			return nil, &DataError{d.key, d.dir, err}
		}
		made = append(made, folder)
	}
	state, report, err := zkdata.Read(o.From)
	if err != nil {
		return nil, err
	}
	adopt(state, c)
	report.Zxid = state.Zxid()
	if err := writeImport(o, state); err != nil {
		for _, folder := range made {
			err = errors.Join(err, o.FS.RemoveAll(folder))
		}
		return nil, err
	}
	return report, nil
}

// adopt puts the servers of zoo.cfg in the place of those that the directory knew. The time is
// the state's own, so that the same comes out everywhere.
func adopt(state *tree.State, c *zoocfg.Config) {
	if servers := members(c); servers != nil {
		// A server's own line may have its client port from clientPort, which differs by server.
		text := zoocfg.FormatServers(c.Servers) + "version=0"
		state.Apply(0, &tree.Entry{Txns: []tree.Txn{{Op: tree.Op{Kind: tree.SetConfig, Data: []byte(text)}}}}, func(*tree.Outcome) {})
	}
}

func writeImport(o ImportOptions, state *tree.State) (err error) {
	c := o.Config
	store, err := raftlog.Open(raftlog.Options{FS: o.FS, Clock: o.Clock, Log: o.Log, Dir: c.LogFolder(), SnapshotDir: c.SnapshotFolder()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	sink, err := store.Snapshots().Create(raft.SnapshotVersionMax, importIndex, importTerm, firstConfiguration(c), 1, nil)
	if err != nil {
		return err
	}
	if err := node.WriteSnapshot(sink, state, importIndex); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// firstConfiguration is the voters of zoo.cfg under the names that a new ensemble gives them.
func firstConfiguration(c *zoocfg.Config) (conf raft.Configuration) {
	add := func(id int64) {
		name := fmt.Sprint(id)
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(name)})
	}
	if !c.Distributed() {
		add(c.MyID)
		return conf
	}
	for _, s := range c.Servers { // by id
		if !s.Observer {
			add(s.ID)
		}
	}
	return conf
}
