package broker

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record"
)

// FuzzServe hands a request of any bytes to a whole broker: it costs at most its
// connection, and the broker still answers others.
func FuzzServe(f *testing.F) {
	for a := range protocol.APIs() {
		for v := a.Min; v <= a.Max; v++ {
			q := kmsg.RequestForKey(a.Key)
			q.SetVersion(v)
			f.Add(frameOf(q))
		}
	}
	f.Add(frameOf(produceRequest(9, -1, "topic", [16]byte{}, 0, batchOf(f, record.BuilderOptions{}, "value"))))
	f.Add(frameOf(fetchRequest(12, "topic", [16]byte{}, 0, 0)))
	n := quiet(f, "auto.create.topics.enable=false", "log.retention.bytes=1048576")
	n.create("topic", 1)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < 8 || binary.BigEndian.Uint16(frame) == 19 {
			return // topics that were made would make the next run differ
		}
		s, _ := n.handler()
		s.Serve(frame)
		s.c.Flush()
		s.c.Close(nil)
		s, out := n.handler()
		s.Serve(frameOf(kmsg.NewPtrMetadataRequest()))
		s.c.Flush()
		if out.n == 0 {
			t.Fatal("the next request was not answered")
		}
	})
}

// Names of topics that only differ in case or dots are different topics; a wrong name
// never reaches the disk. Random names, each created and described.
func TestRandomTopicNames(t *testing.T) {
	n := startNode(t)
	rng := testkit.Rand(t)
	r := n.raw()
	for range testkit.Rounds(t, "ROUNDS", 100) {
		name := make([]byte, rng.IntN(12))
		for i := range name {
			name[i] = "abAB.._-/\\ \x00é"[rng.IntN(14)]
		}
		q := kmsg.NewPtrCreateTopicsRequest()
		q.SetVersion(7)
		q.ValidateOnly = rng.IntN(2) == 0
		q.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: string(name), NumPartitions: 1, ReplicationFactor: 1}}
		code := r.do(q).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode
		topic := n.metadata(askFor(string(name))).Topics[0]
		if (code == 17) != (topic.ErrorCode == 17) {
			t.Errorf("topic %q: created with code %d, described with code %d", name, code, topic.ErrorCode)
		}
	}
}
