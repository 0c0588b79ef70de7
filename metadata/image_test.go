package metadata

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

func problem(t *testing.T) func(string, error) {
	return func(path string, err error) { t.Errorf("%s: %v", path, err) }
}

// kafkaOps draws writes as the controller and Kafka's tools make them.
func kafkaOps(rng *rand.Rand, tr *testTree) []Op {
	topic := fmt.Sprintf("t%d", rng.IntN(4))
	var id TopicID
	binary.BigEndian.PutUint64(id[:], rng.Uint64())
	node := func(n int) []byte {
		parts := make([][]int32, n)
		for i := range parts {
			parts[i] = []int32{1, int32(i)}
		}
		return TopicNode{ID: id, Partitions: parts}.Encode()
	}
	state := StateNode{Leader: int32(rng.IntN(3)) - 1, LeaderEpoch: rng.Int32N(9), ControllerEpoch: 1, ISR: []int32{1}}.Encode()
	switch rng.IntN(10) {
	case 9:
		return quotaOps(rng, tr)
	case 0, 1:
		ops := []Op{Create(TopicPath(topic), node(2)), Create(PartitionsPath(topic), nil)}
		for i := range int32(2) {
			ops = append(ops, Create(PartitionPath(topic, i), nil), Create(PartitionStatePath(topic, i), state))
		}
		return append(ops, Create(TopicConfigPath(topic), EncodeConfig(map[string]string{"a": topic})))
	case 2:
		data, _ := tr.get(TopicPath(topic))
		was, err := DecodeTopicNode(data)
		if err != nil {
			return []Op{Check("/nope", 0)}
		}
		id = was.ID
		return []Op{Set(TopicPath(topic), node(len(was.Partitions)+rng.IntN(3)), AnyVersion)}
	case 3:
		return []Op{Set(PartitionStatePath(topic, rng.Int32N(2)), state, AnyVersion)}
	case 4:
		var ops []Op
		for _, path := range tr.paths() {
			if path == TopicPath(topic) || len(path) > len(TopicPath(topic)) && path[:len(TopicPath(topic))+1] == TopicPath(topic)+"/" {
				ops = append([]Op{Delete(path, AnyVersion)}, ops...)
			}
		}
		if len(ops) == 0 {
			return []Op{Check("/nope", 0)}
		}
		return append(ops, Delete(TopicConfigPath(topic), AnyVersion))
	case 5:
		return []Op{CreateEphemeral(BrokerPath(rng.Int32N(3)), EncodeBroker(Broker{Rack: "r", Endpoints: []Endpoint{{"PLAINTEXT", "PLAINTEXT", "::1", 9092}}}, 5))}
	case 6:
		return []Op{Delete(BrokerPath(rng.Int32N(3)), AnyVersion)}
	case 7:
		return []Op{Set(TopicConfigPath(topic), EncodeConfig(map[string]string{"b": "c"}), AnyVersion), Create(DeleteTopicPath(topic), nil)}
	}
	return []Op{CreateEphemeral(ControllerPath, EncodeController(1, 5)), Create(ControllerEpochPath, []byte("3"))}
}

// TestFoldIsTheSnapshot: folding the stream gives what folding a snapshot of the tree gives.
func TestFoldIsTheSnapshot(t *testing.T) {
	rng := testkit.Rand(t)
	tr := newTestTree()
	var parents []Op
	for _, p := range PersistentPaths() {
		parents = append(parents, Create(p, nil))
	}
	events, err := tr.run(parents...)
	if err != nil {
		t.Fatal(err)
	}
	image := applyTxn(emptyImage(), Txn{Zxid: tr.zxid(), Events: events}, problem(t))
	for step := range 2000 {
		events, err := tr.run(kafkaOps(rng, tr)...)
		if err != nil {
			continue
		}
		before, digest := image, fmt.Sprint(image.Topics(), image.Brokers(), image.config, image.quotas)
		image = applyTxn(image, Txn{Zxid: tr.zxid(), Events: events}, problem(t))
		if fmt.Sprint(before.Topics(), before.Brokers(), before.config, before.quotas) != digest {
			t.Fatalf("step %d: an image changed", step)
		}
		for _, former := range []*Image{emptyImage(), before, image} {
			if want := applyTxn(former, tr.snapshot(), problem(t)); !reflect.DeepEqual(image, want) {
				t.Fatalf("step %d: after %v\ngot  %+v\nwant %+v", step, events, image, want)
			}
		}
	}
}

