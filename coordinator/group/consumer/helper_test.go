package consumer

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/coordinator/group/assignor"
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// cluster is topics that a test makes and changes.
type cluster struct {
	version, newest int64
	topics          map[string]topic
	made            byte
}

func (c *cluster) Version() int64 { return c.version }
func (c *cluster) Newest() int64  { return c.newest }

func (c *cluster) ByName(name string) (TopicID, int32, bool) {
	t, ok := c.topics[name]
	return t.id, t.partitions, ok
}

func (c *cluster) ByID(id TopicID) (string, bool) {
	for name, t := range c.topics {
		if t.id == id {
			return name, true
		}
	}
	return "", false
}

func (c *cluster) Names() iter.Seq[string] { return maps.Keys(c.topics) }

// create makes a topic, or gives one more partitions.
func (c *cluster) create(name string, partitions int32) TopicID {
	c.version++
	t, ok := c.topics[name]
	if !ok {
		c.made++
		t.id = TopicID{0: c.made, 15: 1}
		c.newest = c.version
	}
	t.partitions = partitions
	c.topics[name] = t
	return t.id
}

func (c *cluster) remove(name string) {
	c.version++
	delete(c.topics, name)
}

// world is one group with its log.
type world struct {
	t   testing.TB
	c   *cluster
	env Env
	g   *Group
	log []journal.Record
	ids int
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, c: &cluster{topics: map[string]topic{}}, g: New("grp")}
	w.env = Env{
		NowMs: 1_000_000, UnixMs: 1_700_000_000_000, Topics: w.c,
		Config: &Config{SessionTimeout: DefaultSessionTimeout, HeartbeatInterval: DefaultHeartbeatInterval, MaxSize: 1000,
			Assignors: []assignor.Assignor{assignor.Uniform{}, assignor.Range{}}, RegexRefreshInterval: DefaultRegexRefreshInterval, Migration: MigrationBidirectional},
		Client: Client{ID: "client", Host: "/127.0.0.1", Version: 1},
	}
	w.env.NewID = func() string { w.ids++; return fmt.Sprintf("generated-%d", w.ids) }
	return w
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.env.NowMs += d.Milliseconds()
	w.env.UnixMs += d.Milliseconds()
}

