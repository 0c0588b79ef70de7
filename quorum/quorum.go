package quorum

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/raftlog"
	"github.com/millrace/millrace/quorum/server"
	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// Quorum is a running server. Its parts are closed in the reverse order of their making; each
// field is nil until it is made.
type Quorum struct {
	o   Options
	log *slog.Logger

	addr, secureAddr net.Addr
	plain, secure    []net.Listener // until the server takes them
	admin            *admin

	store  *raftlog.Store
	node   *node.Node
	server *server.Server

	syncs, snapshots server.Timing

	closing sync.Once
	closed  error
}

// Start makes a server and returns when its ports are open and its member runs, which is before
// it serves: an ensemble may have no quorum yet. After an error nothing is left.
func Start(ctx context.Context, o Options) (*Quorum, error) {
	client := o.Client
	if err := o.withDefaults(); err != nil {
		if client != nil {
			err = errors.Join(err, client.Close())
		}
		return nil, err
	}
	q := &Quorum{o: o, log: o.Log}
	for _, step := range []func(context.Context) error{q.prepare, q.clientPorts, q.openAdmin, q.openStore, q.startNode, q.serve} {
		err := step(ctx)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, errors.Join(err, q.Close(context.WithoutCancel(ctx)))
		}
	}
	return q, nil
}

func (q *Quorum) prepare(context.Context) error { return prepareData(q.o.FS, q.o.Config) }

func (q *Quorum) openStore(context.Context) error {
	c := q.o.Config
	fsys := q.o.FS
	if !c.ForceSync {
		fsys = unsynced{fsys}
	}
	fsys = timedSyncs{fsys, c.LogFolder(), q.o.Clock, &q.syncs}
	retain := c.SnapRetain
	if !c.Purge {
		retain = math.MaxInt32
	}
	store, err := raftlog.Open(raftlog.Options{
		FS: fsys, Clock: q.o.Clock, Log: q.log, Dir: c.LogFolder(), SnapshotDir: c.SnapshotFolder(), Retain: retain, StallWarn: c.SyncWarning,
	})
	if err != nil {
		return &DataError{"dataLogDir", c.DataLogDir, err}
	}
	q.store = store
	return nil
}

func (q *Quorum) startNode(ctx context.Context) error {
	c := q.o.Config
	peers, err := newPeers(q)
	if err != nil {
		return err
	}
	n, err := node.Start(ctx, node.Options{
		MyID: int(c.MyID), Servers: members(c), Net: peers, ListenOnAllIPs: c.ListenOnAllIPs,
		Stores:   node.Stores{Log: q.store.Logs(), Stable: q.store.Stable(), Snapshots: timedSnapshots{q.store.Snapshots(), q.o.Clock, &q.snapshots}, Failed: q.store.Failed(), Err: q.store.Err},
		TickTime: c.TickTime, InitLimit: c.InitLimit, SyncLimit: c.SyncLimit, Flags: flags(c),
		ContainerCheckInterval: c.ContainerCheckInterval, ContainerMaxNeverUsed: c.ContainerMaxNeverUsed, ContainersPerMinute: c.ContainerMaxPerMinute,
		SnapshotEntries: uint64(c.SnapCount), SnapshotLogBytes: c.SnapLogBytes, MaxTxnBytes: max(4<<20, 2*c.JuteMaxBuffer),
		Clock: q.o.Clock, Rand: q.o.Rand, Log: q.log,
	})
	if err != nil {
		return err
	}
	q.node = n
	return settleData(q.o.FS, c)
}

// members is the list of servers as the member takes it: none for a lone server. Where this
// server's own line does not say where clients come, clientPort does.
func members(c *zoocfg.Config) []zoocfg.Server {
	if !c.Distributed() {
		return nil
	}
	out := slices.Clone(c.Servers)
	for i := range out {
		s := &out[i]
		if s.ID != c.MyID || s.ClientPort > 0 || c.ClientAddress == "" {
			continue
		}
		host, port, err := net.SplitHostPort(c.ClientAddress)
		if n, bad := strconv.Atoi(port); err == nil && bad == nil {
			s.ClientHost, s.ClientPort = host, n
		}
	}
	return out
}

func flags(c *zoocfg.Config) (f tree.Flags) {
	if c.EnforceQuota {
		f |= tree.EnforceQuota
	}
	if c.SkipACL {
		f |= tree.SkipACL
	}
	if !c.ExtendedTypes {
		f |= tree.RefuseTTL
	}
	return f
}

