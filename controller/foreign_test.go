package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/metadata"
)

// tool is another client of the same tree.
func (c *cluster) tool() metadata.Store { return c.quorum.Open(c.t) }

// write has a tool write; the image has it when it returns.
func (c *cluster) write(s metadata.Store, ops ...metadata.Op) {
	c.t.Helper()
	r, err := s.Multi(c.t.Context(), ops...)
	if err == nil {
		err = c.loader.Wait(c.t.Context(), r.Zxid)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// until waits for an image.
func (c *cluster) until(what string, ok func(*metadata.Image) bool) {
	c.t.Helper()
	testkit.WaitFor(c.t, what, func() bool { return ok(c.loader.Image()) })
}

func topicIs(name string, partitions int) func(*metadata.Image) bool {
	return func(image *metadata.Image) bool {
		topic, ok := image.Topic(name)
		if !ok || len(topic.Partitions) != partitions || topic.Amend {
			return false
		}
		for _, p := range topic.Partitions {
			if p.Leader < 0 {
				return false
			}
		}
		return true
	}
}

// A controller that lost its place writes nothing (R26), and takes it back when it can.
func TestZombieController(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1, 2)
	other := &cluster{t: t, quorum: c.quorum, store: c.quorum.Open(t), clock: c.clock, set: c.set}
	other.loader = metadata.NewLoader(other.store, c.options(2).Log)
	t.Cleanup(other.loader.Close)
	standby, err := Start(t.Context(), other.options(2))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Close)
	if a, _ := standby.CreateTopics(t.Context(), []NewTopic{{Name: "a", NumPartitions: 1, ReplicationFactor: 1}}, false); !errors.Is(a[0].Err, ErrNotController) {
		t.Errorf("a standby decides: %v", a[0].Err)
	}
	// The first one is fenced before it notices anything.
	c.mu.Lock()
	other.write(other.store, metadata.Delete(metadata.ControllerPath, metadata.AnyVersion))
	testkit.WaitFor(t, "the other broker to be elected", func() bool { return other.loader.Image().Controller().BrokerID == 2 })
	_, err = c.commit(t.Context(), []metadata.Op{metadata.Create("/zombie", nil)})
	c.mu.Unlock()
	if !errors.Is(err, ErrNotController) {
		t.Errorf("got %v", err)
	}
	if _, _, err := c.store.Get(t.Context(), "/zombie"); !errors.Is(err, metadata.ErrNoNode) {
		t.Errorf("a zombie wrote: %v", err)
	}
	if a := c.create(NewTopic{Name: "a", NumPartitions: 1, ReplicationFactor: 1}); !errors.Is(a[0].Err, ErrNotController) {
		t.Errorf("got %v", a[0].Err)
	}
	if err := other.store.Close(); err != nil { // broker 2 dies
		t.Fatal(err)
	}
	c.until("broker 1 to be elected again", func(image *metadata.Image) bool {
		return image.Controller().BrokerID == 1 && image.ControllerEpoch() == 3
	})
	testkit.WaitFor(t, "it to decide", func() bool {
		return c.create(NewTopic{Name: "a", NumPartitions: 1, ReplicationFactor: 1})[0].Err == nil
	})
}

// "delete /controller" in a shell asks for another election; a write to the epoch too.
func TestReElection(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1)
	tool := c.tool()
	for epoch, op := range map[int32]metadata.Op{2: metadata.Delete(metadata.ControllerPath, metadata.AnyVersion)} {
		c.write(tool, op)
		c.until("an election", func(image *metadata.Image) bool {
			return image.Controller().BrokerID == 1 && image.ControllerEpoch() == epoch
		})
	}
	c.write(tool, metadata.Set(metadata.ControllerEpochPath, []byte("41"), metadata.AnyVersion))
	c.until("an election above the epoch that was written", func(image *metadata.Image) bool {
		return image.Controller().BrokerID == 1 && image.ControllerEpoch() == 42
	})
	c.write(tool, metadata.Set(metadata.ControllerEpochPath, []byte("{junk"), metadata.AnyVersion))
	testkit.WaitFor(t, "it to decide in spite of junk", func() bool {
		return c.create(NewTopic{Name: "a", NumPartitions: 1, ReplicationFactor: 1})[0].Err == nil
	})
	if epoch := c.loader.Image().ControllerEpoch(); epoch < 43 {
		t.Errorf("epoch %d", epoch)
	}
}

