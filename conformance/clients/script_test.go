package clients

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// firstTimestampMs is the timestamp of the first record of a batch; record i lies i seconds later.
var firstTimestampMs = time.Now().Add(-time.Hour).Truncate(time.Second).UnixMilli()

// sample makes n records that hold what a client has: text, binary, null and empty parts, headers.
func sample(n int, can Abilities, tag string) []Rec {
	recs := make([]Rec, n)
	for i := range recs {
		r := Rec{Key: fmt.Appendf(nil, "key-%s-%d", tag, i), Value: fmt.Appendf(nil, "value-%s-%d-%s", tag, i, strings.Repeat("x", i*7%200))}
		if i%5 == 1 && can.NullKeys {
			r.Key = nil
		}
		if i%7 == 2 && can.NullValues {
			r.Value = nil
		}
		if i%3 == 0 && can.Headers {
			r.Headers = []Header{{"trace", fmt.Appendf(nil, "t%d", i)}, {"kind", []byte("sample")}}
			if can.HeaderValues {
				r.Headers = append(r.Headers, Header{"nothing", nil}, Header{"empty", []byte{}}, Header{"trace", []byte("again")})
			}
		}
		if can.Timestamps {
			r.TimestampMs = firstTimestampMs + int64(i)*1000
		}
		recs[i] = r
	}
	return recs
}

// same compares what was sent with what was seen, from offset first on.
func same(t *testing.T, sent, got []Rec, first int64, strict bool) {
	t.Helper()
	if len(got) != len(sent) {
		t.Fatalf("got %d records, sent %d", len(got), len(sent))
	}
	for i, g := range got {
		s := sent[i]
		if g.Offset != first+int64(i) {
			t.Fatalf("record %d has offset %d, want %d", i, g.Offset, first+int64(i))
		}
		if !sameBytes(s.Key, g.Key, strict) || !sameBytes(s.Value, g.Value, strict) {
			t.Fatalf("record %d: got key %.40q value %.80q, sent key %.40q value %.80q", i, g.Key, g.Value, s.Key, s.Value)
		}
		if s.TimestampMs != 0 && g.TimestampMs != s.TimestampMs {
			t.Fatalf("record %d: got timestamp %d, sent %d", i, g.TimestampMs, s.TimestampMs)
		}
		if len(g.Headers) != len(s.Headers) {
			t.Fatalf("record %d: got headers %v, sent %v", i, g.Headers, s.Headers)
		}
		for j, h := range g.Headers {
			if h.Key != s.Headers[j].Key || !sameBytes(s.Headers[j].Value, h.Value, strict) {
				t.Fatalf("record %d: got headers %v, sent %v", i, g.Headers, s.Headers)
			}
		}
	}
}

// sameBytes tells null from empty only where the client under test does.
func sameBytes(a, b []byte, strict bool) bool {
	return bytes.Equal(a, b) && (!strict || (a == nil) == (b == nil))
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), operationTimeout)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error, doing string, args ...any) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(doing, args...), err)
	}
}

func send(t *testing.T, d Driver, o ProducerOptions, topic string, recs []Rec) {
	t.Helper()
	p, err := d.NewProducer(bounded(t), o)
	must(t, err, "%s: make a producer", d.Name())
	must(t, p.Send(bounded(t), topic, recs), "%s: send %d records with %+v", d.Name(), len(recs), o)
	must(t, p.Close(), "%s: close the producer", d.Name())
}

func read(t *testing.T, d Driver, topic string, from From, n int) []Rec {
	t.Helper()
	recs, err := d.Consume(bounded(t), topic, from, n, func() {})
	must(t, err, "%s: consume %d records of %s from %+v, got %d", d.Name(), n, topic, from, len(recs))
	return recs
}

// create makes a topic by the client, or by the reference where the client cannot.
func create(t *testing.T, d, reference Driver, topic string, config map[string]string) {
	t.Helper()
	if !d.Can().Admin {
		d = reference
	}
	must(t, d.CreateTopic(bounded(t), topic, 1, config), "%s: create %s", d.Name(), topic)
}
