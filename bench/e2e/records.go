package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/workload"
)

// stampBytes is what an open loop writes into the front of each value: which run, which
// record, when it was sent (ns of the monotonic clock), 8 bytes each.
const stampBytes = 24

// maker makes the records of a run: random letters, as long as was asked for.
type maker struct {
	topic        string
	values, keys *workload.Source // keys nil: none
	headers      []kgo.RecordHeader
	run          uint64
}

func newMaker(o *options) (*maker, error) {
	m := &maker{topic: o.topic, run: rand.Uint64()}
	var err error
	if m.values, err = workload.New(workload.Spec{Sizes: strconv.Itoa(o.size), Seed: m.run}); err != nil {
		return nil, err
	}
	if o.keySize > 0 {
		if m.keys, err = workload.New(workload.Spec{Sizes: strconv.Itoa(o.keySize), Seed: m.run + 1}); err != nil {
			return nil, err
		}
	}
	letters, err := workload.New(workload.Spec{Sizes: strconv.Itoa(max(o.headerKey, o.headerSize, 0)), Seed: m.run + 2})
	if err != nil {
		return nil, err
	}
	for range o.headers {
		h := kgo.RecordHeader{Key: string(letters.Next().Value[:o.headerKey])}
		if o.headerSize >= 0 {
			h.Value = letters.Next().Value[:o.headerSize]
		}
		m.headers = append(m.headers, h)
	}
	return m, nil
}

// next fills r with the next record; its value is not to be changed.
func (m *maker) next(r *kgo.Record) {
	*r = kgo.Record{Topic: m.topic, Value: m.values.Next().Value, Headers: m.headers}
	if m.keys != nil {
		r.Key = m.keys.Next().Value
	}
}

// nextStamped fills r with the next record, whose value is copied into r's old one and says
// which record it is.
func (m *maker) nextStamped(r *kgo.Record, seq, sentNs int64) {
	value := r.Value
	m.next(r)
	r.Value = append(value[:0], r.Value...)
	binary.LittleEndian.PutUint64(r.Value, m.run)
	binary.LittleEndian.PutUint64(r.Value[8:], uint64(seq))
	binary.LittleEndian.PutUint64(r.Value[16:], uint64(sentNs))
}

// stamp reads what nextStamped wrote; ok is false for a record of somebody else.
func (m *maker) stamp(value []byte) (seq, sentNs int64, ok bool) {
	if len(value) < stampBytes || binary.LittleEndian.Uint64(value) != m.run {
		return 0, 0, false
	}
	return int64(binary.LittleEndian.Uint64(value[8:])), int64(binary.LittleEndian.Uint64(value[16:])), true
}

// same checks that got is the record that was sent.
func same(sent, got *kgo.Record) error {
	if !bytes.Equal(sent.Value, got.Value) {
		return &MismatchError{"value", short(got.Value), short(sent.Value)}
	}
	if !bytes.Equal(sent.Key, got.Key) || (sent.Key == nil) != (got.Key == nil) {
		return &MismatchError{"key", short(got.Key), short(sent.Key)}
	}
	if len(sent.Headers) != len(got.Headers) {
		return &MismatchError{"number of headers", strconv.Itoa(len(got.Headers)), strconv.Itoa(len(sent.Headers))}
	}
	for i, h := range sent.Headers {
		if g := got.Headers[i]; g.Key != h.Key || !bytes.Equal(g.Value, h.Value) || (g.Value == nil) != (h.Value == nil) {
			return &MismatchError{"header", g.Key + ":" + short(g.Value), h.Key + ":" + short(h.Value)}
		}
	}
	return nil
}

// short is b for an error message.
func short(b []byte) string {
	if b == nil {
		return "null"
	}
	const most = 64
	if len(b) > most {
		return fmt.Sprintf("%q... (%d bytes)", b[:most], len(b))
	}
	return strconv.Quote(string(b))
}

// MismatchError is a record that came back otherwise than it was sent: another producer is
// at work on the topic, or the broker changed it.
type MismatchError struct{ Field, Read, Sent string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("The message %s read [%s] did not match the message %s sent [%s]: use a topic that nobody else writes to", e.Field, e.Read, e.Field, e.Sent)
}

// CountError is more than one record where one was sent.
type CountError struct{ Records int }

func (e *CountError) Error() string {
	return fmt.Sprintf("Only one result was expected during this test. We found [%d]: use a topic that nobody else writes to", e.Records)
}

// LostError is records that were acknowledged but did not arrive in time.
type LostError struct {
	Records      int64
	Milliseconds int64
}

func (e *LostError) Error() string {
	return fmt.Sprintf("poll() timed out before finding a result (timeout:[%dms]): %d acknowledged records did not arrive", e.Milliseconds, e.Records)
}

// DuplicateError is records that arrived more than once.
type DuplicateError struct{ Records int64 }

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("%d records arrived more than once: a retried send was stored twice (acks=all with enable.idempotence prevents it)", e.Records)
}
