package protocol_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/millrace/millrace/protocol"
)

// wantDecodeError fails unless err is a *DecodeError that names the message.
func wantDecodeError(t *testing.T, err error, p pair, version int16, input []byte) {
	t.Helper()
	var wrong *protocol.DecodeError
	if !errors.As(err, &wrong) {
		t.Fatalf("%x: %v", input, err)
	}
	if wrong.API != p.name || wrong.Version != version || wrong.Offset < 0 || wrong.Offset > len(input) || wrong.Reason == "" {
		t.Fatalf("%x: %#v", input, wrong)
	}
}

// TestTruncatedAndOverlong: no proper prefix of a message is a message, nor is a message
// with a byte after it.
func TestTruncatedAndOverlong(t *testing.T) {
	rng := seeded(t)
	eachVersion(t, func(t *testing.T, p pair, version int16) {
		m := p.ours()
		for range 10 {
			source := p.ours()
			fill(rng, reflect.ValueOf(source).Elem())
			wire := source.Append(nil, version)
			for n := range wire {
				wantDecodeError(t, m.Decode(wire[:n:n], version), p, version, wire[:n])
			}
			long := append(bytes.Clone(wire), 0)
			wantDecodeError(t, m.Decode(long, version), p, version, long)
		}
	})
}

func TestVersionsThatAreNotServed(t *testing.T) {
	for _, p := range pairs() {
		for _, v := range []int16{p.api.Min - 1, p.api.Max + 1, -1, math.MinInt16, math.MaxInt16} {
			body := make([]byte, 64)
			wantDecodeError(t, p.ours().Decode(body, v), p, v, body)
		}
	}
}

// lies returns copies of wire in which something was overwritten by what a liar would
// write there: the largest counts, classic and compact, and null markers.
func lies(rng *rand.Rand, wire []byte) [][]byte {
	bad := [][]byte{
		{0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}, {0x80, 0, 0, 0}, {0x7f, 0xff}, {0x00, 0x0f, 0xff, 0xff},
		{0xff, 0xff, 0xff, 0xff, 0x0f}, {0xff, 0xff, 0xff, 0xff, 0x7f}, {0xff, 0xff, 0x7f}, {0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
	}
	var all [][]byte
	for range 60 {
		b := bytes.Clone(wire)
		lie := bad[rng.IntN(len(bad))]
		if at := rng.IntN(len(b) + 1); at+len(lie) <= len(b) {
			copy(b[at:], lie)
		} else {
			b = append(b[:at], lie...)
		}
		all = append(all, b)
	}
	return all
}

// TestLiesCostLittle: whatever counts a message claims, the memory taken stays in
// proportion to its bytes.
func TestLiesCostLittle(t *testing.T) {
	rng := seeded(t)
	eachVersion(t, func(t *testing.T, p pair, version int16) {
		source := p.ours()
		fill(rng, reflect.ValueOf(source).Elem())
		inputs := lies(rng, source.Append(nil, version))
		total := 0
		for _, b := range inputs {
			total += len(b)
		}
		took := allocated(func() {
			for _, b := range inputs {
				_ = p.ours().Decode(b, version)
			}
		})
		if limit := uint64(amplification*total + 4096*len(inputs)); took > limit {
			t.Errorf("%d bytes of input took %d bytes of memory", total, took)
		}
	})
}

// amplification is the number of bytes that decoding may allocate for each byte of input,
// what growing slices leave behind included.
const amplification = 80

// allocated returns the bytes that f allocates (and nobody else: tests run one by one).
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestDensestInput decodes 16 KiB of zeros behind a count that uses them up: the smallest
// elements there are, so the largest amplification that an honest-looking message has.
func TestDensestInput(t *testing.T) {
	const size = 16 << 10
	eachVersion(t, func(t *testing.T, p pair, version int16) {
		worst := uint64(0)
		for at := range 16 { // where the first array's count stands differs by message
			for _, elem := range []int{1, 2, 3, 4, 6, 8, 10, 12, 16, 18} {
				b := make([]byte, size)
				count := uint32((size - at - 8) / elem)
				if p.api.Flexible(version) {
					binary.PutUvarint(b[at:], uint64(count+1))
				} else {
					binary.BigEndian.PutUint32(b[at:], count)
				}
				worst = max(worst, allocated(func() { _ = p.ours().Decode(b, version) }))
			}
		}
		if worst > amplification*size {
			t.Errorf("%d bytes took %d bytes of memory, %dx", size, worst, worst/size)
		}
	})
}

// TestTagBombs: tag counts of 2^32-1 with nothing behind them, and a message full of tags.
func TestTagBombs(t *testing.T) {
	bomb := []byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}
	var m protocol.ApiVersionsRequest
	p := pair{name: "ApiVersionsRequest"}
	wantDecodeError(t, m.Decode(bomb, 3), p, 3, bomb)

	const tags = 100000
	full := binary.AppendUvarint([]byte{1, 1}, tags)
	for i := range tags {
		full = append(binary.AppendUvarint(full, uint64(i+50)), 0)
	}
	var err error
	took := allocated(func() { err = m.Decode(full, 3) })
	if err != nil || took > 10000 {
		t.Errorf("%d unknown tags: %v, %d bytes of memory", tags, err, took)
	}
}

