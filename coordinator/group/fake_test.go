package group

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/replication"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// fakeLog is a partition in memory. Appends are acknowledged at once, when the test says so, or
// fail.
type fakeLog struct {
	mu      sync.Mutex
	bytes   []byte
	starts  []int64 // first offset of each batch
	at      []int   // where it lies
	end     int64
	hold    bool
	fail    error
	held    []held
	appends int
}

type held struct {
	done replication.ProduceDone
	res  replication.ProduceResult
}

func (l *fakeLog) Produce(b record.Batch, acks int16, _ int32, _ engine.Origin, done replication.ProduceDone, _ int, _ int32) (replication.ProduceResult, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.appends++
	if acks != -1 {
		return replication.ProduceResult{Err: errors.New("acks is not all")}, false
	}
	if l.fail != nil {
		return replication.ProduceResult{Err: l.fail}, false
	}
	res := replication.ProduceResult{Appended: engine.Appended{FirstOffset: l.end}}
	binary.BigEndian.PutUint64(b, uint64(l.end))
	l.starts, l.at = append(l.starts, l.end), append(l.at, len(l.bytes))
	l.bytes = append(l.bytes, b...)
	l.end = b.NextOffset()
	if l.hold {
		l.held = append(l.held, held{done, res})
		return replication.ProduceResult{}, true
	}
	return res, false
}

// release ends what is held, with an error or nil.
func (l *fakeLog) release(err error) {
	l.mu.Lock()
	all := l.held
	l.held = nil
	l.mu.Unlock()
	for _, h := range all {
		h.res.Err = err
		h.done.ProduceDone(0, h.res)
	}
}

func (l *fakeLog) CancelProduce(done replication.ProduceDone) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.held[:0]
	for _, h := range l.held {
		if h.done != done {
			kept = append(kept, h)
		}
	}
	l.held = kept
}

func (l *fakeLog) ListOffset(replication.ListRequest) (replication.ListedOffset, error) {
	return replication.ListedOffset{}, l.fail
}

func (l *fakeLog) Read(q replication.ReadRequest) (replication.ReadResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, start := range l.starts {
		if start < q.Offset {
			continue
		}
		n := min(len(l.bytes)-l.at[i], max(q.MaxBytes/4096, 1)) // cut anywhere, but the first batch is whole
		if i+1 < len(l.at) {
			n = max(n, l.at[i+1]-l.at[i])
		} else {
			n = len(l.bytes) - l.at[i]
		}
		return replication.ReadResult{Range: vfs.Range{File: fakeFile{bytes: l.bytes}, Pos: int64(l.at[i]), LenBytes: n}}, nil
	}
	return replication.ReadResult{}, nil
}

type fakeFile struct {
	vfs.File
	bytes []byte
}

func (f fakeFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(f.bytes).ReadAt(p, off)
}

// rig is a Coordinator with one shard over a fakeLog.
type rig struct {
	t     *testing.T
	c     *Coordinator
	s     *shard
	log   *fakeLog
	clock *testkit.Clock
	cfg   Config
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, log: new(fakeLog), clock: testkit.NewClock(time.UnixMilli(1_700_000_000_000)), cfg: Config{
		Classic:         classic.Config{MinSessionMs: 1000, MaxSessionMs: 60_000, MaxSize: 100},
		CommitTimeoutMs: 5000, MetadataMaxBytes: 10, RetentionMs: 100_000, CheckMs: 10_000,
	}}
	r.start()
	t.Cleanup(func() { r.c.Close() })
	return r
}

// start makes a Coordinator that loads what is in the log.
func (r *rig) start() {
	r.c = idle(Options{BrokerID: 1, Clock: r.clock, Log: testkit.Logger(r.t), Random: &counter{}, Config: func() *Config { return &r.cfg }})
	r.c.open = func(int32) (journalLog, error) { return r.log, nil }
	r.s = newShard(r.c, 0, metadata.TopicID{}, 0)
	r.c.table.Store(&table{[]*shard{r.s}})
	r.s.load()
	r.c.scheduleSweep()
}

// restart is start after a stop, as far as memory goes.
func (r *rig) restart() {
	r.c.Close()
	r.start()
}

// counter is a source of ids that are all different.
type counter struct {
	mu sync.Mutex
	n  byte
}

func (c *counter) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	for i := range p {
		p[i] = c.n
	}
	return len(p), nil
}

var _ io.Reader = (*counter)(nil)

// join starts a JoinGroup; its answer comes through the channel.
func (r *rig) join(group, id string, change ...func(*classic.JoinRequest)) chan classic.JoinAnswer {
	q := &classic.JoinRequest{
		MemberID: id, ClientID: "client", ProtocolType: "consumer", Protocols: []classic.Protocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 0}}},
		SessionTimeoutMs: 10_000, RebalanceTimeoutMs: 20_000,
	}
	for _, f := range change {
		f(q)
	}
	answer := make(chan classic.JoinAnswer, 1)
	r.c.Join(group, q, func(a classic.JoinAnswer) { answer <- a })
	return answer
}

func (r *rig) sync(group, id string, generation int32, assign map[string][]byte) chan classic.SyncAnswer {
	answer := make(chan classic.SyncAnswer, 1)
	r.c.Sync(group, &classic.SyncRequest{MemberID: id, Generation: generation, Assignments: assign}, func(a classic.SyncAnswer) { answer <- a })
	return answer
}

// member joins alone and syncs.
func (r *rig) member(group string) string {
	r.t.Helper()
	a := <-r.join(group, "")
	if a.Code != protocol.CodeNone {
		r.t.Fatalf("join: %s", a.Code.Name())
	}
	if y := <-r.sync(group, a.MemberID, a.Generation, map[string][]byte{a.MemberID: []byte("all")}); y.Code != protocol.CodeNone || string(y.Assignment) != "all" {
		r.t.Fatalf("sync: %+v", y)
	}
	return a.MemberID
}

func (r *rig) commit(group string, q *CommitRequest) chan protocol.ErrorCode {
	done := make(chan protocol.ErrorCode, 1)
	r.c.Commit(group, q, func() { done <- q.Offsets[0].Code })
	return done
}

func simple(topic string, partition int32, offset int64) *CommitRequest {
	return &CommitRequest{Generation: -1, RetentionMs: -1, Offsets: []CommitOffset{{Topic: topic, Partition: partition, Offset: offset, LeaderEpoch: 3, Metadata: "m"}}}
}

// offset is what a fetch finds, -1 for nothing.
func (r *rig) offset(group, topic string, partition int32) int64 {
	r.t.Helper()
	got, code := r.c.Fetch(group, &FetchRequest{MemberEpoch: -1, Topics: []FetchTopic{{topic, []int32{partition}}}})
	if code != protocol.CodeNone {
		r.t.Fatalf("fetch: %s", code.Name())
	}
	return got[0].Partitions[0].Offset
}

// last is the records in the log that count: the last of each key, tombstones left out.
func (l *fakeLog) last(t *testing.T) map[string][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string][]byte{}
	for buf := l.bytes; len(buf) > 0; {
		b, rest, err := record.Next(buf)
		if err != nil {
			t.Fatal(err)
		}
		buf = rest
		if err := b.Iterate(nil, func(r *record.Record) error {
			if r.Value == nil {
				delete(all, string(r.Key))
			} else {
				all[string(r.Key)] = bytes.Clone(r.Value)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
