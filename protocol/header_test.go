package protocol_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/millrace/millrace/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRequestHeaderIsKmsgs: whole requests as kmsg frames them are split into header and
// body, in every version.
func TestRequestHeaderIsKmsgs(t *testing.T) {
	for _, clientID := range []string{"", "me", string(bytes.Repeat([]byte("x"), 300))} {
		var options []kmsg.RequestFormatterOpt
		if clientID != "" {
			options = append(options, kmsg.FormatterClientID(clientID))
		}
		format := kmsg.NewRequestFormatter(options...)
		for a := range protocol.APIs() {
			for v := a.Min; v <= a.Max; v++ {
				req := kmsg.RequestForKey(a.Key)
				req.SetVersion(v)
				frame := format.AppendRequest(nil, req, 77)
				h, body, err := protocol.ParseRequestHeader(frame[4:])
				if err != nil {
					t.Fatalf("%s %d: %v", a.Name, v, err)
				}
				want := protocol.RequestHeader{Key: a.Key, Version: v, CorrelationID: 77, ClientID: clientID}
				if h != want || !bytes.Equal(body, req.AppendTo(nil)) {
					t.Fatalf("%s %d: header %+v, body %x", a.Name, v, h, body)
				}
				if ours := append(protocol.AppendRequestHeader(nil, h), body...); !bytes.Equal(ours, frame[4:]) {
					t.Fatalf("%s %d: we write %x, kmsg %x", a.Name, v, ours, frame[4:])
				}
			}
		}
	}
}

func TestResponseHeader(t *testing.T) {
	for a := range protocol.APIs() {
		for v := a.Min; v <= a.Max; v++ {
			want := []byte{0, 0, 0, 9}
			if a.Flexible(v) && a.Key != protocol.KeyApiVersions {
				want = append(want, 0)
			}
			got := protocol.AppendResponseHeader(nil, a.Key, v, 9)
			if !bytes.Equal(got, want) {
				t.Errorf("%s %d: %x", a.Name, v, got)
			}
			id, body, err := protocol.ParseResponseHeader(append(got, 5), a.Key, v)
			if id != 9 || !bytes.Equal(body, []byte{5}) || err != nil {
				t.Errorf("%s %d: %d %x %v", a.Name, v, id, body, err)
			}
		}
	}
}

// TestHeaderTagsAreSkipped: a client may send tags that nobody knows.
func TestHeaderTagsAreSkipped(t *testing.T) {
	b := []byte{0, 3, 0, 9, 0, 0, 0, 1, 0, 1, 'c', 2, 0, 3, 1, 2, 3, 0x90, 1, 0, 0xEE}
	h, body, err := protocol.ParseRequestHeader(b)
	if err != nil || h.ClientID != "c" || !bytes.Equal(body, []byte{0xEE}) {
		t.Fatalf("%+v %x %v", h, body, err)
	}
}

func TestHeadersThatCannotBe(t *testing.T) {
	whole := []byte{0, 3, 0, 9, 0, 0, 0, 1, 0, 1, 'c', 1, 0, 3, 1, 2, 3}
	for n := range len(whole) {
		_, _, err := protocol.ParseRequestHeader(whole[:n])
		if wrong := new(protocol.DecodeError); !errors.As(err, &wrong) {
			t.Errorf("first %d bytes: %v", n, err)
		}
	}
	tagBomb := []byte{0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0}
	if _, _, err := protocol.ParseRequestHeader(tagBomb); err == nil {
		t.Error("2^32-1 tags in 2 bytes are accepted")
	}
	longClientID := []byte{0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 'c'}
	if _, _, err := protocol.ParseRequestHeader(longClientID); err == nil {
		t.Error("a client id that ends after the frame is accepted")
	}
}

// TestUnsupported: versions that are not served are told apart from broken headers, and
// ApiVersions can be answered.
func TestUnsupported(t *testing.T) {
	for _, c := range []struct {
		key, version int16
		known        bool
	}{{18, 5, true}, {18, 127, true}, {18, -1, true}, {0, 2, true}, {0, 14, true}, {1, 3, true}, {4, 0, false}, {999, 0, false}, {-1, 0, false}} {
		b := []byte{byte(c.key >> 8), byte(c.key), byte(c.version >> 8), byte(c.version), 0, 0, 0, 7, 0, 1, 'c', 0xff, 0xff}
		h, _, err := protocol.ParseRequestHeader(b)
		var unsupported *protocol.UnsupportedError
		if !errors.As(err, &unsupported) || unsupported.Known != c.known || h.CorrelationID != 7 || h.ClientID != "c" {
			t.Errorf("key %d version %d: %+v, %v", c.key, c.version, h, err)
		}
	}
	var answer kmsg.ApiVersionsResponse
	if err := answer.ReadFrom(protocol.UnsupportedApiVersions().Append(nil, 0)); err != nil {
		t.Fatal(err)
	}
	if answer.ErrorCode != 35 || len(answer.ApiKeys) != 1 {
		t.Fatalf("%+v", answer)
	}
	if got := answer.ApiKeys[0]; got.ApiKey != 18 || got.MinVersion != 0 || got.MaxVersion != 4 {
		t.Errorf("%+v", got)
	}
}

func TestCheckFrame(t *testing.T) {
	const socketMax = 100 << 20
	for _, c := range []struct {
		size int32
		key  int16
		ok   bool
	}{
		{10, 18, true}, {9, 18, false}, {0, 18, false}, {-1, 18, false}, {-1 << 31, 0, false},
		{64 << 10, 18, true}, {64<<10 + 1, 18, false}, {socketMax, 0, true}, {socketMax + 1, 0, false},
		{8 << 20, 1, true}, {8<<20 + 1, 1, false}, {64 << 10, 999, true}, {64<<10 + 1, 999, false},
	} {
		head := binary.BigEndian.AppendUint32(nil, uint32(c.size))
		head = binary.BigEndian.AppendUint16(head, uint16(c.key))
		size, key, err := protocol.CheckFrame(head, socketMax)
		if (err == nil) != c.ok || key != c.key || c.ok && size != int(c.size) {
			t.Errorf("size %d key %d: %d %d %v", c.size, c.key, size, key, err)
		}
		var frame *protocol.FrameError
		if !c.ok && !errors.As(err, &frame) {
			t.Errorf("size %d key %d: %T", c.size, c.key, err)
		}
	}
	if got := protocol.RequestLimit(1, 1<<20); got != 1<<20 {
		t.Errorf("a socket limit below the API's cap gives %d", got)
	}
}