// The session goes: nothing is led by who is not registered, and the broker is elected once
// it is again.
func TestSessionOfTheControllerExpires(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1)
	c.create(NewTopic{Name: "a", NumPartitions: 1, ReplicationFactor: 1})
	c.quorum.Expire(c.store.Session().ID)
	c.until("the registration to go", func(image *metadata.Image) bool {
		return len(image.Brokers()) == 0 && image.Controller().BrokerID == -1
	})
	if _, err := Register(t.Context(), c.store, c.clock, metadata.Broker{ID: 1}); err != nil {
		t.Fatal(err)
	}
	c.until("an election", func(image *metadata.Image) bool {
		topic, _ := image.Topic("a")
		return image.Controller().BrokerID == 1 && topic.Partitions[0].Leader == 1 && topic.Partitions[0].LeaderEpoch == 1
	})
}

// What kafka-topics.sh of Kafka 1.0 writes: a topic without an id, then more partitions
// without the id, then the mark for deletion.
func TestTopicsWrittenByTools(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1)
	tool := c.tool()
	c.write(tool, metadata.Create("/config/topics/t", []byte(`{"version":1,"config":{"retention.ms":"1000"}}`)))
	c.write(tool, metadata.Create("/brokers/topics/t", []byte(`{"version":1,"partitions":{"0":[1],"1":[1]}}`)))
	c.until("the topic to be completed", topicIs("t", 2))
	topic, _ := c.loader.Image().Topic("t")
	if topic.ID[6]>>4 != 4 || c.loader.Image().TopicConfig("t")["retention.ms"] != "1000" || topic.Partitions[1].ControllerEpoch != 1 {
		t.Errorf("%+v", topic)
	}
	if data, _, err := c.store.Get(t.Context(), "/brokers/topics/t"); err != nil || !strings.Contains(string(data), `"topic_id":"`+metadata.IDString(topic.ID)+`"`) {
		t.Errorf("%s, %v", data, err)
	}
	c.write(tool, metadata.Set("/brokers/topics/t", []byte(`{"version":1,"partitions":{"0":[1],"1":[1],"2":[1]}}`), metadata.AnyVersion))
	c.until("the partition", topicIs("t", 3))
	if more, _ := c.loader.Image().Topic("t"); more.ID != topic.ID {
		t.Errorf("the id changed: %x, %x", topic.ID, more.ID)
	}
	c.write(tool, metadata.Set("/config/topics/t", []byte(`{"version":1,"config":{}}`), metadata.AnyVersion))
	c.write(tool, metadata.CreateSequential("/config/changes/config_change_", []byte(`{"version":2,"entity_path":"topics/t"}`)))
	c.until("the settings", func(image *metadata.Image) bool { return image.TopicConfig("t") == nil })

	c.mu.Lock()
	c.set.DeleteTopics = false
	c.mu.Unlock()
	c.write(tool, metadata.Create("/admin/delete_topics/t", nil), metadata.Create("/admin/delete_topics/nope", nil))
	c.until("the marks to go", func(image *metadata.Image) bool { return len(image.DeletionMarks()) == 0 })
	if _, ok := c.loader.Image().Topic("t"); !ok {
		t.Error("delete.topic.enable=false, and the topic is gone")
	}
	c.mu.Lock()
	c.set.DeleteTopics = true
	c.mu.Unlock()
	c.write(tool, metadata.Create("/admin/delete_topics/t", nil))
	c.until("the topic to go", func(image *metadata.Image) bool {
		_, ok := image.Topic("t")
		return !ok && len(image.DeletionMarks()) == 0
	})
	for _, path := range []string{"/brokers/topics/t", "/config/topics/t"} {
		if _, _, err := c.store.Get(t.Context(), path); !errors.Is(err, metadata.ErrNoNode) {
			t.Errorf("%s: %v", path, err)
		}
	}
	// A leftover of a tool's creation is no obstacle.
	c.write(tool, metadata.Create("/config/topics/u", []byte(`{"version":1,"config":{}}`)))
	if a := c.create(NewTopic{Name: "u", NumPartitions: 1, ReplicationFactor: 1, Config: map[string]string{"k": "v"}}); a[0].Err != nil || c.loader.Image().TopicConfig("u")["k"] != "v" {
		t.Errorf("%+v", a)
	}
}

