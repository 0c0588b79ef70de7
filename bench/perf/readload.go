package perf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/pace"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

// readRun is a consumer run under way.
type readRun struct {
	spec    *readSpec
	session *session
	wall    wall
	onset   func() // the steady phase begins; may be nil
	fetches *hist.Recorder

	startNs, endNs int64
	endMs          int64
	steadyUntilNs  int64 // the duration is over then

	mu         sync.Mutex // everything below
	stats      *readStats
	steadyNs   int64
	lastReadNs int64
	records    int64 // of the steady phase
	bytes      int64
	joinFromNs int64
	warned     map[string]bool
	stop       bool
	all        atomic.Int64 // records, for the points
	allBytes   atomic.Int64
	series     []result.Point
}

func newReadRun(spec *readSpec, stats *readStats, s *session) *readRun {
	return &readRun{spec: spec, session: s, wall: newWall(), fetches: hist.NewRecorder(), stats: stats, warned: map[string]bool{}}
}

// begin starts the clock.
func (r *readRun) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.startNs = pace.Now()
	r.joinFromNs, r.lastReadNs = r.startNs, r.startNs
	r.stats.start(r.wall.ms(r.startNs))
	if r.spec.warmup == 0 {
		r.beginSteady(r.startNs)
	}
}

func (r *readRun) began() bool { return r.startNs != 0 }

func (r *readRun) timeIsUp() bool { return r.steadyUntilNs > 0 && r.endNs >= r.steadyUntilNs }

// beginSteady ends the warm-up. mu is held.
func (r *readRun) beginSteady(nowNs int64) {
	r.session.watch.begin()
	if r.onset != nil {
		r.onset()
	}
	r.steadyNs, r.lastReadNs = nowNs, nowNs
	if r.spec.duration > 0 {
		r.steadyUntilNs = nowNs + int64(r.spec.duration)
	}
}

// finish stops the clock.
func (r *readRun) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endNs = pace.Now()
	r.endMs = r.wall.ms(r.endNs)
	r.session.watch.end()
}

// polled counts one poll of a consumer; it says whether to go on.
func (r *readRun) polled(records, bytes, firstBytes int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop {
		return false
	}
	now := pace.Now()
	r.stats.polled(r.wall.ms(now), records, bytes, firstBytes)
	r.all.Add(records)
	r.allBytes.Add(bytes)
	idleMs := r.wall.ms(now) - r.wall.ms(r.lastReadNs)
	if records > 0 {
		idleMs = 0
		r.lastReadNs = now
		if r.steadyNs > 0 {
			r.records += records
			r.bytes += bytes
		}
	}
	if r.steadyNs == 0 && now-r.startNs >= int64(r.spec.warmup) {
		r.beginSteady(now)
	}
	r.stop = r.spec.records > 0 && r.stats.records >= r.spec.records ||
		idleMs > r.spec.timeoutMs || r.steadyUntilNs > 0 && now >= r.steadyUntilNs
	return !r.stop
}

// assigned and revoked count the time without partitions, of the first consumer.
func (r *readRun) assigned() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.joined(r.wall.now() - r.wall.ms(r.joinFromNs))
}

func (r *readRun) revoked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joinFromNs = pace.Now()
}

// tick makes a point of each second.
func (r *readRun) tick(stop chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	last, records, bytes := r.startNs, int64(0), int64(0)
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		now, n, b := pace.Now(), r.all.Load(), r.allBytes.Load()
		seconds := float64(now-last) / 1e9
		p := result.Point{
			AtS: float64(now-r.startNs) / 1e9, IntervalS: seconds, Warmup: now-r.startNs < int64(r.spec.warmup),
			RecordsPerS: float64(n-records) / seconds, MBPerS: float64(b-bytes) / seconds / 1e6,
		}
		if h := r.fetches.Interval(); h.Count() > 0 {
			p.MeanMs, p.P50Ms, p.P99Ms, p.MaxMs = ms(h.Mean()), ms(h.Percentile(50)), ms(h.Percentile(99)), ms(h.Max())
		}
		r.series = append(r.series, p)
		r.session.point(p)
		last, records, bytes = now, n, b
	}
}

// result is the steady phase in the form of bench/result.
func (r *readRun) result(target string) result.Run {
	run := result.Run{
		Target: target, Client: r.spec.client, Started: time.UnixMilli(r.wall.ms(r.startNs)),
		Records: r.records, Bytes: r.bytes, Series: r.series, Note: "Latency is that of fetch requests.",
	}
	if r.steadyNs == 0 {
		run.Error = "it ended before the warm-up did"
		return run
	}
	run.WarmupS = float64(r.steadyNs-r.startNs) / 1e9
	if r.lastReadNs > r.steadyNs {
		run.SteadyS = float64(r.lastReadNs-r.steadyNs) / 1e9
		run.RecordsPerS = float64(run.Records) / run.SteadyS
		run.MBPerS = float64(run.Bytes) / run.SteadyS / 1e6
	}
	run.Uncorrected = r.fetches.Total().Latency()
	return run
}

// fetchTimer records how long fetch requests took.
type fetchTimer struct{ shard *hist.Shard }

var _ kgo.HookBrokerE2E = (*fetchTimer)(nil)

// OnBrokerE2E records a fetch.
func (f *fetchTimer) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if key == kmsg.Fetch.Int16() && e.Err() == nil {
		f.shard.Record(int64(e.DurationE2E()))
	}
}

