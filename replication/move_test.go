package replication

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/testkit"
)

// twoDirs is an env whose logs can move.
func twoDirs(t *testing.T) *env {
	e := newEnv(t)
	e.loader.Close()
	e.Manager.Close()
	e.store.Kill()
	e.dirs = []string{"/logs", "/others"}
	e.store = e.openStore(e.fs)
	e.loader = newLoader(e)
	e.start()
	return e
}

func otherDir(l *engine.Log) string {
	return map[string]string{"/logs": "/others", "/others": "/logs"}[l.LogDir()]
}

// The log goes back and forth while producers with all kinds of acks write to it and a
// consumer reads: every produce is acknowledged once, at the next offset, and the consumer
// sees every record, once and in order.
func TestMoveUnderLoad(t *testing.T) {
	for _, use := range []string{"", "durable", "everySecond"} {
		t.Run(use, func(t *testing.T) {
			e := twoDirs(t)
			p := e.topic(use)
			const each, acks = 150, 3
			var wg sync.WaitGroup
			stop := make(chan struct{})
			for a := range acks {
				wg.Go(func() {
					done := newOutcomes()
					for i := range each {
						res, pending := p.Produce(batch(fmt.Sprintf("%d-%d;", a, i)), int16(a-1), -1, engine.Client, done, i, 60_000)
						if pending {
							_, res = done.wait(t)
						}
						if res.Err != nil {
							t.Errorf("produce %d with acks %d: %v", i, a-1, res.Err)
							return
						}
					}
				})
			}
			var moved int
			wg.Go(func() {
				for { // once at least
					before := p.Log()
					if err := e.MoveLog("t", 0, otherDir(before)); err != nil {
						t.Errorf("move: %v", err)
						return
					}
					testkit.WaitFor(t, "the move", func() bool { return p.Log() != before })
					moved++
					select {
					case <-stop:
						return
					default:
					}
				}
			})
			all, at := "", int64(0)
			for at < each*acks && !t.Failed() {
				waiter := make(chan struct{}, 1)
				w := NewFetchWaiter(func() {
					select {
					case waiter <- struct{}{}:
					default:
					}
				})
				p.AddFetchWaiter(w)
				s, _, err := read(t, p, consumer(at))
				if errors.Is(err, engine.ErrMoved) {
					err = nil // as a client, which is told NOT_LEADER_OR_FOLLOWER, and asks again
				}
				if err != nil {
					t.Fatalf("read at %d: %v", at, err)
				}
				if s == "" {
					select {
					case <-waiter:
					case <-time.After(testkit.Patience):
						t.Fatalf("nobody wakes the consumer at %d of %d", at, p.Log().LogEndOffset())
					}
				}
				p.RemoveFetchWaiter(w)
				all += s
				at += int64(strings.Count(s, ";"))
			}
			close(stop)
			wg.Wait()
			if moved == 0 {
				t.Error("the log was never moved")
			}
			for a := range acks {
				from := 0
				for i := range each {
					at := strings.Index(all[from:], fmt.Sprintf("%d-%d;", a, i))
					if at < 0 {
						t.Fatalf("record %d of acks %d is missing, or not in order", i, a-1)
					}
					from += at + 1
				}
			}
			t.Logf("moved %d times", moved)
		})
	}
}

