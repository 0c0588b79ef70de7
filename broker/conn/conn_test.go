package conn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// session answers by key: 1 at once, 2 parks until released, 3 panics, 4 sends a file,
// 5 gets no reply, 6 mutes.
type session struct {
	c      *Conn
	limit  int
	file   atomic.Pointer[vfs.File]
	parked chan *op
	closed chan error
	bodies chan int
}

type op struct {
	slot     Slot
	corr     uint32
	canceled chan struct{}
	hurried  chan struct{}
}

func (o *op) Cancel() { close(o.canceled) }
func (o *op) Hurry()  { close(o.hurried) }

func (s *session) MaxRequestBytes(key, _ int16) int {
	if key > 6 {
		return 0
	}
	return s.limit
}

// Swift lets everything into a lane, also what is not: files must be sent from outside.
func (s *session) Swift(int16) bool { return true }

func (s *session) Serve(frame []byte) {
	corr := binary.BigEndian.Uint32(frame[4:])
	switch key := binary.BigEndian.Uint16(frame); key {
	case 1:
		s.c.Open().Reply(s.reply(corr))
	case 2:
		o := &op{slot: s.c.Open(), corr: corr, canceled: make(chan struct{}), hurried: make(chan struct{})}
		if o.slot.Park(o) {
			s.parked <- o
		}
	case 3:
		panic("boom")
	case 4:
		slot, r := s.c.Open(), s.reply(corr)
		r.AddRange(vfs.Range{File: *s.file.Load(), Pos: 100, LenBytes: 1 << 20})
		r.Buf = append(r.Buf, "tail"...)
		slot.Reply(r)
	case 5:
		s.bodies <- len(frame)
	case 6:
		s.c.Open().Reply(s.reply(corr))
		s.c.Mute(time.Hour)
	}
}

func (s *session) reply(corr uint32) *Reply {
	r := s.c.NewReply()
	r.Buf = binary.BigEndian.AppendUint32(r.Buf, corr)
	return r
}

func (s *session) Closed(err error) { s.closed <- err }

type rig struct {
	*session
	t      *testing.T
	client net.Conn
	opts   *Options
	got    *bytes.Reader
}

func start(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, client, server, change)
}

