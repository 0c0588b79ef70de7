package conn

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net"
	"testing"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
)

// feed plays the socket: it always has more bytes, and gives at most short of them.
type feed struct {
	stream []byte
	in     *input
	reads  int
}

func newFeed(t *testing.T, stream []byte) *feed {
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	c := New(a, &Options{Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler), Memory: NewMemory(0), Stats: new(Stats), Senders: NewSenders()})
	c.session = &session{c: c, limit: 100 << 20}
	return &feed{stream: stream, in: &c.in}
}

func (f *feed) next(t *testing.T, short int) []byte {
	t.Helper()
	for {
		frame, err := f.in.next()
		if err != nil {
			t.Fatal(err)
		}
		if frame != nil {
			return frame
		}
		if err := f.in.makeRoom(); err != nil {
			t.Fatal(err)
		}
		room := f.in.Lend()
		if len(room) == 0 {
			t.Fatal("no room is lent for the rest of a frame")
		}
		n := copy(room[:min(len(room), short)], f.stream)
		f.stream = f.stream[n:]
		f.in.w += n
		f.reads++
		if n == 0 {
			t.Fatal("the stream ended inside a frame")
		}
	}
}

// A pipeline of large frames is read in one call each, and never so far ahead that a large
// part of the next one has to be moved.
func TestLargeFramesAreReadToTheirEnd(t *testing.T) {
	const frames, bodyBytes = 50, 65_600
	f := newFeed(t, bytes.Repeat(request(1, 7, bodyBytes), frames))
	for i := range frames {
		f.next(t, 1<<30)
		if ahead := f.in.w - f.in.r; i > 0 && ahead > aheadBytes {
			t.Fatalf("after frame %d there are %d bytes of the next one, more than %d", i, ahead, aheadBytes)
		}
	}
	if f.reads > frames+2 {
		t.Errorf("%d reads for %d frames", f.reads, frames)
	}
}

// Frames of all sizes come out as they went in, however the stream is cut.
func TestFramesSurviveAnyCut(t *testing.T) {
	r := testkit.Rand(t)
	var stream []byte
	var want [][]byte
	for range 300 {
		size := 20 + r.IntN(1<<(5+r.IntN(14)))
		frame := binary.BigEndian.AppendUint32(nil, uint32(size))
		frame = append(frame, 0, 1, 0, 0)
		for len(frame) < size+4 {
			frame = append(frame, byte(r.Uint32()))
		}
		want = append(want, frame[4:])
		stream = append(stream, frame...)
	}
	f := newFeed(t, stream)
	for i := range want {
		if got := f.next(t, 1+r.IntN(1<<(1+r.IntN(18)))); !bytes.Equal(got, want[i]) {
			t.Fatalf("frame %d of %d bytes differs", i, len(want[i]))
		}
		if r.IntN(4) == 0 {
			f.in.Sleep()
		}
	}
}
