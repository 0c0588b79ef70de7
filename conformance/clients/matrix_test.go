package clients

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace/millrace/conformance/harness"
)

// matrix names every client; a client that does not start fails its test.
var matrix = map[string]func(bootstrap string) (Driver, error){
	"franz-go":           newFranz,
	"sarama":             newSarama,
	"kafka-go":           newKafkaGo,
	"confluent-kafka-go": newConfluent,
	"kcat":               newKcat,
	"python3-confluent-kafka": func(b string) (Driver, error) {
		return newProcess("python3-confluent-kafka", Abilities{
			Codecs: []string{"none", "gzip", "snappy", "lz4", "zstd"}, Admin: true, Idempotent: true, Headers: true, NullKeys: true,
			NullValues: true, Timestamps: true, ByTimestamp: true, Survives: true,
		}, b, "/usr/bin/python3", "drivers/confluent.py")
	},
	"python3-kafka": func(b string) (Driver, error) {
		return newProcess("python3-kafka", Abilities{
			Codecs: []string{"none", "gzip"}, Admin: true, Headers: true, NullValues: true, Timestamps: true, ByTimestamp: true, Survives: true,
		}, b, "/usr/bin/python3", "drivers/kafka_python.py")
	},
	"kafkajs": func(b string) (Driver, error) {
		return newProcess("kafkajs", Abilities{
			Codecs: []string{"none", "gzip", "snappy", "lz4", "zstd"}, Admin: true, Idempotent: true, Headers: true, NullKeys: true,
			NullValues: true, Timestamps: true, ByTimestamp: true, Survives: true,
		}, b, "node", "drivers/kafkajs.js")
	},
}

var bootstrap string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		bootstrap = os.Getenv("BOOTSTRAP")
		if bootstrap == "" {
			b, err := harness.Launch(harness.Options{})
			if err != nil {
				fmt.Fprintln(os.Stderr, "clients: no broker:", err)
				return 1
			}
			defer b.Close()
			bootstrap = b.Bootstrap()
		}
		return m.Run()
	}())
}

func TestClients(t *testing.T) {
	for name, connect := range matrix {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := connect(bootstrap)
			must(t, err, "connect")
			defer d.Close()
			reference := referenceFor(t, name)
			for _, codec := range d.Can().Codecs {
				t.Run("codec="+codec, func(t *testing.T) { roundTrip(t, d, reference, codec) })
			}
			t.Run("timestamp", func(t *testing.T) { fromTimestamp(t, d, reference) })
			t.Run("end", func(t *testing.T) { fromEnd(t, d, reference) })
			t.Run("idempotent", func(t *testing.T) { idempotent(t, d, reference) })
			t.Run("large", func(t *testing.T) { large(t, d, reference) })
			t.Run("topics=100", func(t *testing.T) { manyTopics(t, d, reference) })
			t.Run("restart", func(t *testing.T) { restart(t, connect) })
		})
	}
}

// referenceFor connects the client that reads after the one under test: another one.
func referenceFor(t *testing.T, name string) Driver {
	t.Helper()
	connect := newFranz
	if name == "franz-go" {
		connect = newSarama
	}
	d, err := connect(bootstrap)
	must(t, err, "connect the reference")
	t.Cleanup(func() { d.Close() })
	return d
}

// topicOf names a topic after the running test.
func topicOf(t *testing.T) string {
	return strings.NewReplacer("/", "-", "=", "-").Replace(t.Name())
}

// roundTrip: what the client wrote, it and another one read; what another one wrote, it reads.
func roundTrip(t *testing.T, d, reference Driver, codec string) {
	topic := topicOf(t)
	create(t, d, reference, topic, nil)
	own := sample(60, d.Can(), "own")
	send(t, d, ProducerOptions{Codec: codec}, topic, own)
	strict := d.Can().HeaderValues
	same(t, own, read(t, d, topic, From{}, len(own)), 0, strict)
	same(t, own, read(t, reference, topic, From{}, len(own)), 0, false)

	can := reference.Can()
	can.HeaderValues = can.HeaderValues && strict
	other := sample(60, can, "other")
	send(t, reference, ProducerOptions{Codec: codec}, topic, other)
	got := read(t, d, topic, From{}, len(own)+len(other))
	same(t, other, got[len(own):], int64(len(own)), strict)
	if d.Can().Admin {
		must(t, d.DeleteTopic(bounded(t), topic), "delete %s", topic)
		gone(t, topic)
	}
}

// gone checks with the reference that a topic is no longer there.
func gone(t *testing.T, topic string) {
	t.Helper()
	d, err := newFranz(bootstrap)
	must(t, err, "connect")
	defer d.Close()
	topics, err := kadm.NewClient(d.(*franz).admin).ListTopics(bounded(t))
	must(t, err, "list topics")
	if topics.Has(topic) {
		t.Fatalf("topic %s is still listed after its deletion", topic)
	}
}

func fromTimestamp(t *testing.T, d, reference Driver) {
	if !d.Can().ByTimestamp {
		return
	}
	topic := topicOf(t)
	create(t, d, reference, topic, nil)
	writer := d
	if !d.Can().Timestamps {
		writer = reference
	}
	recs := sample(50, writer.Can(), "time")
	codec := "lz4"
	if !slices.Contains(writer.Can().Codecs, codec) {
		codec = "gzip"
	}
	p, err := writer.NewProducer(bounded(t), ProducerOptions{Codec: codec})
	must(t, err, "make a producer")
	for i := 0; i < len(recs); i += 10 {
		must(t, p.Send(bounded(t), topic, recs[i:i+10]), "send")
	}
	must(t, p.Close(), "close")
	// Half a second after record 22: the first record at or after that is record 23.
	at := recs[22].TimestampMs + 500
	got := read(t, d, topic, From{TimestampMs: at}, 27)
	same(t, recs[23:], got, 23, false)
}