func startOn(t *testing.T, client, server net.Conn, change func(*Options)) *rig {
	t.Helper()
	o := &Options{
		Clock: clock.Real{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Memory: NewMemory(0),
		Stats: &Stats{}, Senders: NewSenders(), MaxInFlight: DefaultMaxInFlight, MaxQueuedBytes: DefaultMaxQueuedBytes,
	}
	if inLanes(t) {
		// Nobody looks after the lane: a machine that is slow has nobody leave it.
		o.Lanes, o.SwiftRun = netx.NewLanes(1, testkit.NewClock(time.Unix(0, 0))), 1
	}
	if change != nil {
		change(o)
	}
	s := &session{limit: 100 << 20, parked: make(chan *op, 1000), closed: make(chan error, 1), bodies: make(chan int, 100)}
	s.c = New(server, o)
	ended := make(chan struct{})
	go func() { s.c.Run(s); close(ended) }()
	t.Cleanup(func() {
		client.Close()
		<-ended
		if o.Lanes != nil {
			o.Lanes.Close()
		}
		if used := o.Memory.UsedBytes(); used != 0 {
			t.Errorf("%d bytes of buffers were not given back", used)
		}
		if n := o.Stats.Parked.Load(); n != 0 {
			t.Errorf("%d slots are still counted as parked", n)
		}
	})
	client.SetDeadline(time.Now().Add(testkit.Patience))
	return &rig{session: s, t: t, client: client, opts: o}
}

func request(key int16, corr uint32, bodyBytes int) []byte {
	b := make([]byte, 12+bodyBytes)
	binary.BigEndian.PutUint32(b, uint32(8+bodyBytes))
	binary.BigEndian.PutUint16(b[4:], uint16(key))
	binary.BigEndian.PutUint32(b[8:], corr)
	return b
}

func (r *rig) send(frames ...[]byte) {
	r.t.Helper()
	if _, err := r.client.Write(bytes.Join(frames, nil)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) want(corrs ...uint32) {
	r.t.Helper()
	for _, corr := range corrs {
		var b [8]byte
		if _, err := io.ReadFull(r.client, b[:]); err != nil {
			r.t.Fatalf("reply %d: %v", corr, err)
		}
		if size, got := binary.BigEndian.Uint32(b[:]), binary.BigEndian.Uint32(b[4:]); size != 4 || got != corr {
			r.t.Fatalf("reply of %d bytes to request %d, want one of 4 bytes to %d", size, got, corr)
		}
	}
}

func (r *rig) wantClosed() error {
	r.t.Helper()
	if n, err := io.Copy(io.Discard, r.client); n != 0 && err == nil {
		r.t.Fatalf("%d more bytes came before the close", n)
	}
	return <-r.closed
}

func TestRepliesKeepTheOrderOfRequests(t *testing.T) {
	seed := time.Now().UnixNano()
	if s := os.Getenv("SEED"); s != "" {
		seed, _ = strconv.ParseInt(s, 10, 64)
	}
	t.Logf("SEED=%d", seed)
	rng := rand.New(rand.NewSource(seed))
	r := start(t, nil)
	const rounds, perRound = 200, 60
	for round := range rounds {
		var frames [][]byte
		var want []uint32
		parks := 0
		for i := range perRound {
			corr := uint32(round*perRound + i)
			key := int16(1)
			if rng.Intn(3) == 0 {
				key = 2
				parks++
			}
			frames = append(frames, request(key, corr, rng.Intn(2000)))
			want = append(want, corr)
		}
		r.send(frames...)
		ops := make([]*op, parks)
		for i := range ops {
			ops[i] = <-r.parked
		}
		rng.Shuffle(parks, func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
		var wg sync.WaitGroup
		for i, o := range ops {
			wg.Go(func() {
				if i%2 == 0 {
					o.slot.FinishAsync(r.reply(o.corr))
				} else {
					o.slot.Finish(r.reply(o.corr))
				}
			})
		}
		wg.Wait()
		r.want(want...)
	}
}

func TestReadyRepliesLeaveInOneWrite(t *testing.T) {
	r := start(t, nil)
	r.send(request(2, 1, 0), request(1, 2, 0), request(1, 3, 0))
	o := <-r.parked
	r.send(request(2, 4, 0))
	<-r.parked // everything before it was served
	if n := r.opts.Stats.Writes.Load(); n != 0 {
		t.Fatalf("%d writes happened behind a parked request", n)
	}
	o.slot.Finish(r.reply(1))
	r.want(1, 2, 3)
	if n := r.opts.Stats.Writes.Load(); n != 1 {
		t.Fatalf("3 ready replies took %d writes, want 1", n)
	}
}

func TestReadyRepliesLeaveBeforeTheReaderWaits(t *testing.T) {
	r := start(t, nil)
	torn := request(1, 2, 100)
	r.send(request(1, 1, 0), torn[:50]) // the second is not complete: the first must not wait for it
	r.want(1)
	r.send(torn[50:])
	r.want(2)
}

// The reply to a large request may wait for the next one, but only if that is there already.
func TestRepliesToLargeRequestsDoNotWait(t *testing.T) {
	r := start(t, nil)
	for corr := uint32(1); corr <= 20; corr += 2 {
		r.send(request(1, corr, 2*largeBytes))
		r.want(corr)
		torn := request(1, corr+1, 2*largeBytes)
		r.send(torn[:largeBytes]) // what is there of it must not hold back the next reply for good
		r.send(torn[largeBytes:])
		r.want(corr + 1)
	}
	var pipeline [][]byte
	var corrs []uint32
	for corr := uint32(100); corr < 150; corr++ {
		pipeline, corrs = append(pipeline, request(1, corr, 2*largeBytes)), append(corrs, corr)
	}
	go r.send(pipeline...)
	r.want(corrs...)
}

// A peer that sends half a request and then waits for the reply to the one before gets it.
func TestHalfOfALargeRequestHoldsNothingBack(t *testing.T) {
	r := start(t, nil)
	r.send(request(1, 1, 2*largeBytes))
	r.want(1)
	torn := request(1, 3, 2*largeBytes)
	r.send(request(1, 2, 2*largeBytes), torn[:largeBytes])
	r.want(2)
	r.send(torn[largeBytes:])
	r.want(3)
}

func TestFilesLeaveBySendfile(t *testing.T) {
	r := start(t, nil)
	content := writeFile(t, r)
	want := append([]byte{0, 0x10, 0, 8, 0, 0, 0, 9}, content[100:100+1<<20]...)
	want = append(want, "tail"...)
	r.send(request(1, 8, 0), request(4, 9, 0), request(1, 10, 0))
	r.want(8)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r.client, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the file's bytes came out different")
	}
	r.want(10)
	if n := r.opts.Stats.SendfileBytes.Load(); n != 1<<20 {
		t.Fatalf("sendfile carried %d bytes, want %d", n, 1<<20)
	}
}

func TestFilesAreCopiedWhereThereIsNoSocket(t *testing.T) {
	client, server := net.Pipe()
	r := startOn(t, client, server, nil)
	content := writeFile(t, r)
	go r.client.Write(request(4, 9, 0))
	got := make([]byte, 8+1<<20+4)
	if _, err := io.ReadFull(r.client, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[8:8+1<<20], content[100:100+1<<20]) || string(got[8+1<<20:]) != "tail" {
		t.Fatal("the file's bytes came out different")
	}
	if n := r.opts.Stats.SendfileBytes.Load(); n != 0 {
		t.Fatalf("sendfile carried %d bytes of a pipe", n)
	}
}

func TestFileThatEndsEarlyClosesTheConnection(t *testing.T) {
	r := start(t, nil)
	writeFile(t, r)
	if err := (*r.file.Load()).Truncate(5000); err != nil {
		t.Fatal(err)
	}
	r.send(request(4, 9, 0))
	if _, err := io.Copy(io.Discard, r.client); err != nil {
		t.Fatal(err)
	}
	if err := <-r.closed; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("closed with %v, want an unexpected end of file", err)
	}
}

func writeFile(t *testing.T, r *rig) []byte {
	t.Helper()
	content := make([]byte, 2<<20)
	rand.New(rand.NewSource(1)).Read(content)
	name := t.TempDir() + "/file"
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := osfs.FS{}.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r.file.Store(&f)
	return content
}

func TestClosedPeerCancelsParkedSlots(t *testing.T) {
	r := start(t, nil)
	r.send(request(2, 1, 0), request(2, 2, 0))
	a, b := <-r.parked, <-r.parked
	r.client.Close()
	<-a.canceled
	<-b.canceled
	a.slot.FinishAsync(r.reply(1)) // too late: given back, not sent
	if err := <-r.closed; err != nil {
		t.Fatalf("closed with %v, want an orderly end", err)
	}
}

// slowCloser is a socket whose Close waits, as it does for a sendfile from a slow disk.
type slowCloser struct {
	net.Conn
	entered, leave chan struct{}
}

func (s *slowCloser) Close() error {
	s.entered <- struct{}{}
	<-s.leave
	return s.Conn.Close()
}

// Whoever completes a slot, a syncer with others behind it, does not wait for the socket.
func TestSlowCloseHoldsNobodyUp(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	slow := &slowCloser{Conn: b, entered: make(chan struct{}, 1), leave: make(chan struct{})}
	c := New(slow, &Options{Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler), Memory: NewMemory(0), Stats: new(Stats), Senders: NewSenders(), MaxInFlight: 8, MaxQueuedBytes: 1 << 20})
	slot := c.Open()
	closed, completed := make(chan struct{}), make(chan struct{})
	go func() {
		c.Close(nil)
		close(closed)
	}()
	<-slow.entered
	go func() {
		slot.FinishAsync(c.NewReply())
		close(completed)
	}()
	select {
	case <-completed:
	case <-time.After(testkit.Patience):
		t.Error("completing a slot waits for the socket of its connection to close")
	}
	close(slow.leave)
	<-closed
	<-completed
}