// What tools of older Kafkas write costs a topic neither its id nor a partition.
func TestForeignTopicNodes(t *testing.T) {
	id := TopicID{7}
	created := func(path string, data []byte, version int32, czxid int64) Event {
		kind := Created
		if version > 0 {
			kind = Changed
		}
		return Event{Kind: kind, Path: path, Data: data, Stat: Stat{Czxid: czxid, Mzxid: czxid + int64(version), Version: version}}
	}
	state := StateNode{Leader: 1, ISR: []int32{1}}.Encode()
	begin := Txn{Zxid: 1, Events: []Event{
		created("/brokers/topics/t", TopicNode{ID: id, Partitions: [][]int32{{1}, {1}}}.Encode(), 0, 1),
		created("/brokers/topics/t/partitions/0/state", state, 0, 1), created("/brokers/topics/t/partitions/1/state", state, 0, 1),
	}}
	for name, test := range map[string]struct {
		node       string
		czxid      int64
		partitions int
		replicas   string
		id         TopicID
		amend      bool
		problem    bool
	}{
		"more":         {`{"version":1,"partitions":{"0":[1],"1":[1],"2":[2]}}`, 1, 3, "[1] [1] [2]", id, true, false},
		"fewer":        {`{"version":1,"partitions":{"0":[1]}}`, 1, 2, "[1] [1]", id, true, false},
		"other places": {`{"version":1,"partitions":{"0":[5],"1":[6]}}`, 1, 2, "[1] [1]", id, true, false},
		"another id":   {string(TopicNode{ID: TopicID{9}, Partitions: [][]int32{{5}, {6}}}.Encode()), 1, 2, "[1] [1]", id, true, false},
		"ours":         {string(TopicNode{ID: id, Partitions: [][]int32{{2}, {1}}}.Encode()), 1, 2, "[2] [1]", id, false, false},
		"broken":       {`{"version":1,"partitions":{`, 1, 2, "[1] [1]", id, true, true},
		"a new one":    {`{"version":1,"partitions":{"0":[4]}}`, 9, 1, "[4]", TopicID{}, true, false},
	} {
		for _, snapshot := range []bool{false, true} {
			image := applyTxn(emptyImage(), begin, problem(t))
			problems := 0
			note := func(string, error) { problems++ }
			txn := Txn{Zxid: 2, Snapshot: snapshot, Events: []Event{created("/brokers/topics/t", []byte(test.node), 1, test.czxid)}}
			if snapshot && test.czxid == 1 {
				txn.Events = append(txn.Events, begin.Events[1:]...)
			}
			image = applyTxn(image, txn, note)
			topic, ok := image.Topic("t")
			if !ok {
				t.Fatalf("%s: the topic is gone", name)
			}
			var replicas []string
			for _, p := range topic.Partitions {
				replicas = append(replicas, fmt.Sprint(p.Replicas))
			}
			if len(topic.Partitions) != test.partitions || strings.Join(replicas, " ") != test.replicas || topic.ID != test.id || topic.Amend != test.amend || (problems > 0) != test.problem {
				t.Errorf("%s, snapshot %t: %+v, %d problems", name, snapshot, topic, problems)
			}
			if test.czxid == 1 && topic.Partitions[1].Leader != 1 {
				t.Errorf("%s, snapshot %t: the states are gone: %+v", name, snapshot, topic.Partitions)
			}
		}
	}
	// The controller gives a topic of an old tool its id: nothing is to amend any more.
	first := applyTxn(emptyImage(), Txn{Zxid: 1, Events: []Event{created("/brokers/topics/t", []byte(`{"version":1,"partitions":{"0":[1]}}`), 0, 1)}}, problem(t))
	second := applyTxn(first, Txn{Zxid: 2, Events: []Event{created("/brokers/topics/t", TopicNode{ID: id, Partitions: [][]int32{{1}}}.Encode(), 1, 1)}}, problem(t))
	if a, _ := first.Topic("t"); !a.Amend {
		t.Errorf("%+v", a)
	}
	if b, _ := second.Topic("t"); b.Amend || b.ID != id {
		t.Errorf("%+v", b)
	}
	// A process that starts has no former image: a state shows that there was a partition.
	image := applyTxn(emptyImage(), Txn{Zxid: 2, Snapshot: true, Events: append([]Event{
		created("/brokers/topics/t", []byte(`{"version":1,"partitions":{"0":[1]}}`), 1, 1)}, begin.Events[1:]...)}, problem(t))
	if topic, _ := image.Topic("t"); len(topic.Partitions) != 2 || topic.Partitions[1].Leader != 1 || !topic.Amend {
		t.Errorf("%+v", topic)
	}
}