// apply writes a change to the log and applies what the log says, and checks that a
// replay of the log makes the same group.
func (w *world) apply(c Change) {
	w.t.Helper()
	decoded := Change{timers: c.timers, checked: c.checked}
	for i := range c.Records {
		r := c.Records[i].Record()
		w.log = append(w.log, r)
		back, err := journal.ReadConsumer(r.Key, r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		decoded.Records = append(decoded.Records, back)
	}
	w.g.Apply(decoded)
}

func (w *world) replay(log []journal.Record) *Group {
	w.t.Helper()
	g := New(w.g.id)
	for _, r := range log {
		back, err := journal.ReadConsumer(r.Key, r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		g.Replay(&back)
	}
	return g
}

// compacted is what log compaction leaves of the log.
func (w *world) compacted() []journal.Record {
	last := map[string]int{}
	for i, r := range w.log {
		last[string(r.Key)] = i
	}
	var out []journal.Record
	for i, r := range w.log {
		if last[string(r.Key)] == i && r.Value != nil {
			out = append(out, r)
		}
	}
	return out
}

// kept is the part of a group that the log holds, and what follows from it.
func kept(g *Group) any {
	type state struct {
		Epoch, TargetEpoch int32
		Members            map[string]Member
		Target             map[string]Assignment
		Topics             map[string]topic
		Regexes            map[string]journal.ConsumerRegex
		Static             map[string]string
		Owners             map[partition]string // without epochs, which compaction may lose
		Names, RegexCount  map[string]int
		Classic            int
	}
	s := state{Epoch: g.epoch, TargetEpoch: max(g.targetEpoch, 0), Members: map[string]Member{}, Target: g.target, Topics: g.topics,
		Regexes: map[string]journal.ConsumerRegex{}, Static: g.static, Owners: map[partition]string{}, Names: g.nameMembers, RegexCount: g.regexMembers, Classic: g.classic}
	for id, m := range g.members {
		c := *m
		if len(c.Assigned) == 0 {
			c.Assigned = nil
		}
		if len(c.Pending) == 0 {
			c.Pending = nil
		}
		s.Members[id] = c
	}
	for key, o := range g.owners {
		s.Owners[key] = o.member
	}
	for id, r := range g.regexes {
		s.Regexes[id] = *r
	}
	return s
}

func (w *world) checkReplay() {
	w.t.Helper()
	for name, log := range map[string][]journal.Record{"replay": w.log, "replay after compaction": w.compacted()} {
		if got, want := kept(w.replay(log)), kept(w.g); !reflect.DeepEqual(got, want) {
			w.t.Fatalf("%s:\n%+v, want\n%+v", name, got, want)
		}
	}
}

type request = protocol.ConsumerGroupHeartbeatRequest

// beat sends a heartbeat and applies what comes of it.
func (w *world) beat(q *request) (*protocol.ConsumerGroupHeartbeatResponse, error) {
	w.t.Helper()
	q.GroupID = w.g.id
	if err := Validate(q, w.env.Client.Version, w.env.Config); err != nil {
		return nil, err
	}
	before := kept(w.g)
	change, resp, err := w.g.Heartbeat(&w.env, q)
	if !reflect.DeepEqual(before, kept(w.g)) {
		w.t.Fatal("the step changed the group")
	}
	if err != nil {
		return nil, err
	}
	w.apply(change)
	return resp, nil
}

func (w *world) must(q *request) *protocol.ConsumerGroupHeartbeatResponse {
	w.t.Helper()
	resp, err := w.beat(q)
	if err != nil {
		w.t.Fatalf("%+v: %v", q, err)
	}
	return resp
}

// refused sends a heartbeat that must fail.
func (w *world) refused(q *request, code protocol.ErrorCode, message string) {
	w.t.Helper()
	before := kept(w.g)
	_, err := w.beat(q)
	var e *Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, message) {
		w.t.Errorf("got %v, want %v: %s", err, code, message)
	}
	if !reflect.DeepEqual(before, kept(w.g)) {
		w.t.Error("a refused heartbeat changed the group")
	}
}

func join(member string, topics ...string) *request {
	return &request{MemberID: member, RebalanceTimeoutMs: 5000, SubscribedTopicNames: append([]string{}, topics...), TopicPartitions: []protocol.ConsumerGroupHeartbeatRequestTopicPartition{}}
}

func joinRegex(member, regex string) *request {
	q := join(member)
	q.SubscribedTopicNames, q.SubscribedTopicRegex = nil, protocol.Str(regex)
	return q
}

func (w *world) joinStatic(member, instance string, topics ...string) *request {
	q := join(member, topics...)
	q.InstanceID = protocol.Str(instance)
	return q
}

func beat(member string, epoch int32) *request {
	return &request{MemberID: member, MemberEpoch: epoch, RebalanceTimeoutMs: -1}
}

// holding is a heartbeat that says what the member owns.
func holding(member string, epoch int32, owned Assignment) *request {
	q := beat(member, epoch)
	q.TopicPartitions = []protocol.ConsumerGroupHeartbeatRequestTopicPartition{}
	for _, id := range owned.Topics() {
		q.TopicPartitions = append(q.TopicPartitions, protocol.ConsumerGroupHeartbeatRequestTopicPartition{TopicID: id, Partitions: owned[id]})
	}
	return q
}

func given(resp *protocol.ConsumerGroupHeartbeatResponse) Assignment {
	a := Assignment{}
	if resp.Assignment != nil {
		for _, t := range resp.Assignment.TopicPartitions {
			a[t.TopicID] = slices.Clone(t.Partitions)
		}
	}
	return a
}

// expect checks an answer: the epoch, and the assignment in the form "foo:0,1 bar:2"; "-"
// is none.
func (w *world) expect(resp *protocol.ConsumerGroupHeartbeatResponse, epoch int32, assignment string) {
	w.t.Helper()
	got := "-"
	if resp.Assignment != nil {
		got = w.show(given(resp))
	}
	if resp.MemberEpoch != epoch || got != assignment {
		w.t.Errorf("epoch %d, assignment %q; want %d, %q", resp.MemberEpoch, got, epoch, assignment)
	}
}

func (w *world) show(a Assignment) string {
	var words []string
	for id, parts := range a {
		name, ok := w.c.ByID(id)
		if !ok {
			name = "deleted"
		}
		words = append(words, name+":"+strings.Trim(strings.ReplaceAll(fmt.Sprint(parts), " ", ","), "[]"))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func (w *world) parts(name string, parts ...int32) Assignment {
	id, _, ok := w.c.ByName(name)
	if !ok {
		w.t.Fatalf("no topic %s", name)
	}
	return Assignment{id: parts}
}

func (w *world) state(want State, epoch, target int32) {
	w.t.Helper()
	if w.g.State() != want || w.g.Epoch() != epoch || w.g.TargetEpoch() != target {
		w.t.Errorf("the group is %s in epochs %d and %d; want %s, %d, %d", w.g.State(), w.g.Epoch(), w.g.TargetEpoch(), want, epoch, target)
	}
}
