package assignor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

// The expected assignments are those of Apache Kafka's own tests: RangeAssignorTest,
// OptimizedUniformAssignmentBuilderTest and UniformHeterogeneousAssignmentBuilderTest.
//
// Where Kafka walks a hash set of topics, the order of its outcome is written as reverse:
// topic ids then descend from t1 to t4, so that our sorted order is the one it had.

type golden struct {
	name    string
	assign  Assignor
	topics  string // t1=3 t2=2: partitions
	reverse bool
	members []string // A[/instance] t1,t2 [| t1:0,1 t2:0]: subscriptions, what is owned
	want    map[string]string
}

var goldens = []golden{
	{name: "no topic", assign: Range{}, topics: "t1=3", members: []string{"A -"}, want: map[string]string{"A": ""}},
	{name: "two members, two topics", assign: Range{}, topics: "t1=3 t3=2", members: []string{"A t1,t3", "B t1,t3"},
		want: map[string]string{"A": "t1:0,1 t3:0", "B": "t1:2 t3:1"}},
	{name: "different subscriptions", assign: Range{}, topics: "t1=3 t2=3 t3=2", members: []string{"A t1,t2", "B t3", "C t2,t3"},
		want: map[string]string{"A": "t1:0,1,2 t2:0,1", "B": "t3:0", "C": "t2:2 t3:1"}},
	{name: "more members than partitions", assign: Range{}, topics: "t1=3 t3=2", members: []string{"A t1,t3", "B t1,t3", "C t1,t3"},
		want: map[string]string{"A": "t1:0 t3:0", "B": "t1:1 t3:1", "C": "t1:2"}},
	{name: "a static member returns", assign: Range{}, topics: "t1=3", members: []string{"A1/instanceA t1", "B/instanceB t1"},
		want: map[string]string{"A1": "t1:0,1", "B": "t1:2"}},
	{name: "static members go first", assign: Range{}, topics: "t1=3", members: []string{"A1/instanceA t1", "B t1", "C/instanceC t1"},
		want: map[string]string{"A1": "t1:0", "C": "t1:1", "B": "t1:2"}},
	{name: "one member too many", assign: Range{}, topics: "t1=2 t2=2", members: []string{"A t1,t2 | t1:0 t2:0", "B t1,t2 | t1:1 t2:1", "C t1,t2"},
		want: map[string]string{"A": "t1:0 t2:0", "B": "t1:1 t2:1", "C": ""}},
	{name: "a partition more", assign: Range{}, topics: "t1=4 t2=4", members: []string{"A t1,t2 | t1:0,1 t2:0,1", "B t1,t2 | t1:2 t2:2"},
		want: map[string]string{"A": "t1:0,1 t2:0,1", "B": "t1:2,3 t2:2,3"}},
	{name: "a member more", assign: Range{}, topics: "t1=3 t2=3", members: []string{"A t1,t2 | t1:0,1 t2:0,1", "B t1,t2 | t1:2 t2:2", "C t1,t2"},
		want: map[string]string{"A": "t1:0 t2:0", "B": "t1:1 t2:1", "C": "t1:2 t2:2"}},
	{name: "a member and a partition more", assign: Range{}, topics: "t1=4 t2=3", members: []string{"A t1,t2 | t1:0,1 t2:0,1", "B t1,t2 | t1:2 t2:2", "C t1"},
		want: map[string]string{"A": "t1:0,1 t2:0,1", "B": "t1:2 t2:2", "C": "t1:3"}},
	{name: "a member less", assign: Range{}, topics: "t1=3 t2=3", members: []string{"B t1,t2 | t1:2 t2:2"},
		want: map[string]string{"B": "t1:0,1,2 t2:0,1,2"}},
	{name: "subscriptions less", assign: Range{}, topics: "t1=3 t2=3 t3=2", members: []string{"A t1 | t1:0,1,2 t2:0", "B t1,t2,t3 | t2:1", "C t2 | t2:2 t3:0,1"},
		want: map[string]string{"A": "t1:0,1", "B": "t1:2 t2:0,1 t3:0,1", "C": "t2:2"}},

	{name: "no topic", assign: Uniform{}, topics: "t1=3", members: []string{"A -"}, want: map[string]string{"A": ""}},
	{name: "two members, two topics", assign: Uniform{}, topics: "t1=3 t3=2", reverse: true, members: []string{"A t1,t3", "B t1,t3"},
		want: map[string]string{"A": "t1:0 t3:0,1", "B": "t1:1,2"}},
	{name: "more members than partitions", assign: Uniform{}, topics: "t3=2", members: []string{"A t3", "B t3", "C t3"},
		want: map[string]string{"A": "t3:0", "B": "t3:1", "C": ""}},
	{name: "unbalanced before", assign: Uniform{}, topics: "t1=3 t2=3", members: []string{"A t1,t2 | t1:0,1 t2:0,1", "B t1,t2 | t1:2 t2:2"},
		want: map[string]string{"A": "t1:0,1 t2:0", "B": "t1:2 t2:1,2"}},
	{name: "partitions more", assign: Uniform{}, topics: "t1=6 t2=5", reverse: true, members: []string{"A t1,t2 | t1:0,2 t2:0", "B t1,t2 | t1:1 t2:1,2"},
		want: map[string]string{"A": "t1:0,2,3 t2:0,3,4", "B": "t1:1,4,5 t2:1,2"}},
	{name: "a member more", assign: Uniform{}, topics: "t1=3 t2=3", members: []string{"A t1,t2 | t1:0,2 t2:0", "B t1,t2 | t1:1 t2:1,2", "C t1,t2"},
		want: map[string]string{"A": "t1:0,2", "B": "t1:1 t2:1", "C": "t2:0,2"}},
	{name: "a member less", assign: Uniform{}, topics: "t1=3 t2=3", reverse: true, members: []string{"A t1,t2 | t1:0 t2:0", "B t1,t2 | t1:1 t2:1"},
		want: map[string]string{"A": "t1:0 t2:0,2", "B": "t1:1,2 t2:1"}},
	{name: "a subscription less", assign: Uniform{}, topics: "t1=2 t2=2", members: []string{"A t2 | t1:0 t2:0", "B t2 | t1:1 t2:1"},
		want: map[string]string{"A": "t2:0", "B": "t2:1"}},

	{name: "two members, two topics, different", assign: Uniform{}, topics: "t1=3 t3=6", members: []string{"A t1,t3", "B t3"},
		want: map[string]string{"A": "t1:0,1,2 t3:4", "B": "t3:0,1,2,3,5"}},
	{name: "more members than partitions, different", assign: Uniform{}, topics: "t1=2 t3=1", members: []string{"A t3", "B t3", "C t1"},
		want: map[string]string{"A": "t3:0", "B": "", "C": "t1:0,1"}},
	{name: "unbalanced before, different", assign: Uniform{}, topics: "t1=6 t2=4 t3=4",
		members: []string{"A t1 | t1:0,1,2", "B t1,t2 | t1:3 t2:0", "C t1,t2,t3 | t1:4,5 t2:1,2,3 t3:0,1,2,3"},
		want:    map[string]string{"A": "t1:0,1,2,5", "B": "t1:3 t2:0,1,2,3", "C": "t1:4 t3:0,1,2,3"}},
	{name: "partitions more, different", assign: Uniform{}, topics: "t1=6 t2=5 t3=3 t4=3",
		members: []string{"A t1,t3 | t1:0,1,2,3 t3:0,1", "B t1,t2,t3,t4 | t2:0,1,2 t4:0,1,2"},
		want:    map[string]string{"A": "t1:0,1,2,3,4,5 t3:0,1,2", "B": "t2:0,1,2,3,4 t4:0,1,2"}},
	{name: "a member and partitions more, different", assign: Uniform{}, topics: "t1=6 t2=7",
		members: []string{"A t1 | t1:0,2 t2:0", "B t1,t2 | t1:1 t2:1,2", "C t1,t2"},
		want:    map[string]string{"A": "t1:0,2,3,4,5", "B": "t1:1 t2:1,2,6", "C": "t2:0,3,4,5"}},
	{name: "a member less, different", assign: Uniform{}, topics: "t1=3 t2=8 t3=3",
		members: []string{"A t1,t3 | t1:0,1,2 t3:0,1", "B t2 | t2:3,4,5,6"},
		want:    map[string]string{"A": "t1:0,1,2 t3:0,1,2", "B": "t2:0,1,2,3,4,5,6,7"}},
	{name: "a subscription less, different", assign: Uniform{}, topics: "t1=3 t2=5",
		members: []string{"A t1 | t1:0,2 t2:1,3", "B t1,t2 | t1:1 t2:0,2,4"},
		want:    map[string]string{"A": "t1:0,1,2", "B": "t2:0,1,2,3,4"}},
	{name: "one member without a subscription", assign: Uniform{}, topics: "t1=3", members: []string{"A t1", "B -"},
		want: map[string]string{"A": "t1:0,1,2", "B": ""}},
}

