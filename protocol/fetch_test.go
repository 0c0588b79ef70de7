package protocol_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// memFile is a file of known contents that can fail.
type memFile struct {
	vfs.File
	data []byte
	err  error
}

func (f *memFile) Name() string { return "00000000000000000000.log" }

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return copy(p, f.data[off:]), nil
}

// countPin counts what is given back.
type countPin struct{ unpinned int }

func (p *countPin) Unpin() { p.unpinned++ }

// randomFetch returns partitions of up to three topics with records from file.
func randomFetch(rng *rand.Rand, file *memFile, pin *countPin) []protocol.FetchPartitionData {
	var parts []protocol.FetchPartitionData
	for topic := range rng.IntN(4) {
		for i := range 1 + rng.IntN(3) {
			p := protocol.NewFetchPartitionData(string(rune('a'+topic)), protocol.UUID{byte(topic + 1)}, int32(i))
			fill(rng, reflect.ValueOf(&p.Aborted).Elem())
			fill(rng, reflect.ValueOf(&p.DivergingEpoch).Elem())
			fill(rng, reflect.ValueOf(&p.CurrentLeader).Elem())
			fill(rng, reflect.ValueOf(&p.ErrorCode).Elem())
			p.HighWatermark, p.LastStableOffset, p.LogStartOffset, p.PreferredReadReplica = rng.Int64(), rng.Int64(), rng.Int64(), rng.Int32()
			if n := [...]int{0, 10, 300}[rng.IntN(3)]; n > 0 {
				p.Records = vfs.Range{File: file, Pos: rng.Int64N(100), LenBytes: n, Pin: pin}
			}
			parts = append(parts, p)
		}
	}
	return parts
}

// generatedFetch returns the frame that the generated codec gives for the same response.
func generatedFetch(head protocol.FetchHead, parts []protocol.FetchPartitionData) []byte {
	resp := protocol.FetchResponse{ThrottleTimeMs: head.ThrottleTimeMs, ErrorCode: head.ErrorCode, SessionID: head.SessionID, NodeEndpoints: head.NodeEndpoints}
	for i := range parts {
		p := &parts[i]
		if n := len(resp.Responses); n == 0 || resp.Responses[n-1].Topic != p.Topic {
			resp.Responses = append(resp.Responses, protocol.FetchResponseTopic{Topic: p.Topic, TopicID: p.TopicID})
		}
		records := []byte{}
		if r := p.Records; r.File != nil {
			records = r.File.(*memFile).data[r.Pos : r.Pos+int64(r.LenBytes)]
		}
		t := &resp.Responses[len(resp.Responses)-1]
		t.Partitions = append(t.Partitions, protocol.FetchResponsePartition{
			PartitionIndex: p.Index, ErrorCode: p.ErrorCode, HighWatermark: p.HighWatermark, LastStableOffset: p.LastStableOffset,
			LogStartOffset: p.LogStartOffset, AbortedTransactions: p.Aborted, PreferredReadReplica: p.PreferredReadReplica,
			DivergingEpoch: p.DivergingEpoch, CurrentLeader: p.CurrentLeader, Records: records,
		})
	}
	b := protocol.BeginFrame(nil)
	b = protocol.AppendResponseHeader(b, protocol.KeyFetch, head.Version, head.CorrelationID)
	b = resp.Append(b, head.Version)
	protocol.EndFrame(b, 0)
	return b
}

func TestFetchSectionsAreTheGeneratedResponse(t *testing.T) {
	rng := seeded(t)
	file := &memFile{data: make([]byte, 1000)}
	for i := range file.data {
		file.data[i] = byte(rng.Uint32())
	}
	var w protocol.FetchResponseWriter
	for range 3000 {
		pin := &countPin{}
		parts := randomFetch(rng, file, pin)
		head := protocol.FetchHead{Version: int16(4 + rng.IntN(15)), CorrelationID: rng.Int32(), ThrottleTimeMs: rng.Int32(), SessionID: rng.Int32()}
		fill(rng, reflect.ValueOf(&head.NodeEndpoints).Elem())
		want := generatedFetch(head, parts)
		pinned := 0
		for i := range parts {
			if parts[i].Records.Pin != nil {
				pinned++
			}
		}
		w.InlineBelowBytes = [...]int{0, 100, 1 << 20}[rng.IntN(3)]
		sections, total := w.Build(head, parts)
		got := join(t, sections)
		if !bytes.Equal(got, want) || total != len(want) {
			t.Fatalf("version %d, total %d\ngot  %x\nwant %x", head.Version, total, got, want)
		}
		if pin.unpinned != pinned {
			t.Fatalf("%d of %d pins are given back", pin.unpinned, pinned)
		}
		_, body, err := protocol.ParseResponseHeader(got[4:], protocol.KeyFetch, head.Version)
		if err != nil {
			t.Fatal(err)
		}
		k := kmsg.FetchResponse{Version: head.Version}
		if err := k.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
	}
}

// join sends sections to memory and releases their ranges.
func join(t *testing.T, sections []protocol.Section) []byte {
	t.Helper()
	var all []byte
	for i := range sections {
		s := &sections[i]
		if (len(s.Bytes) == 0) == (s.Range.LenBytes == 0) {
			t.Fatalf("section %d has both or neither of bytes and range", i)
		}
		all = append(all, s.Bytes...)
		b := make([]byte, s.Range.LenBytes)
		if s.Range.LenBytes > 0 {
			if err := s.Range.CopyTo(b); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, b...)
		s.Range.Release()
	}
	return all
}

