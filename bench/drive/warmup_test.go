package drive

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/raw"
	"github.com/millrace/millrace/internal/testkit"
)

// empty counts the partitions of a topic that hold nothing.
func (f *fake) empty(t *testing.T, topic string) (n int) {
	t.Helper()
	ends, err := f.admin.ListEndOffsets(context.WithoutCancel(t.Context()), topic)
	if err != nil {
		t.Error(err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err != nil || o.Offset == 0 {
			n++
		}
	})
	return n
}

// First appends belong to the warm-up: however short its time is, there is something in each
// partition when the steady phase begins.
func TestWarmupReachesEachPartition(t *testing.T) {
	for _, client := range []string{Raw, Franz} {
		for _, kind := range []Kind{Produce, FanOut} {
			t.Run(client+" "+string(kind), func(t *testing.T) {
				f := newFake(t, 2)
				s := f.small(kind, client)
				s.Partitions, s.Producers, s.Warmup, s.WarmupLimit, s.MaxWaitMs = 50, 2, time.Microsecond, testkit.Patience, 20
				left := -1
				p := &noted{on: func(phase string) {
					if phase == "steady" {
						left = f.empty(t, "t")
					}
				}}
				run := mustRun(t, s, p)
				if left != 0 || run.WarmupCut || strings.Contains(run.Note, "limit") {
					t.Errorf("%d partitions were empty; cut %v, %s", left, run.WarmupCut, run.Note)
				}
				if run.WarmupS <= 1e-6 {
					t.Errorf("the warm-up is said to have lasted %v s", run.WarmupS)
				}
			})
		}
	}
}

// What waits for no partition: reading, no warm-up at all, and a run about first appends.
func TestWarmupByClock(t *testing.T) {
	parts := make([]raw.Partition, 3)
	for want, s := range map[bool]Spec{
		true:  {Kind: Produce, Warmup: time.Second, WarmupByClock: true},
		false: {Kind: Produce, Warmup: time.Second},
	} {
		if byClock := s.touched(parts) == nil; byClock != want {
			t.Errorf("%+v: by the clock alone is %v", s, byClock)
		}
	}
	for _, s := range []Spec{{Kind: Produce}, {Kind: Consume, Warmup: time.Second}} {
		if s.touched(parts) != nil || s.marks(parts) != nil {
			t.Errorf("%+v waits for first appends", s)
		}
	}
	for limit, s := range map[time.Duration]Spec{10 * time.Second: {Warmup: time.Second}, 2 * time.Second: {Warmup: 2 * time.Second, WarmupLimit: time.Second}} {
		if got := s.withDefaults().WarmupLimit; got != limit {
			t.Errorf("%v and %v: limit %v, want %v", s.Warmup, s.WarmupLimit, got, limit)
		}
	}
}

// A partition that takes nothing holds the warm-up up to its limit only, and the result says
// what that does to its figures.
func TestWarmupIsCut(t *testing.T) {
	for _, client := range []string{Raw, Franz} {
		t.Run(client, func(t *testing.T) {
			f := newFake(t, 1)
			f.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
				f.KeepControl()
				resp := r.ResponseKind().(*kmsg.ProduceResponse)
				for _, rt := range r.(*kmsg.ProduceRequest).Topics {
					t := kmsg.NewProduceResponseTopic()
					t.Topic, t.TopicID = rt.Topic, rt.TopicID
					for _, rp := range rt.Partitions {
						p := kmsg.NewProduceResponseTopicPartition()
						if p.Partition = rp.Partition; p.Partition == 2 {
							p.ErrorCode = kerr.MessageTooLarge.Code
						}
						t.Partitions = append(t.Partitions, p)
					}
					resp.Topics = append(resp.Topics, t)
				}
				return resp, nil, true
			})
			s := f.small(Produce, client)
			s.Warmup = 10 * time.Millisecond
			run := mustRun(t, s, nil)
			if !run.WarmupCut || !strings.Contains(run.Note, "1 of 3 partitions") || run.WarmupS < 0.1 {
				t.Errorf("cut %v after %v s: %s", run.WarmupCut, run.WarmupS, run.Note)
			}
		})
	}
}
