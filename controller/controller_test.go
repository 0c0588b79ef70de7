package controller

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/metadata/metatest"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// cluster is a tree with registered brokers and an elected controller.
type cluster struct {
	*Controller
	t      *testing.T
	quorum *metatest.Quorum
	store  *metadata.TreeStore
	loader *metadata.Loader
	clock  *testkit.Clock
	set    Defaults
	known  metadata.TopicID // of logs on disk
}

type randomBytes struct{ n uint64 }

func (r *randomBytes) Read(p []byte) (int, error) {
	for i := range p {
		r.n = r.n*6364136223846793005 + 1442695040888963407
		p[i] = byte(r.n >> 56)
	}
	return len(p), nil
}

func openTree(t *testing.T, q *metatest.Quorum) *cluster {
	t.Helper()
	clk := testkit.NewClock(time.UnixMilli(1000))
	s := q.OpenWith(t, metadata.TreeOptions{EndFormer: true})
	c := &cluster{t: t, quorum: q, store: s, clock: clk, set: Defaults{NumPartitions: 3, ReplicationFactor: 1, DeleteTopics: true}}
	if _, err := Prepare(t.Context(), s, &randomBytes{1}, ""); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) elect(brokers ...int32) *cluster {
	t := c.t
	for _, id := range brokers {
		if _, err := Register(t.Context(), c.store, c.clock, metadata.Broker{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	c.loader = metadata.NewLoader(c.store, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if c.Controller != nil {
			c.Close()
		}
		c.loader.Close()
		_ = c.store.Close()
	})
	var err error
	if c.Controller, err = Start(t.Context(), c.options(brokers[0])); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) options(id int32) Options {
	return Options{
		Store: c.store, Loader: c.loader, Clock: c.clock, Log: slog.New(slog.DiscardHandler), Random: &randomBytes{7}, BrokerID: id,
		Defaults: func() Defaults { return c.set },
		KnownID:  func(string) (metadata.TopicID, bool) { return c.known, c.known != metadata.TopicID{} },
		ValidateConfig: func(s map[string]string) error {
			if s["bad"] != "" {
				return errors.New("bad is bad")
			}
			return nil
		},
	}
}

func (c *cluster) create(topics ...NewTopic) []CreatedTopic {
	answers, _ := c.CreateTopics(c.t.Context(), topics, false)
	return answers
}

func kinds(answers []CreatedTopic) (out []Kind) {
	for _, a := range answers {
		k, _ := KindOf(a.Err)
		out = append(out, k)
	}
	return out
}

func TestCreateTopicDecisions(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1, 2, 3)
	if a := c.create(NewTopic{Name: "have.it", NumPartitions: 1, ReplicationFactor: 1}); a[0].Err != nil {
		t.Fatal(a[0].Err)
	}
	one := []Assignment{{0, []int32{1}}}
	for _, test := range []struct {
		name  string
		topic NewTopic
		want  Kind
	}{
		{"empty name", NewTopic{Name: "", NumPartitions: 1, ReplicationFactor: 1}, InvalidTopic},
		{"dots", NewTopic{Name: "..", NumPartitions: 1, ReplicationFactor: 1}, InvalidTopic},
		{"long", NewTopic{Name: strings.Repeat("x", 250), NumPartitions: 1, ReplicationFactor: 1}, InvalidTopic},
		{"just not too long", NewTopic{Name: strings.Repeat("x", 249), NumPartitions: 1, ReplicationFactor: 1}, 0},
		{"letters", NewTopic{Name: "a/b", NumPartitions: 1, ReplicationFactor: 1}, InvalidTopic},
		{"not ASCII", NewTopic{Name: "é", NumPartitions: 1, ReplicationFactor: 1}, InvalidTopic},
		{"exists", NewTopic{Name: "have.it", NumPartitions: 1, ReplicationFactor: 1}, TopicExists},
		{"collides", NewTopic{Name: "have_it", NumPartitions: 1, ReplicationFactor: 1}, InvalidTopic},
		{"no partitions", NewTopic{Name: "n", NumPartitions: 0, ReplicationFactor: 1}, InvalidPartitions},
		{"no replicas", NewTopic{Name: "n", NumPartitions: 1, ReplicationFactor: 0}, InvalidReplicationFactor},
		{"more replicas than brokers", NewTopic{Name: "n", NumPartitions: 1, ReplicationFactor: 4}, InvalidReplicationFactor},
		{"too many partitions", NewTopic{Name: "n", NumPartitions: 10_001, ReplicationFactor: 1}, PolicyViolation},
		{"setting", NewTopic{Name: "n", NumPartitions: 1, ReplicationFactor: 1, Config: map[string]string{"bad": "x"}}, InvalidConfig},
		{"assignment and factor", NewTopic{Name: "n", NumPartitions: -1, ReplicationFactor: 1, Assignments: one}, InvalidRequest},
		{"assignment and count", NewTopic{Name: "n", NumPartitions: 1, ReplicationFactor: -1, Assignments: one}, InvalidRequest},
		{"a gap", NewTopic{Name: "n", NumPartitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{1, []int32{1}}}}, InvalidReplicaAssignment},
		{"twice", NewTopic{Name: "n", NumPartitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{1}}, {0, []int32{1}}}}, InvalidReplicaAssignment},
		{"unknown broker", NewTopic{Name: "n", NumPartitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{9}}}}, InvalidReplicaAssignment},
		{"a broker twice", NewTopic{Name: "n", NumPartitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{1, 1}}}}, InvalidReplicaAssignment},
		{"uneven", NewTopic{Name: "n", NumPartitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{1}}, {1, []int32{1, 2}}}}, InvalidReplicaAssignment},
		{"none", NewTopic{Name: "n", NumPartitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, nil}}}, InvalidReplicaAssignment},
	} {
		before := c.quorum.Zxid()
		got := c.create(test.topic)[0]
		if k, _ := KindOf(got.Err); k != test.want || test.want == 0 && got.Err != nil {
			t.Errorf("%s: got %d, %v, want %d", test.name, k, got.Err, test.want)
		}
		if test.want != 0 && c.quorum.Zxid() != before {
			t.Errorf("%s: something was written", test.name)
		}
	}
	a := c.create(NewTopic{Name: "x"}, NewTopic{Name: "d.d", NumPartitions: 1, ReplicationFactor: 1}, NewTopic{Name: "d_d", NumPartitions: 1, ReplicationFactor: 1},
		NewTopic{Name: "twice", NumPartitions: 1, ReplicationFactor: 1}, NewTopic{Name: "twice", NumPartitions: 2, ReplicationFactor: 1})
	if got, want := kinds(a), []Kind{InvalidReplicationFactor, 0, InvalidTopic, InvalidRequest, InvalidRequest}; !reflect.DeepEqual(got, want) {
		t.Errorf("one request: %v, want %v", got, want)
	}
	if _, ok := c.loader.Image().Topic("d.d"); !ok {
		t.Error("the good one of a request was not created")
	}
	if a, zxid := c.CreateTopics(t.Context(), []NewTopic{{Name: "v", NumPartitions: -1, ReplicationFactor: -1}}, true); a[0].Err != nil || a[0].NumPartitions != 3 || a[0].ReplicationFactor != 1 || zxid != 0 || a[0].ID != (metadata.TopicID{}) {
		t.Errorf("validate only: %+v, %d", a, zxid)
	}
	if _, ok := c.loader.Image().Topic("v"); ok {
		t.Error("validateOnly created a topic")
	}
}