// TestFetchCopyFails: a range that cannot be read becomes an error of its partition, and
// the rest of the response stands.
func TestFetchCopyFails(t *testing.T) {
	good := &memFile{data: []byte("0123456789")}
	bad := &memFile{err: errors.New("input/output error")}
	var pin countPin
	parts := []protocol.FetchPartitionData{
		protocol.NewFetchPartitionData("a", protocol.UUID{}, 0),
		protocol.NewFetchPartitionData("a", protocol.UUID{}, 1),
	}
	parts[0].Records = vfs.Range{File: bad, LenBytes: 10, Pin: &pin}
	parts[1].Records = vfs.Range{File: good, LenBytes: 10, Pin: &pin}
	w := protocol.FetchResponseWriter{InlineBelowBytes: 100}
	sections, total := w.Build(protocol.FetchHead{Version: 12}, parts)
	frame := join(t, sections)
	if len(frame) != total || pin.unpinned != 2 || !errors.Is(parts[0].ReadErr, bad.err) || parts[1].ReadErr != nil {
		t.Fatalf("total %d of %d, %d unpinned, errors %v, %v", total, len(frame), pin.unpinned, parts[0].ReadErr, parts[1].ReadErr)
	}
	_, body, err := protocol.ParseResponseHeader(frame[4:], protocol.KeyFetch, 12)
	if err != nil {
		t.Fatal(err)
	}
	var resp protocol.FetchResponse
	if err := resp.Decode(body, 12); err != nil {
		t.Fatal(err)
	}
	got := resp.Responses[0].Partitions
	if got[0].ErrorCode != protocol.CodeKafkaStorageError || len(got[0].Records) != 0 || got[1].ErrorCode != 0 || string(got[1].Records) != "0123456789" {
		t.Fatalf("%+v", got)
	}
}

// TestRangesInMemoryAreNotCopied: they leave as they are, unless they are so long that the file
// itself is to be sent.
func TestRangesInMemoryAreNotCopied(t *testing.T) {
	var pin countPin
	unread := &memFile{err: errors.New("read")}
	mem := []byte("0123456789")
	for _, inlineBelow := range []int{11, 10} {
		parts := []protocol.FetchPartitionData{protocol.NewFetchPartitionData("a", protocol.UUID{}, 0)}
		parts[0].Records = vfs.Range{File: unread, LenBytes: len(mem), Pin: &pin, Mem: mem}
		w := protocol.FetchResponseWriter{InlineBelowBytes: inlineBelow}
		sections, _ := w.Build(protocol.FetchHead{Version: 12}, parts)
		r := sections[1].Range
		if r.LenBytes != len(mem) || (r.Mem != nil) != (inlineBelow > len(mem)) || parts[0].ReadErr != nil {
			t.Errorf("inline below %d: %d bytes, in memory: %v, error %v", inlineBelow, r.LenBytes, r.Mem != nil, parts[0].ReadErr)
		}
		protocol.ReleaseSections(sections)
	}
	if pin.unpinned != 2 {
		t.Errorf("%d unpinned", pin.unpinned)
	}
}

// TestFetchFrameStaysBelowTwoGiB: ranges that no frame could hold are left for the next fetch.
func TestFetchFrameStaysBelowTwoGiB(t *testing.T) {
	var pin countPin
	parts := make([]protocol.FetchPartitionData, 3)
	for i := range parts {
		parts[i] = protocol.NewFetchPartitionData("a", protocol.UUID{}, int32(i))
		parts[i].Records = vfs.Range{File: &memFile{}, LenBytes: 1 << 30, Pin: &pin}
	}
	var w protocol.FetchResponseWriter
	sections, total := w.Build(protocol.FetchHead{Version: 12}, parts)
	if total < 1<<30 || total > 1<<30+1000 || pin.unpinned != 2 {
		t.Fatalf("total %d, %d unpinned", total, pin.unpinned)
	}
	protocol.ReleaseSections(sections)
	protocol.ReleaseSections(sections)
	if pin.unpinned != 3 {
		t.Fatalf("%d unpinned after the release", pin.unpinned)
	}
}

func TestFetchBuildDoesNotAllocate(t *testing.T) {
	file := &memFile{data: make([]byte, 1<<20)}
	head, parts := benchFetch(file)
	w := protocol.FetchResponseWriter{InlineBelowBytes: 1000}
	n := testing.AllocsPerRun(100, func() {
		fillRecords(parts, file)
		w.Build(head, parts)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func benchFetch(file *memFile) (protocol.FetchHead, []protocol.FetchPartitionData) {
	parts := make([]protocol.FetchPartitionData, 16)
	for i := range parts {
		parts[i] = protocol.NewFetchPartitionData("orders", protocol.UUID{1}, int32(i))
	}
	fillRecords(parts, file)
	return protocol.FetchHead{Version: 17, CorrelationID: 1, SessionID: 5}, parts
}

// fillRecords gives every other partition a long range and the rest a short one.
func fillRecords(parts []protocol.FetchPartitionData, file *memFile) {
	for i := range parts {
		parts[i].Records = vfs.Range{File: file, LenBytes: 500 + 65036*(i%2)}
	}
}
