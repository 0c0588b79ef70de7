package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// Net is the network between the servers. TLS is put around it from outside.
type Net interface {
	Listen(ctx context.Context, addr string) (net.Listener, error)
	// Dial looks addr up each time it is called, so that a server may move.
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// Stores is where a member keeps its log. They must belong to this node alone and be closed by
// the caller after Close. A Log that implements raft.CommitTrackingLogStore lets a restarted
// member show what was committed before it has met a leader.
type Stores struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	// Failed, if set, is closed when the stores became useless outside of a call, as by a write
	// that does not return; Err tells why. The node ends with it.
	Failed <-chan struct{}
	Err    func() error
	// WantSnapshot, if set, tells that a snapshot is needed now, so that the log can be cut: the
	// disk is full.
	WantSnapshot func() bool
}

// Options is what Start needs. Zero values mean what the comments say.
type Options struct {
	MyID int // 1 to 255; the top byte of session ids. 0: 1
	// Servers is the ensemble as zoo.cfg has it. Empty: this server stands alone, has no
	// ports for others and leads at once.
	Servers []zoocfg.Server
	Stores  Stores
	Net     Net // needed when there are Servers
	// ListenOnAllIPs opens the ports for other servers on every address instead of that of this
	// server's line (quorumListenOnAllIPs).
	ListenOnAllIPs bool

	TickTime  time.Duration // 0: 2 s
	InitLimit int           // ticks that a joining server may take to catch up; 0: 10
	SyncLimit int           // ticks without a word from the leader after which nobody is served; 0: 5

	// Flags are what the ensemble goes by when this server leads it.
	Flags tree.Flags

	// ContainerCheckInterval is how often the leader looks for containers and TTL nodes that
	// are due. 0: 60 s; negative: never.
	ContainerCheckInterval time.Duration
	ContainerMaxNeverUsed  time.Duration // age at which a container goes that never had a child; 0: none
	ContainersPerMinute    int           // most of them that go in a minute; 0: 10000

	SnapshotEntries  uint64 // entries after which a snapshot is taken; 0: 100,000
	SnapshotLogBytes int64  // bytes of entries after which one is taken; 0: 64 MiB
	TrailingLogs     uint64 // entries that stay in the log after a snapshot, but see maxTrailingBytes; 0: 50,000
	MaxTxnBytes      int    // largest transaction that another server may send; 0: 4 MiB

	Clock clock.Clock  // nil: the machine's. Raft itself always goes by package time.
	Rand  io.Reader    // secrets and incarnations; nil: crypto/rand
	Log   *slog.Logger // nil: silent
}

func (o *Options) withDefaults() error {
	setDefault(&o.MyID, 1)
	setDefault(&o.TickTime, 2*time.Second)
	setDefault(&o.InitLimit, 10)
	setDefault(&o.SyncLimit, 5)
	setDefault(&o.ContainerCheckInterval, time.Minute)
	setDefault(&o.ContainersPerMinute, 10_000)
	setDefault(&o.SnapshotEntries, 100_000)
	setDefault(&o.SnapshotLogBytes, 64<<20)
	setDefault(&o.TrailingLogs, 50_000)
	setDefault(&o.MaxTxnBytes, 4<<20)
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o.check()
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (o *Options) check() error {
	if o.MyID < 1 || o.MyID > 255 {
		return fmt.Errorf("myid %d is not a number from 1 to 255", o.MyID)
	}
	if o.Stores.Log == nil || o.Stores.Stable == nil || o.Stores.Snapshots == nil {
		return fmt.Errorf("a member needs stores for its log, its votes and its snapshots")
	}
	if len(o.Servers) == 0 {
		return nil
	}
	if o.Net == nil {
		return fmt.Errorf("a member of an ensemble needs a network")
	}
	seen := map[int64]bool{}
	for _, s := range o.Servers {
		if seen[s.ID] {
			return fmt.Errorf("server.%d is there twice", s.ID)
		}
		seen[s.ID] = true
	}
	if !seen[int64(o.MyID)] {
		return fmt.Errorf("myid is %d, and there is no server.%d among the servers", o.MyID, o.MyID)
	}
	return nil
}

// syncTimeout is how long a server goes on serving without its leader.
func (o *Options) syncTimeout() time.Duration { return time.Duration(o.SyncLimit) * o.TickTime }

// initTimeout is how long a joining server may take to catch up.
func (o *Options) initTimeout() time.Duration { return time.Duration(o.InitLimit) * o.TickTime }

// reportInterval is how often the servers of an ensemble tell each other of sessions and indexes.
func (o *Options) reportInterval() time.Duration { return max(o.TickTime/2, 5*time.Millisecond) }

// The timers of Raft as zoo.cfg's tickTime gives them. Raft refuses values below 5 ms.
const (
	minElectionTimeout = 50 * time.Millisecond
	minLeaderLease     = 25 * time.Millisecond
	// commitTimeout is how long a follower may be left without the news that an entry is
	// committed. It is a net for news that were lost: the leader brings them itself, see heralds.
	commitTimeout = 50 * time.Millisecond
	// maxAppendEntries times the size of an entry is the most that one message carries.
	maxAppendEntries = 64
)

// raftConfig derives Raft's settings. A heartbeat is sent ten times in an election timeout.
func raftConfig(o *Options, id raft.ServerID, tracksCommits bool, stop <-chan struct{}) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = id
	c.HeartbeatTimeout = max(o.TickTime/2, minElectionTimeout)
	c.ElectionTimeout = c.HeartbeatTimeout
	c.LeaderLeaseTimeout = max(o.TickTime/4, minLeaderLease)
	c.CommitTimeout = commitTimeout
	c.MaxAppendEntries = maxAppendEntries
	c.BatchApplyCh = true
	c.ShutdownOnRemove = true
	c.TrailingLogs = o.TrailingLogs
	c.SnapshotThreshold = o.SnapshotEntries
	c.NoLegacyTelemetry = true
	c.RestoreCommittedLogs = tracksCommits
	c.Logger = newRaftLog(o.Log, o.Clock, stop)
	return c
}
