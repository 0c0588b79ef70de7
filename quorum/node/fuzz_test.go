package node

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

func FuzzPreface(f *testing.F) {
	p := preface{port: portRaft, cluster: 7, from: "3.0a1b2c3d", to: "1"}
	f.Add(p.appendTo(nil))
	f.Add([]byte("MILLQ\x02P\x00\x00\x00\x00\x00\x00\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		p, err := readPreface(r)
		if err != nil {
			return
		}
		if again := p.appendTo(nil); !bytes.Equal(again, b[:len(b)-r.Len()]) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

// FuzzFrames feeds what another server sends to all that reads it.
func FuzzFrames(f *testing.F) {
	frame := func(t frameType, body ...byte) []byte { return endFrame(append(appendFrame(nil, t), body...), 0) }
	f.Add(frame(frameOpen))
	f.Add(appendTxns(nil, []tree.Txn{createTxn("/a"), {Op: tree.Op{Kind: tree.Noop}}}))
	f.Add(appendReport(nil, 7, []int64{1, 2, 3}))
	f.Add(frame(frameReply, 0, 0, 0, 1, 2))
	f.Add(frame(frameRefuse, 255, 'n', 'o'))
	f.Add(frame(frameProbed, 1, 0, 0, 0, 0, 0, 0, 0, 9, 1, '1'))
	c := Change{Joining: "server.4=h4:2888:3888", Leaving: "3", FromVersion: -1}
	f.Add(frame(frameCall, c.appendTo([]byte{0, 0, 0, 1, byte(callReconfig)})...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		frames := frameReader{r: bufio.NewReader(bytes.NewReader(b)), max: 1 << 20}
		for {
			_, body, err := frames.next()
			if err != nil {
				return
			}
			_, _ = tree.DecodeEntry(body)
			_ = readChange(newBody(body))
			r := newBody(body)
			_, _ = r.uint32(), r.error()
			r = newBody(body)
			_, _, _, _ = r.uint8(), r.uint64(), r.name(), r.err()
		}
	})
}

func TestErrorsKeepTheirIdentity(t *testing.T) {
	for _, err := range []error{nil, ErrNotServing, ErrSessionExpired, ErrBadPassword, ErrClosed, ErrNotLeader, ErrOverloaded, errNotMe,
		jute.BadVersion, jute.ReconfigInProgress} {
		b := newBody(append(appendError(nil, err), "rest"...))
		if got := b.error(); !errors.Is(got, err) || string(b.rest()) != "rest" {
			t.Errorf("%v became %v", err, got)
		}
	}
	if got := newBody(appendError(nil, errors.New("some text"))).error(); got == nil || got.Error() != "some text" {
		t.Errorf("a text became %v", got)
	}
}

// A length is believed only as far as bytes arrive.
func TestALyingLengthCostsNoMemory(t *testing.T) {
	var b []byte
	b = binary.BigEndian.AppendUint32(b, 1<<30)
	b = append(b, byte(frameTxns), 1, 2, 3)
	frames := frameReader{r: bufio.NewReader(bytes.NewReader(b)), max: 2 << 30}
	if _, _, err := frames.next(); err == nil {
		t.Fatal("a frame without its bytes was read")
	}
	if cap(frames.buf) > 2*keptFrameBytes {
		t.Errorf("%d bytes were taken", cap(frames.buf))
	}
	frames = frameReader{r: bufio.NewReader(bytes.NewReader(b)), max: 1 << 20}
	if _, _, err := frames.next(); !errors.Is(err, errFrame) {
		t.Errorf("a frame above the limit: %v", err)
	}
}
