package controller

import (
	"errors"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/metadata"
)

// settingsOf is a change to exactly these settings, key=value.
func settingsOf(kind ConfigKind, name string, settings ...string) ConfigChange {
	return ConfigChange{Kind: kind, Name: name, Apply: func(map[string]string) (map[string]string, error) {
		next := map[string]string{}
		for _, s := range settings {
			k, v, _ := strings.Cut(s, "=")
			if k == "bad" {
				return nil, errors.New("bad is bad")
			}
			next[k] = v
		}
		return next, nil
	}}
}

func TestAlterConfigs(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1)
	c.create(NewTopic{Name: "t", NumPartitions: 1, ReplicationFactor: 1, Config: map[string]string{"a": "1"}})
	read := func(path string) string {
		data, _, err := c.store.Get(t.Context(), path)
		if err != nil {
			return err.Error()
		}
		return string(data)
	}
	errs, zxid := c.AlterConfigs(t.Context(), []ConfigChange{
		settingsOf(TopicConfigs, "t", "a=2", "b=3"), settingsOf(TopicConfigs, "none", "a=2"), settingsOf(BrokerConfigs, "", "x=1"), settingsOf(BrokerConfigs, "1", "x=2"),
		settingsOf(GroupConfigs, "g/1", "y=1"), settingsOf(ClientMetricsConfigs, "..", "z=1"), settingsOf(GroupConfigs, "bad", "bad=1"),
		settingsOf(GroupConfigs, "twice", "y=1"), settingsOf(GroupConfigs, "twice", "y=2"),
	}, false)
	var kinds []Kind
	for _, err := range errs {
		k, _ := KindOf(err)
		kinds = append(kinds, k)
	}
	if want := []Kind{0, UnknownTopic, 0, 0, 0, 0, 0, InvalidRequest, InvalidRequest}; !reflect.DeepEqual(kinds, want) || errs[6] == nil || zxid == 0 {
		t.Fatalf("%v, want %v", kinds, want)
	}
	for path, want := range map[string]string{
		"/config/topics/t": `{"version":1,"config":{"a":"2","b":"3"}}`, "/config/brokers/<default>": `{"version":1,"config":{"x":"1"}}`,
		"/config/brokers/1": `{"version":1,"config":{"x":"2"}}`, "/config/groups/g%2F1": `{"version":1,"config":{"y":"1"}}`,
		"/config/client-metrics/%2E%2E":            `{"version":1,"config":{"z":"1"}}`,
		"/config/changes/config_change_0000000000": `{"version":2,"entity_path":"topics/t"}`,
		"/config/changes/config_change_0000000002": `{"version":2,"entity_path":"brokers/1"}`,
	} {
		if got := read(path); got != want {
			t.Errorf("%s holds %s, want %s", path, got, want)
		}
	}
	img := c.loader.Image()
	if img.GroupConfig("g/1")["y"] != "1" || img.ClientMetrics("..")["z"] != "1" || img.DefaultBrokerConfig()["x"] != "1" || img.BrokerConfig(1)["x"] != "2" {
		t.Error("the image does not have all of it")
	}
	if !reflect.DeepEqual(img.ConfiguredGroups(), []string{"g/1"}) || !reflect.DeepEqual(img.ClientMetricsNames(), []string{".."}) {
		t.Errorf("%v %v", img.ConfiguredGroups(), img.ClientMetricsNames())
	}

	// The same settings again, and a dry run, write nothing.
	for _, dry := range []bool{false, true} {
		settings := []string{"a=2", "b=3"}
		if dry {
			settings = []string{"a=9"}
		}
		if errs, zxid := c.AlterConfigs(t.Context(), []ConfigChange{settingsOf(TopicConfigs, "t", settings...)}, dry); errs[0] != nil || zxid != 0 {
			t.Errorf("dry %v: %v %d", dry, errs, zxid)
		}
	}
	// A group without settings has no node; a broker keeps its own.
	c.AlterConfigs(t.Context(), []ConfigChange{settingsOf(GroupConfigs, "g/1"), settingsOf(BrokerConfigs, "1")}, false)
	if got := read("/config/groups/g%2F1"); !strings.Contains(got, "does not exist") {
		t.Errorf("the node of a group without settings holds %s", got)
	}
	if got := read("/config/brokers/1"); got != `{"version":1,"config":{}}` {
		t.Errorf("the broker's node holds %s", got)
	}
	// Notes of changes do not pile up.
	for i := range keptChanges + 20 {
		c.AlterConfigs(t.Context(), []ConfigChange{settingsOf(TopicConfigs, "t", "a="+strconv.Itoa(i))}, false)
	}
	if names, _, err := c.store.Children(t.Context(), metadata.ConfigChangesPath); err != nil || len(names) > keptChanges+1 {
		t.Errorf("%d notes of changes, %v", len(names), err)
	}
}

