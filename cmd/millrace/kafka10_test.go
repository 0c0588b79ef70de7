package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace/millrace/internal/testkit"
)

// kafka10 makes the calls of Apache Kafka 1.0's kafka-topics.sh, one by one: it writes the
// nodes itself, by a client of others.
type kafka10 struct {
	t      *testing.T
	c      *zk.Conn
	chroot string
}

func dialKafka10(t *testing.T, connect string) *kafka10 {
	t.Helper()
	servers, chroot, _ := strings.Cut(connect, "/")
	if chroot != "" {
		chroot = "/" + chroot
	}
	c, _, err := zk.Connect([]string{servers}, 30*time.Second, zk.WithLogInfo(false), zk.WithLogger(silent{}))
	must(t, err)
	t.Cleanup(c.Close)
	k := &kafka10{t, c, chroot}
	if there, _, err := c.Exists(chroot + "/"[:1-min(len(chroot), 1)]); err != nil || !there {
		t.Fatalf("Zookeeper namespace does not exist: %t, %v", there, err)
	}
	return k
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func (k *kafka10) get(path string) (string, bool) {
	k.t.Helper()
	data, _, err := k.c.Get(k.chroot + path)
	if errors.Is(err, zk.ErrNoNode) {
		return "", false
	}
	must(k.t, err)
	return string(data), true
}

func (k *kafka10) children(path string) []string {
	k.t.Helper()
	names, _, err := k.c.Children(k.chroot + path)
	must(k.t, err)
	slices.Sort(names)
	return names
}

func (k *kafka10) make(path, data string, flags int32) {
	k.t.Helper()
	_, err := k.c.Create(k.chroot+path, []byte(data), flags, zk.WorldACL(zk.PermAll))
	must(k.t, err)
}

// update is ZkUtils.updatePersistentPath.
func (k *kafka10) update(path, data string) {
	k.t.Helper()
	_, err := k.c.Set(k.chroot+path, []byte(data), -1)
	if errors.Is(err, zk.ErrNoNode) {
		k.make(path, data, 0)
		return
	}
	must(k.t, err)
}

func (k *kafka10) createTopic(topic, config string, partitions ...int) {
	k.t.Helper()
	ids := k.children("/brokers/ids")
	for _, id := range ids {
		data, _ := k.get("/brokers/ids/" + id)
		if !regexp.MustCompile(`"version":[2-9]\b`).MatchString(data) || !strings.Contains(data, `"endpoints":["PLAINTEXT://`) || !strings.Contains(data, `"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"}`) {
			k.t.Errorf("the tool cannot read broker %s: %s", id, data)
		}
	}
	if slices.Contains(k.children("/brokers/topics"), topic) {
		k.t.Fatalf("Topic '%s' already exists.", topic)
	}
	k.update("/config/topics/"+topic, `{"version":1,"config":{`+config+`}}`)
	k.make("/brokers/topics/"+topic, k.assignment(ids, partitions[0]), 0)
}

func (k *kafka10) assignment(ids []string, partitions int) string {
	var list []string
	for i := range partitions {
		list = append(list, fmt.Sprintf(`"%d":[%s]`, i, ids[i%len(ids)]))
	}
	return `{"version":1,"partitions":{` + strings.Join(list, ",") + `}}`
}

func (k *kafka10) list() []string {
	k.t.Helper()
	var lines []string
	for _, topic := range k.children("/brokers/topics") {
		marked, _, err := k.c.Exists(k.chroot + "/admin/delete_topics/" + topic)
		must(k.t, err)
		if marked {
			topic += " - marked for deletion"
		}
		lines = append(lines, topic)
	}
	return lines
}

// describe returns the nodes that the tool reads, as one text.
func (k *kafka10) describe(topic string, partitions int) string {
	k.t.Helper()
	node, _ := k.get("/brokers/topics/" + topic)
	config, _ := k.get("/config/topics/" + topic)
	text := node + "\n" + config + "\n"
	for p := range partitions {
		state, _ := k.get(fmt.Sprintf("/brokers/topics/%s/partitions/%d/state", topic, p))
		text += state + "\n"
	}
	return text
}

func TestToolOfKafka10CallByCall(t *testing.T) {
	everyQuorum(t, func(t *testing.T, s *server, connect string) {
		k, cl := dialKafka10(t, connect), clientOf(t, s)
		k.createTopic("old.tool", `"retention.ms":"86400000"`, 2)
		created := awaitTopic(t, cl, "old.tool", 2)
		if created.ID == (kadm.TopicID{}) {
			t.Error("the topic has no id")
		}
		produceTo(t, cl, "old.tool", 0)
		produceTo(t, cl, "old.tool", 1)
		if got := k.list(); !slices.Equal(got, []string{"old.tool"}) {
			t.Errorf("--list: %q", got)
		}
		said := k.describe("old.tool", 2)
		want := regexp.MustCompile(`^\{"version":\d,"topic_id":"[^"]+","partitions":\{"0":\[1\],"1":\[1\]\}.*\n\{"version":1,"config":\{"retention.ms":"86400000"\}\}\n` +
			`(\{"controller_epoch":\d+,"leader":1,"version":1,"leader_epoch":0,"isr":\[1\]\}\n){2}$`)
		if !want.MatchString(said) {
			t.Errorf("--describe reads:\n%s", said)
		}

		// --alter --partitions overwrites the node, without the id.
		k.get("/brokers/topics/old.tool")
		k.update("/brokers/topics/old.tool", k.assignment([]string{"1"}, 3))
		if more := awaitTopic(t, cl, "old.tool", 3); more.ID != created.ID {
			t.Errorf("the id was %v and is %v", created.ID, more.ID)
		}
		produceTo(t, clientOf(t, s), "old.tool", 2) // one that knows nothing yet

		// --alter --config: the settings, then a note under a parent that it does not make.
		k.get("/config/topics/old.tool")
		k.update("/config/topics/old.tool", `{"version":1,"config":{"retention.ms":"1000000","max.message.bytes":"100000"}}`)
		k.make("/config/changes/config_change_", `{"version":2,"entity_path":"topics/old.tool"}`, zk.FlagSequence)
		testkit.WaitFor(t, "the settings", func() bool {
			configs, err := kadm.NewClient(cl).DescribeTopicConfigs(t.Context(), "old.tool")
			if err != nil || len(configs) != 1 {
				return false
			}
			for _, c := range configs[0].Configs {
				if c.Key == "max.message.bytes" {
					return c.MaybeValue() == "100000"
				}
			}
			return false
		})

		k.make("/admin/delete_topics/old.tool", "", 0)
		awaitNoTopic(t, cl, "old.tool")
		testkit.WaitFor(t, "the nodes to go", func() bool {
			_, config := k.get("/config/topics/old.tool")
			_, mark := k.get("/admin/delete_topics/old.tool")
			return len(k.list()) == 0 && !config && !mark
		})
		k.make("/admin/delete_topics/nobody", "", 0) // a topic that does not exist
		testkit.WaitFor(t, "the mark to go", func() bool { _, there := k.get("/admin/delete_topics/nobody"); return !there })

		// The same name again, and our broker's own tools agree.
		k.createTopic("old.tool", "", 1)
		if again := awaitTopic(t, cl, "old.tool", 1); again.ID == created.ID {
			t.Error("another topic has the id of the deleted one")
		}
		if got := k.children("/brokers/ids"); !slices.Equal(got, []string{"1"}) {
			t.Errorf("/brokers/ids: %v", got)
		}
	})
}