func TestAsKafka(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.assign.Name()+"/"+g.name, func(t *testing.T) {
			spec := g.spec(t)
			got, err := g.assign.Assign(spec)
			if err != nil {
				t.Fatal(err)
			}
			g.compare(t, got)
			slices.Reverse(spec.Members)
			got, err = g.assign.Assign(spec)
			if err != nil {
				t.Fatal(err)
			}
			g.compare(t, got)
		})
	}
}

// In the one test of Kafka with three members whose subscriptions are the same but are
// handled as different ones, partitions leave the member that has all.
func TestBySubscriptionWhenAllAreEqual(t *testing.T) {
	g := golden{topics: "t1=2 t2=2 t3=2", members: []string{"A t1,t2,t3 | t1:0,1 t2:0,1 t3:0,1", "B t1,t2,t3"},
		want: map[string]string{"A": "t2:0 t3:0,1", "B": "t1:0,1 t2:1"}}
	spec := g.spec(t)
	b := newBoard(&spec)
	b.spreadBySubscription()
	g.compare(t, b.result())
}

func TestUnknownTopic(t *testing.T) {
	for _, a := range []Assignor{Range{}, Uniform{}} {
		_, err := a.Assign(Spec{Members: []Member{{ID: "A", Topics: []TopicID{{7}}}}, Partitions: map[TopicID]int32{{8}: 3}})
		var unknown *UnknownTopicError
		if !errors.As(err, &unknown) || unknown.ID != (TopicID{7}) {
			t.Errorf("%s: %v", a.Name(), err)
		}
	}
}