func TestElect(t *testing.T) {
	alive := func(ids ...int32) func(int32) bool { return func(id int32) bool { return contains(ids, id) } }
	for _, test := range []struct {
		name    string
		p       metadata.Partition
		unclean bool
		alive   func(int32) bool
		leader  int32
		isr     []int32
		kind    Kind
	}{
		{"preferred leads", metadata.Partition{Leader: 1, Replicas: []int32{1, 2}, ISR: []int32{1, 2}}, false, alive(1, 2), 0, nil, ElectionNotNeeded},
		{"another leads", metadata.Partition{Leader: 2, Replicas: []int32{1, 2}, ISR: []int32{2, 1}}, false, alive(1, 2), 1, []int32{2, 1}, 0},
		{"preferred is out of sync", metadata.Partition{Leader: 2, Replicas: []int32{1, 2}, ISR: []int32{2}}, false, alive(1, 2), 0, nil, PreferredLeaderNotAvailable},
		{"preferred is gone", metadata.Partition{Leader: 2, Replicas: []int32{1, 2}, ISR: []int32{2, 1}}, false, alive(2), 0, nil, PreferredLeaderNotAvailable},
		{"unclean, but led", metadata.Partition{Leader: 2, Replicas: []int32{1, 2}, ISR: []int32{2}}, true, alive(1, 2), 0, nil, ElectionNotNeeded},
		{"unclean, one in sync", metadata.Partition{Leader: -1, Replicas: []int32{1, 2}, ISR: []int32{2}}, true, alive(1, 2), 2, []int32{2}, 0},
		{"unclean", metadata.Partition{Leader: 2, Replicas: []int32{1, 2}, ISR: []int32{2}}, true, alive(1), 1, []int32{1}, 0},
		{"nobody", metadata.Partition{Leader: -1, Replicas: []int32{1, 2}, ISR: []int32{2}}, true, alive(), 0, nil, EligibleLeadersNotAvailable},
	} {
		test.p.LeaderEpoch = 7
		got, err := elect(&test.p, test.unclean, test.alive)
		if kind, _ := KindOf(err); kind != test.kind {
			t.Errorf("%s: %v, want kind %d", test.name, err, test.kind)
		} else if err == nil && (got.Leader != test.leader || got.LeaderEpoch != 8 || !reflect.DeepEqual(got.ISR, test.isr)) {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

func TestElectLeadersAndReassign(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1, 2, 3)
	c.create(NewTopic{Name: "t", NumPartitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{1, 2}}, {1, []int32{2, 1}}}})
	ref := func(i int32) PartitionRef { return PartitionRef{"t", i} }
	// Another order makes another replica the preferred one; then it is elected.
	for _, test := range []struct {
		name   string
		list   []Reassignment
		fixed  bool
		kinds  []Kind
		writes bool
	}{
		{"order", []Reassignment{{ref(0), []int32{2, 1}}, {ref(1), []int32{2, 1}}}, false, []Kind{0, 0}, true},
		{"none to end", []Reassignment{{ref(0), nil}}, false, []Kind{NoReassignmentInProgress}, false},
		{"empty", []Reassignment{{ref(0), []int32{}}}, false, []Kind{InvalidReplicaAssignment}, false},
		{"unknown broker", []Reassignment{{ref(0), []int32{9}}}, false, []Kind{InvalidReplicaAssignment}, false},
		{"twice", []Reassignment{{ref(0), []int32{1, 1}}}, false, []Kind{InvalidReplicaAssignment}, false},
		{"needs a copy", []Reassignment{{ref(0), []int32{2, 3}}}, false, []Kind{InvalidReplicaAssignment}, false},
		{"other factor", []Reassignment{{ref(0), []int32{2}}}, true, []Kind{InvalidReplicationFactor}, false},
		{"unknown", []Reassignment{{ref(7), []int32{2}}, {PartitionRef{"x", 0}, []int32{2}}}, false, []Kind{UnknownTopic, UnknownTopic}, false},
		{"the same partition", []Reassignment{{ref(0), []int32{2, 1}}, {ref(0), []int32{1, 2}}}, false, []Kind{InvalidRequest, InvalidRequest}, false},
	} {
		errs, zxid := c.Reassign(t.Context(), test.list, !test.fixed)
		for i, err := range errs {
			if kind, _ := KindOf(err); kind != test.kinds[i] || kind == 0 && err != nil {
				t.Errorf("%s: %v, want kind %d", test.name, err, test.kinds[i])
			}
		}
		if (zxid != 0) != test.writes {
			t.Errorf("%s: zxid %d", test.name, zxid)
		}
	}
	none := func(int32, PartitionRef) bool { return false }
	answers, zxid := c.ElectLeaders(t.Context(), false, nil, none)
	if len(answers) != 1 || answers[0].PartitionRef != ref(0) || answers[0].Err != nil || zxid == 0 {
		t.Errorf("all: %+v", answers)
	}
	topic, _ := c.loader.Image().Topic("t")
	if p := topic.Partitions[0]; p.Leader != 2 || p.LeaderEpoch != 1 || !reflect.DeepEqual(p.Replicas, []int32{2, 1}) {
		t.Errorf("%+v", p)
	}
	answers, _ = c.ElectLeaders(t.Context(), false, []PartitionRef{ref(0), ref(5), ref(0)}, none)
	if k, _ := KindOf(answers[0].Err); len(answers) != 2 || k != ElectionNotNeeded {
		t.Errorf("%+v", answers)
	}
	if k, _ := KindOf(answers[1].Err); k != UnknownTopic {
		t.Errorf("%+v", answers[1])
	}
	offline := func(id int32, p PartitionRef) bool { return id == 2 && p == ref(0) }
	answers, _ = c.ElectLeaders(t.Context(), false, []PartitionRef{ref(0)}, offline)
	if k, _ := KindOf(answers[0].Err); k != PreferredLeaderNotAvailable {
		t.Errorf("on a failed directory: %v", answers[0].Err)
	}
	for id, want := range map[int32]Kind{1: InvalidRequest, 9: BrokerNotRegistered} {
		if k, _ := KindOf(c.UnregisterBroker(id)); k != want {
			t.Errorf("unregister %d: kind %d", id, k)
		}
	}
}

