package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/zkserver"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/quorum"
	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/tools/cli/clitest"
	"github.com/millrace/millrace/tools/configs"
	"github.com/millrace/millrace/tools/topics"
)

// startHere starts a broker in this process, with its client port on a free port.
func startHere(t *testing.T, dir string, more ...string) *server {
	t.Helper()
	s, err := tryStart(t, dir, more...)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close(context.Background())) })
	return s
}

func tryStart(t *testing.T, dir string, more ...string) (*server, error) {
	t.Helper()
	overrides := append([]string{"broker.id=1", "log.dirs=" + dir, "listeners=PLAINTEXT://127.0.0.1:0", "admin.listener=", "quorum.client.listener=127.0.0.1:0"}, more...)
	cfg, _, err := config.Load(config.Input{FS: osfs.FS{}, Overrides: overrides})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	s, err := startServer(ctx, cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		return nil, err
	}
	return s.(*server), nil
}

// startEnsemble is "millrace quorum" in this process.
func startEnsemble(t *testing.T) (address string) {
	t.Helper()
	q, err := quorum.Start(t.Context(), quorum.Options{
		Config: zoocfg.Embedded(t.TempDir(), "127.0.0.1:0"), FS: osfs.FS{}, Net: netx.TCP{}, Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	t.Cleanup(func() { must(t, q.Close(context.Background())) })
	return q.Addr()
}

// everyQuorum runs a test with the quorum inside, one of ours outside, and Debian's ZooKeeper.
func everyQuorum(t *testing.T, test func(t *testing.T, s *server, connect string)) {
	t.Run("inside", func(t *testing.T) {
		s := startHere(t, t.TempDir())
		test(t, s, s.QuorumAddr())
	})
	t.Run("outside", func(t *testing.T) {
		connect := startEnsemble(t) + "/khg-kafka"
		test(t, startHere(t, t.TempDir(), "zookeeper.connect="+connect), connect)
	})
	t.Run("Apache ZooKeeper", func(t *testing.T) {
		zkserver.Need(t)
		connect := zkserver.Launch(t, zkserver.Options{Servers: 1}).ConnectString() + "/khg-kafka"
		test(t, startHere(t, t.TempDir(), "zookeeper.connect="+connect), connect)
	})
}

func clientOf(t *testing.T, s *server) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(10*time.Millisecond), kgo.UnknownTopicRetries(-1))
	must(t, err)
	t.Cleanup(cl.Close)
	return cl
}

// awaitTopic waits until clients see a topic with so many partitions that all have a leader.
func awaitTopic(t *testing.T, cl *kgo.Client, topic string, partitions int) kadm.TopicDetail {
	t.Helper()
	var found kadm.TopicDetail
	testkit.WaitFor(t, fmt.Sprintf("topic %s with %d partitions", topic, partitions), func() bool {
		details, err := kadm.NewClient(cl).ListTopics(t.Context(), topic)
		found = details[topic]
		return err == nil && found.Err == nil && len(found.Partitions) == partitions &&
			!slices.ContainsFunc(found.Partitions.Sorted(), func(p kadm.PartitionDetail) bool { return p.Err != nil || p.Leader < 0 })
	})
	return found
}

func awaitNoTopic(t *testing.T, cl *kgo.Client, topic string) {
	t.Helper()
	testkit.WaitFor(t, "topic "+topic+" to go", func() bool {
		details, err := kadm.NewClient(cl).ListTopics(t.Context())
		return err == nil && !details.Has(topic)
	})
}

func produceTo(t *testing.T, cl *kgo.Client, topic string, partition int32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatalf("produce to %s-%d: %v", topic, partition, err)
	}
}