func TestCodecsGolden(t *testing.T) {
	id, err := ParseID("rI_C5R3NTSmFMSqx4gNDqg")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		got  []byte
		want string
	}{
		{TopicNode{ID: id, Partitions: [][]int32{{1, 2}, {2}}}.Encode(),
			`{"version":3,"topic_id":"rI_C5R3NTSmFMSqx4gNDqg","partitions":{"0":[1,2],"1":[2]},"adding_replicas":{},"removing_replicas":{}}`},
		{StateNode{Leader: 1, LeaderEpoch: 2, ControllerEpoch: 3, ISR: []int32{1}}.Encode(),
			`{"controller_epoch":3,"leader":1,"version":1,"leader_epoch":2,"isr":[1]}`},
		{EncodeConfig(nil), `{"version":1,"config":{}}`},
		{EncodeBroker(Broker{Endpoints: []Endpoint{{"A", "PLAINTEXT", "h", 1}}}, 99),
			`{"features":{},"listener_security_protocol_map":{"A":"PLAINTEXT"},"endpoints":["A://h:1"],"jmx_port":-1,"port":1,"host":"h","version":5,"timestamp":"99"}`},
		{EncodeController(1, 99), `{"version":2,"brokerid":1,"timestamp":"99","kraftControllerEpoch":-1}`},
		{EncodeClusterID("x"), `{"version":"1","id":"x"}`},
		{ProducerIDBlock{1, 1000, 1999}.Encode(), `{"version":1,"broker":1,"block_start":"1000","block_end":"1999"}`},
	} {
		if string(test.got) != test.want {
			t.Errorf("got  %s\nwant %s", test.got, test.want)
		}
	}
	// What Kafka 1.0's tools and 2.x brokers write.
	if n, err := DecodeTopicNode([]byte(`{"version":1,"partitions":{"0":[1]}}`)); err != nil || n.ID != (TopicID{}) || len(n.Partitions) != 1 {
		t.Errorf("%+v, %v", n, err)
	}
	b, err := DecodeBroker([]byte(`{"listener_security_protocol_map":{"X":"SSL"},"endpoints":["X://[::1]:9"],"jmx_port":-1,"host":null,"timestamp":"1","port":-1,"version":4,"new":1}`))
	if err != nil || !reflect.DeepEqual(b.Endpoints, []Endpoint{{"X", "SSL", "::1", 9}}) {
		t.Errorf("%+v, %v", b, err)
	}
	for _, bad := range []string{`{"version":3,"partitions":{"1":[1]}}`, `{"version":3,"partitions":{"0":[]}}`, `{"version":4,"partitions":{}}`, `{"version":3,"partitions":{"00":[1]}}`, `x`, `{"version":3,"topic_id":"x","partitions":{}}`} {
		if _, err := DecodeTopicNode([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

// FuzzNodes reads arbitrary bytes as the content of every kind of node, in an image that has
// a topic: nothing panics, and what cannot be read leaves the image as it was.
func FuzzNodes(f *testing.F) {
	f.Add([]byte(`{"version":3,"topic_id":"rI_C5R3NTSmFMSqx4gNDqg","partitions":{"0":[1],"1":[2]}}`))
	f.Add([]byte(`{"controller_epoch":3,"leader":1,"version":1,"leader_epoch":2,"isr":[1]}`))
	f.Add([]byte(`{"version":1,"config":{"a":"b"}}`))
	f.Add([]byte(`{"version":5,"endpoints":["A://[::1]:1"],"listener_security_protocol_map":{"A":"SSL"}}`))
	f.Add([]byte(`{"version":1,"broker":1,"block_start":"0","block_end":"999"}`))
	f.Add([]byte(`7`))
	topic := TopicNode{ID: TopicID{1}, Partitions: [][]int32{{1}, {1}}}.Encode()
	f.Fuzz(func(t *testing.T, data []byte) {
		image := applyTxn(emptyImage(), Txn{Zxid: 1, Events: []Event{{Kind: Created, Path: TopicPath("t"), Data: topic}}}, problem(t))
		for _, path := range []string{
			TopicPath("t"), TopicPath("u"), PartitionStatePath("t", 1), PartitionStatePath("t", 9), TopicConfigPath("t"), BrokerConfigPath(1),
			BrokerPath(1), ControllerPath, ControllerEpochPath, ClusterIDPath, ProducerIDBlockPath,
		} {
			refused := false
			next := applyTxn(image, Txn{Zxid: 2, Events: []Event{{Kind: Changed, Path: path, Data: data}}}, func(string, error) { refused = true })
			if refused && (len(next.Topics()) != 1 || len(next.Topics()[0].Partitions) != 2 || len(next.Brokers()) != 0 || next.ClusterID() != "") {
				t.Errorf("%s: %q was refused and changed the image", path, data)
			}
			for _, topic := range next.Topics() {
				for i := range topic.Partitions {
					if len(topic.Partitions[i].Replicas) == 0 {
						t.Errorf("%q: a partition without replicas", data)
					}
				}
			}
		}
		if b, err := DecodeProducerIDBlock(data); err == nil && (b.First < 0 || b.Last < b.First) {
			t.Errorf("%q: %+v", data, b)
		}
	})
}

// A topic whose node goes alone was removed by somebody's hand; the controller removes its
// settings with it, or has its mark.
func TestRemovalsByHand(t *testing.T) {
	id := TopicID{7}
	node := TopicNode{ID: id, Partitions: [][]int32{{1}}}.Encode()
	at := func(kind EventKind, path string, data []byte) Event {
		return Event{Kind: kind, Path: path, Data: data, Stat: Stat{Czxid: 1, Mzxid: 1}}
	}
	topic, settings, mark := "/brokers/topics/t", "/config/topics/t", "/admin/delete_topics/t"
	for name, test := range map[string]struct {
		txns [][]Event
		hand bool
	}{
		"by hand":                {[][]Event{{at(Deleted, topic, nil)}}, true},
		"by the controller":      {[][]Event{{at(Deleted, topic, nil), at(Deleted, settings, nil)}}, false},
		"marked before":          {[][]Event{{at(Created, mark, nil)}, {at(Deleted, topic, nil)}}, false},
		"in several, marked":     {[][]Event{{at(Created, mark, nil)}, {at(Deleted, topic, nil)}, {at(Deleted, settings, nil), at(Deleted, mark, nil)}}, false},
		"settings by hand first": {[][]Event{{at(Deleted, settings, nil)}, {at(Deleted, topic, nil)}}, true},
	} {
		image := applyTxn(emptyImage(), Txn{Zxid: 1, Events: []Event{at(Created, topic, node), at(Created, settings, EncodeConfig(nil))}}, problem(t))
		for i, events := range test.txns {
			image = applyTxn(image, Txn{Zxid: int64(2 + i), Events: events}, problem(t))
		}
		if _, there := image.Topic("t"); there || image.RemovedByHand(id) != test.hand {
			t.Errorf("%s: there %t, by hand %t", name, there, image.RemovedByHand(id))
		}
	}
	before := applyTxn(emptyImage(), Txn{Zxid: 1, Events: []Event{at(Created, topic, node), at(Created, settings, EncodeConfig(nil))}}, problem(t))
	for _, left := range []bool{true, false} {
		snapshot := Txn{Zxid: 9, Snapshot: true}
		if left {
			snapshot.Events = []Event{at(Created, settings, EncodeConfig(nil))}
		}
		if image := applyTxn(before, snapshot, problem(t)); image.RemovedByHand(id) != left {
			t.Errorf("a snapshot, settings left %t: by hand %t", left, image.RemovedByHand(id))
		}
	}
}
