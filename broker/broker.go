package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/broker/conn"
	"github.com/millrace/millrace/broker/quota"
	"github.com/millrace/millrace/broker/telemetry"
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/coordinator/group"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/loglevel"
	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/replication"
)

// ListenFunc opens a listener: net.ListenConfig.Listen in the real broker.
type ListenFunc func(ctx context.Context, network, address string) (net.Listener, error)

// Options are what a Broker is made of. Only Authorizer, Quota and Levels may be nil:
// then all is allowed, the quotas of the metadata are in force, and the levels are those of Log.
type Options struct {
	// Config returns the settings in force; dynamic ones may change it at any time.
	Config      func() *config.Config
	BrokerID    int32
	Store       *engine.Store
	Manager     *replication.Manager
	Loader      *metadata.Loader
	Controller  *controller.Controller
	ProducerIDs *controller.ProducerIDs
	Clock       clock.Clock
	Log         *slog.Logger
	Levels      *loglevel.Levels // of the process's loggers; nil: those of Log
	Registry    *prometheus.Registry
	Listen      ListenFunc
	// Random returns a number in [0, n): fetch session ids.
	Random     func(n int64) int64
	Authorizer Authorizer
	Quota      Quota
	// Groups is the group coordinator. It follows the same metadata.
	Groups *group.Coordinator
}

// Broker serves clients. Start makes it, Close ends it.
type Broker struct {
	config      func() *config.Config
	id          int32
	store       *engine.Store
	manager     *replication.Manager
	loader      *metadata.Loader
	controller  *controller.Controller
	producerIDs *controller.ProducerIDs
	groups      *group.Coordinator
	clock       clock.Clock
	log         *slog.Logger
	levels      *loglevel.Levels
	auth        Authorizer
	quota       Quota
	limits      *quota.Manager // behind quota, and of connections
	telemetry   *telemetry.Clients

	connOptions conn.Options
	endpoints   *endpoints
	sessions    *fetchSessions
	metrics     *metrics
	produceOps  sync.Pool // *produceOp
	fetchOps    sync.Pool // *fetchOp

	listen    ListenFunc
	relisten  sync.Mutex     // one change of the listeners at a time
	listeners []*listener    // guarded by mu
	wg        sync.WaitGroup // accept loops and connections
	ctx       context.Context
	cancel    context.CancelFunc

	mu       sync.Mutex
	open     map[*session]struct{}
	perIP    map[string]int
	delayed  map[net.Conn]clock.Timer // refused, and to be closed later
	closing  bool
	sweeping clock.Timer
}

// Start opens the listeners and serves. ctx bounds the start only.
func Start(ctx context.Context, o Options) (*Broker, error) {
	b := &Broker{
		config: o.Config, id: o.BrokerID, store: o.Store, manager: o.Manager, loader: o.Loader, controller: o.Controller, producerIDs: o.ProducerIDs, groups: o.Groups,
		listen: o.Listen, clock: o.Clock, log: o.Log, levels: o.Levels, auth: o.Authorizer, quota: o.Quota,
		endpoints: newEndpoints(), open: make(map[*session]struct{}), perIP: make(map[string]int), delayed: make(map[net.Conn]clock.Timer),
	}
	if b.levels == nil {
		b.levels = loglevel.Of(o.Log)
	}
	if b.auth == nil {
		b.auth = AllowAll{}
	}
	c := &o.Config().Broker
	b.limits = newQuotaManager(c, o.Clock)
	if b.quota == nil {
		b.quota = clientQuotas{b.limits}
	}
	b.sessions = newFetchSessions(c.FetchSessionSlots, o.Random)
	b.connOptions = conn.Options{
		Clock: o.Clock, Log: o.Log, Memory: conn.NewMemory(c.QueuedMaxRequestBytes), Stats: new(conn.Stats), Senders: conn.NewSenders(),
		MaxInFlight: conn.DefaultMaxInFlight, MaxQueuedBytes: conn.DefaultMaxQueuedBytes,
		Lanes: netx.NewLanes(max(1, runtime.GOMAXPROCS(0)/2), o.Clock), SendBufferBytes: int(c.SocketSendBufferBytes), ReceiveBufferBytes: int(c.SocketReceiveBufferBytes),
	}
	pushed := telemetry.NewSeries(telemetry.DefaultLimits)
	b.telemetry = telemetry.NewClients(o.Clock, func() protocol.UUID { return randomUUID(o.Random) }, pushed)
	b.metrics = newMetrics(b)
	for _, m := range []prometheus.Collector{b.metrics, pushed} {
		if err := o.Registry.Register(m); err != nil {
			return nil, err
		}
	}
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, of := range c.Listeners {
		l, remote, err := b.openListener(ctx, of)
		if err != nil {
			b.closeListeners()
			b.cancel()
			return nil, err
		}
		b.connOptions.RemoteCongestion = remote
		b.listeners = append(b.listeners, l)
	}
	o.Loader.Add(metadata.PublisherFunc(b.publishQuotas))
	o.Loader.Add(metadata.PublisherFunc(b.publishSubscriptions))
	b.mu.Lock() // a publisher may change them from now on
	for _, l := range b.listeners {
		b.wg.Go(l.accept)
	}
	b.mu.Unlock()
	b.scheduleSweep()
	return b, nil
}

// localCongestion is used towards peers on this machine unless the configuration names another.
const localCongestion = "reno"

