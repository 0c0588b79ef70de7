package conn

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/internal/testkit"
)

// inLanes tells whether a test is to be run with connections that go to a lane after one request.
func inLanes(t *testing.T) bool { return strings.HasPrefix(t.Name(), "TestInLanes/") }

// What holds of connections holds of those in a lane.
func TestInLanes(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"order":          TestRepliesKeepTheOrderOfRequests,
		"one write":      TestReadyRepliesLeaveInOneWrite,
		"torn":           TestReadyRepliesLeaveBeforeTheReaderWaits,
		"large":          TestRepliesToLargeRequestsDoNotWait,
		"half large":     TestHalfOfALargeRequestHoldsNothingBack,
		"files":          TestFilesLeaveBySendfile,
		"short file":     TestFileThatEndsEarlyClosesTheConnection,
		"closed peer":    TestClosedPeerCancelsParkedSlots,
		"half closed":    TestHalfClosedPeerStillGetsItsReplies,
		"drain":          TestDrainAnswersWhatWasStarted,
		"panic":          TestPanicCostsItsConnectionOnly,
		"too many":       TestTooManyParkedStopTheReader,
		"throttled":      TestThrottledReplyComesBeforeTheSilence,
		"slow peer":      testSlowPeerInALane,
		"comes and goes": testComesAndGoes,
		"closed":         testCloseInALane,
		"idle":           testIdleInALane,
		"memory":         testLaneWithoutMemory,
	} {
		t.Run(name, test)
	}
}

// enter brings a connection into its lane.
func (r *rig) enter() {
	r.t.Helper()
	r.send(request(1, 1000, 0))
	r.want(1000)
	testkit.WaitFor(r.t, "the connection is in a lane", func() bool { return r.opts.Lanes.Guests() == 1 })
}

// outside is a request that a lane does not serve.
func outside(corr uint32) []byte { return request(1, corr, maxSwiftBytes) }

// A peer that does not read for a while gets everything, in order, and has its connection leave
// the lane.
func testSlowPeerInALane(t *testing.T) {
	r := start(t, func(o *Options) { o.SendBufferBytes = 4096 })
	r.enter()
	const many = 300_000
	go func() {
		var frames []byte
		for corr := range uint32(many) {
			frames = append(frames, request(1, corr, 0)...)
		}
		_, _ = r.client.Write(frames)
	}()
	testkit.WaitFor(t, "the connection leaves the lane", func() bool { return r.opts.Lanes.Guests() == 0 })
	var b [8]byte
	for corr := range uint32(many) {
		if _, err := io.ReadFull(r.client, b[:]); err != nil || binary.BigEndian.Uint32(b[4:]) != corr {
			t.Fatalf("reply %d: %x, %v", corr, b, err)
		}
	}
}

// Leaving is dear: a connection that often has to comes back later each time, and at once when a
// stay was worth it.
func testComesAndGoes(t *testing.T) {
	r := start(t, nil)
	corr := uint32(0)
	exchange := func(frame []byte) {
		r.send(frame)
		r.want(corr)
		corr++
	}
	for wanted := 1; wanted <= 64; wanted *= 2 {
		for range wanted {
			exchange(request(1, corr, 10))
		}
		testkit.WaitFor(t, "the connection is in a lane", func() bool { return r.opts.Lanes.Guests() == 1 })
		exchange(outside(corr))
		if n := r.opts.Lanes.Guests(); n != 0 {
			t.Fatal("a large request was served in the lane")
		}
	}
	for range 127 {
		exchange(request(1, corr, 10))
	}
	if n := r.opts.Lanes.Guests(); n != 0 {
		t.Fatal("the connection is in a lane again already")
	}
	for range netx.ShortStay + 128 {
		exchange(request(1, corr, 10))
	}
	exchange(outside(corr))
	exchange(request(1, corr, 10))
	testkit.WaitFor(t, "the connection is in a lane", func() bool { return r.opts.Lanes.Guests() == 1 })
}

func testCloseInALane(t *testing.T) {
	r := start(t, nil)
	r.enter()
	r.send(request(2, 1, 0))
	o := <-r.parked
	r.c.Close(ErrTooSlow)
	<-o.canceled
	if err := r.wantClosed(); err != ErrTooSlow {
		t.Errorf("closed with %v", err)
	}
}

func testIdleInALane(t *testing.T) {
	r := start(t, nil)
	r.enter()
	r.c.Sweep(time.Unix(0, 0), time.Unix(0, 0), false)
	if n := r.opts.Lanes.Guests(); n != 1 {
		t.Fatal("a connection that is not idle left")
	}
	if used := r.opts.Memory.UsedBytes(); used != 0 {
		t.Errorf("a connection that waits in a lane holds %d bytes", used)
	}
	r.c.Sweep(time.Now().Add(time.Hour), time.Unix(0, 0), false)
	if err := r.wantClosed(); err != ErrIdle {
		t.Errorf("closed with %v", err)
	}
}

// A lane does not wait for memory: who needs more than there is waits outside.
func testLaneWithoutMemory(t *testing.T) {
	r := start(t, func(o *Options) { o.Memory = NewMemory(80 << 10) })
	r.enter()
	most, some := r.opts.Memory.force(64<<10), r.opts.Memory.force(8<<10)
	frame := request(1, 1, 12<<10)
	r.send(frame[:5000])
	testkit.WaitFor(t, "the connection waits for memory", r.opts.Memory.Pressed)
	if n := r.opts.Lanes.Guests(); n != 0 {
		t.Error("it waits in the lane")
	}
	r.opts.Memory.give(most)
	r.opts.Memory.give(some)
	r.send(frame[5000:])
	r.want(1)
}