// Our kafka-topics.sh and kafka-configs.sh with --zookeeper print the lines of Kafka 1.0's.
func TestToolsOverZooKeeper(t *testing.T) {
	everyQuorum(t, func(t *testing.T, s *server, connect string) {
		cl := clientOf(t, s)
		call := func(words string) clitest.Result {
			all := append([]string{"--zookeeper", connect}, strings.Fields(words)...)
			if name, rest, _ := strings.Cut(words, " "); name == "configs" {
				return clitest.Run(t.Context(), configs.Command("kafka-configs.sh"), "", append([]string{"--zookeeper", connect}, strings.Fields(rest)...)...)
			}
			return clitest.Run(t.Context(), topics.Command("kafka-topics.sh"), "", all...)
		}
		expect := func(words string, code int, out string) {
			t.Helper()
			if got := call(words); got.Code != code || got.Out != out {
				t.Errorf("%s: code %d, printed %q, stderr %q; want %d, %q", words, got.Code, got.Out, got.Err, code, out)
			}
		}
		expect("--create --topic clicks --partitions 2 --replication-factor 1 --config retention.ms=1000000", 0, "Created topic \"clicks\".\n")
		awaitTopic(t, cl, "clicks", 2)
		produceTo(t, cl, "clicks", 1)
		expect("--create --topic clicks --partitions 2 --replication-factor 1", 1, "Error while executing topic command : Topic 'clicks' already exists.\n")
		expect("--create --topic clicks --partitions 2 --replication-factor 1 --if-not-exists", 0, "")
		expect("--create --topic x --partitions 0 --replication-factor 1", 1, "Error while executing topic command : Number of partitions must be larger than 0.\n")
		expect("--create --topic x --partitions 1 --replication-factor 2", 1, "Error while executing topic command : Replication factor: 2 larger than available brokers: 1.\n")
		expect("--create --topic a+b --partitions 1 --replication-factor 1", 1, "Error while executing topic command : Topic name \"a+b\" is illegal, it contains a character other than ASCII alphanumerics, '.', '_' and '-'\n")
		expect("--list", 0, "clicks\n")
		expect("--describe", 0, "Topic:clicks\tPartitionCount:2\tReplicationFactor:1\tConfigs:retention.ms=1000000\n"+
			"\tTopic: clicks\tPartition: 0\tLeader: 1\tReplicas: 1\tIsr: 1\n\tTopic: clicks\tPartition: 1\tLeader: 1\tReplicas: 1\tIsr: 1\n")
		expect("--alter --topic clicks --partitions 1", 1, "WARNING: If partitions are increased for a topic that has a key, the partition logic or ordering of the messages will be affected\n"+
			"Error while executing topic command : The number of partitions for a topic can only be increased. Topic clicks currently has 2 partitions, 1 would not be an increase.\n")
		expect("--alter --topic clicks --partitions 3", 0, "WARNING: If partitions are increased for a topic that has a key, the partition logic or ordering of the messages will be affected\nAdding partitions succeeded!\n")
		awaitTopic(t, cl, "clicks", 3)
		expect("--alter --topic nope --partitions 3", 1, "Error while executing topic command : Topic nope does not exist on ZK path "+connect+"\n")
		expect("--alter --topic clicks --config cleanup.policy=compact --delete-config retention.ms", 0, "WARNING: Altering topic configuration from this script has been deprecated and may be removed in future releases.\n"+
			"         Going forward, please use kafka-configs.sh for this functionality\nUpdated config for topic \"clicks\".\n")
		expect("configs --describe --entity-type topics --entity-name clicks", 0, "Configs for topic 'clicks' are cleanup.policy=compact\n")
		expect("configs --alter --entity-type topics --entity-name clicks --add-config segment.bytes=2000000 --delete-config cleanup.policy", 0, "Completed Updating config for entity: topic 'clicks'.\n")
		expect("configs --describe --entity-type topics --entity-name clicks", 0, "Configs for topic 'clicks' are segment.bytes=2000000\n")
		expect("--delete --topic clicks", 0, "Topic clicks is marked for deletion.\nNote: This will have no impact if delete.topic.enable is not set to true.\n")
		awaitNoTopic(t, cl, "clicks")
		expect("--delete --topic clicks", 1, "Error while executing topic command : Topic clicks does not exist on ZK path "+connect+"\n")
		expect("--delete --topic clicks --if-exists", 0, "")
	})
	address := startEnsemble(t)
	got := clitest.Run(t.Context(), topics.Command("kafka-topics.sh"), "", "--zookeeper", address+"/nowhere", "--list")
	if got.Code != 1 || got.Out != "Error while executing topic command : Zookeeper namespace does not exist\n" {
		t.Errorf("a chroot that does not exist: %d, %q", got.Code, got.Out)
	}
}

// Debian's zkCli.sh shows the broker.
func TestZkCliShowsTheBroker(t *testing.T) {
	zkserver.Need(t)
	script := "/usr/share/zookeeper/bin/zkCli.sh"
	if _, err := os.Stat(script); err != nil {
		t.Skip(err)
	}
	connect := startEnsemble(t)
	startHere(t, t.TempDir(), "zookeeper.connect="+connect+"/khg-kafka")
	cmd := exec.CommandContext(t.Context(), script, "-server", connect, "ls", "/khg-kafka/brokers/ids")
	cmd.Dir = t.TempDir()
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil || !strings.HasSuffix(strings.TrimSpace(out.String()), "[1]") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// The ensemble ends the broker's session: the broker registers again and decides again.
func TestSessionExpires(t *testing.T) {
	everyQuorum(t, func(t *testing.T, s *server, connect string) {
		cl := clientOf(t, s)
		if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, "before"); err != nil {
			t.Fatal(err)
		}
		k := dialKafka10(t, connect)
		for _, path := range []string{"/controller", "/brokers/ids/1"} { // what goes with a session
			must(t, k.c.Delete(k.chroot+path, -1))
		}
		testkit.WaitFor(t, "the broker to be back", func() bool {
			_, registered := k.get("/brokers/ids/1")
			controller, _ := k.get("/controller")
			return registered && strings.Contains(controller, `"brokerid":1`)
		})
		testkit.WaitFor(t, "the controller to decide", func() bool {
			_, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, "after")
			return err == nil || strings.Contains(err.Error(), "EXISTS")
		})
		awaitTopic(t, cl, "before", 1)
		produceTo(t, cl, "before", 0)
	})
}

