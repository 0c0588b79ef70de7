package broker

import (
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/record"
)

// A replica whose log directory failed is told as offline, leads nothing and is not elected.
func TestReplicasOnAFailedDirectory(t *testing.T) {
	dir := t.TempDir()
	disk := errorfs.Wrap(osfs.FS{}, nil)
	n := startNodeWith(t, nodeOptions{fs: disk, dirs: []string{dir, t.TempDir()}})
	id := n.create("topic", 2, "flush.messages=1") // one partition in each directory
	broken := int32(0)
	if !strings.HasPrefix(n.logOf("topic").Dir(), dir+"/") {
		broken = 1
	}
	disk.SetRule(func(op errorfs.Op) errorfs.Fault {
		if op.Kind == errorfs.SyncData && strings.HasPrefix(op.Path, dir+"/") {
			return errorfs.Fault{Err: syscall.EIO}
		}
		return errorfs.Fault{}
	})
	resp := n.raw().do(produceRequest(9, -1, "topic", id, broken, batchOf(t, record.BuilderOptions{}, "x"))).(*kmsg.ProduceResponse)
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != kerr.KafkaStorageError.Code {
		t.Fatalf("produce: code %d", code)
	}
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(12)
	for _, p := range n.raw().do(req).(*kmsg.MetadataResponse).Topics[0].Partitions {
		want, leader, code := 0, int32(1), int16(0)
		if p.Partition == broken {
			want, leader, code = 1, -1, kerr.LeaderNotAvailable.Code
		}
		if len(p.OfflineReplicas) != want || p.Leader != leader || p.ErrorCode != code || len(p.Replicas) != 1 {
			t.Errorf("partition %d of which %d is broken: %+v", p.Partition, broken, p)
		}
	}
	elect := kmsg.NewPtrElectLeadersRequest()
	elect.SetVersion(2)
	for kind, want := range []*kerr.Error{kerr.PreferredLeaderNotAvailable, kerr.EligibleLeadersNotAvailable} {
		elect.ElectionType = int8(kind)
		elect.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "topic", Partitions: []int32{broken}}}
		if got := n.raw().do(elect).(*kmsg.ElectLeadersResponse).Topics[0].Partitions[0]; got.ErrorCode != want.Code {
			t.Errorf("election of type %d: code %d, want %d", kind, got.ErrorCode, want.Code)
		}
	}
}

// A topic whose logs cannot be made is not there afterwards, and the client is told why.
func TestCreateTopicsWithoutRoom(t *testing.T) {
	disk := errorfs.Wrap(osfs.FS{}, nil)
	n := startNodeWith(t, nodeOptions{fs: disk})
	disk.SetRule(func(op errorfs.Op) errorfs.Fault {
		if op.Kind == errorfs.MkdirAll && strings.Contains(op.Path, "full-") {
			return errorfs.Fault{Err: syscall.ENOSPC}
		}
		return errorfs.Fault{}
	})
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(7)
	for _, name := range []string{"full", "room"} {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 2, 1
		req.Topics = append(req.Topics, topic)
	}
	resp := n.raw().do(req).(*kmsg.CreateTopicsResponse)
	if got := resp.Topics[0]; got.ErrorCode != kerr.PolicyViolation.Code || !strings.Contains(deref(got.ErrorMessage), "is full") {
		t.Errorf("full: code %d, %s", got.ErrorCode, deref(got.ErrorMessage))
	}
	if got := resp.Topics[1]; got.ErrorCode != 0 {
		t.Errorf("room: code %d, %s", got.ErrorCode, deref(got.ErrorMessage))
	}
	if _, ok := n.loader.Image().Topic("full"); ok {
		t.Error("the topic that was refused exists")
	}
	disk.SetRule(nil)
	n.create("full", 2)
}
