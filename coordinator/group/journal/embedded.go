package journal

import "slices"

// Subscription is a ConsumerProtocolSubscription, what members of protocol type "consumer"
// say of themselves when they join.
type Subscription struct {
	Version int16
	Topics  []string
	Owned   []NamedPartitions // since version 1
	RackID  string            // since version 3
}

// NamedPartitions is partitions of a topic, by its name.
type NamedPartitions struct {
	Topic      string
	Partitions []int32
}

// embeddedCurrent is the newest version of the embedded consumer protocol. Newer ones begin
// with the same fields.
const embeddedCurrent = 3

// ReadSubscription reads a subscription of any version; bytes after the known fields belong
// to newer ones.
func ReadSubscription(metadata []byte) (Subscription, error) {
	r := reader{what: "ConsumerProtocolSubscription", b: metadata}
	s := Subscription{Version: r.version()}
	for n := r.count(2, "topics"); n > 0 && r.err == nil; n-- {
		s.Topics = append(s.Topics, r.string("topic"))
	}
	r.userData()
	if s.Version >= 1 {
		s.Owned = r.named("owned partitions")
	}
	if s.Version >= 2 {
		r.int32("generation")
	}
	if s.Version >= 3 {
		s.RackID, _ = r.nullString("rack id")
	}
	return s, r.err
}

// ReadAssignment reads a ConsumerProtocolAssignment, what a leader assigns to a member. ours
// is false when it holds data of an assignor of its own, which the broker cannot make.
func ReadAssignment(assignment []byte) (parts []NamedPartitions, ours bool, err error) {
	if len(assignment) == 0 {
		return nil, true, nil
	}
	r := reader{what: "ConsumerProtocolAssignment", b: assignment}
	r.version()
	parts = r.named("assigned partitions")
	return parts, r.userData() == 0, r.err
}

// AppendAssignment appends a ConsumerProtocolAssignment in the version that a member spoke.
func AppendAssignment(dst []byte, version int16, parts []NamedPartitions) []byte {
	dst = appendInt16(dst, min(max(version, 0), embeddedCurrent))
	dst = appendInt32(dst, int32(len(parts)))
	for _, t := range parts {
		dst = appendInt32(appendString(dst, t.Topic), int32(len(t.Partitions)))
		for _, p := range t.Partitions {
			dst = appendInt32(dst, p)
		}
	}
	return appendInt32(dst, -1) // no user data
}

func (r *reader) version() int16 {
	v := r.int16("version")
	if v < 0 {
		r.fail("version %d", v)
	}
	return v
}

// userData passes over bytes that may be null, and returns their length.
func (r *reader) userData() int {
	n := int(r.int32("user data"))
	if n < -1 {
		r.fail("user data has length %d", n)
	}
	if n <= 0 || r.err != nil {
		return 0
	}
	return len(r.take(n, "user data"))
}

func (r *reader) named(field string) []NamedPartitions {
	var list []NamedPartitions
	for n := r.count(6, field); n > 0 && r.err == nil; n-- {
		t := NamedPartitions{Topic: r.string("topic")}
		for k := r.count(4, "partitions"); k > 0 && r.err == nil; k-- {
			t.Partitions = append(t.Partitions, r.int32("partition"))
		}
		slices.Sort(t.Partitions)
		list = append(list, t)
	}
	return list
}
