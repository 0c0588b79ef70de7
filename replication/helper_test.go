package replication

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/metadata/metatest"
	"github.com/millrace/millrace/record"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const self = 1

// env is a broker's floor: a disk, a tree, logs and a manager.
type env struct {
	t      testing.TB
	disk   *memfs.FS
	fs     *errorfs.FS
	clock  *testkit.Clock
	quorum *metatest.Quorum
	tree   *metadata.TreeStore
	loader *metadata.Loader
	store  *engine.Store
	*Manager
	configs map[string]TopicConfig // by a topic's setting "use"
	dirs    []string               // log.dirs
	logged  *slog.Logger           // of the Manager
}

func newEnv(t testing.TB) *env {
	t.Helper()
	disk := memfs.New()
	if err := disk.MkdirAll("/logs", 0o755); err != nil {
		t.Fatal(err)
	}
	return openEnv(t, disk)
}

func openEnv(t testing.TB, disk *memfs.FS) *env {
	t.Helper()
	e := &env{t: t, disk: disk, fs: errorfs.Wrap(disk, nil), clock: testkit.NewClock(time.UnixMilli(1_700_000_000_000)), dirs: []string{"/logs"}, logged: slog.New(slog.DiscardHandler)}
	plain := engine.DefaultConfig()
	plain.SegmentBytes = 1 << 20 // the disk is in memory
	durable, compact, second := plain, plain, plain
	durable.FlushMessages, second.FlushMessages = 1, 2
	compact.CleanupCompact, compact.CleanupDelete = true, false
	e.configs = map[string]TopicConfig{
		"": {Log: plain, MinInSyncReplicas: 1}, "durable": {Log: durable, MinInSyncReplicas: 1},
		"everySecond": {Log: second, MinInSyncReplicas: 1},
		"compact":     {Log: compact, MinInSyncReplicas: 1}, "two": {Log: plain, MinInSyncReplicas: 2},
	}
	e.quorum = metatest.New(t, e.clock)
	e.tree = e.quorum.Open(t)
	var ops []metadata.Op
	for _, path := range metadata.PersistentPaths() {
		if _, _, err := e.tree.Get(context.Background(), path); err != nil {
			ops = append(ops, metadata.Create(path, nil))
		}
	}
	if len(ops) > 0 {
		e.write(ops...)
	}
	e.store = e.openStore(e.fs)
	e.loader = metadata.NewLoader(e.tree, slog.New(slog.DiscardHandler))
	e.start()
	t.Cleanup(e.close)
	return e
}