func TestReplicationFactorHasALimit(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1, 2)
	c.o.MaxReplicationFactor = 1
	for name, topic := range map[string]NewTopic{
		"factor":     {Name: "a", NumPartitions: 1, ReplicationFactor: 2},
		"assignment": {Name: "b", NumPartitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{1, 2}}}},
	} {
		if got, _ := KindOf(c.create(topic)[0].Err); got != InvalidReplicationFactor {
			t.Errorf("%s: %v", name, got)
		}
	}
	if err := c.create(NewTopic{Name: "c", NumPartitions: 4, ReplicationFactor: 1})[0].Err; err != nil {
		t.Error(err)
	}
	c.set.ReplicationFactor = 2
	if got, _ := KindOf(c.create(NewTopic{Name: "d", NumPartitions: -1, ReplicationFactor: -1})[0].Err); got != InvalidReplicationFactor {
		t.Errorf("default factor: %v", got)
	}
}

func TestCreatedTopicInTheTree(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1, 2, 3)
	a := c.create(NewTopic{Name: "t", NumPartitions: -1, ReplicationFactor: 2, Config: map[string]string{"k": "v"}},
		NewTopic{Name: "m", NumPartitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{1, []int32{3, 1}}, {0, []int32{2, 3}}}})
	image := c.loader.Image()
	topic, _ := image.Topic("t")
	if a[0].ID != topic.ID || topic.ID[6]>>4 != 4 || a[0].NumPartitions != 3 || a[0].ReplicationFactor != 2 || len(topic.Partitions) != 3 {
		t.Errorf("%+v, %+v", a[0], topic)
	}
	leads := map[int32]int{}
	for _, p := range topic.Partitions {
		leads[p.Leader]++
		if p.Leader != p.Replicas[0] || p.Replicas[0] == p.Replicas[1] || p.LeaderEpoch != 0 || p.PartitionEpoch != 0 || p.ControllerEpoch != 1 || !reflect.DeepEqual(p.ISR, p.Replicas) {
			t.Errorf("%+v", p)
		}
	}
	if len(leads) != 3 {
		t.Errorf("leaders are not spread: %v", leads)
	}
	if got := image.TopicConfig("t"); !reflect.DeepEqual(got, map[string]string{"k": "v"}) {
		t.Errorf("config %v", got)
	}
	if m, _ := image.Topic("m"); !reflect.DeepEqual(m.Partitions[0].Replicas, []int32{2, 3}) || !reflect.DeepEqual(m.Partitions[1].Replicas, []int32{3, 1}) {
		t.Errorf("manual: %+v", m.Partitions)
	}
	if data, _, err := c.store.Get(t.Context(), "/config/topics/m"); err != nil || string(data) != `{"version":1,"config":{}}` {
		t.Errorf("%s, %v", data, err)
	}
}

