// Package history records what producers sent and were told, and what consumers read,
// and decides whether a Kafka broker kept its word:
//
//   - lost: an acknowledged record is not in the partition, or not at its offset
//   - duplicate: a record of an idempotent producer is there twice
//   - reorder: the records of one producer in one partition are not in the order sent
//   - phantom: a record that nobody sent, or whose producer was told "not done"
//   - torn: a value that is damaged
//   - changed: two reads found different records at one offset
//
// A send without an answer, or with an error that leaves the outcome open (a timeout, a
// lost connection), may have happened and may happen later: it is never counted as
// failed. Producers that are not idempotent may repeat records; their first occurrences
// must still be in order. A History may be used from several goroutines.
package history

import (
	"cmp"
	"encoding/json"
	"fmt"

	"io"
	"slices"
	"strings"
	"sync"
)

// Place is a topic's partition.
type Place struct {
	Topic     string
	Partition int32
}

// ID names one record: the Seq-th that a producer sent to a place. Seq counts from 0 for
// each producer and place.
type ID struct {
	Producer int32
	Seq      int64
}

// Outcome is what a producer knows of a record.
type Outcome uint8

// Unknown covers everything between Sent and the answer, and answers that leave it open.
const (
	Unknown Outcome = iota
	Acked
	Refused
)

type sent struct {
	outcome Outcome
	offset  int64 // where Acked says it is; -1 when the broker did not tell
}

type log struct {
	sent map[ID]*sent
	read map[int64]ID // what was found at an offset
}

// History is the record of one run.
type History struct {
	mu         sync.Mutex
	places     map[Place]*log
	repeats    map[int32]bool // producers that may repeat records
	violations []Violation
}

// New makes an empty history.
func New() *History { return &History{places: map[Place]*log{}, repeats: map[int32]bool{}} }

func (h *History) atLocked(p Place) *log {
	l := h.places[p]
	if l == nil {
		l = &log{sent: map[ID]*sent{}, read: map[int64]ID{}}
		h.places[p] = l
	}
	return l
}

// MayRepeat says that a producer is not idempotent.
func (h *History) MayRepeat(producer int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.repeats[producer] = true
}

// Sent records a send, before it is made.
func (h *History) Sent(p Place, id ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.atLocked(p).sent[id] = &sent{offset: -1}
}

// Acked records that the broker promised a record, at an offset or at -1 if it did not say.
func (h *History) Acked(p Place, id ID, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*h.atLocked(p).sent[id] = sent{outcome: Acked, offset: offset}
}

// Refused records that the broker said that a record is not and will never be there.
func (h *History) Refused(p Place, id ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.atLocked(p).sent[id].outcome = Refused
}

// Read records what a consumer found. Torn and changed content shows here at once.
func (h *History) Read(p Place, offset int64, value []byte) {
	id, err := Decode(p, value)
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.atLocked(p)
	before, again := l.read[offset]
	switch {
	case err != nil:
		h.violateLocked("torn", p, offset, err.Error())
	case again && before != id:
		h.violateLocked("changed", p, offset, fmt.Sprintf("held %v, now %v", before, id))
	default:
		l.read[offset] = id
	}
}

// AckedCount counts the records that were promised so far.
func (h *History) AckedCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, l := range h.places {
		for _, s := range l.sent {
			if s.outcome == Acked {
				n++
			}
		}
	}
	return n
}

// ForgetBelow drops what was promised at offsets below start, after records were deleted
// on purpose, so that they are not missed.
func (h *History) ForgetBelow(p Place, start int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.atLocked(p)
	for _, s := range l.sent {
		if s.outcome == Acked && s.offset < start {
			s.outcome = Unknown
		}
	}
}

// Violation is one broken promise.
type Violation struct {
	Kind   string
	Place  Place
	Offset int64
	Detail string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %s-%d at offset %d: %s", v.Kind, v.Place.Topic, v.Place.Partition, v.Offset, v.Detail)
}

func (h *History) violateLocked(kind string, p Place, offset int64, detail string) {
	h.violations = append(h.violations, Violation{Kind: kind, Place: p, Offset: offset, Detail: detail})
}

// Check compares what was promised with everything that was read so far. It is called
// after a consumer has read each place from its start to its end, when no send is in the
// air whose answer is not yet recorded, or when such sends may count as unknown.
func (h *History) Check() []Violation {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := len(h.violations)
	for p, l := range h.places {
		h.checkLocked(p, l)
	}
	out := slices.Clone(h.violations)
	h.violations = h.violations[:before] // the rest is found again by the next Check
	slices.SortFunc(out, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Place.Topic, b.Place.Topic), cmp.Compare(a.Place.Partition, b.Place.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return out
}

func (h *History) checkLocked(p Place, l *log) {
	offsets := make([]int64, 0, len(l.read))
	for o := range l.read {
		offsets = append(offsets, o)
	}
	slices.Sort(offsets)
	found := map[ID]int64{}
	last := map[int32]int64{}
	for _, o := range offsets {
		id := l.read[o]
		s := l.sent[id]
		first, twice := found[id]
		switch {
		case s == nil:
			h.violateLocked("phantom", p, o, fmt.Sprintf("%v was never sent", id))
		case s.outcome == Refused:
			h.violateLocked("phantom", p, o, fmt.Sprintf("%v was refused", id))
		case twice && !h.repeats[id.Producer]:
			h.violateLocked("duplicate", p, o, fmt.Sprintf("%v is at %d too", id, first))
		}
		if twice {
			continue
		}
		found[id] = o
		if seq, any := last[id.Producer]; any && id.Seq < seq {
			h.violateLocked("reorder", p, o, fmt.Sprintf("%v comes after number %d", id, seq))
			continue
		}
		last[id.Producer] = id.Seq
	}
	for id, s := range l.sent {
		if s.outcome != Acked {
			continue
		}
		at, ok := found[id]
		switch {
		case !ok:
			h.violateLocked("lost", p, s.offset, fmt.Sprintf("%v was acknowledged", id))
		case s.offset >= 0 && l.read[s.offset] != id:
			h.violateLocked("lost", p, s.offset, fmt.Sprintf("%v was acknowledged here and is at %d", id, at))
		}
	}
}

// Explain puts violations into words, the first of each kind in full.
func Explain(vs []Violation) string {
	const shown = 5
	var b strings.Builder
	count := map[string]int{}
	for _, v := range vs {
		if count[v.Kind]++; count[v.Kind] <= shown {
			fmt.Fprintln(&b, v)
		}
	}
	for _, kind := range []string{"lost", "duplicate", "reorder", "phantom", "torn", "changed"} {
		if n := count[kind]; n > shown {
			fmt.Fprintf(&b, "%s: %d in all\n", kind, n)
		}
	}
	return b.String()
}

// Dump writes the history as JSON lines, for a look after a failure.
func (h *History) Dump(w io.Writer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	enc := json.NewEncoder(w)
	for p, l := range h.places {
		for id, s := range l.sent {
			if err := enc.Encode(map[string]any{"place": p, "sent": id, "outcome": s.outcome, "offset": s.offset}); err != nil {
				return err
			}
		}
		for offset, id := range l.read {
			if err := enc.Encode(map[string]any{"place": p, "read": id, "offset": offset}); err != nil {
				return err
			}
		}
	}
	return nil
}