// setCongestion prepares a listener: what it accepts inherits the setting. By default that is
// localCongestion, and remote is what connections from other machines get instead, the system's
// own. (Not the other way round: a socket that once had bbr keeps its pacing.)
func setCongestion(l net.Listener, name string) (remote string, err error) {
	if name != "" {
		if err := netx.SetCongestion(l, name); err != nil {
			return "", fmt.Errorf("socket.congestion.control=%s: %w (the system offers those in net.ipv4.tcp_available_congestion_control; empty leaves the choice to it)", name, err)
		}
		return "", nil
	}
	own, err := netx.Congestion(l)
	if err != nil || netx.SetCongestion(l, localCongestion) != nil {
		return "", nil // no TCP, or no such control: the system's stays everywhere
	}
	return own, nil
}

// Addr is where the first listener listens, with the port that it really has.
func (b *Broker) Addr() net.Addr { return b.listening()[0].Addr() }

// listening is the open listeners.
func (b *Broker) listening() []*listener {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.listeners)
}

// Addrs returns the address of each listener by its name.
func (b *Broker) Addrs() map[string]net.Addr {
	open := b.listening()
	out := make(map[string]net.Addr, len(open))
	for _, l := range open {
		out[l.name] = l.Addr()
	}
	return out
}

// Stats counts what the connections do.
func (b *Broker) Stats() *conn.Stats { return b.connOptions.Stats }

// Close stops accepting, answers the requests that were started, and closes the
// connections; those that are not done when ctx ends are cut off.
func (b *Broker) Close(ctx context.Context) error {
	b.mu.Lock()
	already := b.closing
	b.closing = true
	if b.sweeping != nil {
		b.sweeping.Stop()
	}
	open := b.openLocked()
	b.closeDelayedLocked()
	b.mu.Unlock()
	if !already {
		b.closeListeners()
	}
	for _, s := range open {
		s.c.Drain()
	}
	done := make(chan struct{})
	go func() {
		b.wg.Wait()
		b.connOptions.Lanes.Close()
		close(done)
	}()
	select {
	case <-done:
		b.cancel()
		return nil
	case <-ctx.Done():
	}
	b.cancel() // ends what waits for the metadata store
	b.mu.Lock()
	open = b.openLocked()
	b.mu.Unlock()
	for _, s := range open {
		s.c.Close(errShutdown)
	}
	<-done
	if len(open) > 0 {
		return fmt.Errorf("%d connections were cut off: %w", len(open), ctx.Err())
	}
	return nil
}

var errShutdown = errors.New("the broker shuts down")

func (b *Broker) openLocked() []*session {
	open := make([]*session, 0, len(b.open))
	for s := range b.open {
		open = append(open, s)
	}
	return open
}

func (b *Broker) closeListeners() {
	for _, l := range b.listening() {
		_ = l.Close() // it is going away; the accept loop ends by it
	}
}

const (
	sweepEvery = time.Second
	// slowRequest is how long a request may stay incomplete while others wait for memory.
	slowRequest = 10 * time.Second
)

// scheduleSweep arms the sweeper: idle connections, and relief for a full memory budget.
func (b *Broker) scheduleSweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return
	}
	b.sweeping = b.clock.AfterFunc(sweepEvery, func() {
		b.sweep()
		b.scheduleSweep()
	})
}

func (b *Broker) sweep() {
	now := b.clock.Now()
	b.limits.Purge()
	b.telemetry.Expire()
	b.connOptions.Memory.Relieve(now.Add(-sweepEvery))
	pressed := b.connOptions.Memory.Pressed()
	idleBefore := time.Unix(0, 0)
	if ms := b.config().Broker.ConnectionsMaxIdleMs; ms > 0 {
		idleBefore = now.Add(-time.Duration(ms) * time.Millisecond)
	}
	b.mu.Lock()
	open := b.openLocked()
	b.mu.Unlock()
	for _, s := range open {
		s.c.Sweep(idleBefore, now.Add(-slowRequest), pressed)
	}
}

// topicName resolves a topic id where the request has one.
func (r *request) topicName(name string, id protocol.UUID, byID bool) (string, error) {
	if !byID {
		return name, nil
	}
	t, ok := r.b.loader.Image().TopicByID(id)
	if !ok {
		return "", errUnknownTopicID
	}
	return t.Name, nil
}

// partitionByID looks a partition up by its topic's id.
func (b *Broker) partitionByID(id protocol.UUID, index int32) (*replication.Partition, error) {
	t, ok := b.loader.Image().TopicByID(id)
	if !ok {
		return nil, errUnknownTopicID
	}
	p, err := b.manager.Get(t.Name, index)
	if err == nil && p.TopicID() != id {
		return nil, errUnknownTopicID // deleted and made again, between two images
	}
	return p, err
}

// leaderHint tells a client that came to the wrong broker where to go (KIP-951).
func (b *Broker) leaderHint(topic string, id protocol.UUID, index int32) (metadata.Partition, bool) {
	img := b.loader.Image()
	t, ok := img.Topic(topic)
	if id != (protocol.UUID{}) {
		t, ok = img.TopicByID(id)
	}
	if !ok || index < 0 || int(index) >= len(t.Partitions) {
		return metadata.Partition{}, false
	}
	return t.Partitions[index], true
}

// settled returns when the logs of what transaction zxid created exist here; zero is no
// transaction.
func (b *Broker) settled(zxid int64) error {
	if zxid == 0 {
		return nil
	}
	return b.manager.WaitApplied(b.ctx, zxid)
}
