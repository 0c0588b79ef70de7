package broker

import (
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
)

// kadm moves a partition between directories; its records are there afterwards, and
// DescribeLogDirs says where.
func TestAlterReplicaLogDirs(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	n := startNodeWith(t, nodeOptions{dirs: dirs})
	id := n.create("topic", 1)
	n.produce("topic", id, 0, "a", "b", "c")
	a := n.admin()
	where := func() map[string]kadm.DescribedLogDirPartition {
		described, err := a.DescribeBrokerLogDirs(a.ctx, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]kadm.DescribedLogDirPartition{}
		described.Each(func(d kadm.DescribedLogDir) {
			if d.Err != nil {
				t.Errorf("%s: %v", d.Dir, d.Err)
			}
			if p, ok := d.Topics.Lookup("topic", 0); ok {
				found[d.Dir] = p
			}
		})
		return found
	}
	from := n.logOf("topic").LogDir()
	to := dirs[0]
	if from == to {
		to = dirs[1]
	}
	size := where()[from].Size
	req := func(dir string, topic string, partition int32) int16 {
		var r kadm.AlterReplicaLogDirsReq
		r.Add(dir, kadm.TopicsSet{topic: {partition: {}}})
		resp, err := a.AlterBrokerReplicaLogDirs(a.ctx, 1, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range resp {
			for _, p := range d {
				if p.Err != nil {
					return p.Err.(*kerr.Error).Code
				}
			}
		}
		return 0
	}
	if code := req(to, "topic", 0); code != 0 {
		t.Fatalf("code %d", code)
	}
	testkit.WaitFor(t, "the log to arrive", func() bool {
		found := where()
		p, ok := found[to]
		return ok && len(found) == 1 && !p.IsFuture && p.Size == size
	})
	testkit.WaitFor(t, "the partition to use it", func() bool {
		return n.logOf("topic").Dir() == filepath.Join(to, "topic-0")
	})
	if code := req(to, "topic", 0); code != 0 {
		t.Errorf("to where it is: code %d", code)
	}
	if code := req("/nowhere", "topic", 0); code != kerr.LogDirNotFound.Code {
		t.Errorf("an unknown directory: code %d", code)
	}
	if code := req(from, "topic", 7); code != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("an unknown partition: code %d", code)
	}
	n.produce("topic", id, 0, "d")
	cl := n.client(kgo.ConsumeTopics("topic"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var got string
	for len(got) < 4 {
		fetches := cl.PollFetches(a.ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got += string(r.Value) })
	}
	if got != "abcd" {
		t.Errorf("read %q", got)
	}
	// The versions differ in their encoding only.
	for _, v := range []int16{1, 2} {
		q := kmsg.NewPtrAlterReplicaLogDirsRequest()
		q.SetVersion(v)
		q.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: to, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "topic", Partitions: []int32{0}}}}}
		if p := n.raw().do(q).(*kmsg.AlterReplicaLogDirsResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 {
			t.Errorf("version %d: code %d", v, p.ErrorCode)
		}
	}
}
