package drive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record/compress"
	"github.com/millrace/millrace/tools/cli"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// fake is a Kafka cluster that others wrote.
type fake struct {
	*kfake.Cluster
	address string
	client  *kgo.Client
	admin   *kadm.Client
}

func newFake(t *testing.T, brokers int) *fake {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.SleepOutOfOrder())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	f := &fake{Cluster: c, address: strings.Join(c.ListenAddrs(), ",")}
	if f.client, err = kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	f.admin = kadm.NewClient(f.client)
	return f
}

// stored counts the records of each topic.
func (f *fake) stored(t *testing.T, topics ...string) map[string]int64 {
	t.Helper()
	ends, err := f.admin.ListEndOffsets(t.Context(), topics...)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		out[o.Topic] += o.Offset
	})
	return out
}

// small is a run of a few records.
func (f *fake) small(kind Kind, client string) Spec {
	return Spec{
		Kind: kind, Client: client, Bootstrap: f.address, Topic: "t", Partitions: 3, Create: true, Acks: -1,
		Workload: workload.Spec{Sizes: "100"}, BatchBytes: 2000, Records: 500, Interval: 10 * time.Millisecond,
	}
}

// noted is a Progress that keeps what it is told.
type noted struct {
	mu     sync.Mutex
	phases []string
	points []result.Point
	on     func(phase string)
}

func (n *noted) Point(_ string, p result.Point) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.points = append(n.points, p)
}

func (n *noted) Phase(_, phase string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.phases = append(n.phases, phase)
	if n.on != nil {
		n.on(phase)
	}
}

