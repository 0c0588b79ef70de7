package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/coordinator/group"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/loglevel"
	"github.com/millrace/millrace/internal/metrics"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/quorum"
	"github.com/millrace/millrace/replication"
)

// server is a whole broker, put together. Its parts are closed in the reverse order of
// their making; each field is nil until it is made.
type server struct {
	fs    vfs.FS
	clock clock.Clock
	log   *slog.Logger

	levels     *loglevel.Levels
	static     *config.Config // as started
	settings   *broker.Settings
	id         int32
	quorumPort net.Listener   // until the quorum takes it
	quorum     *quorum.Quorum // nil with zookeeper.connect
	tree       metadata.Store
	loader     *metadata.Loader
	controller *controller.Controller
	store      *engine.Store
	registry   *prometheus.Registry
	manager    *replication.Manager
	groups     *group.Coordinator
	listened   map[string]net.Listener // by address, until the broker takes them
	broker     *broker.Broker
	admin      *broker.Admin

	failed    chan error // why it ended by itself
	failOnce  sync.Once
	ended     chan struct{} // closed by Close
	following atomic.Pointer[replication.Manager]
	serving   atomic.Pointer[broker.Broker]
	// background is short work that the loader's goroutine must not wait for.
	background sync.WaitGroup
	loaded     atomic.Pointer[engine.Store] // the store, for what its own goroutines call
	closing    sync.Once
	closed     error

	watching     sync.WaitGroup  // of the quorum's end
	quorumEnded  context.Context // with the cause
	endQuorum    context.CancelCauseFunc
	unregistered chan struct{} // the registration is gone
	registering  sync.WaitGroup
	stopRegister context.CancelFunc
}