// readFranz runs the load with franz-go.
func readFranz(ctx context.Context, r *readRun, stderr io.Writer, hooks ...kgo.Hook) error {
	clients, err := newFranzReaders(ctx, r, stderr, hooks)
	defer func() {
		for _, c := range clients {
			c.CloseAllowingRebalance()
		}
	}()
	if err != nil {
		r.startNs = 0 // it did not begin
		return err
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		r.tick(stop)
	}()
	var wg sync.WaitGroup
	errs := make([]error, len(clients))
	for i, c := range clients {
		wg.Go(func() { errs[i] = r.poll(ctx, c, stderr) })
	}
	wg.Wait()
	r.finish()
	close(stop)
	<-stopped
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

// pollWait is how long a poll waits for records, as in Kafka's tool.
const pollWait = 100 * time.Millisecond

// poll reads until the run is over.
func (r *readRun) poll(ctx context.Context, c *kgo.Client, stderr io.Writer) error {
	for ctx.Err() == nil {
		waiting, cancel := context.WithTimeout(ctx, pollWait)
		fetches := c.PollRecords(waiting, r.spec.settings.pollRecords)
		cancel()
		var records, bytes, first int64
		fetches.EachRecord(func(rec *kgo.Record) {
			n := int64(len(rec.Key) + len(rec.Value))
			if records == 0 {
				first = n
			}
			records++
			bytes += n
		})
		for _, e := range fetches.Errors() {
			if err := r.fetchError(e, stderr); err != nil {
				r.mu.Lock()
				r.stop = true
				r.mu.Unlock()
				return err
			}
		}
		if !r.polled(records, bytes, first) {
			break
		}
	}
	return nil
}

// fetchError tells errors that heal once, and returns the others.
func (r *readRun) fetchError(e kgo.FetchError, stderr io.Writer) error {
	if errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled) {
		return nil
	}
	text := fmt.Sprintf("%s-%d: %s", e.Topic, e.Partition, cli.ErrorText(e.Err))
	var k *kerr.Error
	if errors.As(e.Err, &k) && !k.Retriable && !errors.Is(e.Err, kerr.UnknownTopicOrPartition) || errors.Is(e.Err, kgo.ErrClientClosed) {
		return errors.New(text)
	}
	r.mu.Lock()
	first := !r.warned[text]
	r.warned[text] = true
	r.mu.Unlock()
	if first {
		fmt.Fprintf(stderr, "WARN: %s\n", text)
	}
	return nil
}

// newFranzReaders connects the consumers and starts the clock, which as in Kafka's tool
// includes the time that joining a group takes.
func newFranzReaders(ctx context.Context, r *readRun, stderr io.Writer, hooks []kgo.Hook) ([]*kgo.Client, error) {
	spec := r.spec
	base, err := spec.settings.options(stderr)
	if err != nil {
		return nil, err
	}
	start := kgo.NewOffset().AtStart()
	if spec.fromLatest {
		start = kgo.NewOffset().AtEnd()
	}
	base = append(base, kgo.ConsumeResetOffset(start), kgo.WithHooks(hooks...))
	shares, err := r.look(ctx, stderr, start)
	if err != nil {
		return nil, err
	}
	r.begin()
	var clients []*kgo.Client
	for i := range spec.consumers {
		if spec.group == "" && len(shares[i]) == 0 {
			continue // fewer partitions than consumers
		}
		opts := append(append([]kgo.Opt{}, base...), kgo.WithHooks(&fetchTimer{r.fetches.Shard()}))
		if spec.group != "" {
			opts = append(opts, r.groupOptions(i)...)
		} else {
			opts = append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{spec.topic: shares[i]}))
		}
		c, err := kgo.NewClient(opts...)
		if err != nil {
			return clients, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// look finds out early what would otherwise be a silent wait (no broker, no topic, no
// groups), and shares the partitions out.
func (r *readRun) look(ctx context.Context, stderr io.Writer, start kgo.Offset) ([]map[int32]kgo.Offset, error) {
	spec := r.spec
	opts, err := cli.ClientOptions(spec.settings.bootstrap, spec.settings.clientID, spec.settings.props, stderr)
	if err != nil {
		return nil, err
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := cli.WaitForCluster(ctx, c, spec.settings.bootstrap, cli.DefaultTimeout); err != nil {
		return nil, err
	}
	if spec.group != "" {
		if !cli.Serves(ctx, c, kmsg.JoinGroup, 0) {
			return nil, fmt.Errorf("the brokers at %s do not serve consumer groups: leave --group out to read without one", spec.settings.bootstrap)
		}
		return nil, nil
	}
	topics, err := kadm.NewClient(c).ListTopics(ctx, spec.topic)
	if err != nil {
		return nil, err
	}
	t := topics[spec.topic]
	if t.Err != nil {
		return nil, fmt.Errorf("topic %s: %s", spec.topic, cli.ErrorText(t.Err))
	}
	shares := make([]map[int32]kgo.Offset, spec.consumers)
	for _, p := range t.Partitions.Numbers() {
		i := int(p) % spec.consumers
		if shares[i] == nil {
			shares[i] = map[int32]kgo.Offset{}
		}
		shares[i][p] = start
	}
	return shares, nil
}

// groupOptions are those of member i.
func (r *readRun) groupOptions(i int) []kgo.Opt {
	s := &r.spec.settings
	opts := []kgo.Opt{
		kgo.ConsumerGroup(r.spec.group), kgo.ConsumeTopics(r.spec.topic), kgo.Balancers(kgo.RangeBalancer()),
		kgo.SessionTimeout(s.sessionTimeout), kgo.HeartbeatInterval(min(3*time.Second, s.sessionTimeout/3)),
		kgo.AutoCommitInterval(max(s.commitEvery, 100*time.Millisecond)),
	}
	if !s.commit {
		opts = append(opts, kgo.DisableAutoCommit())
	}
	if i > 0 {
		return opts
	}
	lost := func(context.Context, *kgo.Client, map[string][]int32) { r.revoked() }
	return append(opts,
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { r.assigned() }),
		kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost))
}