func TestHalfClosedPeerStillGetsItsReplies(t *testing.T) {
	r := start(t, nil)
	r.send(request(1, 1, 0), request(1, 2, 0))
	r.client.(*net.TCPConn).CloseWrite()
	r.want(1, 2)
	r.wantClosed()
}

// The requests that came too late must not have the connection reset: a reset takes from the
// peer the replies that it has not read yet.
func TestDrainAnswersWhatWasStarted(t *testing.T) {
	r := start(t, nil)
	r.send(request(2, 1, 0), request(2, 2, 0))
	first, second := <-r.parked, <-r.parked // both are started, what comes now is not
	r.c.Drain()
	<-first.hurried
	r.send(request(1, 3, 0))
	second.slot.FinishAsync(r.reply(2))
	first.slot.FinishAsync(r.reply(1))
	r.want(1, 2)
	if n, err := io.Copy(io.Discard, r.client); n != 0 || err != nil {
		t.Fatalf("%d more bytes, then %v; an end was expected", n, err)
	}
	r.client.Close()
	if err := <-r.closed; err != nil {
		t.Fatalf("closed with %v, want an orderly end", err)
	}
}

// A peer that does not take its leave holds nobody up for long.
func TestDrainDoesNotWaitForAPeerForever(t *testing.T) {
	r := start(t, nil)
	r.send(request(1, 1, 0))
	r.want(1)
	r.c.Drain()
	if err := r.wantClosed(); err != nil {
		t.Fatalf("closed with %v, want an orderly end", err)
	}
}

func TestPanicCostsItsConnectionOnly(t *testing.T) {
	r := start(t, nil)
	r.send(request(1, 1, 0), request(3, 2, 0))
	r.want(1)
	if err := r.wantClosed(); err == nil {
		t.Fatal("the connection ended in order")
	}
	if r.opts.Stats.Panics.Load() != 1 {
		t.Fatal("the panic was not counted")
	}
}

func TestTooManyParkedStopTheReader(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxInFlight = 4 })
	for i := range 6 {
		r.send(request(2, uint32(i), 0))
	}
	ops := []*op{<-r.parked, <-r.parked, <-r.parked, <-r.parked}
	if len(r.parked) != 0 {
		t.Fatal("a fifth request was started")
	}
	for i, o := range ops {
		o.slot.FinishAsync(r.reply(uint32(i)))
	}
	r.want(0, 1, 2, 3)
	ops = []*op{<-r.parked, <-r.parked}
	for i, o := range ops {
		o.slot.FinishAsync(r.reply(uint32(4 + i)))
	}
	r.want(4, 5)
}

func TestThrottledReplyComesBeforeTheSilence(t *testing.T) {
	r := start(t, nil)
	r.send(request(6, 1, 0), request(5, 2, 0))
	r.want(1)
	if len(r.bodies) != 0 {
		t.Fatal("a muted connection went on reading")
	}
	r.c.Close(nil)
	r.wantClosed()
	if len(r.bodies) != 0 {
		t.Fatal("a muted connection went on reading")
	}
}
