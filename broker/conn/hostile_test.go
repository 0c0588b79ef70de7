package conn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestLyingFramesCostTheirConnection(t *testing.T) {
	for name, frame := range map[string][]byte{
		"negative size":   {0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0},
		"zero size":       {0, 0, 0, 0, 0, 1, 0, 0},
		"size of nothing": {0, 0, 0, 7},
		"huge size":       {0x7f, 0xff, 0xff, 0xff, 0, 1, 0, 0},
		"unknown key":     {0, 0, 0, 8, 0, 99, 0, 0, 0, 0, 0, 0},
		"http":            []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			r.send(request(1, 7, 0), frame)
			r.want(7)
			var bad *FrameError
			if err := r.wantClosed(); !errors.As(err, &bad) {
				t.Fatalf("closed with %v, want a frame error", err)
			}
		})
	}
}

func TestStrangersAreNamed(t *testing.T) {
	for opening, want := range map[string]string{"\x16\x03\x01\x02\x00\x01\x00\x01": "TLS", "GET /metrics HTTP/1.1": "HTTP"} {
		r := start(t, nil)
		r.send([]byte(opening))
		if err := r.wantClosed(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("closed with %v, want %s to be named", err, want)
		}
	}
}

func TestDrainEndsAWaitForMemory(t *testing.T) {
	r := start(t, func(o *Options) { o.Memory = NewMemory(256 << 10) })
	go r.client.Write(request(5, 1, 2<<20))
	r.waitUsed(func(int64) bool { return r.opts.Memory.Pressed() })
	r.c.Drain()
	if err := <-r.closed; err != nil {
		t.Fatalf("closed with %v, want an orderly end", err)
	}
}

func TestSlowDripIsServedAndHoldsLittle(t *testing.T) {
	r := start(t, nil)
	frame := request(5, 1, 3000)
	for i := range frame {
		r.send(frame[i : i+1])
	}
	if n := <-r.bodies; n != 3008 {
		t.Fatalf("a request of %d bytes arrived, want 3008", n)
	}
}

// A claim of 100 MiB takes no memory until the bytes come.
func TestMemoryFollowsTheBytes(t *testing.T) {
	r := start(t, nil)
	frame := request(5, 1, 90<<20)
	r.send(frame[:1000])
	r.waitUsed(func(n int64) bool { return n <= minBufferBytes && n > 0 })
	r.send(frame[1000:500_000])
	r.waitUsed(func(n int64) bool { return n >= 500_000 })
	if n := r.opts.Memory.UsedBytes(); n > 16*500_000 {
		t.Fatalf("%d bytes are held for 500000", n)
	}
	r.send(frame[500_000:])
	if n := <-r.bodies; n != 8+90<<20 {
		t.Fatalf("a request of %d bytes arrived", n)
	}
	r.waitUsed(func(n int64) bool { return n == 0 })
}

func (r *rig) waitUsed(ok func(int64) bool) {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(r.opts.Memory.UsedBytes()); runtime.Gosched() {
		if time.Now().After(deadline) {
			r.t.Fatalf("the connections hold %d bytes", r.opts.Memory.UsedBytes())
		}
	}
}

func TestSmallRequestsPassAFullBudget(t *testing.T) {
	m := NewMemory(1 << 20)
	share := func(o *Options) { o.Memory = m }
	hog := start(t, share)
	big := request(5, 1, 4<<20)
	hog.send(big[:700<<10])
	hog.waitUsed(func(int64) bool { return m.Pressed() })
	other := start(t, share)
	other.send(request(1, 1, 10))
	other.want(1)
	hog.c.Close(nil) // wakes a reader that waits for memory
	<-hog.closed
}

// Two half-read requests that cannot both be held: the first to wait may overshoot, and
// then the other is served.
func TestFullBudgetDoesNotStandStill(t *testing.T) {
	m := NewMemory(1 << 20)
	share := func(o *Options) { o.Memory = m }
	a, b := start(t, share), start(t, share)
	frame := request(5, 1, 2<<20)
	for _, r := range []*rig{a, b} {
		go r.client.Write(frame)
	}
	for waiting := int32(0); waiting == 0; waiting = m.waiting.Load() {
		runtime.Gosched()
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				m.Relieve(time.Now())
				runtime.Gosched()
			}
		}
	}()
	<-a.bodies
	<-b.bodies
}

func TestSlowRequestIsClosedWhenOthersWait(t *testing.T) {
	r := start(t, nil)
	r.send(request(5, 1, 1000)[:100])
	for r.c.partialSince.Load() == 0 {
		runtime.Gosched()
	}
	past, future := time.Unix(0, 0), time.Now().Add(time.Hour)
	r.c.Sweep(past, future, false)
	r.c.Sweep(past, past, true)
	select {
	case <-r.closed:
		t.Fatal("closed without need")
	default:
	}
	r.c.Sweep(past, future, true)
	if err := r.wantClosed(); !errors.Is(err, ErrTooSlow) {
		t.Fatalf("closed with %v", err)
	}
}

func TestIdleConnectionIsClosedAndAParkedOneIsNot(t *testing.T) {
	r := start(t, nil)
	r.send(request(2, 1, 0))
	o := <-r.parked
	future := time.Now().Add(time.Hour)
	r.c.Sweep(future, time.Time{}, false)
	o.slot.Finish(r.reply(1))
	r.want(1)
	r.c.Sweep(future, time.Time{}, false)
	if err := r.wantClosed(); !errors.Is(err, ErrIdle) {
		t.Fatalf("closed with %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(bytes.Join([][]byte{request(1, 1, 0), request(5, 2, 100)}, nil), uint8(3))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		c := &Conn{opts: &Options{Memory: NewMemory(0)}, session: &session{limit: 1 << 10}}
		i := &input{c: c}
		c.in.c = c
		var want [][]byte
		for rest := in; len(rest) >= 12; {
			n := int(int32(binary.BigEndian.Uint32(rest)))
			key := int16(binary.BigEndian.Uint16(rest[4:]))
			if n < 8 || n > 1<<10 || n+4 > len(rest) || key > 6 {
				break
			}
			want = append(want, rest[4:4+n])
			rest = rest[4+n:]
		}
		for rest := in; len(rest) > 0; {
			if err := i.makeRoom(); err != nil {
				t.Fatal(err)
			}
			n := copy(i.Lend(), rest[:min(len(rest), int(step)+1)])
			i.w += n
			rest = rest[n:]
			for {
				frame, err := i.next()
				if err != nil {
					rest = nil
				}
				if frame == nil {
					break
				}
				if len(want) == 0 || !bytes.Equal(frame, want[0]) {
					t.Fatalf("got frame %x, want %x", frame, want)
				}
				want = want[1:]
			}
			i.Sleep()
		}
		if len(want) != 0 {
			t.Fatalf("%d frames were not found", len(want))
		}
		i.release()
	})
}