func TestTenThousandPartitions(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1)
	a := c.create(NewTopic{Name: "big", NumPartitions: 10_000, ReplicationFactor: 1})
	if a[0].Err != nil {
		t.Fatal(a[0].Err)
	}
	if topic, _ := c.loader.Image().Topic("big"); len(topic.Partitions) != 10_000 || topic.Partitions[9999].Leader != 1 {
		t.Error("not all partitions are there")
	}
	if d, _ := c.DeleteTopics(t.Context(), []TopicRef{{Name: "big"}}); d[0].Err != nil {
		t.Fatal(d[0].Err)
	}
	if names, _, err := c.store.Children(t.Context(), "/brokers/topics"); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
}

// One request with thousands of topics holds the controller's lock: what it costs must grow
// with their number, not with its square.
func TestThousandsOfTopicsInOneRequest(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1)
	topics := make([]NewTopic, 4000)
	for i := range topics {
		topics[i] = NewTopic{Name: fmt.Sprintf("many_%d", i), NumPartitions: 1, ReplicationFactor: 1}
	}
	began := testkit.CPUTime(t)
	for _, a := range c.create(topics...) {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	if took := testkit.CPUTime(t) - began; took > time.Minute { // it was five
		t.Errorf("creating %d topics took %v", len(topics), took)
	}
	began = testkit.CPUTime(t)
	refs := make([]TopicRef, 60_000) // what a request of a MiB can hold
	more := make([]MorePartitions, len(refs))
	for i := range refs {
		refs[i].Name, more[i].Topic = fmt.Sprintf("a_topic_that_does_not_exist_%d", i), fmt.Sprintf("a_topic_that_does_not_exist_%d", i)
	}
	if d, _ := c.DeleteTopics(t.Context(), refs); len(d) != len(refs) || d[0].Err == nil {
		t.Error("topics that are not there were deleted")
	}
	if errs, _ := c.CreatePartitions(t.Context(), more, false); errs[len(errs)-1] == nil {
		t.Error("a topic that is not there was enlarged")
	}
	if took := testkit.CPUTime(t) - began; took > 30*time.Second {
		t.Errorf("refusing %d topics twice took %v", len(refs), took)
	}
	one := func(name string) NewTopic { return NewTopic{Name: name, NumPartitions: 1, ReplicationFactor: 1} }
	if got, want := kinds(c.create(one("many.7"), one("a.b"), one("a_b"))), []Kind{InvalidTopic, 0, InvalidTopic}; !reflect.DeepEqual(got, want) {
		t.Errorf("names that collide: %v, want %v", got, want)
	}
}

