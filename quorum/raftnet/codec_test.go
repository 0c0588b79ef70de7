package raftnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"
	"unsafe"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/netx"
)

// frameOf is a request as it goes over the wire.
func frameOf(t testing.TB, k kind, command any) []byte {
	t.Helper()
	var w writer
	if r, ok := command.(*raft.AppendEntriesRequest); ok {
		pieces, err := writeAppend(&w, k, r, nil)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Join(pieces, nil)
	}
	if err := writeRequest(&w, command); err != nil {
		t.Fatal(err)
	}
	return w.b
}

func answerOf(t testing.TB, k kind, response any) []byte {
	t.Helper()
	var w writer
	if err := writeAnswer(&w, k, raft.RPCResponse{Response: response}); err != nil {
		t.Fatal(err)
	}
	return w.b
}

// FuzzRequests feeds what another server sends to all that reads it. What is taken has one form.
func FuzzRequests(f *testing.F) {
	f.Add(frameOf(f, kindAppend, appendRequest(3, 0, 5)))
	f.Add(frameOf(f, kindNews, appendRequest()))
	f.Add(frameOf(f, kindAppend, appendRequest(5000)))
	f.Add(frameOf(f, kindVote, &raft.RequestVoteRequest{RPCHeader: header, Term: 2, Candidate: []byte("c"), LeadershipTransfer: true}))
	f.Add(frameOf(f, kindPreVote, &raft.RequestPreVoteRequest{RPCHeader: header, Term: 2}))
	f.Add(frameOf(f, kindTimeout, &raft.TimeoutNowRequest{RPCHeader: header}))
	f.Add(frameOf(f, kindSnapshot, &raft.InstallSnapshotRequest{RPCHeader: header, Peers: []byte("p"), Configuration: []byte("c"), Size: 9}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		// A small room, so that both ways to read a frame are taken.
		in, rest := newReader(bytes.NewReader(b), 64, 1<<20), b
		var n names
		for {
			k, body, own, err := in.next()
			if err != nil {
				return
			}
			command, err := readRequest(k, body, own, &n)
			if err != nil {
				if !errors.Is(err, ErrMalformed) {
					t.Fatal(err)
				}
				return
			}
			if again := frameOf(t, k, command); !bytes.HasPrefix(rest, again) {
				t.Fatalf("%x became %x", rest, again)
			} else {
				rest = rest[len(again):]
			}
		}
	})
}

// FuzzAnswers does the same with what a server that was called sends.
func FuzzAnswers(f *testing.F) {
	responses := []any{
		&raft.AppendEntriesResponse{RPCHeader: header, Term: 8, LastLog: 9, Success: true},
		&raft.RequestVoteResponse{RPCHeader: header, Term: 8, Granted: true, Peers: []byte("p")},
		&raft.RequestPreVoteResponse{RPCHeader: header, Term: 8, Granted: true},
		&raft.TimeoutNowResponse{RPCHeader: header},
		&raft.InstallSnapshotResponse{RPCHeader: header, Term: 8, Success: true},
	}
	for i, r := range responses {
		f.Add(answerOf(f, kind(i+1), r))
	}
	f.Add([]byte("\x00\x00\x00\x07\xffnot me"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, body, _, err := newReader(bytes.NewReader(b), answerRoom, 1<<20).next()
		if err != nil {
			return
		}
		for i, r := range responses {
			var n names
			err := readAnswer(k, body, r, &n)
			if _, refused := errors.AsType[*RefusedError](err); refused || errors.Is(err, ErrMalformed) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if again := answerOf(t, kind(i+1), r); !bytes.HasPrefix(b, again) {
				t.Fatalf("%x became %x", b, again)
			}
		}
	})
}

