package groups

import (
	"fmt"
	"os"
	"testing"
)

const (
	heartbeatMs = 300
	// sessionMs is how long a killed member is waited for.
	sessionMs = 6000
	// longSessionMs is more than a static member takes to come back.
	longSessionMs = 60000
)

func TestMain(m *testing.M) {
	if isMember() {
		if err := beMember(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "member:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestRebalances: members join, are killed, are suspended until the group has given them up
// and go on, and leave, while records are produced; and the broker is restarted under them.
func TestRebalances(t *testing.T) {
	for _, o := range []Orders{
		{Client: "franz-go", Protocol: "eager"},
		{Client: "franz-go", Protocol: "cooperative"},
		{Client: "franz-go", Protocol: "consumer"},
		{Client: "sarama", Protocol: "eager"},
		{Client: "sarama", Protocol: "cooperative"},
		{Client: "kafka-go", Protocol: "eager"},
		{Client: "confluent-kafka-go", Protocol: "eager"},
		{Client: "confluent-kafka-go", Protocol: "cooperative"},
		{Client: "confluent-kafka-go", Protocol: "consumer"},
		{Client: "kafkajs", Protocol: "eager"},
		{Client: "python3-confluent-kafka", Protocol: "eager"},
		{Client: "python3-confluent-kafka", Protocol: "cooperative"},
		{Client: "python3-kafka", Protocol: "eager"},
	} {
		t.Run(o.Client+"/"+o.Protocol, func(t *testing.T) {
			t.Parallel()
			o.SessionMs = sessionMs
			w := newWorld(t, sessionMs)
			a, b := w.start(o, "a", ""), w.start(o, "b", "")
			w.owns(a, 1)
			w.owns(b, 1)
			w.progress()

			w.kill(a)
			w.owns(b, partitions)
			w.progress()

			c := w.start(o, "c", "")
			w.owns(c, 1)
			w.progress()

			c.suspend()
			w.checker.Forget("c")
			w.owns(b, partitions)
			w.progress()
			c.resume()
			w.owns(c, 1)
			w.progress()

			w.restart(w.broker.Stop)
			w.progress()

			c.leave()
			w.owns(b, partitions)
			w.finish(b)
		})
	}
}

// TestStaticMembers: a static member that is killed and comes back gets what it had, and
// nobody else notices. In the new protocol the broker waits for the old one to say that it
// leaves, so there it is stopped instead. (franz-go 1.22 leaves out its instance id when it
// says so, which Kafka refuses and we know; its place is free at once.)
func TestStaticMembers(t *testing.T) {
	for _, o := range []Orders{
		{Client: "franz-go", Protocol: "cooperative"},
		{Client: "franz-go", Protocol: "consumer"},
		{Client: "sarama", Protocol: "eager"},
		{Client: "confluent-kafka-go", Protocol: "eager"},
		{Client: "confluent-kafka-go", Protocol: "consumer"},
		{Client: "python3-confluent-kafka", Protocol: "eager"},
	} {
		t.Run(o.Client+"/"+o.Protocol, func(t *testing.T) {
			t.Parallel()
			o.SessionMs = longSessionMs
			w := newWorld(t, longSessionMs)
			a, b := w.start(o, "a", "one"), w.start(o, "b", "two")
			w.waitFor("both to own something", func() bool {
				// Of one generation: in the next one either may get something else.
				a, b := w.checker.Assigned(groupID, "a"), w.checker.Assigned(groupID, "b")
				return a.Generation == b.Generation && len(a.Partitions) > 0 && len(b.Partitions) > 0 && len(a.Partitions)+len(b.Partitions) == partitions
			})
			w.progress()
			before := w.checker.Assigned(groupID, "a")
			if o.Protocol == "consumer" {
				a.leave()
				w.checker.Killed("a")
			} else {
				w.kill(a)
			}
			again := w.start(o, "again", "one")
			after := w.owns(again, 1)
			if after.Generation != before.Generation || !same(before, after) {
				t.Errorf("the static member came back to %+v, it had %+v", after, before)
			}
			w.progress()
			w.restart(w.broker.Kill)
			w.progress()
			w.finish(again, b)
		})
	}
}

// restart ends the broker and starts it again.
func (w *world) restart(end func() error) {
	w.t.Helper()
	w.must(end(), "end the broker")
	w.proxy.Quiet()
	w.checker.Restarted()
	w.must(w.broker.Start(), "start the broker")
}
