package broker

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/coordinator/group"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/metadata/metatest"
	"github.com/millrace/millrace/replication"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// node is a whole broker in this process, on a real disk and a real socket.
type node struct {
	t        testing.TB
	broker   *Broker
	store    *engine.Store
	manager  *replication.Manager
	groups   *group.Coordinator
	registry *prometheus.Registry
	addr     string
	log      *logBook
	loader   *metadata.Loader
	settings *Settings
	stop     func()
}

// nodeOptions change how a node is made.
type nodeOptions struct {
	settings []string
	dir      string // "": a new one
	fs       vfs.FS // nil: the machine's
	dirs     []string
	auth     Authorizer
	quota    Quota
	clock    clock.Clock      // the broker's; the layers below have the real one
	quorum   *metatest.Quorum // nil: a new one
}

func startNode(t testing.TB, settings ...string) *node {
	t.Helper()
	return startNodeWith(t, nodeOptions{settings: settings})
}

func startNodeWith(t testing.TB, o nodeOptions) *node {
	t.Helper()
	if o.clock == nil {
		o.clock = clock.Real{}
	}
	dir := o.dir
	if dir == "" {
		dir = t.TempDir()
	}
	if o.fs == nil {
		o.fs = osfs.FS{}
	}
	if o.dirs == nil {
		o.dirs = []string{dir}
	}
	settings := append([]string{"broker.id=1", "log.dirs=" + strings.Join(o.dirs, ","), "listeners=PLAINTEXT://127.0.0.1:0", "admin.listener="}, o.settings...)
	cfg, _, err := config.Load(config.Input{FS: osfs.FS{}, Overrides: settings})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, log: &logBook{}, registry: prometheus.NewRegistry()}
	log := slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if o.quorum == nil {
		o.quorum = metatest.New(t, clock.Real{})
	}
	tree := o.quorum.Open(t)
	id, err := controller.Prepare(ctx, tree, crand.Reader, "")
	must(err)
	loader := metadata.NewLoader(tree, log)
	n.loader, n.settings = loader, NewSettings(cfg, 1, log)
	loader.Add(n.settings)
	n.store, err = engine.OpenStore(ctx, engine.StoreOptions{
		FS: o.fs, Clock: clock.Real{}, Log: log, Dirs: o.dirs, BrokerID: 1, ClusterID: id,
		DefaultConfig: cfg.Topic(nil).Log, Random: rand.Int64N,
	})
	must(err)
	endpoint := metadata.Endpoint{Listener: "PLAINTEXT", Protocol: "PLAINTEXT", Host: "registered.example", Port: 1}
	zxid, err := controller.Register(ctx, tree, clock.Real{}, metadata.Broker{ID: 1, Endpoints: []metadata.Endpoint{endpoint}})
	must(err)
	must(loader.Wait(ctx, zxid))
	c, err := controller.Start(ctx, controller.Options{
		Store: tree, Loader: loader, Clock: clock.Real{}, Log: log, Random: crand.Reader, BrokerID: 1,
		ValidateConfig: func(s map[string]string) error { return n.settings.Config().ValidateTopic(s) },
		Defaults: func() controller.Defaults {
			return controller.Defaults{NumPartitions: cfg.Broker.NumPartitions, ReplicationFactor: 1, DeleteTopics: cfg.Broker.DeleteTopics}
		},
	})
	must(err)
	n.manager = replication.NewManager(replication.Options{
		Store: n.store, BrokerID: 1, Clock: clock.Real{}, Log: log,
		TopicConfig: func(settings map[string]string) replication.TopicConfig {
			t := n.settings.Config().Topic(settings)
			return replication.TopicConfig{Log: t.Log, MinInSyncReplicas: t.MinInSyncReplicas}
		},
	})
	loader.Add(n.manager)
	n.settings.Follow(func(_, now *config.Config) {
		n.store.SetProducerExpirationMs(now.Broker.ProducerExpirationMs)
		n.manager.Reconfigure()
	})
	n.groups = group.New(group.Options{
		Manager: n.manager, BrokerID: 1, Clock: o.clock, Log: log, Random: crand.Reader, Config: GroupConfig(n.settings.Config),
	})
	loader.Add(n.groups)
	var lc net.ListenConfig
	n.broker, err = Start(ctx, Options{
		Config: n.settings.Config, BrokerID: 1, Store: n.store, Manager: n.manager, Loader: loader, Controller: c,
		ProducerIDs: controller.NewProducerIDs(tree, 1), Groups: n.groups, Clock: o.clock, Log: log, Registry: n.registry,
		Listen: lc.Listen, Random: rand.Int64N, Authorizer: o.auth, Quota: o.quota,
	})
	must(err)
	n.settings.Follow(func(_, now *config.Config) {
		n.store.SetProducerExpirationMs(now.Broker.ProducerExpirationMs)
		n.manager.Reconfigure()
		n.broker.Relisten()
	})
	n.addr = n.broker.Addr().String()
	n.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
		defer cancel()
		if err := n.broker.Close(ctx); err != nil {
			t.Error(err)
		}
		c.Close()
		loader.Close()
		n.groups.Close()
		n.manager.Close()
		if err := n.store.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
		if used := n.broker.connOptions.Memory.UsedBytes(); used != 0 {
			t.Errorf("%d bytes of request buffers were not given back", used)
		}
		if panics := n.broker.Stats().Panics.Load(); panics != 0 {
			t.Errorf("%d handlers panicked:\n%s", panics, n.log.String())
		}
	})
	t.Cleanup(n.stop)
	return n
}