func TestDeleteTopics(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1)
	a := c.create(NewTopic{Name: "a", NumPartitions: 2, ReplicationFactor: 1}, NewTopic{Name: "b", NumPartitions: 1, ReplicationFactor: 1}, NewTopic{Name: "c", NumPartitions: 1, ReplicationFactor: 1})
	d, _ := c.DeleteTopics(t.Context(), []TopicRef{{Name: "a"}, {ID: a[1].ID}, {Name: "nope"}, {ID: metadata.TopicID{9}}, {}, {Name: "c", ID: a[2].ID}, {Name: "c"}, {Name: "c"}})
	var got []Kind
	for _, x := range d {
		k, _ := KindOf(x.Err)
		got = append(got, k)
	}
	if want := []Kind{0, 0, UnknownTopic, UnknownTopicID, InvalidRequest, InvalidRequest, InvalidRequest, InvalidRequest}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if d[1].Name != "b" || d[0].ID != a[0].ID || len(c.loader.Image().Topics()) != 1 || c.loader.Image().DeletionMarked("a") || c.loader.Image().TopicConfig("a") != nil {
		t.Errorf("%+v, %v", d, c.loader.Image().Topics())
	}
	c.set.DeleteTopics = false
	if d, _ = c.DeleteTopics(t.Context(), []TopicRef{{Name: "c"}}); !errors.As(d[0].Err, new(*Error)) || d[0].Err.(*Error).Kind != TopicDeletionDisabled {
		t.Errorf("delete.topic.enable=false: %v", d[0].Err)
	}
	c.set.DeleteTopics = true
	if again := c.create(NewTopic{Name: "a", NumPartitions: 1, ReplicationFactor: 1}); again[0].Err != nil || again[0].ID == a[0].ID {
		t.Errorf("created again: %+v", again)
	}
	if d, _ = c.DeleteTopics(t.Context(), []TopicRef{{Name: "c"}, {ID: a[2].ID}}); d[0].Err != nil || d[1].Err != nil {
		t.Errorf("once by name and once by id: %+v", d)
	}
}

