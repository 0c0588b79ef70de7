package metadata

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

func problem(t *testing.T) func(string, error) {
	return func(path string, err error) { t.Errorf("%s: %v", path, err) }
}

// kafkaOps draws writes as the controller and Kafka's tools make them.
func kafkaOps(rng *rand.Rand, tr *tree) []Op {
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
		return []Op{Set(TopicPath(topic), node(2+rng.IntN(3)), AnyVersion)}
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
	tr := newTree()
	var parents []Op
	for _, p := range PersistentPaths() {
		parents = append(parents, Create(p, nil))
	}
	_, events, err := run(tr, 1, parents...)
	if err != nil {
		t.Fatal(err)
	}
	image := applyTxn(emptyImage(), Txn{Zxid: tr.zxid, Events: events}, problem(t))
	for step := range 2000 {
		_, events, err := run(tr, 1, kafkaOps(rng, tr)...)
		if err != nil {
			continue
		}
		before, digest := image, fmt.Sprint(image.Topics(), image.Brokers(), image.config, image.quotas)
		image = applyTxn(image, Txn{Zxid: tr.zxid, Events: events}, problem(t))
		if fmt.Sprint(before.Topics(), before.Brokers(), before.config, before.quotas) != digest {
			t.Fatalf("step %d: an image changed", step)
		}
		want := applyTxn(emptyImage(), tr.snapshot(), problem(t))
		if !reflect.DeepEqual(image, want) {
			t.Fatalf("step %d: after %v\ngot  %+v\nwant %+v", step, events, image, want)
		}
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

func TestLoader(t *testing.T) {
	s := openStore(t, newDisk(t))
	l := NewLoader(s, slog.New(slog.DiscardHandler))
	defer l.Close()
	var ops []Op
	for _, p := range PersistentPaths() {
		ops = append(ops, Create(p, nil))
	}
	multi(t, s, ops...)
	type seen struct{ old, new int64 }
	var got []seen
	r := multi(t, s, Create(TopicPath("t"), TopicNode{ID: TopicID{1}, Partitions: [][]int32{{1}}}.Encode()))
	if err := l.Wait(t.Context(), r.Zxid); err != nil {
		t.Fatal(err)
	}
	l.Add(PublisherFunc(func(old, new *Image) { got = append(got, seen{old.Zxid(), new.Zxid()}) }))
	bad := multi(t, s, Set(TopicPath("t"), []byte("junk"), 0))
	last := multi(t, s, Create(TopicPath("u"), TopicNode{ID: TopicID{2}, Partitions: [][]int32{{1}}}.Encode()))
	if err := l.Wait(t.Context(), last.Zxid); err != nil {
		t.Fatal(err)
	}
	if want := []seen{{0, r.Zxid}, {r.Zxid, bad.Zxid}, {bad.Zxid, last.Zxid}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, ok := l.Image().Topic("t"); !ok || len(l.Image().Topics()) != 2 {
		t.Error("a node that cannot be read counts as unchanged")
	}
	if _, ok := l.Image().TopicByID(TopicID{2}); !ok {
		t.Error("no topic with this id")
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
