package jute

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

var allOps = []OpCode{
	OpNotification, OpCreate, OpDelete, OpExists, OpGetData, OpSetData, OpGetACL, OpSetACL, OpGetChildren, OpSync, OpPing, OpGetChildren2, OpCheck, OpMulti, OpCreate2,
	OpReconfig, OpCheckWatches, OpRemoveWatches, OpCreateContainer, OpDeleteContainer, OpCreateTTL, OpMultiRead, OpAuth, OpSetWatches, OpSASL, OpGetEphemerals,
	OpGetAllChildrenNumber, OpSetWatches2, OpAddWatch, OpWhoAmI, OpCreateSession, OpCloseSession, OpError, 10, 1 << 20,
}

// everyRecord returns an empty one of each type.
func everyRecord() []Record {
	out := []Record{&ConnectRequest{}, &ConnectResponse{}, &RequestHeader{}, &ReplyHeader{}, &MultiHeader{}, &Stat{}}
	for _, op := range allOps {
		for _, r := range []Record{NewRequest(op), NewResponse(op)} {
			if r != nil {
				out = append(out, r)
			}
		}
	}
	return out
}

func TestKnown(t *testing.T) {
	unknown := []OpCode{OpNotification, OpCreateSession, OpError, 10, 1 << 20}
	for _, op := range allOps {
		want := true
		for _, u := range unknown {
			want = want && op != u
		}
		if Known(op) != want {
			t.Errorf("Known(%d) = %v", op, !want)
		}
	}
}

// A count or length that lies takes no memory.
func TestLyingLengths(t *testing.T) {
	for _, lie := range []int32{math.MaxInt32, math.MaxInt32 / 4, 1 << 20, -2, math.MinInt32} {
		for at := 0; at < 48; at += 4 {
			b := make([]byte, 64)
			binary.BigEndian.PutUint32(b[at:], uint32(lie))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for _, rec := range everyRecord() {
				_ = rec.Decode(NewReader(b))
			}
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
				t.Errorf("length %d at %d took %d bytes", lie, at, got)
			}
		}
	}
}

func TestReaderIsSticky(t *testing.T) {
	r := NewReader([]byte{0, 0, 0, 9, 1})
	if b := r.Buffer(); b != nil {
		t.Errorf("got %v", b)
	}
	first := r.Err()
	var d *DecodeError
	if !errors.As(first, &d) || d.Offset != 4 || !strings.Contains(first.Error(), "9 bytes are needed and 1 are left") {
		t.Errorf("got %v", first)
	}
	if r.Bool() || r.Int32() != 0 || r.Int64() != 0 || r.String() != "" || r.Strings() != nil || r.ACLs() != nil || r.Err() != first {
		t.Error("a read after the failure gave something")
	}
}

func TestMultiDoesNotMix(t *testing.T) {
	mixed := MultiRequest{Ops: []MultiOp{{Type: OpDelete, Path: "/a"}, {Type: OpGetData, Path: "/a"}}}
	var back MultiRequest
	if err := back.Decode(NewReader(mixed.AppendTo(nil))); !errors.Is(err, MarshallingError) || back.Ops != nil {
		t.Errorf("got %v, %v", err, back)
	}
	strange := MultiRequest{Ops: []MultiOp{{Type: OpSetACL, Path: "/a"}}}
	if err := back.Decode(NewReader(strange.AppendTo(nil))); !errors.Is(err, MarshallingError) {
		t.Errorf("got %v", err)
	}
}

