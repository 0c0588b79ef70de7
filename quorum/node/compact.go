package node

import (
	"time"

	"github.com/hashicorp/raft"
)

const (
	// watchInterval is how often the size of the log is looked at.
	watchInterval = time.Second
	// maxTrailingBytes bounds what stays in the log after a snapshot for servers that lag. Those
	// that lag more are sent the snapshot.
	maxTrailingBytes = 256 << 20
	// minTrailing entries stay whatever they weigh: a server that lacks fewer is not sent a
	// snapshot, which hides a livelock of hashicorp/raft's (issue 697).
	minTrailing = 1024
	// urgentTrailing entries stay when the disk is full.
	urgentTrailing = 64
	// urgentInterval is the least time between two snapshots because of a full disk.
	urgentInterval = 10 * time.Second
)

// trailing is how many entries stay in the log, given how much the last ones weighed. It is pure.
func trailing(most uint64, entries, bytes int64) uint64 {
	if entries <= 0 || bytes <= 0 {
		return most
	}
	fit := uint64(maxTrailingBytes / max(1, bytes/entries))
	return min(most, max(fit, minTrailing))
}

// watchBytes takes a snapshot when the log has grown by many bytes, though not by so many
// entries that Raft would take one, and sees to it that what stays is no more than is good.
func (n *Node) watchBytes() {
	var urgent time.Time
	for n.pause(watchInterval, nil) {
		bytes, entries := n.logBytes.Load(), n.logEntries.Load()
		if want := n.opt.Stores.WantSnapshot; want != nil && want() && n.clock.Now().Sub(urgent) >= urgentInterval {
			urgent = n.clock.Now()
			n.keep(min(urgentTrailing, n.opt.TrailingLogs))
			n.snapshot("the disk is full")
			continue
		}
		if entries >= minTrailing || bytes >= n.opt.SnapshotLogBytes {
			n.keep(trailing(n.opt.TrailingLogs, entries, bytes))
		}
		if bytes >= n.opt.SnapshotLogBytes {
			n.snapshot("the log has grown")
		}
	}
}

// keep says how many entries stay in the log after a snapshot.
func (n *Node) keep(entries uint64) {
	c := n.raft.ReloadableConfig()
	if c.TrailingLogs == entries {
		return
	}
	c.TrailingLogs = entries
	if err := n.raft.ReloadConfig(c); err != nil {
		n.log.Warn("the length of the log cannot be set", "error", err)
	}
}

func (n *Node) snapshot(why string) {
	n.log.Debug("snapshot", "reason", why)
	switch err := n.raft.Snapshot().Error(); err {
	case nil, raft.ErrNothingNewToSnapshot, raft.ErrRaftShutdown:
	default:
		n.log.Debug("no snapshot now", "error", err) // a change of the ensemble is under way
	}
}