// logBook keeps what was logged.
type logBook struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// client is franz-go's.
func (n *node) client(opts ...kgo.Opt) *kgo.Client {
	n.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(n.addr), kgo.AllowAutoTopicCreation(), kgo.ClientID("kgo-test")}, opts...)...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(cl.Close)
	return cl
}

// raw is one connection with requests encoded by kmsg, for what a client never sends.
type raw struct {
	t    testing.TB
	c    net.Conn
	corr int32
}

func (n *node) raw() *raw {
	n.t.Helper()
	c, err := net.Dial("tcp", n.addr)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(testkit.Patience))
	return &raw{t: n.t, c: c}
}

// encode frames a request.
func (r *raw) encode(req kmsg.Request) []byte {
	r.corr++
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw-test")).AppendRequest(nil, req, r.corr)
}

func (r *raw) write(frames ...[]byte) {
	r.t.Helper()
	for _, f := range frames {
		if _, err := r.c.Write(f); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *raw) send(req kmsg.Request) {
	r.t.Helper()
	r.write(r.encode(req))
}

// frame reads one reply.
func (r *raw) frame() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r.c, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(r.c, b)
	return b, err
}

// receive reads the reply to req, which was the one with this correlation id.
func (r *raw) receive(req kmsg.Request, corr int32) kmsg.Response {
	r.t.Helper()
	b, err := r.frame()
	if err != nil {
		r.t.Fatalf("reply to %s version %d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	resp, err := decode(req, corr, b)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

func decode(req kmsg.Request, corr int32, b []byte) (kmsg.Response, error) {
	name := kmsg.NameForKey(req.Key())
	if got := int32(binary.BigEndian.Uint32(b)); got != corr {
		return nil, fmt.Errorf("%s: reply to request %d, want %d", name, got, corr)
	}
	b = b[4:]
	if req.IsFlexible() && req.Key() != 18 {
		if b[0] != 0 {
			return nil, fmt.Errorf("%s: the response header has %d tags", name, b[0])
		}
		b = b[1:]
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if err := resp.ReadFrom(b); err != nil {
		return nil, fmt.Errorf("%s version %d: %w", name, req.GetVersion(), err)
	}
	if again := resp.AppendTo(nil); len(again) != len(b) {
		return nil, fmt.Errorf("%s version %d: %d bytes came, kmsg makes %d of them", name, req.GetVersion(), len(b), len(again))
	}
	return resp, nil
}

// do sends a request and waits for its reply.
func (r *raw) do(req kmsg.Request) kmsg.Response {
	r.t.Helper()
	r.send(req)
	return r.receive(req, r.corr)
}

func (r *raw) wantClosed() {
	r.t.Helper()
	if b, err := r.frame(); err == nil {
		r.t.Fatalf("a reply of %d bytes came, want the connection closed", len(b))
	}
}

// create makes a topic through the protocol.
func (n *node) create(topic string, partitions int32, settings ...string) [16]byte {
	n.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(7)
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, partitions, 1
	for _, s := range settings {
		k, v, _ := strings.Cut(s, "=")
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = k, &v
		t.Configs = append(t.Configs, c)
	}
	req.Topics = append(req.Topics, t)
	r := n.raw()
	defer r.c.Close()
	resp := r.do(req).(*kmsg.CreateTopicsResponse)
	if code := resp.Topics[0].ErrorCode; code != 0 {
		n.t.Fatalf("create %s: code %d", topic, code)
	}
	return resp.Topics[0].TopicID
}

func produceRequest(version, acks int16, topic string, id [16]byte, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(version)
	req.Acks, req.TimeoutMillis = acks, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic, id
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

func fetchRequest(version int16, topic string, id [16]byte, partition int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(version)
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 1, 50<<20
	req.SessionEpoch = -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}