func fromEnd(t *testing.T, d, reference Driver) {
	topic := topicOf(t)
	create(t, d, reference, topic, nil)
	send(t, reference, ProducerOptions{Codec: "none"}, topic, sample(10, reference.Can(), "before"))
	can := reference.Can()
	can.HeaderValues = false
	after := sample(10, can, "after")
	recs, err := d.Consume(bounded(t), topic, From{End: true}, len(after), func() {
		send(t, reference, ProducerOptions{Codec: "none"}, topic, after)
	})
	must(t, err, "consume from the end")
	same(t, after, recs, 10, false)
}

func idempotent(t *testing.T, d, reference Driver) {
	if !d.Can().Idempotent {
		return
	}
	topic := topicOf(t)
	create(t, d, reference, topic, nil)
	recs := sample(300, d.Can(), "once")
	p, err := d.NewProducer(bounded(t), ProducerOptions{Codec: "none", Idempotent: true})
	must(t, err, "make an idempotent producer")
	for chunk := range slices.Chunk(recs, 30) {
		must(t, p.Send(bounded(t), topic, chunk), "send")
	}
	must(t, p.Close(), "close")
	same(t, recs, read(t, d, topic, From{}, len(recs)), 0, false)
}

func large(t *testing.T, d, reference Driver) {
	topic := topicOf(t)
	create(t, d, reference, topic, nil)
	value := bytes.Repeat([]byte("0123456789abcdef"), 900_000/16)
	recs := []Rec{{Key: []byte("a"), Value: value}, {Key: []byte("b"), Value: []byte("small")}, {Key: []byte("c"), Value: value}}
	p, err := d.NewProducer(bounded(t), ProducerOptions{Codec: "none"})
	must(t, err, "make a producer")
	for _, r := range recs {
		must(t, p.Send(bounded(t), topic, []Rec{r}), "send %d bytes", len(r.Value))
	}
	must(t, p.Close(), "close")
	same(t, recs, read(t, d, topic, From{}, len(recs)), 0, false)

	limited := topic + "-limited"
	create(t, d, reference, limited, map[string]string{"max.message.bytes": "1000"})
	p, err = reference.NewProducer(bounded(t), ProducerOptions{Codec: "none"})
	must(t, err, "make a producer")
	defer p.Close()
	if err := p.Send(bounded(t), limited, []Rec{{Key: []byte("k"), Value: value[:5000]}}); err == nil {
		t.Fatal("5,000 bytes were taken by a topic with max.message.bytes=1000")
	}
	must(t, p.Send(bounded(t), limited, []Rec{{Key: []byte("k"), Value: value[:500]}}), "send 500 bytes")
}

func manyTopics(t *testing.T, d, reference Driver) {
	topics := make([]string, 100)
	for i := range topics {
		topics[i] = fmt.Sprintf("%s-%d", topicOf(t), i)
		create(t, d, reference, topics[i], nil)
	}
	p, err := d.NewProducer(bounded(t), ProducerOptions{Codec: "none"})
	must(t, err, "make a producer")
	recs := make([]Rec, len(topics))
	for i, topic := range topics {
		recs[i] = Rec{Topic: topic, Key: []byte("k"), Value: []byte(topic)}
	}
	must(t, p.Send(bounded(t), "", recs), "send to %d topics", len(topics))
	must(t, p.Close(), "close")
	for i, topic := range topics {
		if i%10 == 0 {
			same(t, []Rec{{Key: []byte("k"), Value: []byte(topic)}}, read(t, d, topic, From{}, 1), 0, false)
		}
		if d.Can().Admin {
			must(t, d.DeleteTopic(bounded(t), topic), "delete %s", topic)
		}
	}
}

// restart stops the broker under a producer that lives on, and starts it again on its data.
func restart(t *testing.T, connect func(string) (Driver, error)) {
	if os.Getenv("BOOTSTRAP") != "" {
		t.Log("the broker is not ours to restart")
		return
	}
	b, err := harness.Launch(harness.Options{})
	must(t, err, "launch")
	defer b.Close()
	d, err := connect(b.Bootstrap())
	must(t, err, "connect")
	defer d.Close()
	reference, err := newFranz(b.Bootstrap())
	must(t, err, "connect the reference")
	defer reference.Close()
	topic := topicOf(t)
	create(t, d, reference, topic, nil)
	p, err := d.NewProducer(bounded(t), ProducerOptions{Codec: "none", Idempotent: d.Can().Idempotent})
	must(t, err, "make a producer")
	recs := sample(120, d.Can(), "through")
	for i := 0; i < len(recs); i += 20 {
		if i == 60 {
			must(t, b.Restart(), "restart")
		}
		must(t, p.Send(bounded(t), topic, recs[i:i+20]), "send after %d", i)
	}
	must(t, p.Close(), "close")
	got := read(t, d, topic, From{}, len(recs))
	if !d.Can().Idempotent {
		got = withoutRepeats(got)
	}
	same(t, recs, got, 0, false)
}

// withoutRepeats drops what a producer without idempotence may have sent twice.
func withoutRepeats(recs []Rec) []Rec {
	var out []Rec
	for _, r := range recs {
		if !slices.ContainsFunc(out, func(o Rec) bool {
			return o.TimestampMs == r.TimestampMs && bytes.Equal(o.Key, r.Key) && bytes.Equal(o.Value, r.Value)
		}) {
			r.Offset = int64(len(out))
			out = append(out, r)
		}
	}
	return out
}