func (e *env) openStore(fsys vfs.FS) *engine.Store {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(1, 2))
	s, err := engine.OpenStore(context.Background(), engine.StoreOptions{
		FS: fsys, Clock: e.clock, Log: slog.New(slog.DiscardHandler), Dirs: e.dirs, BrokerID: self,
		Random: func(n int64) int64 {
			mu.Lock()
			defer mu.Unlock()
			return rng.Int64N(n)
		},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

func (e *env) start() {
	e.Manager = NewManager(Options{
		Store: e.store, BrokerID: self, Clock: e.clock, Log: e.logged,
		TopicConfig: func(s map[string]string) TopicConfig { return e.configs[s["use"]] },
	})
	e.loader.Add(e.Manager)
}

func (e *env) close() {
	e.loader.Close()
	e.Manager.Close()
	e.store.Kill()
	_ = e.tree.Close()
}

// write changes the tree.
func (e *env) write(ops ...metadata.Op) int64 {
	e.t.Helper()
	r, err := e.tree.Multi(context.Background(), ops...)
	if err != nil {
		e.t.Fatal(err)
	}
	return r.Zxid
}

// settle changes the tree and waits until it is in force.
func (e *env) settle(ops ...metadata.Op) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	if err := e.WaitApplied(ctx, e.write(ops...)); err != nil {
		e.t.Fatal(err)
	}
}

func topicID(n int) metadata.TopicID { return metadata.TopicID{0: 9, 15: byte(n)} }

// topicOps make a topic whose partitions all have these replicas, the first leading.
func topicOps(name string, id int, use string, partitions int, replicas ...int32) []metadata.Op {
	node := metadata.TopicNode{ID: topicID(id)}
	for range partitions {
		node.Partitions = append(node.Partitions, replicas)
	}
	config := map[string]string{}
	if use != "" {
		config["use"] = use
	}
	ops := []metadata.Op{
		metadata.Create(metadata.TopicConfigPath(name), metadata.EncodeConfig(config)),
		metadata.Create(metadata.TopicPath(name), node.Encode()),
		metadata.Create(metadata.PartitionsPath(name), nil),
	}
	for i := range int32(partitions) {
		ops = append(ops, metadata.Create(metadata.PartitionPath(name, i), nil),
			metadata.Create(metadata.PartitionStatePath(name, i), state(replicas[0], 3, replicas...)))
	}
	return ops
}

func state(leader, epoch int32, isr ...int32) []byte {
	return metadata.StateNode{Leader: leader, LeaderEpoch: epoch, ControllerEpoch: 1, ISR: isr}.Encode()
}

func dropOps(name string, partitions int) []metadata.Op {
	var ops []metadata.Op
	for i := range int32(partitions) {
		ops = append(ops, metadata.Delete(metadata.PartitionStatePath(name, i), -1), metadata.Delete(metadata.PartitionPath(name, i), -1))
	}
	return append(ops, metadata.Delete(metadata.PartitionsPath(name), -1), metadata.Delete(metadata.TopicPath(name), -1), metadata.Delete(metadata.TopicConfigPath(name), -1))
}

// topic makes a topic with one partition and returns that.
func (e *env) topic(use string, replicas ...int32) *Partition {
	e.t.Helper()
	if len(replicas) == 0 {
		replicas = []int32{self}
	}
	e.settle(topicOps("t", 1, use, 1, replicas...)...)
	p, err := e.Get("t", 0)
	if err != nil {
		e.t.Fatal(err)
	}
	return p
}

func (e *env) setState(data []byte) {
	e.t.Helper()
	e.settle(metadata.Set(metadata.PartitionStatePath("t", 0), data, -1))
}

func batch(values ...string) record.Batch {
	b := record.NewBuilder(record.BuilderOptions{})
	for _, v := range values {
		b.Append(1_700_000_000_000, nil, []byte(v))
	}
	out, err := b.Finish()
	if err != nil {
		panic(fmt.Sprint("building a batch: ", err))
	}
	return out
}

// outcomes collects what ProduceDone is told.
type outcomes struct {
	mu   sync.Mutex
	got  map[int][]ProduceResult
	told chan int
}

func newOutcomes() *outcomes {
	return &outcomes{got: map[int][]ProduceResult{}, told: make(chan int, 10_000)}
}

func (o *outcomes) ProduceDone(slot int, r ProduceResult) {
	o.mu.Lock()
	o.got[slot] = append(o.got[slot], r)
	o.mu.Unlock()
	o.told <- slot
}

// wait returns the next outcome told.
func (o *outcomes) wait(t testing.TB) (int, ProduceResult) {
	t.Helper()
	select {
	case slot := <-o.told:
		o.mu.Lock()
		defer o.mu.Unlock()
		return slot, o.got[slot][len(o.got[slot])-1]
	case <-time.After(testkit.Patience):
		t.Fatal("no outcome was told")
		return 0, ProduceResult{}
	}
}

func (o *outcomes) none(t testing.TB) {
	t.Helper()
	select {
	case slot := <-o.told:
		t.Fatalf("slot %d was told: %+v", slot, o.got[slot])
	default:
	}
}

// gate holds up syncs of logs until it is opened.
type gate struct {
	open    chan struct{}
	entered chan struct{}
}

func (e *env) holdSyncs(fault error) *gate {
	g := &gate{open: make(chan struct{}), entered: make(chan struct{}, 1000)}
	e.fs.SetRule(func(op errorfs.Op) errorfs.Fault {
		switch op.Kind {
		case errorfs.Sync, errorfs.SyncData, errorfs.MapSync:
			g.entered <- struct{}{}
			<-g.open
			return errorfs.Fault{Err: fault}
		}
		return errorfs.Fault{}
	})
	return g
}

func read(t testing.TB, p *Partition, q ReadRequest) (string, ReadResult, error) {
	t.Helper()
	q.MaxBytes, q.MinOne = 1<<20, true
	res, err := p.Read(q)
	if err != nil {
		return "", res, err
	}
	defer res.Range.Release()
	buf := make([]byte, res.Range.LenBytes)
	if len(buf) == 0 {
		return "", res, nil
	}
	if err := res.Range.CopyTo(buf); err != nil {
		t.Error(err)
		return "", res, err
	}
	s := ""
	for len(buf) > 0 {
		b, rest, err := record.Next(buf)
		if err == nil {
			err = b.Iterate(nil, func(r *record.Record) error { s += string(r.Value); return nil })
		}
		if err != nil {
			t.Error(err)
			return "", res, err
		}
		buf = rest
	}
	return s, res, nil
}

// consumer and follower are requests from offset.
func consumer(offset int64) ReadRequest {
	return ReadRequest{Offset: offset, ReplicaID: -1, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, LogStartOffset: -1}
}

func follower(id int32, offset int64) ReadRequest {
	q := consumer(offset)
	q.ReplicaID = id
	return q
}

func newLoader(e *env) *metadata.Loader {
	return metadata.NewLoader(e.tree, slog.New(slog.DiscardHandler))
}