func TestUpdateFeatures(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1)
	level := func() int16 { return FeatureLevel(c.loader.Image(), GroupVersion) }
	for _, test := range []struct {
		name  string
		list  []FeatureUpdate
		kinds []Kind
		after int16
	}{
		{"as it is", []FeatureUpdate{{GroupVersion, 1, Upgrade}}, []Kind{0}, 1},
		{"down without saying so", []FeatureUpdate{{GroupVersion, 0, Upgrade}}, []Kind{InvalidUpdateVersion}, 1},
		{"too high", []FeatureUpdate{{GroupVersion, 2, Upgrade}}, []Kind{InvalidUpdateVersion}, 1},
		{"unknown", []FeatureUpdate{{"colour", 1, Upgrade}}, []Kind{InvalidUpdateVersion}, 1},
		{"one of two", []FeatureUpdate{{GroupVersion, 0, SafeDowngrade}, {"colour", 1, Upgrade}}, []Kind{0, InvalidUpdateVersion}, 1},
		{"twice", []FeatureUpdate{{GroupVersion, 1, Upgrade}, {GroupVersion, 1, Upgrade}}, []Kind{0, InvalidRequest}, 1},
		{"unknown type", []FeatureUpdate{{GroupVersion, 1, 9}}, []Kind{InvalidUpdateVersion}, 1},
		{"down", []FeatureUpdate{{GroupVersion, 0, SafeDowngrade}}, []Kind{0}, 0},
		{"up by a downgrade", []FeatureUpdate{{GroupVersion, 1, UnsafeDowngrade}}, []Kind{InvalidUpdateVersion}, 0},
		{"up", []FeatureUpdate{{GroupVersion, 1, Upgrade}}, []Kind{0}, 1},
	} {
		before := maps.Clone(c.loader.Image().Features().Levels)
		if _, zxid, err := c.UpdateFeatures(t.Context(), test.list, true); zxid != 0 || err != nil {
			t.Errorf("%s: a dry run wrote: %d, %v", test.name, zxid, err)
		}
		if !maps.Equal(before, c.loader.Image().Features().Levels) {
			t.Errorf("%s: a dry run changed something", test.name)
		}
		errs, _, err := c.UpdateFeatures(t.Context(), test.list, false)
		if err != nil {
			t.Fatal(err)
		}
		for i := range errs {
			if kind, _ := KindOf(errs[i]); kind != test.kinds[i] {
				t.Errorf("%s: %v", test.name, errs[i])
			}
		}
		if level() != test.after {
			t.Errorf("%s: level %d, want %d", test.name, level(), test.after)
		}
	}
	if e := c.loader.Image().Features().Epoch; e != 3 {
		t.Errorf("epoch %d after three changes", e)
	}
}