func TestCreatePartitions(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1, 2)
	c.create(NewTopic{Name: "a", NumPartitions: 2, ReplicationFactor: 1}, NewTopic{Name: "b", NumPartitions: 1, ReplicationFactor: 2})
	for _, test := range []struct {
		more MorePartitions
		want Kind
	}{
		{MorePartitions{Topic: "nope", Count: 3}, UnknownTopic},
		{MorePartitions{Topic: "a", Count: 2}, InvalidPartitions},
		{MorePartitions{Topic: "a", Count: 1}, InvalidPartitions},
		{MorePartitions{Topic: "a", Count: 10_003}, PolicyViolation},
		{MorePartitions{Topic: "a", Count: 4, Assignments: [][]int32{{1}}}, InvalidReplicaAssignment},
		{MorePartitions{Topic: "a", Count: 3, Assignments: [][]int32{{1, 2}}}, InvalidReplicaAssignment},
		{MorePartitions{Topic: "b", Count: 2, Assignments: [][]int32{{1, 9}}}, InvalidReplicaAssignment},
		{MorePartitions{Topic: "b", Count: 2, Assignments: [][]int32{{2, 1}}}, 0},
		{MorePartitions{Topic: "a", Count: 5}, 0},
	} {
		errs, _ := c.CreatePartitions(t.Context(), []MorePartitions{test.more}, false)
		if k, _ := KindOf(errs[0]); k != test.want || k == 0 && errs[0] != nil {
			t.Errorf("%+v: got %v, want %d", test.more, errs[0], test.want)
		}
	}
	errs, zxid := c.CreatePartitions(t.Context(), []MorePartitions{{Topic: "a", Count: 9}, {Topic: "b", Count: 9}, {Topic: "b", Count: 8}}, true)
	if zxid != 0 || errs[0] != nil || errs[1] == nil || errs[2] == nil {
		t.Errorf("validate only: %v, %d", errs, zxid)
	}
	a, _ := c.loader.Image().Topic("a")
	b, _ := c.loader.Image().Topic("b")
	if len(a.Partitions) != 5 || a.Partitions[4].Leader < 1 || a.Partitions[4].LeaderEpoch != 0 || len(b.Partitions) != 2 || b.Partitions[1].Leader != 2 {
		t.Errorf("%+v, %+v", a.Partitions, b.Partitions)
	}
}

// A broker that comes back leads again with a higher epoch; one that never went away keeps
// its own.
func TestRestartRaisesEpochs(t *testing.T) {
	disk := newQuorum(t)
	c := openTree(t, disk).elect(1)
	c.create(NewTopic{Name: "a", NumPartitions: 2, ReplicationFactor: 1})
	id, err := Prepare(t.Context(), c.store, nil, "")
	if err != nil || len(id) != 22 {
		t.Fatalf("cluster id %q, %v", id, err)
	}
	if err := c.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, _ := c.loader.Image().Topic("a"); a.Partitions[1].LeaderEpoch != 0 {
		t.Errorf("%+v", a.Partitions)
	}
	c.Close()
	c.loader.Close()
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	c = openTree(t, disk).elect(1)
	a, _ := c.loader.Image().Topic("a")
	if p := a.Partitions[1]; p.LeaderEpoch != 1 || p.Leader != 1 || p.ControllerEpoch != 2 || c.Epoch() != 2 {
		t.Errorf("%+v, controller epoch %d", p, c.Epoch())
	}
	if again, err := Prepare(t.Context(), c.store, nil, id); err != nil || again != id {
		t.Errorf("the id after a restart: %q, %v", again, err)
	}
	if _, err := Prepare(t.Context(), c.store, nil, "other"); err == nil {
		t.Error("log directories of another cluster were taken")
	}
}

func TestAutoCreateOnce(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := c.AutoCreate(t.Context(), "auto", "client", "x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if topic, ok := c.loader.Image().Topic("auto"); !ok || len(topic.Partitions) != 3 || topic.Version != 0 {
		t.Errorf("%+v", topic)
	}
	for _, name := range []string{"__consumer_offsets", "a b"} {
		if _, err := c.AutoCreate(t.Context(), name); err == nil {
			t.Errorf("%q was created", name)
		}
	}
}

