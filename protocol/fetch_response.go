package protocol

import (
	"math"
	"slices"

	"github.com/millrace/millrace/internal/vfs"
)

// Section is a stretch of a response: bytes, or a range of a file that leaves without
// passing through memory of ours. Exactly one of the two is there.
type Section struct {
	Bytes []byte
	Range vfs.Range
}

// LenBytes is the length of the section.
func (s *Section) LenBytes() int { return len(s.Bytes) + s.Range.LenBytes }

// ReleaseSections gives back the ranges that were not sent; those already released are
// passed over.
func ReleaseSections(sections []Section) {
	for i := range sections {
		sections[i].Range.Release()
	}
}

// FetchHead is what a Fetch response has once.
type FetchHead struct {
	Version        int16
	CorrelationID  int32
	ThrottleTimeMs int32
	ErrorCode      ErrorCode                   // versions 7+
	SessionID      int32                       // versions 7+
	NodeEndpoints  []FetchResponseNodeEndpoint // versions 16+: endpoints of CurrentLeaders
}

// FetchPartitionData is one partition of a Fetch response.
type FetchPartitionData struct {
	Topic                string // versions 4-12
	TopicID              UUID   // versions 13+
	Index                int32
	ErrorCode            ErrorCode
	HighWatermark        int64
	LastStableOffset     int64
	LogStartOffset       int64
	Aborted              []FetchResponseAbortedTransaction // nil is null: read_uncommitted
	PreferredReadReplica int32                             // -1: none
	DivergingEpoch       *FetchResponseEpochEnd            // versions 12+; nil: none
	CurrentLeader        *FetchResponseLeader              // versions 12+; nil: not sent
	Records              vfs.Range                         // Build takes it over
	// ReadErr is set by Build when Records could not be copied; the client is then told
	// KAFKA_STORAGE_ERROR for this partition.
	ReadErr error
}

// NewFetchPartitionData returns an empty partition with Kafka's "unknown" values.
func NewFetchPartitionData(topic string, id UUID, index int32) FetchPartitionData {
	return FetchPartitionData{
		Topic: topic, TopicID: id, Index: index,
		HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: -1,
	}
}

// FetchResponseWriter lays out Fetch responses. The zero value is ready; a connection keeps
// one for each response that it may have in flight, and steady use does not allocate.
type FetchResponseWriter struct {
	// InlineBelowBytes: a range shorter than this that lies in memory stays a range, which
	// leaves with the header bytes in one write; one that does not is copied between them. A
	// longer one is to be sent from its file: its Mem is taken away. 0 sends all from files.
	InlineBelowBytes int

	buf      []byte
	cuts     []cut
	sections []Section
}

// cut says that a range comes at this place of buf.
type cut struct {
	at  int
	rng vfs.Range
}

// Build lays out the whole frame: length, response header and body. Partitions that stand
// together in parts and have the same topic are one topic of the response. The sections
// are valid until the next Build; total is their length in bytes.
//
// Build takes over all of parts' ranges: those that it copied it releases, those in the
// sections are the caller's to release when they are sent or given up.
func (w *FetchResponseWriter) Build(head FetchHead, parts []FetchPartitionData) (sections []Section, total int) {
	flex := head.Version >= 12
	w.cuts = w.cuts[:0]
	b := BeginFrame(w.buf[:0])
	b = AppendResponseHeader(b, KeyFetch, head.Version, head.CorrelationID)
	b = appendInt32(b, head.ThrottleTimeMs)
	if head.Version >= 7 {
		b = appendErrorCode(b, head.ErrorCode)
		b = appendInt32(b, head.SessionID)
	}
	b = appendCount(b, countTopics(parts), false, flex)
	ranges := 0
	for len(parts) > 0 {
		n := topicRun(parts)
		if head.Version <= 12 {
			b = appendString(b, parts[0].Topic, flex)
		} else {
			b = appendUUID(b, parts[0].TopicID)
		}
		b = appendCount(b, n, false, flex)
		for i := range parts[:n] {
			var taken int
			b, taken = w.partition(b, &parts[i], head.Version, flex, ranges)
			ranges += taken
		}
		if flex {
			b = append(b, 0)
		}
		parts = parts[n:]
	}
	if flex {
		b = head.appendTags(b)
	}
	w.buf = b
	total = len(b) + ranges
	putFrameLength(b, total)
	return w.cutSections(), total
}