func TestFrames(t *testing.T) {
	var stream []byte
	sizes := []int{0, 1, 5000, frameStep, frameStep + 1, 300_000, 7}
	for i, n := range sizes {
		start := len(stream)
		stream = BeginFrame(stream)
		stream = append(stream, bytes.Repeat([]byte{byte(i)}, n)...)
		EndFrame(stream, start)
	}
	src := iotest.HalfReader(bytes.NewReader(stream))
	var buf []byte
	for i, n := range sizes {
		var err error
		if buf, err = ReadFrame(src, buf, 300_000); err != nil || len(buf) != n || n > 0 && buf[n-1] != byte(i) {
			t.Fatalf("frame %d: %d bytes, %v", i, len(buf), err)
		}
	}
	if _, err := ReadFrame(src, buf, 300_000); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if _, err := ReadFrame(bytes.NewReader(stream[:9000-8]), nil, 4999); err != nil {
		t.Errorf("first frame: %v", err)
	}
}

func TestFrameLimits(t *testing.T) {
	frame := func(n uint32, body ...byte) io.Reader {
		return bytes.NewReader(append(binary.BigEndian.AppendUint32(nil, n), body...))
	}
	var size *FrameSizeError
	if _, err := ReadFrame(frame(101), nil, 100); !errors.As(err, &size) || size.Length != 101 || !strings.Contains(err.Error(), "jute.maxbuffer") {
		t.Errorf("got %v", err)
	}
	if _, err := ReadFrame(frame(0x80000001), nil, 100); !errors.As(err, &size) || size.Length >= 0 {
		t.Errorf("got %v", err)
	}
	for _, n := range []int{0, 1, 99} {
		if _, err := ReadFrame(frame(100, make([]byte, n)...), nil, 100); err != io.ErrUnexpectedEOF {
			t.Errorf("%d of 100 bytes: %v", n, err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := ReadFrame(frame(1<<30, 1, 2, 3), nil, 1<<30); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v", err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("a length alone took %d bytes", got)
	}
}

func TestCodecsDoNotAllocate(t *testing.T) {
	st := StatResponse{Stat: goldenStat}
	head := RequestHeader{Xid: 1, Op: OpGetData}
	reply := ReplyHeader{Xid: 1, Zxid: 2}
	data := []byte("data")
	buf := make([]byte, 0, 256)
	var r Reader
	n := testing.AllocsPerRun(100, func() {
		b := BeginFrame(buf)
		b = head.AppendTo(b)
		b = reply.AppendTo(b)
		b = st.AppendTo(b)
		b = AppendBuffer(b, data)
		EndFrame(b, 0)
		r.Reset(b[4:])
		if head.Decode(&r) != nil || reply.Decode(&r) != nil || st.Decode(&r) != nil || len(r.Buffer()) != 4 {
			t.Fatal(r.Err())
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDecode: no input makes a record panic, take memory out of proportion, or come out
// different when it is written and read again.
func FuzzDecode(f *testing.F) {
	for name, rec := range goldenRecords() {
		b := rec.AppendTo(nil)
		for i, r := range everyRecord() {
			if reflect.TypeOf(r) == reflect.TypeOf(rec) {
				f.Add(uint8(i), b)
				break
			}
		}
		_ = name
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		records := everyRecord()
		i := int(which) % len(records)
		rec, again := records[i], everyRecord()[i]
		r := NewReader(b)
		if err := rec.Decode(r); err != nil {
			if !errors.Is(err, MarshallingError) {
				t.Fatalf("%T: %v", rec, err)
			}
			return
		}
		written := rec.AppendTo(nil)
		if err := again.Decode(NewReader(written)); err != nil {
			t.Fatalf("%T: written again: %v", rec, err)
		}
		if !bytes.Equal(again.AppendTo(nil), written) {
			t.Fatalf("%T: %+v became %+v", rec, rec, again)
		}
	})
}

// FuzzCheckPath compares with a literal reading of PathUtils over UTF-16.
func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"", "/", "/a/../b", "/..a/.", "/\u0000", "/\U0001F600", "a"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, path string, sequential bool) {
		if got, want := CheckPath(path, sequential) == nil, javaPathOK(path, sequential); got != want {
			t.Fatalf("%q: got %v, want %v", path, got, want)
		}
	})
}