func TestByName(t *testing.T) {
	for _, name := range []string{"uniform", "range"} {
		if a := ByName(name); a == nil || a.Name() != name {
			t.Errorf("%s: %v", name, a)
		}
	}
	if a := ByName("org.apache.kafka.coordinator.group.assignor.RangeAssignor"); a != (Range{}) {
		t.Errorf("class name: %v", a)
	}
	if a := ByName("sticky"); a != nil {
		t.Errorf("sticky: %v", a)
	}
}

// Random groups change step by step: each partition has one subscribed owner, members with
// equal subscriptions are balanced, and nothing moves without need.
func TestRandomGroups(t *testing.T) {
	r := testkit.Rand(t)
	for round := range testkit.Rounds(t, "ASSIGNOR_ROUNDS", 300) {
		spec := Spec{Partitions: map[TopicID]int32{}}
		for i := range 1 + r.IntN(6) {
			spec.Partitions[TopicID{byte(r.IntN(256)), byte(i)}] = int32(r.IntN(20))
		}
		topics := sortedTopics(spec.Partitions)
		same := r.IntN(2) == 0
		next := 0
		for step := range 8 {
			for range 1 + r.IntN(3) { // join
				m := Member{ID: fmt.Sprintf("m%03d", r.IntN(900)+1000*next)}
				next++
				for _, id := range topics {
					if same || r.IntN(2) == 0 {
						m.Topics = append(m.Topics, id)
					}
				}
				spec.Members = append(spec.Members, m)
			}
			if len(spec.Members) > 2 && r.IntN(2) == 0 { // leave
				i := r.IntN(len(spec.Members))
				spec.Members = slices.Delete(spec.Members, i, i+1)
			}
			if r.IntN(3) == 0 { // grow
				spec.Partitions[topics[r.IntN(len(topics))]] += int32(r.IntN(4))
			}
			at := fmt.Sprintf("round %d, step %d", round, step)
			for _, a := range []Assignor{Range{}, Uniform{}} {
				got, err := a.Assign(spec)
				if err != nil {
					t.Fatal(at, err)
				}
				checkComplete(t, at+" "+a.Name(), &spec, got)
				if a == (Uniform{}) {
					if same {
						checkEven(t, at, &spec, got)
						checkSticky(t, at, &spec, got)
					}
					for i := range spec.Members {
						spec.Members[i].Owned = got[spec.Members[i].ID]
					}
					again, _ := a.Assign(spec)
					if !maps.EqualFunc(got, again, Assignment.Equal) {
						t.Fatalf("%s: moved without need:\n%v\n%v", at, got, again)
					}
				}
			}
		}
	}
}