func TestAdopt(t *testing.T) {
	disk := newQuorum(t)
	c := openTree(t, disk).elect(5)
	if adopted, err := c.Adopted(t.Context()); adopted || err != nil {
		t.Fatalf("a new tree: %v, %v", adopted, err)
	}
	if err := c.Adopt(t.Context(), []OnDisk{{Name: "old", ID: metadata.TopicID{3}, NumPartitions: 2, LeaderEpoch: 7}, {Name: "__consumer_offsets", NumPartitions: 1}, {Name: "set", NumPartitions: 1, Config: map[string]string{"a": "b"}}}); err != nil {
		t.Fatal(err)
	}
	image := c.loader.Image()
	old, _ := image.TopicByID(metadata.TopicID{3})
	offsets, _ := image.Topic("__consumer_offsets")
	if old == nil || old.Partitions[1].LeaderEpoch != 7 || old.Partitions[1].Leader != 5 || offsets.ID == (metadata.TopicID{}) {
		t.Errorf("%+v, %+v", old, offsets)
	}
	for topic, want := range map[string]string{
		"old": "map[retention.bytes:-1 retention.ms:-1]", "__consumer_offsets": "map[cleanup.policy:compact retention.bytes:-1 retention.ms:-1]", "set": "map[a:b]",
	} {
		if got := fmt.Sprint(image.TopicConfig(topic)); got != want {
			t.Errorf("%s: %s, want %s", topic, got, want)
		}
	}
	// Once in the life of a tree, however empty it is later.
	if _, zxid := c.DeleteTopics(t.Context(), []TopicRef{{Name: "old"}, {Name: "__consumer_offsets"}, {Name: "set"}}); zxid == 0 {
		t.Fatal("not deleted")
	}
	if adopted, err := c.Adopted(t.Context()); !adopted || err != nil {
		t.Errorf("all topics were deleted: %v, %v", adopted, err)
	}
	if err := c.Adopt(t.Context(), nil); !errors.Is(err, metadata.ErrNodeExists) {
		t.Errorf("a second time: %v", err)
	}
}

func TestProducerIDsAreNeverGivenTwice(t *testing.T) {
	disk := newQuorum(t)
	seen := map[int64]bool{}
	for range 3 {
		c := openTree(t, disk)
		var wg sync.WaitGroup
		var mu sync.Mutex
		for broker := range int32(3) {
			ids := NewProducerIDs(c.store, broker)
			for range 2 {
				wg.Go(func() {
					for range 600 {
						id, err := ids.Next(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						if seen[id] || id < 0 {
							t.Errorf("%d was given twice", id)
						}
						seen[id] = true
						mu.Unlock()
					}
				})
			}
		}
		wg.Wait()
		if err := c.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c := openTree(t, disk)
	defer c.store.Close()
	block, err := TakeProducerIDBlock(t.Context(), c.store, 1)
	if err != nil || block.First != 3*3*2*1000 || block.Last != block.First+999 {
		t.Errorf("%+v, %v", block, err)
	}
}

func TestGenerateBrokerID(t *testing.T) {
	c := openTree(t, newQuorum(t))
	defer c.store.Close()
	for want := int32(1001); want < 1004; want++ {
		if got, err := GenerateBrokerID(t.Context(), c.store, 1000); err != nil || got != want {
			t.Errorf("got %d, %v, want %d", got, err, want)
		}
	}
}

// The text of an id never begins with a dash.
func TestIDs(t *testing.T) {
	r := io.MultiReader(strings.NewReader(fmt.Sprintf("\xf8%s\x07%s", strings.Repeat("a", 15), strings.Repeat("b", 15))))
	id, err := newID(r)
	if err != nil || id[0] != 7 || id[6]>>4 != 4 || id[8]>>6 != 2 {
		t.Errorf("%x, %v", id, err)
	}
	if _, err := newID(r); err == nil {
		t.Error("no randomness and no error")
	}
}

func newQuorum(t *testing.T) *metatest.Quorum {
	return metatest.New(t, testkit.NewClock(time.UnixMilli(1000)))
}