// Two brokers of one cluster: one controls, ids are unique, topics go to who is there.
func TestTwoBrokersOfOneEnsemble(t *testing.T) {
	connect := startEnsemble(t) + "/two"
	one := startHere(t, t.TempDir(), "zookeeper.connect="+connect)
	two := startHere(t, t.TempDir(), "zookeeper.connect="+connect, "broker.id=2")
	if one.loader.Image().ClusterID() != two.loader.Image().ClusterID() {
		t.Error("two clusters")
	}
	if _, err := tryStart(t, t.TempDir(), "zookeeper.connect="+connect, "broker.id=2", "zookeeper.session.timeout.ms=2000", "zookeeper.connection.timeout.ms=120000"); err == nil || !strings.Contains(err.Error(), "broker id 2 is taken") {
		t.Errorf("a second broker 2: %v", err)
	}
	cl := clientOf(t, two)
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 4, 1, nil, "spread"); err != nil {
		t.Fatal(err)
	}
	topic := awaitTopic(t, cl, "spread", 4)
	leads := map[int32]int{}
	for _, p := range topic.Partitions {
		leads[p.Leader]++
		produceTo(t, cl, "spread", p.Partition)
	}
	if leads[1] != 2 || leads[2] != 2 {
		t.Errorf("leaders %v", leads)
	}
	if c := one.loader.Image().Controller(); c.BrokerID != 1 {
		t.Errorf("controller %+v", c)
	}
}

// A node from before has its state in one file: its topics, settings and records are there
// after the start, once and for all.
func TestNodeFromBefore(t *testing.T) {
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "former"))))
	for range 2 {
		s, err := tryStart(t, dir)
		must(t, err)
		cl := clientOf(t, s)
		if id := s.loader.Image().ClusterID(); id != "fxxN2lCLSuq76KsVHdEqbg" {
			t.Errorf("cluster %s", id)
		}
		topic := awaitTopic(t, cl, "clicks", 2)
		if text := metadata.IDString(metadata.TopicID(topic.ID)); text != "lGCauj7JRvWCugduoath_Q" {
			t.Errorf("topic id %s", text)
		}
		offsets, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), "clicks")
		must(t, err)
		if end, _ := offsets.Lookup("clicks", 1); end.Offset != 3 {
			t.Errorf("end offset %d", end.Offset)
		}
		if got := s.loader.Image().TopicConfig("clicks")["delete.retention.ms"]; got != "123456789" {
			t.Errorf("delete.retention.ms %q", got)
		}
		if _, err := os.Stat(filepath.Join(dir, "millrace-metadata.imported")); err != nil {
			t.Error(err)
		}
		cl.Close()
		must(t, s.Close(context.Background()))
	}
}

// A client port that is taken says which key to change.
func TestQuorumPortIsTaken(t *testing.T) {
	s := startHere(t, t.TempDir())
	_, err := tryStart(t, t.TempDir(), "quorum.client.listener="+s.QuorumAddr())
	if err == nil {
		t.Fatal("two brokers on one port")
	}
	for _, part := range []string{"quorum.client.listener " + s.QuorumAddr(), "--override quorum.client.listener=", "--override zookeeper.connect="} {
		if !strings.Contains(explain(err).Error(), part) {
			t.Errorf("%q is missing in: %v", part, explain(err))
		}
	}
}

// The leader of the ensemble is killed: the broker keeps its session and its registration, and
// the controller decides again once there is another leader.
func TestBrokerOutlivesTheLeader(t *testing.T) {
	home := install(t)
	e := zkserver.Launch(t, zkserver.Options{Servers: 3, Argv: []string{filepath.Join(home, "bin", "millrace"), "quorum"}})
	s := startHere(t, t.TempDir(), "zookeeper.connect="+e.ConnectString()+"/kafka")
	cl := clientOf(t, s)
	admin := kadm.NewClient(cl)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "before"); err != nil {
		t.Fatal(err)
	}
	session := s.tree.Session()
	leader, err := e.Leader()
	must(t, err)
	must(t, leader.Kill())
	testkit.WaitFor(t, "a decision after the leader", func() bool {
		_, err := admin.CreateTopic(t.Context(), 1, 1, nil, "after")
		return err == nil || errors.Is(err, kerr.TopicAlreadyExists)
	})
	awaitTopic(t, cl, "after", 1)
	produceTo(t, cl, "before", 0)
	if now := s.tree.Session(); now.ID != session.ID {
		t.Errorf("the session was %x and is %x", session.ID, now.ID)
	}
	if topic := awaitTopic(t, cl, "before", 1); topic.Partitions[0].LeaderEpoch != 0 {
		t.Errorf("the partition was led anew: %+v", topic.Partitions[0])
	}
}