// The data of entries is copied nowhere on the way out, and shares one stretch of memory at the
// other end.
func TestEntriesAreNotCopied(t *testing.T) {
	req := appendRequest(3000, 3000)
	req.Entries[1].Extensions = []byte("more")
	var w writer
	pieces, err := writeAppend(&w, kindAppend, req, nil)
	if err != nil || len(pieces) != 4 || unsafe.SliceData(pieces[1]) != unsafe.SliceData(req.Entries[0].Data) {
		t.Fatalf("%d pieces, %v", len(pieces), err)
	}
	for _, room := range []int{64, 64 << 10} {
		k, body, own, err := newReader(bytes.NewReader(bytes.Join(pieces, nil)), room, 1<<20).next()
		if err != nil || k != kindAppend || own != (room == 64) {
			t.Fatal(k, own, err)
		}
		got, err := readAppend(body, own, &names{})
		if err != nil || show(got) != show(req) {
			t.Fatalf("it became %.200s, %v", show(got), err)
		}
		first, second := got.Entries[0], got.Entries[1]
		if cap(first.Data) != len(first.Data) || unsafe.Add(unsafe.Pointer(&first.Data[0]), len(first.Data)) != unsafe.Pointer(&second.Data[0]) {
			t.Error("the entries lie apart")
		}
		clear(body)
		if !own && first.Data[0] == 0 {
			t.Error("the entries lie in room that is used again")
		}
	}
}

// A length is believed only as far as bytes arrive.
func TestALyingLengthCostsNoMemory(t *testing.T) {
	b := binary.BigEndian.AppendUint32(nil, 1<<30)
	b = append(append(b, byte(kindAppend)), make([]byte, 3*stepBytes)...)
	in := newReader(bytes.NewReader(b), requestRoom, 2<<30)
	if cost := testing.AllocsPerRun(1, func() {
		if _, _, _, err := in.next(); err == nil {
			t.Error("a frame without its bytes was read")
		}
	}); cost > 10 {
		t.Errorf("%v allocations", cost)
	}
	var size *SizeError
	if _, _, _, err := newReader(bytes.NewReader(b), requestRoom, 1<<20).next(); !errors.As(err, &size) || size.Bytes != 1<<30 || !errors.Is(err, ErrMalformed) {
		t.Errorf("a frame above the limit: %v", err)
	}
	for _, cut := range []int{1, 4, 5, 6, len(b)} {
		if _, _, _, err := newReader(bytes.NewReader(b[:cut]), requestRoom, 2<<30).next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the end after %d bytes: %v", cut, err)
		}
	}
	count := frameOf(t, kindAppend, appendRequest(1))
	binary.BigEndian.PutUint32(count[len(count)-1-entryBytes-4:], 1<<31)
	if _, err := readAppend(count[headBytes:], true, &names{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a count of 2^31: %v", err)
	}
}

// What cannot be written is an error of the caller's, before anything is written.
func TestWhatCannotBeWritten(t *testing.T) {
	long := raft.RPCHeader{ID: make([]byte, 256)}
	for _, command := range []any{
		&raft.RequestVoteRequest{RPCHeader: long}, &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 256}},
		&raft.InstallSnapshotRequest{Size: -1}, &raft.RequestVoteResponse{}, nil,
	} {
		if err := writeRequest(&writer{}, command); !errors.Is(err, ErrUnencodable) {
			t.Errorf("%T: %v", command, err)
		}
	}
	if _, err := writeAppend(&writer{}, kindAppend, &raft.AppendEntriesRequest{RPCHeader: long}, netx.Pieces{}); !errors.Is(err, ErrUnencodable) {
		t.Error(err)
	}
	if err := writeAnswer(&writer{}, kindVote, raft.RPCResponse{Response: "?"}); !errors.Is(err, ErrUnencodable) {
		t.Error(err)
	}
}

// A message whose entries have no time keeps that.
func TestEntriesWithoutATime(t *testing.T) {
	req := appendRequest(1)
	req.Entries[0].AppendedAt = time.Time{}
	frame := frameOf(t, kindAppend, req)
	got, err := readAppend(frame[headBytes:], true, &names{})
	if err != nil || !got.Entries[0].AppendedAt.IsZero() {
		t.Error(got.Entries[0].AppendedAt, err)
	}
}