// TestUnknownTagsAreSkipped puts tags that nobody knows into each tag section that a
// message ends with.
func TestUnknownTagsAreSkipped(t *testing.T) {
	for _, p := range pairs() {
		for v := max(p.api.Min, p.api.FlexibleFrom); v <= p.api.Max; v++ {
			empty := p.ours()
			if m, ok := empty.(*protocol.ApiVersionsResponse); ok {
				m.FinalizedFeaturesEpoch = -1 // the default: else it is a tag of its own
			}
			wire := empty.Append(nil, v)
			tagged := append(bytes.Clone(wire[:len(wire)-1]), 2, 0xD0, 0x0F, 3, 1, 2, 3, 0xD1, 0x0F, 0)
			m := p.ours()
			if err := m.Decode(tagged, v); err != nil {
				t.Errorf("%s %d: %v", p.name, v, err)
			} else if again := m.Append(nil, v); !bytes.Equal(again, wire) {
				t.Errorf("%s %d: %x became %x", p.name, v, wire, again)
			}
		}
	}
}

// TestTagsHaveTheirSize: a known tag whose content is shorter or longer than its size says
// is an error, and its content cannot reach into what follows.
func TestTagsHaveTheirSize(t *testing.T) {
	p := pair{name: "ApiVersionsResponse"}
	head := []byte{0, 0, 1, 0, 0, 0, 0} // no error, no keys, no throttle
	for name, tags := range map[string][]byte{
		"too long":       {1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0},
		"too short":      {1, 1, 4, 0, 0, 0, 0, 0, 0, 0, 1},
		"past the end":   {1, 1, 200, 1, 0, 0, 0, 0, 0, 0, 0, 1},
		"reaches beyond": {2, 0, 3, 2, 9, 'a', 3, 1, 0},
	} {
		b := append(bytes.Clone(head), tags...)
		var m protocol.ApiVersionsResponse
		err := m.Decode(b, 3)
		if err == nil {
			t.Errorf("%s: accepted as %+v", name, m)
			continue
		}
		wantDecodeError(t, err, p, 3, b)
	}
}

// TestCountsAreCheckedFirst: a count that the bytes left cannot hold is refused as such, at
// its own place, before any element is read; one that they can just hold is believed.
func TestCountsAreCheckedFirst(t *testing.T) {
	for _, c := range []struct {
		m       protocol.Message
		version int16
		field   string
		offset  int
		head    []byte
		elem    int // smallest element
		after   int // bytes of what follows the array
	}{
		{&protocol.MetadataRequest{}, 1, "Topics", 0, []byte{0, 0, 0, 5}, 2, 0},
		{&protocol.MetadataRequest{}, 12, "Topics", 0, []byte{6}, 18, 3},
		{&protocol.DeleteTopicsRequest{}, 1, "TopicNames", 0, []byte{0, 0, 0, 5}, 2, 4},
		{&protocol.ListOffsetsRequest{}, 1, "Topics", 4, []byte{0, 0, 0, 0, 0, 0, 0, 5}, 6, 0},
		{&protocol.ProduceRequest{}, 3, "TopicData", 8, []byte{0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5}, 6, 0},
	} {
		short := append(bytes.Clone(c.head), make([]byte, 5*c.elem-1)...)
		var wrong *protocol.DecodeError
		if err := c.m.Decode(short, c.version); !errors.As(err, &wrong) {
			t.Errorf("%T: %v", c.m, err)
		} else if wrong.Field != c.field || wrong.Offset != c.offset || !strings.Contains(wrong.Reason, "claimed") {
			t.Errorf("%T: %v", c.m, wrong)
		}
		just := append(bytes.Clone(c.head), make([]byte, 5*c.elem+c.after)...)
		if err := c.m.Decode(just, c.version); err != nil {
			t.Errorf("%T, five elements in %d bytes: %v", c.m, 5*c.elem, err)
		}
	}
}

// TestNullWhereNotAllowed: null arrays, strings and records only where the version has them.
func TestNullWhereNotAllowed(t *testing.T) {
	for _, c := range []struct {
		m       protocol.Message
		version int16
		body    []byte
		ok      bool
	}{
		{&protocol.MetadataRequest{}, 0, []byte{0xff, 0xff, 0xff, 0xff}, false},
		{&protocol.MetadataRequest{}, 1, []byte{0xff, 0xff, 0xff, 0xff}, true},
		{&protocol.MetadataRequest{}, 1, []byte{0xff, 0xff, 0xff, 0xfe}, false},
		{&protocol.MetadataRequest{}, 1, []byte{0, 0, 0, 1, 0xff, 0xff}, false},
		{&protocol.ApiVersionsRequest{}, 3, []byte{0, 1, 0}, false},
		{&protocol.CreateTopicsRequest{}, 0, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, false},
	} {
		if err := c.m.Decode(c.body, c.version); (err == nil) != c.ok {
			t.Errorf("%T version %d, %x: %v", c.m, c.version, c.body, err)
		}
	}
}

func TestNamesForget(t *testing.T) {
	var names protocol.Names
	name := make([]byte, 200)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 200000 {
		binary.BigEndian.PutUint64(name, uint64(i))
		if names.Intern(name) != string(name) {
			t.Fatal("another name came back")
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 4<<20 {
		t.Errorf("%d bytes are kept", kept)
	}
	runtime.KeepAlive(&names)
}