// startServer makes a broker and returns when it serves. After an error nothing is left.
func startServer(ctx context.Context, cfg *config.Config, log *slog.Logger) (running, error) {
	s := &server{
		clock: clock.Real{}, levels: loglevel.Of(log), static: cfg, registry: prometheus.NewRegistry(),
		failed: make(chan error, 1), ended: make(chan struct{}), listened: make(map[string]net.Listener), unregistered: make(chan struct{}, 1),
	}
	s.quorumEnded, s.endQuorum = context.WithCancelCause(context.Background())
	s.log = s.levels.Logger("server")
	gc := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/cpu/classes/gc/total:cpu-seconds$`)}
	s.registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(gc)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	timed, err := metrics.NewFS(osfs.FS{}, s.clock, s.registry)
	if err != nil {
		return nil, err
	}
	s.fs = timed
	if err := s.start(ctx); err != nil {
		// What was opened is closed cleanly, so that a start that failed costs no recovery.
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *server) start(ctx context.Context) error {
	c := &s.static.Broker
	for _, step := range []func(context.Context) error{
		s.listen, s.listenQuorum, s.openTree, s.identify, s.openStore, s.register, s.elect, s.serve,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	quorum := c.ZooKeeperConnect
	if quorum == "" {
		quorum = s.QuorumAddr()
	}
	s.log.Info("broker is ready", "id", s.id, "cluster", s.loader.Image().ClusterID(), "log.dirs", c.LogDirs, "address", s.Addr(), "quorum", quorum)
	return nil
}

// listen takes the ports before anything else: a port that is taken should not cost a
// recovery first. Nothing is accepted until serve.
func (s *server) listen(ctx context.Context) error {
	var lc net.ListenConfig
	for _, l := range s.static.Broker.Listeners {
		opened, err := lc.Listen(ctx, "tcp", l.Address())
		if err != nil {
			return fmt.Errorf("listener %s: %w", l, err)
		}
		s.listened[l.Name] = opened
	}
	return nil
}

// settingsChanged lets dynamic settings of the broker take effect; who reads the
// configuration for each request needs nothing.
func (s *server) settingsChanged(_, now *config.Config) {
	if store := s.loaded.Load(); store != nil {
		store.SetProducerExpirationMs(now.Broker.ProducerExpirationMs)
		store.SetCleanerConfig(now.Broker.Cleaner)
	}
	if m := s.following.Load(); m != nil {
		m.Reconfigure()
	}
	if b := s.serving.Load(); b != nil {
		b.Relisten()
		s.background.Go(s.reregister)
	}
}

// topicConfig is the configuration of a topic's logs in an image.
func (s *server) topicConfig(img *metadata.Image, topic string) config.Topic {
	return s.settings.Config().Topic(img.TopicConfig(topic))
}

// logConfig is what a log is loaded with. Of a topic that the tree does not know, nothing is
// known of how long its owner means to keep it: retention leaves it alone.
func (s *server) logConfig(topic string) engine.Config {
	img := s.loader.Image()
	cfg := s.topicConfig(img, topic).Log
	if _, known := img.Topic(topic); !known {
		cfg.RetentionMs, cfg.RetentionBytes = -1, -1
	}
	return cfg
}

func (s *server) openStore(ctx context.Context) error {
	c := &s.static.Broker
	store, err := engine.OpenStore(ctx, engine.StoreOptions{
		FS: s.fs, Clock: s.clock, Log: s.levels.Logger("engine"), Dirs: c.LogDirs,
		BrokerID: s.id, ClusterID: s.loader.Image().ClusterID(),
		DefaultConfig:    s.static.Topic(nil).Log,
		ConfigFor:        s.logConfig,
		RecoveryThreads:  c.RecoveryThreads,
		RetentionCheckMs: c.RetentionCheckMs, FlushSchedulerMs: schedulerMs(c.FlushSchedulerMs),
		CheckpointMs: c.CheckpointMs, StartOffsetCheckpointMs: c.StartOffsetCheckpointMs,
		HighWatermarkMs: c.HighWatermarkMs, ProducerExpirationMs: c.ProducerExpirationMs, ProducerExpiryCheckMs: c.ProducerExpiryCheckMs,
		IdleAfterMs: idleAfterMs,
		Cleaner:     s.settings.Config().Broker.Cleaner,
		FileLimit:   fileLimit(), MappingLimit: mappingLimit(),
		Random:       mathrand.Int64N,
		Progress:     recoveryProgress(s.log),
		OnDirFailed:  s.dirFailed,
		OtherFolders: []string{quorumFolder},
	})
	if err != nil {
		return err
	}
	s.store = store
	s.loaded.Store(store)
	return nil
}

// idleAfterMs: a log that nobody touched for so long gives its files back.
const idleAfterMs = 60_000

// schedulerMs: by default Kafka never runs its scheduler, and so ignores flush.ms; here
// the time that somebody set is kept exactly.
func schedulerMs(ms int64) int64 {
	const never = 1<<63 - 1
	if ms == never {
		return 0
	}
	return ms
}

// dirFailed ends the broker when no log directory is left, as Kafka does.
func (s *server) dirFailed(dir string, err error) {
	s.log.Error("log directory is offline", "dir", dir, "err", err)
	store := s.loaded.Load()
	if store == nil {
		return // OpenStore itself reports that every directory failed
	}
	for _, d := range store.Dirs() {
		if d.Err == nil {
			return
		}
	}
	s.fail(fmt.Errorf("every log directory failed, the last one %s: %w", dir, err))
}

func (s *server) fail(err error) { s.failOnce.Do(func() { s.failed <- err }) }

// elect makes this broker the controller, adopts what a directory of Kafka's holds, and
// starts to follow the metadata.
func (s *server) elect(ctx context.Context) error {
	c, err := controller.Start(ctx, controller.Options{
		Store: s.tree, Loader: s.loader, Clock: s.clock, Log: s.levels.Logger("controller"), Random: rand.Reader, BrokerID: s.id,
		ValidateConfig: func(settings map[string]string) error { return s.settings.Config().ValidateTopic(settings) },
		Defaults: func() controller.Defaults {
			b := &s.settings.Config().Broker
			return controller.Defaults{NumPartitions: b.NumPartitions, ReplicationFactor: b.ReplicationFactor, DeleteTopics: b.DeleteTopics}
		},
		KnownID: s.knownID,
		// A second replica would stand in the ISR and never have a record.
		MaxReplicationFactor: 1,
	})
	if err != nil {
		return err
	}
	s.controller = c
	if !c.Leads() {
		s.log.Info("another broker is the controller", "id", s.loader.Image().Controller().BrokerID)
		return nil
	}
	adopted, err := c.Adopted(ctx)
	if err != nil || adopted {
		return err
	}
	return s.adopt(ctx)
}

// knownID is the id that the logs of a topic have.
func (s *server) knownID(topic string) (metadata.TopicID, bool) {
	for l := range s.store.Logs() {
		if l.TopicPartition().Topic == topic && l.TopicID() != (metadata.TopicID{}) {
			return l.TopicID(), true
		}
	}
	return metadata.TopicID{}, false
}

// adopt makes topics of the logs in a directory of Kafka's that is opened in place: the
// tree is new and knows none of them.
func (s *server) adopt(ctx context.Context) error {
	var topics []controller.OnDisk
	for _, t := range replication.FindOnDisk(s.store, s.log) {
		topics = append(topics, controller.OnDisk{Name: t.Name, ID: t.ID, NumPartitions: t.Partitions, LeaderEpoch: t.LeaderEpoch})
		s.log.Warn("topic found on disk is kept forever until its retention.ms and retention.bytes are set", "topic", t.Name, "partitions", t.Partitions)
	}
	if err := s.passProducerIDs(ctx); err != nil {
		return err
	}
	return s.controller.Adopt(ctx, topics)
}

// passProducerIDs keeps the ids that are in the logs from being handed out again.
func (s *server) passProducerIDs(ctx context.Context) error {
	last := int64(-1)
	for l := range s.store.Logs() {
		for _, p := range l.ActiveProducers() {
			last = max(last, p.ID)
		}
	}
	if last < 0 {
		return nil
	}
	return controller.PassProducerIDs(ctx, s.tree, s.id, last)
}

// serve lets the partitions follow the metadata, and then clients in.
func (s *server) serve(ctx context.Context) error {
	s.manager = replication.NewManager(replication.Options{
		Store: s.store, BrokerID: s.id, Clock: s.clock, Log: s.levels.Logger("replication"),
		TopicConfig: func(settings map[string]string) replication.TopicConfig {
			t := s.settings.Config().Topic(settings)
			return replication.TopicConfig{Log: t.Log, MinInSyncReplicas: t.MinInSyncReplicas}
		},
		MoveBytesPerSecond: func() int64 { return s.settings.Config().Broker.MoveBytesPerSecond },
	})
	s.loader.Add(s.manager)
	if err := s.manager.WaitApplied(ctx, s.loader.Image().Zxid()); err != nil {
		return err
	}
	s.following.Store(s.manager)
	s.groups = group.New(group.Options{
		Manager: s.manager, BrokerID: s.id, Clock: s.clock, Log: s.levels.Logger("group"), Random: rand.Reader, Config: broker.GroupConfig(s.settings.Config),
	})
	s.loader.Add(s.groups)
	b, err := broker.Start(ctx, broker.Options{
		Config: s.settings.Config, BrokerID: s.id, Store: s.store, Manager: s.manager, Loader: s.loader,
		Controller: s.controller, ProducerIDs: controller.NewProducerIDs(s.tree, s.id), Groups: s.groups,
		Clock: s.clock, Log: s.levels.Logger("broker"), Levels: s.levels, Registry: s.registry, Random: mathrand.Int64N, Listen: s.handOver,
	})
	if err != nil {
		return err
	}
	s.broker = b
	s.serving.Store(b)
	b.Relisten()   // where the settings changed meanwhile
	s.reregister() // with the ports of listeners that are dynamic settings
	s.keepRegistration()
	for name, unused := range s.listened {
		_ = unused.Close() // a dynamic setting took the place of it
		delete(s.listened, name)
	}
	if at := s.static.Broker.AdminAddress; at != "" {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", at)
		if err != nil {
			return fmt.Errorf("admin.listener %s: %w", at, err)
		}
		s.admin = broker.StartAdmin(l, b, s.registry, s.log)
	}
	return nil
}

// keepRegistration starts to watch over the broker's registration.
func (s *server) keepRegistration() {
	ctx, cancel := context.WithCancel(context.Background())
	s.stopRegister = cancel
	s.registering.Go(func() { s.stayRegistered(ctx) })
	s.loader.Add(metadata.PublisherFunc(s.followRegistration))
}

// handOver gives the broker the listeners that are open already, and opens those that dynamic
// settings ask for.
func (s *server) handOver(ctx context.Context, network, address string) (net.Listener, error) {
	for _, l := range s.static.Broker.Listeners {
		if opened := s.listened[l.Name]; opened != nil && l.Address() == address {
			delete(s.listened, l.Name)
			return opened, nil
		}
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, network, address)
}

// Addr is where clients connect.
func (s *server) Addr() string {
	if s.broker == nil {
		return ""
	}
	return s.broker.Addr().String()
}

// QuorumAddr is where ZooKeeper's clients find the quorum inside, empty when they cannot.
func (s *server) QuorumAddr() string {
	if s.quorum == nil {
		return ""
	}
	return s.quorum.Addr()
}

// AdminAddr is the admin port, empty when it is off.
func (s *server) AdminAddr() string {
	if s.admin == nil {
		return ""
	}
	return s.admin.Addr().String()
}

// Wait returns when the broker cannot go on, with the reason.
func (s *server) Wait() error {
	select {
	case err := <-s.failed:
		return err
	case <-s.ended:
		return nil
	}
}

// Close stops cleanly: no new requests, those that were started are answered, all logs are
// flushed and marked clean. When ctx ends first, what is left is recovered at the next start.
func (s *server) Close(ctx context.Context) error {
	s.closing.Do(func() {
		s.closed = s.close(ctx)
		close(s.ended)
	})
	return s.closed
}

// drainTime bounds how long clients may take to receive what they were promised.
const drainTime = 10 * time.Second

func (s *server) close(ctx context.Context) error {
	var errs []error
	for _, l := range s.listened {
		errs = append(errs, l.Close())
	}
	if s.quorumPort != nil {
		errs = append(errs, s.quorumPort.Close())
	}
	if s.stopRegister != nil {
		s.stopRegister()
		s.registering.Wait()
	}
	if s.broker != nil {
		drain, cancel := context.WithTimeout(ctx, drainTime)
		if err := s.broker.Close(drain); err != nil {
			s.log.Warn("not all clients were answered", "err", err)
		}
		cancel()
	}
	if s.controller != nil {
		s.controller.Close()
	}
	if s.loader != nil {
		s.loader.Close()
	}
	s.background.Wait()
	if s.groups != nil {
		s.groups.Close()
	}
	if s.manager != nil {
		s.manager.Close()
	}
	if s.store != nil {
		errs = append(errs, s.store.Close(ctx))
	}
	if s.tree != nil {
		errs = append(errs, s.tree.Close())
	}
	if s.quorum != nil {
		errs = append(errs, s.quorum.Close(ctx))
		s.watching.Wait()
	}
	if s.admin != nil {
		errs = append(errs, s.admin.Close(ctx))
	}
	return errors.Join(errs...)
}