// Partitions whose brokers are away get their leader when one comes.
func TestForeignTopicWaitsForItsBroker(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1)
	tool := c.tool()
	c.write(tool, metadata.Create("/brokers/topics/t", []byte(`{"version":1,"partitions":{"0":[1],"1":[9,1],"2":[9]}}`)))
	c.until("what can be led", func(image *metadata.Image) bool {
		topic, ok := image.Topic("t")
		return ok && topic.ID != (metadata.TopicID{}) && topic.Partitions[1].Leader == 1
	})
	topic, _ := c.loader.Image().Topic("t")
	if p := topic.Partitions[2]; p.Leader != metadata.NoLeader || p.PartitionEpoch != -1 {
		t.Errorf("%+v", p)
	}
	if _, err := Register(t.Context(), tool, c.clock, metadata.Broker{ID: 9}); err != nil {
		t.Fatal(err)
	}
	c.until("the last partition", topicIs("t", 3))
	if err := tool.Close(); err != nil {
		t.Fatal(err)
	}
	c.until("its leader to go", func(image *metadata.Image) bool {
		topic, _ := image.Topic("t")
		return topic.Partitions[2].Leader == metadata.NoLeader && topic.Partitions[1].Leader == 1
	})
}

// An id that a foreign write took while nobody looked is that of the logs.
func TestLostIDIsFoundInTheLogs(t *testing.T) {
	q := newQuorum(t)
	c := openTree(t, q).elect(1)
	id := c.create(NewTopic{Name: "t", NumPartitions: 1, ReplicationFactor: 1})[0].ID
	c.Close()
	c.loader.Close()
	if _, err := c.store.Multi(t.Context(), metadata.Set("/brokers/topics/t", []byte(`{"version":1,"partitions":{"0":[1],"1":[1]}}`), metadata.AnyVersion),
		metadata.Create("/brokers/topics/new", []byte(`{"version":1,"partitions":{"0":[1]}}`))); err != nil {
		t.Fatal(err)
	}
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	c = openTree(t, q)
	c.known = id
	c.elect(1)
	c.until("both topics", func(image *metadata.Image) bool { return topicIs("t", 2)(image) && topicIs("new", 1)(image) })
	topic, _ := c.loader.Image().Topic("t")
	other, _ := c.loader.Image().Topic("new")
	if topic.ID != id || other.ID == id {
		t.Errorf("ids %x and %x, want %x for the first", topic.ID, other.ID, id)
	}
}

// Nothing that can be written into the tree stops the controller.
func TestJunkInTheTree(t *testing.T) {
	c := openTree(t, newQuorum(t)).elect(1)
	tool := c.tool()
	c.create(NewTopic{Name: "good", NumPartitions: 2, ReplicationFactor: 1})
	junk := []string{"", "x", "{", `{"version":1}`, `{"version":9,"partitions":{}}`, `{"version":1,"partitions":{"7":[1]}}`, `{"version":1,"partitions":{"0":["a"]}}`, "\xff\xfe", "null", "[]", `{"version":1,"partitions":null}`}
	for i, text := range junk {
		name := fmt.Sprintf("junk%d", i)
		c.write(tool, metadata.Create("/brokers/topics/"+name, []byte(text)), metadata.Create("/config/topics/"+name, []byte(text)),
			metadata.Set("/brokers/topics/good", []byte(text), metadata.AnyVersion),
			metadata.Set("/brokers/topics/good/partitions/1/state", []byte(text), metadata.AnyVersion),
			metadata.CreateSequential("/config/changes/config_change_", []byte(text)),
			metadata.CreateEphemeral(fmt.Sprintf("/brokers/ids/%d", 100+i), []byte(text)))
	}
	c.write(tool, metadata.Create("/brokers/topics/a b", []byte(`{"version":1,"partitions":{"0":[1]}}`)), metadata.Create("/admin/delete_topics/junk1", nil))
	c.until("the mark of a topic that cannot be read", func(image *metadata.Image) bool { return len(image.DeletionMarks()) == 0 })
	if _, _, err := c.store.Get(t.Context(), "/brokers/topics/junk1"); !errors.Is(err, metadata.ErrNoNode) {
		t.Errorf("a topic that cannot be read cannot be deleted: %v", err)
	}
	c.until("the good topic", topicIs("good", 2))
	if a := c.create(NewTopic{Name: "more", NumPartitions: 1, ReplicationFactor: 1}); a[0].Err != nil {
		t.Error(a[0].Err)
	}
}
