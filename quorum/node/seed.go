package node

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/quorum/tree"
)

// ErrNotEmpty: the stores hold an ensemble's data already.
var ErrNotEmpty = errors.New("there is data of an ensemble already")

// Seed makes a new ensemble of one server from a state, in stores that are empty. When that
// server is started, the others of its ensemble join it empty and get their votes by themselves.
func Seed(stores Stores, myID int, state *tree.State) error {
	old, err := raft.HasExistingState(stores.Log, stores.Stable, stores.Snapshots)
	if err != nil {
		return fmt.Errorf("look at the stores: %w", err)
	}
	if old {
		return ErrNotEmpty
	}
	name := plainName(myID)
	if err := stores.Stable.Set(nameKey, []byte(name)); err != nil {
		return fmt.Errorf("write the server's name: %w", err)
	}
	conf := firstConfiguration(nil, myID)
	_, trans := raft.NewInmemTransport(raft.ServerAddress(name))
	sink, err := stores.Snapshots.Create(raft.SnapshotVersionMax, 1, 1, conf, 1, trans)
	if err != nil {
		return fmt.Errorf("begin a snapshot: %w", err)
	}
	var buf bytes.Buffer
	if err := WriteSnapshot(&buf, state, 1); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := (&encoded{bytes: buf.Bytes()}).Persist(sink); err != nil {
		return fmt.Errorf("write the snapshot: %w", err)
	}
	// Last: from now on the stores count as an ensemble's.
	if err := stores.Stable.SetUint64([]byte(currentTermKey), 1); err != nil {
		return fmt.Errorf("write the term: %w", err)
	}
	return nil
}
