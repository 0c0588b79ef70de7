package groups

import "testing"

// TestProtocolChanges: members of the classic and of the new protocol in one group, while
// records are produced and the broker is restarted. The group goes over to the new protocol
// with the first such member and back when the last one leaves.
func TestProtocolChanges(t *testing.T) {
	for _, o := range []Orders{
		{Client: "franz-go", Protocol: "eager"},
		{Client: "franz-go", Protocol: "cooperative"},
		{Client: "confluent-kafka-go", Protocol: "eager"},
		{Client: "confluent-kafka-go", Protocol: "cooperative"},
	} {
		t.Run(o.Client+"/"+o.Protocol, func(t *testing.T) {
			t.Parallel()
			o.SessionMs = sessionMs
			next := o
			next.Protocol = "consumer"
			w := newWorld(t, sessionMs)
			// In a rebalance librdkafka's sticky assignor puts into an assignment what its member said of
			// the one before, by which Kafka takes it for somebody's own assignor and lets no member of
			// the new protocol in: whether there was one is a matter of how fast two members start.
			later := o.Client == "confluent-kafka-go" && o.Protocol == "cooperative"
			a := w.start(o, "a", "")
			var b *process
			if !later {
				b = w.start(o, "b", "")
				w.owns(b, 1)
			}
			w.owns(a, 1)
			w.progress()

			c := w.start(next, "c", "")
			w.owns(c, 1)
			if later {
				b = w.start(o, "b", "")
				w.owns(b, 1)
			}
			w.progress()
			w.restart(w.broker.Stop)
			w.progress()

			a.leave()
			d := w.start(next, "d", "")
			w.owns(d, 1)
			b.leave()
			w.progress()
			w.owns(c, partitions/2)
			w.owns(d, partitions/2)

			e := w.start(o, "e", "")
			w.owns(e, 1)
			w.progress()
			c.leave()
			w.progress()
			d.leave()
			w.owns(e, partitions)
			w.progress()
			f := w.start(o, "f", "")
			w.owns(f, 1)
			w.finish(e, f)
		})
	}
}