func TestMoveRequests(t *testing.T) {
	e := twoDirs(t)
	p := e.topic("")
	l := p.Log()
	for _, test := range []struct {
		topic string
		index int32
		dir   string
		want  error
	}{{"t", 1, "/others", ErrUnknownTopicOrPartition}, {"x", 0, "/others", ErrUnknownTopicOrPartition}, {"t", 0, l.LogDir(), nil}} {
		if err := e.MoveLog(test.topic, test.index, test.dir); !errors.Is(err, test.want) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	var unknown *engine.UnknownDirError
	if err := e.MoveLog("t", 0, "/nowhere"); !errors.As(err, &unknown) {
		t.Errorf("an unknown directory: %v", err)
	}
	if p.Log() != l {
		t.Error("it moved")
	}
	// A topic that is deleted takes its move along.
	if err := e.MoveLog("t", 0, otherDir(l)); err != nil {
		t.Fatal(err)
	}
	e.settle(dropOps("t", 1)...)
	testkit.WaitFor(t, "the move's end", func() bool {
		e.moves.mu.Lock()
		defer e.moves.mu.Unlock()
		return e.moves.running == 0
	})
	if _, ok := e.store.Get(engine.TopicPartition{Topic: "t"}); ok || len(e.store.Moves()) != 0 {
		t.Error("the log is there again")
	}
}

// A copy keeps to the pace that is set, and a slow one ends when the broker does.
func TestMovePace(t *testing.T) {
	e := twoDirs(t)
	p := e.topic("")
	for range 4 {
		p.Produce(batch(strings.Repeat("x", 500_000)), 1, -1, engine.Client, nil, 0, 1)
	}
	if got := e.WaitingMoves(); len(got) != 0 {
		t.Errorf("waiting: %v", got)
	}
	e.o.MoveBytesPerSecond = func() int64 { return 1000 }
	began := e.clock.Now()
	if err := e.MoveLog("t", 0, otherDir(p.Log())); err != nil {
		t.Fatal(err)
	}
	before := p.Log()
	testkit.WaitFor(t, "the move", func() bool {
		e.clock.Advance(10 * time.Second)
		return p.Log() != before
	})
	if took := e.clock.Now().Sub(began); took < 2000*time.Second {
		t.Errorf("2 MB at 1 kB/s took %v", took)
	}
	before = p.Log()
	if err := e.MoveLog("t", 0, otherDir(before)); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "the first piece", func() bool {
		m := e.store.Moves()
		return len(m) == 1 && m[0].SizeBytes > 0
	})
	e.Manager.Close() // does not wait for the pace
	if p.Log() != before {
		t.Error("it moved")
	}
}

// One log a directory is copied at a time; the others wait, and can be seen to.
func TestMovesWaitForEachOther(t *testing.T) {
	e := twoDirs(t)
	e.o.MoveBytesPerSecond = func() int64 { return 1 }
	e.settle(topicOps("t", 1, "", 4, self)...)
	to := map[int32]string{}
	for i := range int32(4) {
		p, err := e.Get("t", i)
		if err != nil {
			t.Fatal(err)
		}
		p.Produce(batch("x"), 1, -1, engine.Client, nil, 0, 1)
		to[i] = otherDir(p.Log())
		if err := e.MoveLog("t", i, to[i]); err != nil {
			t.Fatal(err)
		}
	}
	testkit.WaitFor(t, "two moves", func() bool { return len(e.store.Moves()) == 2 && len(e.WaitingMoves()) == 2 })
	for _, w := range e.WaitingMoves() {
		if w.Dir != to[w.TopicPartition.Partition] {
			t.Errorf("%+v", w)
		}
	}
	// Somebody wants one where it is: it waits no more.
	w := e.WaitingMoves()[1]
	p, _ := e.Get("t", w.TopicPartition.Partition)
	if err := e.MoveLog("t", w.TopicPartition.Partition, p.Log().LogDir()); err != nil {
		t.Fatal(err)
	}
	if got := e.WaitingMoves(); len(got) != 1 || got[0].TopicPartition == w.TopicPartition {
		t.Errorf("%+v", got)
	}
}

// A move that was interrupted is begun anew by the next start.
func TestMoveIsResumed(t *testing.T) {
	e := twoDirs(t)
	p := e.topic("")
	p.Produce(batch("x"), 1, -1, engine.Client, nil, 0, 1)
	to := otherDir(p.Log())
	m, err := e.store.BeginMove(p.Log().TopicPartition(), to)
	if err != nil {
		t.Fatal(err)
	}
	m.Leave()
	e.loader.Close()
	e.Manager.Close()
	if err := e.store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.store = e.openStore(e.fs)
	e.loader = newLoader(e)
	e.start()
	testkit.WaitFor(t, "the log to arrive", func() bool {
		p, err := e.Get("t", 0)
		return err == nil && p.Log().LogDir() == to && p.Log().LogEndOffset() == 1
	})
}