func (h *FetchHead) appendTags(b []byte) []byte {
	if len(h.NodeEndpoints) == 0 || h.Version < 16 {
		return append(b, 0)
	}
	b = append(b, 1, 0)
	start := len(b)
	b = appendCount(b, len(h.NodeEndpoints), false, true)
	for i := range h.NodeEndpoints {
		b = h.NodeEndpoints[i].append(b, h.Version, true)
	}
	return endTag(b, start)
}

// partition appends one partition and returns the bytes of range that it left as a cut.
func (w *FetchResponseWriter) partition(b []byte, p *FetchPartitionData, version int16, flex bool, ranges int) ([]byte, int) {
	p.ReadErr = nil
	start := len(b)
	size := p.Records.LenBytes
	if size > maxResponseBytes-len(b)-ranges {
		p.Records.Release() // cannot be said in a frame: the client asks again
		size = 0
	}
	b = p.appendHead(b, version, flex, size)
	taken := 0
	switch {
	case size == 0:
		p.Records.Release()
	case size < w.InlineBelowBytes && p.Records.Mem == nil:
		b = slices.Grow(b, size)
		err := p.Records.CopyTo(b[len(b) : len(b)+size])
		b = b[:len(b)+size]
		p.Records.Release()
		if err != nil {
			p.ReadErr, p.ErrorCode = err, CodeKafkaStorageError
			b = p.appendHead(b[:start], version, flex, 0)
		}
	default:
		if size >= w.InlineBelowBytes {
			p.Records.Mem = nil
		}
		w.cuts = append(w.cuts, cut{at: len(b), rng: p.Records})
		p.Records = vfs.Range{}
		taken = size
	}
	if flex {
		b = p.appendTags(b, version)
	}
	return b, taken
}

// appendHead appends everything before the records.
func (p *FetchPartitionData) appendHead(b []byte, version int16, flex bool, recordBytes int) []byte {
	b = appendInt32(b, p.Index)
	b = appendErrorCode(b, p.ErrorCode)
	b = appendInt64(b, p.HighWatermark)
	b = appendInt64(b, p.LastStableOffset)
	if version >= 5 {
		b = appendInt64(b, p.LogStartOffset)
	}
	b = appendCount(b, len(p.Aborted), p.Aborted == nil, flex)
	for i := range p.Aborted {
		b = p.Aborted[i].append(b, version, flex)
	}
	if version >= 11 {
		b = appendInt32(b, p.PreferredReadReplica)
	}
	return appendLength(b, recordBytes, 4, flex)
}

// appendTags appends the tag section of a flexible version.
func (p *FetchPartitionData) appendTags(b []byte, version int16) []byte {
	tags := byte(0)
	if p.DivergingEpoch != nil {
		tags++
	}
	if p.CurrentLeader != nil {
		tags++
	}
	b = append(b, tags)
	if p.DivergingEpoch != nil {
		b = append(b, 0)
		start := len(b)
		b = endTag(p.DivergingEpoch.append(b, version, true), start)
	}
	if p.CurrentLeader != nil {
		b = append(b, 1)
		start := len(b)
		b = endTag(p.CurrentLeader.append(b, version, true), start)
	}
	return b
}

// cutSections splits buf at the cuts; buf does not move any more.
func (w *FetchResponseWriter) cutSections() []Section {
	clear(w.sections)
	w.sections = w.sections[:0]
	at := 0
	for i := range w.cuts {
		c := &w.cuts[i]
		w.sections = append(w.sections, Section{Bytes: w.buf[at:c.at:c.at]}, Section{Range: c.rng})
		at = c.at
		c.rng = vfs.Range{}
	}
	if at < len(w.buf) {
		w.sections = append(w.sections, Section{Bytes: w.buf[at:]})
	}
	return w.sections
}

func countTopics(parts []FetchPartitionData) int {
	n := 0
	for len(parts) > 0 {
		parts = parts[topicRun(parts):]
		n++
	}
	return n
}

// topicRun returns how many of parts, from the first on, are of the same topic.
func topicRun(parts []FetchPartitionData) int {
	n := 1
	for n < len(parts) && parts[n].TopicID == parts[0].TopicID && parts[n].Topic == parts[0].Topic {
		n++
	}
	return n
}

// maxResponseBytes leaves room for what follows the last records in a frame of 2 GiB.
const maxResponseBytes = math.MaxInt32 - 64<<20