// serve lets clients in. They are answered when the member says that it may serve.
func (q *Quorum) serve(context.Context) error {
	c := q.o.Config
	srv, err := server.Start(server.Options{
		Member: server.Of(q.node, q.reconfig), Listeners: q.plain, SecureListeners: q.secure,
		Config: server.Config{
			TickTime: c.TickTime, MinSessionTimeout: c.MinSessionTimeout, MaxSessionTimeout: c.MaxSessionTimeout,
			MaxClientCnxns: c.MaxClientCnxns, MaxCnxns: c.MaxCnxns, MaxBufferBytes: c.JuteMaxBuffer,
			GlobalOutstandingLimit: c.OutstandingLimit, OutstandingBytes: c.OutstandingBytes,
			Words: c.FourLetterWords, SuperDigest: c.SuperDigest, SuperX509: c.X509SuperUser, EnforceAuthSchemes: c.AuthSchemes, Reconfig: c.ReconfigEnabled,
		},
		Facts: q.facts(), Clock: q.o.Clock, Log: q.log,
	})
	if err != nil {
		return err
	}
	q.server, q.plain, q.secure = srv, nil, nil
	q.admin.serve(q)
	return nil
}

// reconfig is what a client's reconfig does.
func (q *Quorum) reconfig(ctx context.Context, r *jute.ReconfigRequest) error {
	return q.node.Reconfig(ctx, node.Change{Joining: r.Joining, Leaving: r.Leaving, Members: r.NewMembers, FromVersion: r.CurConfigID})
}

func (q *Quorum) facts() server.Facts {
	c := q.o.Config
	return server.Facts{
		Built: q.o.Facts.Built, SyncTimes: q.syncs.Read, SnapshotTimes: q.snapshots.Read, LastSnapshot: q.lastSnapshot,
		DataDir: c.DataDir, DataLogDir: c.DataLogDir, InitLimit: c.InitLimit, SyncLimit: c.SyncLimit, InitialConfig: c.Text, Environment: q.o.Facts.Environment, FileDescriptors: q.o.Facts.FileDescriptors,
		DirSizes: func() (data, log int64) {
			return folderBytes(q.o.FS, c.SnapshotFolder()), folderBytes(q.o.FS, c.LogFolder())
		},
		SystemProperties: func() (out []server.Pair) {
			for _, s := range c.Settings {
				out = append(out, server.Pair{Name: "zookeeper." + s.Key, Value: s.Value})
			}
			return out
		},
	}
}

// Config is how it was started.
func (q *Quorum) Config() *zoocfg.Config { return q.o.Config }

// Node is the member, for who embeds the quorum.
func (q *Quorum) Node() *node.Node { return q.node }

// Server is the client port.
func (q *Quorum) Server() *server.Server { return q.server }

// Store is the log and the snapshots.
func (q *Quorum) Store() *raftlog.Store { return q.store }

// Addr is where clients connect, empty if nowhere.
func (q *Quorum) Addr() string { return text(q.addr) }

// SecureAddr is where clients connect encrypted, empty if nowhere.
func (q *Quorum) SecureAddr() string { return text(q.secureAddr) }

// AdminAddr is the HTTP server for commands, empty if there is none.
func (q *Quorum) AdminAddr() string { return q.admin.address() }

func text(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// Wait returns when the server has ended: nil after Close, else why it ended by itself.
func (q *Quorum) Wait() error { return q.node.Wait() }

// Close ends the server: it hands its office over if it leads, then come the clients, who go to another server, the member, and the log.
// Sessions stay. When ctx ends first the log is left as a crash would leave it.
func (q *Quorum) Close(ctx context.Context) error {
	q.closing.Do(func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			q.closed = q.close()
		}()
		select {
		case <-done:
		case <-ctx.Done():
			q.closed = fmt.Errorf("the server did not end in time: %w", ctx.Err())
		}
	})
	return q.closed
}

// transferTime bounds the search for another leader before this one stops: without it the others
// notice after half a tick.
const transferTime = time.Second

// abdicate makes another server lead, so that the ensemble does not have to miss this one first.
func (q *Quorum) abdicate() {
	if q.node == nil || !q.o.Config.Distributed() || q.node.Status().Mode != node.Leader {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), transferTime)
	defer cancel()
	if err := q.node.TransferLeadership(ctx); err != nil {
		q.log.Info("nobody could take over: the others elect a leader when they miss this one", "err", err)
	}
}

func (q *Quorum) close() error {
	errs := []error{q.admin.close()}
	q.abdicate()
	if q.o.Client != nil {
		errs = append(errs, q.o.Client.Close())
	}
	for _, l := range append(q.plain, q.secure...) {
		errs = append(errs, l.Close())
	}
	if q.server != nil {
		errs = append(errs, q.server.Close())
	}
	if q.node != nil {
		errs = append(errs, q.node.Close())
	}
	if q.store != nil {
		errs = append(errs, q.store.Close())
	}
	return errors.Join(errs...)
}