func mustRun(t *testing.T, s Spec, p Progress) result.Run {
	t.Helper()
	run, err := Run(t.Context(), s, p)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func TestProduceOverSeveralTopics(t *testing.T) {
	for _, client := range []string{Raw, Franz} {
		t.Run(client, func(t *testing.T) {
			f := newFake(t, 2)
			s := f.small(Produce, client)
			s.Topics, s.Producers, s.Codec, s.Workload.Keys, s.Workload.Headers = 2, 3, compress.LZ4, "uniform:7", 1
			var p noted
			run := mustRun(t, s, &p)
			got := f.stored(t, "t-0", "t-1")
			total := got["t-0"] + got["t-1"]
			if run.Records != total || total < s.Records || got["t-0"] == 0 || got["t-1"] == 0 {
				t.Errorf("the run has %d records, the brokers %v", run.Records, got)
			}
			if client == Franz && total != s.Records {
				t.Errorf("%d records were sent, want %d", total, s.Records)
			}
			if run.PayloadBytes != total*110 || run.Bytes < run.PayloadBytes || run.Requests == 0 || run.Client != client {
				t.Errorf("%+v", run)
			}
			if run.Uncorrected == nil || run.Latency != nil || run.Generator == nil || run.SteadyS <= 0 {
				t.Errorf("%+v", run)
			}
			if want := []string{"topics", "warm-up", "steady", "clean-up"}; !reflect.DeepEqual(p.phases, want) {
				t.Errorf("phases %q, want %q", p.phases, want)
			}
		})
	}
}

func TestOpenLoopHasThreeDistributions(t *testing.T) {
	for _, client := range []string{Raw, Franz} {
		t.Run(client, func(t *testing.T) {
			f := newFake(t, 1)
			s := f.small(Produce, client)
			s.Rate, s.Acks, s.BatchBytes, s.Records = 20_000, 1, 120, 200
			run := mustRun(t, s, nil)
			if run.Latency == nil || run.Uncorrected == nil || run.Lateness == nil {
				t.Fatalf("%+v", run)
			}
			if n := run.Requests; client == Raw && run.Latency.Count < n || client == Franz && run.Latency.Count != run.Records || run.Latency.Count != run.Uncorrected.Count {
				t.Errorf("%d records in %d requests, but %d latencies and %d uncorrected", run.Records, n, run.Latency.Count, run.Uncorrected.Count)
			}
			if run.Latency.MeanMs < run.Lateness.MeanMs {
				t.Errorf("latency %v ms holds lateness %v ms", run.Latency.MeanMs, run.Lateness.MeanMs)
			}
		})
	}
}

// Nobody answers: a producer with acks=0 counts what it sent.
func TestWithoutAcks(t *testing.T) {
	for _, client := range []string{Raw, Franz} {
		t.Run(client, func(t *testing.T) {
			f := newFake(t, 1)
			s := f.small(Produce, client)
			s.Acks = 0
			run := mustRun(t, s, nil)
			if run.Records < s.Records || run.Requests == 0 {
				t.Errorf("%+v", run)
			}
			testkit.WaitFor(t, "the records arrive", func() bool { return f.stored(t, "t")["t"] >= s.Records })
		})
	}
}

func TestConsumeWhatWasPreloaded(t *testing.T) {
	for _, client := range []string{Raw, Franz} {
		for _, kind := range []Kind{Consume, FanOut} {
			t.Run(fmt.Sprint(client, " ", kind), func(t *testing.T) {
				f := newFake(t, 2)
				s := f.small(kind, client)
				s.Consumers, s.PreloadBytes, s.Delete = 2, 100_000, true
				var preloaded int64
				s.Cold = func() error {
					preloaded = f.stored(t, "t")["t"]
					return nil
				}
				run := mustRun(t, s, nil)
				if preloaded < 850 || preloaded > 1050 {
					t.Errorf("%d records were preloaded", preloaded)
				}
				if run.Records < s.Records || run.Requests == 0 || run.Bytes < run.Records*100 || run.Uncorrected == nil {
					t.Errorf("%+v", run)
				}
				list, err := f.admin.ListTopics(t.Context())
				if err != nil || list.Has("t") {
					t.Errorf("the topic was left: %v", err)
				}
			})
		}
	}
}

// A run by time reads the same records again and again.
func TestReplay(t *testing.T) {
	for _, client := range []string{Raw, Franz} {
		t.Run(client, func(t *testing.T) {
			f := newFake(t, 1)
			s := f.small(Consume, client)
			s.PreloadBytes, s.Records, s.Duration = 10_000, 0, time.Hour
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			read := 0.0
			p := &progressFunc{point: func(pt result.Point) {
				if pt.Warmup {
					return // of the preload
				}
				if read += pt.RecordsPerS * pt.IntervalS; read > 200 { // some 90 are stored
					cancel()
				}
			}}
			run, err := Run(ctx, s, p)
			if !errors.Is(err, context.Canceled) || run.Error == "" {
				t.Errorf("an interrupted run: %v, %q", err, run.Error)
			}
			if run.Records < 200 || len(run.Series) == 0 || run.SteadyS <= 0 || run.Generator == nil {
				t.Errorf("an interrupted run keeps what it has: %+v", run)
			}
		})
	}
}

type progressFunc struct {
	Quiet
	point func(result.Point)
}

func (p *progressFunc) Point(_ string, pt result.Point) { p.point(pt) }

func TestBothDirections(t *testing.T) {
	for _, client := range []string{Raw, Franz} {
		for _, kind := range []Kind{Both, FanOut} {
			t.Run(fmt.Sprint(client, " ", kind), func(t *testing.T) {
				f := newFake(t, 1)
				s := f.small(kind, client)
				s.Producers, s.Consumers, s.Rate, s.Records, s.MaxWaitMs = 1, 3, 4000, 400, 50
				run := mustRun(t, s, nil)
				if run.Other == nil || run.Other.Requests == 0 {
					t.Fatalf("%+v", run)
				}
				sent, got, direction := run.Records, run.Other.Records, "consumed"
				if kind == FanOut {
					sent, got, direction = got, sent, "produced"
				}
				if run.Other.Direction != direction || sent < 400 || f.stored(t, "t")["t"] < sent || got == 0 {
					t.Errorf("sent %d, got %d, %s", sent, got, run.Other.Direction)
				}
			})
		}
	}
}

// A cold run ends when everything was read, long before its time.
func TestColdReadsOnce(t *testing.T) {
	for _, client := range []string{Raw, Franz} {
		t.Run(client, func(t *testing.T) {
			f := newFake(t, 1)
			s := f.small(Consume, client)
			s.PreloadBytes, s.Records, s.Duration, s.Warmup, s.Consumers = 50_000, 0, time.Hour, time.Hour, 2
			if client == Franz {
				s.Consumers = 4 // one without a partition
			}
			s.Cold = func() error { return nil }
			if run, stored := mustRun(t, s, nil), f.stored(t, "t")["t"]; run.Records != stored || stored < 400 || run.WarmupS > 1000 {
				t.Errorf("read %d of %d", run.Records, stored)
			}
			s.Cold = func() error { return os.ErrPermission }
			if _, err := Run(t.Context(), s, nil); !errors.Is(err, os.ErrPermission) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestGroups(t *testing.T) {
	f := newFake(t, 1)
	s := f.small(Consume, Franz)
	s.PreloadBytes, s.Consumers, s.ConsumerGroup, s.Records = 60_000, 2, "g", 300
	if run := mustRun(t, s, nil); run.Records < 300 {
		t.Errorf("%+v", run)
	}
	f.ControlKey(int16(kmsg.ApiVersions), func(r kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		resp := r.ResponseKind().(*kmsg.ApiVersionsResponse)
		for _, key := range []int16{0, 1, 2, 3, 18, 19, 20} {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MaxVersion = key, map[int16]int16{0: 8, 1: 11, 2: 5, 3: 8, 18: 2, 19: 4, 20: 3}[key]
			resp.ApiKeys = append(resp.ApiKeys, k)
		}
		return resp, nil, true
	})
	var none *NoGroupsError
	if _, err := Run(t.Context(), s, nil); !errors.As(err, &none) {
		t.Errorf("got %v", err)
	}
}

func TestFailures(t *testing.T) {
	for _, client := range []string{Raw, Franz} {
		t.Run(client, func(t *testing.T) {
			f := newFake(t, 1)
			s := f.small(Produce, client)
			s.Create = false
			var topic *TopicError
			if _, err := Run(t.Context(), s, nil); !errors.As(err, &topic) || !errors.Is(err, kerr.UnknownTopicOrPartition) {
				t.Errorf("an absent topic: %v", err)
			}
			s.Create = true
			mustRun(t, s, nil)
			s.Partitions = 5
			var parts *PartitionsError
			if _, err := Run(t.Context(), s, nil); !errors.As(err, &parts) || parts.Has != 3 {
				t.Errorf("too few partitions: %v", err)
			}
			s.Recreate = true
			if run := mustRun(t, s, nil); f.stored(t, "t")["t"] != run.Records {
				t.Errorf("the topic was not made anew: %v, sent %d", f.stored(t, "t"), run.Records)
			}
			f.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
				f.KeepControl()
				resp := r.ResponseKind().(*kmsg.ProduceResponse)
				for _, rt := range r.(*kmsg.ProduceRequest).Topics {
					t := kmsg.NewProduceResponseTopic()
					t.Topic, t.TopicID = rt.Topic, rt.TopicID
					for _, rp := range rt.Partitions {
						p := kmsg.NewProduceResponseTopicPartition()
						p.Partition, p.ErrorCode = rp.Partition, kerr.MessageTooLarge.Code
						t.Partitions = append(t.Partitions, p)
					}
					resp.Topics = append(resp.Topics, t)
				}
				return resp, nil, true
			})
			s.Recreate = false
			run, err := Run(t.Context(), s, nil)
			if err == nil || run.Errors == 0 || run.Records != 0 || !strings.Contains(run.Note, "MESSAGE_TOO_LARGE") {
				t.Errorf("all refused: %v, %+v", err, run)
			}
		})
	}
}

func TestIdleAndEmpty(t *testing.T) {
	f := newFake(t, 1)
	s := f.small(Idle, Raw)
	s.Connections, s.Records, s.Duration, s.Warmup = 5, 0, 30*time.Millisecond, time.Millisecond
	if run := mustRun(t, s, nil); run.SteadyS < 0.03 || len(run.Series) == 0 || run.Generator == nil {
		t.Errorf("%+v", run)
	}
	for _, client := range []string{Raw, Franz} {
		s := f.small(Consume, client)
		s.Duration = time.Minute
		var empty *EmptyError
		if _, err := Run(t.Context(), s, nil); !errors.As(err, &empty) {
			t.Errorf("nothing to read: %v", err)
		}
	}
	s = f.small(Consume, Franz)
	s.IdleTimeout = 20 * time.Millisecond
	var idle *IdleError
	if _, err := Run(t.Context(), s, nil); !errors.As(err, &idle) {
		t.Errorf("nothing comes: %v", err)
	}
}

func TestSpecsThatMakeNoSense(t *testing.T) {
	good := Spec{Kind: Produce, Bootstrap: "127.0.0.1:1", Acks: 1, Records: 1, Workload: workload.Spec{Sizes: "1"}}
	for want, change := range map[string]func(*Spec){
		"must be one of produce":   func(s *Spec) { s.Kind = "x" },
		"raw or franz-go":          func(s *Spec) { s.Client = "x" },
		"acks":                     func(s *Spec) { s.Acks = 2 },
		"per second":               func(s *Spec) { s.Rate = -1 },
		"when the run is over":     func(s *Spec) { s.Records = 0 },
		"replay, same or tail":     func(s *Spec) { s.FetchMode = "x" },
		"take partitions":          func(s *Spec) { s.Kind, s.ConsumerGroup = Consume, "g" },
		"PLAINTEXT only":           func(s *Spec) { s.Props = cli.Props{"security.protocol": "SSL"} },
		"read one place":           func(s *Spec) { s.Kind, s.Client, s.FetchMode = Consume, Franz, Same },
		"Please provide valid":     func(s *Spec) { s.Bootstrap = "nowhere" },
		"fetches when it wants":    func(s *Spec) { s.Kind, s.Client, s.FetchRate = Consume, Franz, 1 },
		"an idle run ends by time": func(s *Spec) { s.Kind = Idle },
	} {
		s := good
		change(&s)
		if run, err := Run(t.Context(), s, nil); err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) || run.Error == "" {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestNames(t *testing.T) {
	s := Spec{Kind: Produce, Workload: workload.Spec{Sizes: "1024"}, Partitions: 6, Acks: -1, Codec: compress.Zstd}
	if got, want := s.withDefaults().Name, "produce size=1KiB partitions=6 acks=all batch=64KiB codec=zstd"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	s = Spec{Kind: Connections, Workload: workload.Spec{Sizes: "100"}, Acks: 1, Connections: 1000, BatchBytes: 1200}
	if got, want := s.withDefaults().Name, "connections size=100B acks=1 batch=1200B connections=1000"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	s = Spec{Kind: FanOut, Workload: workload.Spec{Sizes: "exp:200"}, Consumers: 50, FetchPartitionBytes: 16 << 10}
	if got, want := s.withDefaults().Name, "fanout size=exp:200 consumers=50 read=replay max partition bytes=16KiB"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