func checkComplete(t *testing.T, at string, spec *Spec, got map[string]Assignment) {
	t.Helper()
	if len(got) != len(spec.Members) {
		t.Fatalf("%s: %d assignments for %d members", at, len(got), len(spec.Members))
	}
	owner := map[string]string{}
	subscribed := map[TopicID]bool{}
	for _, m := range spec.Members {
		for _, id := range m.Topics {
			subscribed[id] = true
		}
		for id, parts := range got[m.ID] {
			if !slices.Contains(m.Topics, id) {
				t.Fatalf("%s: %s got a topic that it does not subscribe to", at, m.ID)
			}
			if len(parts) == 0 || !slices.IsSorted(parts) {
				t.Fatalf("%s: %s: list of partitions %v", at, m.ID, parts)
			}
			for _, p := range parts {
				key := fmt.Sprintf("%x-%d", id, p)
				if owner[key] != "" {
					t.Fatalf("%s: %s is owned by %s and %s", at, key, owner[key], m.ID)
				}
				owner[key] = m.ID
			}
		}
	}
	total := 0
	for id := range subscribed {
		total += int(spec.Partitions[id])
	}
	if len(owner) != total {
		t.Fatalf("%s: %d of %d partitions are owned", at, len(owner), total)
	}
}

func checkEven(t *testing.T, at string, spec *Spec, got map[string]Assignment) {
	t.Helper()
	least, most := 1<<30, 0
	for _, m := range spec.Members {
		least, most = min(least, got[m.ID].Size()), max(most, got[m.ID].Size())
	}
	if most-least > 1 {
		t.Fatalf("%s: members have from %d to %d partitions", at, least, most)
	}
}

// checkSticky: as many partitions stay as can: each member keeps what it has up to its
// share, and the larger shares are those of members that have more.
func checkSticky(t *testing.T, at string, spec *Spec, got map[string]Assignment) {
	t.Helper()
	var owned []int
	total, stayed := 0, 0
	for _, id := range spec.Members[0].Topics {
		total += int(spec.Partitions[id])
	}
	for _, m := range spec.Members {
		owned = append(owned, m.Owned.Size())
		for id, parts := range m.Owned {
			for _, p := range parts {
				if got[m.ID].Has(id, p) {
					stayed++
				}
			}
		}
	}
	slices.Sort(owned)
	slices.Reverse(owned)
	could := 0
	for i, n := range owned {
		share := total / len(owned)
		if i < total%len(owned) {
			share++
		}
		could += min(n, share)
	}
	if stayed != could {
		t.Fatalf("%s: %d partitions stayed where %d could", at, stayed, could)
	}
}

func (g *golden) id(name string) TopicID {
	n := name[1] - '0'
	if g.reverse {
		n = 9 - n
	}
	return TopicID{n}
}

func (g *golden) spec(t *testing.T) Spec {
	t.Helper()
	spec := Spec{Partitions: map[TopicID]int32{}}
	for topic := range strings.FieldsSeq(g.topics) {
		name, count, _ := strings.Cut(topic, "=")
		n, err := strconv.Atoi(count)
		if err != nil {
			t.Fatal(err)
		}
		spec.Partitions[g.id(name)] = int32(n)
	}
	for _, line := range g.members {
		head, owned, _ := strings.Cut(line, "|")
		words := strings.Fields(head)
		var m Member
		m.ID, m.InstanceID, _ = strings.Cut(words[0], "/")
		if words[1] != "-" {
			for name := range strings.SplitSeq(words[1], ",") {
				m.Topics = append(m.Topics, g.id(name))
			}
		}
		m.Owned = g.parse(t, owned)
		spec.Members = append(spec.Members, m)
	}
	return spec
}

func (g *golden) parse(t *testing.T, s string) Assignment {
	t.Helper()
	a := Assignment{}
	for topic := range strings.FieldsSeq(s) {
		name, list, _ := strings.Cut(topic, ":")
		for p := range strings.SplitSeq(list, ",") {
			n, err := strconv.Atoi(p)
			if err != nil {
				t.Fatal(err)
			}
			a[g.id(name)] = append(a[g.id(name)], int32(n))
		}
	}
	return a
}

func (g *golden) compare(t *testing.T, got map[string]Assignment) {
	t.Helper()
	if len(got) != len(g.want) {
		t.Errorf("%d assignments, want %d", len(got), len(g.want))
	}
	for member, want := range g.want {
		if !got[member].Equal(g.parse(t, want)) {
			t.Errorf("%s got %v, want %s", member, got[member], want)
		}
	}
}
