package drive

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/bench/raw"
	"github.com/millrace/millrace/bench/workload"
)

// runRaw is a run with pre-built batches and bare connections.
func runRaw(ctx context.Context, s *Spec, m *meter, c *cluster, parts []raw.Partition) (outcome, error) {
	target, err := dialRaw(ctx, s)
	if err != nil {
		return outcome{}, err
	}
	defer target.Close()
	r := &rawRun{spec: s, meter: m, cluster: c, target: target, parts: parts, touched: s.touched(parts)}
	switch {
	case s.Kind == Heartbeats:
		spec := raw.HeartbeatSpec{Common: r.common(s.Connections, true), Rate: s.Rate}
		spec.Depth, spec.Records = s.depth(1), s.Records
		st, err := raw.Heartbeats(ctx, target, spec)
		o := r.outcome(st, 0)
		o.records = 0 // a heartbeat is a request, no record
		return o, err
	case s.produces() && s.consumes():
		return r.both(ctx)
	case s.consumes():
		spec, err := r.fetchSpec(ctx, true)
		if err != nil {
			return outcome{}, err
		}
		st, err := raw.Fetch(ctx, target, spec)
		return r.outcome(st, 0), err
	default:
		spec, payload, err := r.produceSpec(true)
		if err != nil {
			return outcome{}, err
		}
		st, err := raw.Produce(ctx, target, spec)
		return r.outcome(st, payload), err
	}
}

func dialRaw(ctx context.Context, s *Spec) (*raw.Target, error) {
	return raw.Dial(ctx, s.Bootstrap, raw.Options{ClientID: s.Props["client.id"]})
}

// rawRun is one run of the raw engine.
type rawRun struct {
	spec    *Spec
	meter   *meter
	cluster *cluster
	target  *raw.Target
	parts   []raw.Partition
	touched *raw.Touched // nil: the warm-up ends by its time
}

// common is what both directions share. The main one tells the meter where the steady
// phase begins and ends.
func (r *rawRun) common(connections int, main bool) raw.Common {
	s := r.spec
	c := raw.Common{
		Partitions: r.parts, ClientID: s.Props["client.id"], Connections: max(connections, cover(r.parts)),
		Threads: s.Threads, Congestion: s.Congestion, Warmup: s.Warmup, Duration: s.Duration,
		Touched: r.touched, WarmupLimit: s.WarmupLimit,
	}
	if main {
		c.Interval, c.OnInterval, c.OnSteady, c.OnEnd = s.Interval, r.meter.point, r.meter.steady, r.meter.end
	}
	return c
}

// cover is how many connections it takes until each partition's leader has one: connection
// i goes to the leader of partition i.
func cover(parts []raw.Partition) int {
	seen, n := map[string]bool{}, 1
	for i, p := range parts {
		if !seen[p.Address] {
			seen[p.Address], n = true, i+1
		}
	}
	return n
}

// produceSpec also returns how many bytes of keys and values a record has on average.
func (r *rawRun) produceSpec(main bool) (raw.ProduceSpec, float64, error) {
	s := r.spec
	batches, err := buildBatches(s)
	if err != nil {
		return raw.ProduceSpec{}, 0, err
	}
	spec := raw.ProduceSpec{
		Common: r.common(s.Producers, main), Acks: s.Acks, TimeoutMs: int32(s.TimeoutMs),
		Batches: batches, PartitionsPerRequest: s.PartitionsPerRequest, Rate: s.Rate,
	}
	spec.Depth, spec.Records = s.depth(5), s.Records
	records, _, payload := sum(batches)
	return spec, float64(payload) / float64(records), nil
}

func buildBatches(s *Spec) ([]workload.Batch, error) {
	source, err := workload.New(s.Workload)
	if err != nil {
		return nil, err
	}
	return source.Batches(s.Batches, s.BatchBytes, s.Codec)
}

// sum adds up records, their bytes before compression, and those of keys and values.
func sum(batches []workload.Batch) (records, bytes, payload int64) {
	for _, b := range batches {
		records += int64(b.Records)
		bytes += int64(b.UncompressedBytes)
		payload += b.PayloadBytes
	}
	return records, bytes, payload
}

func (r *rawRun) fetchSpec(ctx context.Context, main bool) (raw.FetchSpec, error) {
	s := r.spec
	spec := raw.FetchSpec{
		Common: r.common(s.Consumers, main), Mode: raw.FetchMode(s.FetchMode), MaxBytes: int32(s.FetchBytes),
		PartitionMaxBytes: int32(s.FetchPartitionBytes), MinBytes: int32(s.MinBytes), MaxWaitMs: int32(s.MaxWaitMs),
		Offset: -1, Every: s.Kind == FanOut, Once: s.Cold != nil, Rate: s.FetchRate,
	}
	spec.Depth = s.depth(1)
	if main && !s.produces() {
		spec.Records = s.Records
	}
	if s.FetchMode == Tail {
		return spec, nil
	}
	bounds, err := r.cluster.bounds(ctx, r.parts)
	if err != nil {
		return spec, err
	}
	if empty(bounds) {
		return spec, &EmptyError{Topics: s.Names()}
	}
	if s.FetchMode == Same {
		spec.Offset = s.place(bounds)
	}
	return spec, nil
}

// place is the offset that Same reads in every partition.
func (s *Spec) place(bounds map[string]map[int32]*position) int64 {
	switch {
	case s.FetchOffset == 0:
		return -1
	case s.FetchOffset > 0:
		return s.FetchOffset
	}
	at := int64(-1)
	for _, parts := range bounds {
		for _, p := range parts {
			if from := max(p.start, p.end+s.FetchOffset); at < 0 || from < at {
				at = from
			}
		}
	}
	return at
}

// outcome is that of a run whose main direction the engine counted.
func (r *rawRun) outcome(st raw.Stats, payloadPerRecord float64) outcome {
	o := outcome{flow: r.flow(st, payloadPerRecord), warmup: st.WarmupS, busy: st.BusyShare}
	if st.WarmupCut {
		o.cut = cutText(r.touched.Left(), len(r.parts))
	}
	return o
}

// flow translates what the engine counted.
func (r *rawRun) flow(st raw.Stats, payloadPerRecord float64) flow {
	f := flow{
		counters: counters{
			records: st.Records, bytes: st.Bytes, payload: int64(float64(st.Records)*payloadPerRecord + 0.5),
			requests: st.Requests, errors: st.Errors,
		},
		seconds: st.SteadyS, latency: st.Latency, uncorrected: st.Uncorrected, lateness: st.Lateness,
		codes: map[string]int64{},
	}
	for code, n := range st.ErrorCodes {
		f.codes[codeName(code)] += n
	}
	return f
}

func codeName(code int16) string {
	var k *kerr.Error
	if errors.As(kerr.ErrorForCode(code), &k) {
		return k.Message
	}
	return fmt.Sprintf("error code %d", code)
}

// both produces and consumes at once. The end of one direction is that of the other.
func (r *rawRun) both(ctx context.Context) (outcome, error) {
	s := r.spec
	fetchIsMain := s.Kind == FanOut
	produce, payload, err := r.produceSpec(!fetchIsMain)
	if err != nil {
		return outcome{}, err
	}
	fetch, err := r.fetchSpec(ctx, fetchIsMain)
	if err != nil {
		return outcome{}, err
	}
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var sent, got raw.Stats
	var sentErr, gotErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		got, gotErr = raw.Fetch(inner, r.target, fetch)
		stop(&otherEndedError{})
	}()
	sent, sentErr = raw.Produce(inner, r.target, produce)
	stop(&otherEndedError{})
	<-done
	o, other, side := r.outcome(sent, payload), r.flow(got, 0), "consumed"
	if fetchIsMain {
		o, other, side = r.outcome(got, 0), o.flow, "produced"
	}
	o.other, o.side, o.busy = &other, side, max(sent.BusyShare, got.BusyShare)
	return o, errors.Join(unlessStopped(sentErr), unlessStopped(gotErr))
}

// otherEndedError is why one direction was stopped by the other.
type otherEndedError struct{}

func (*otherEndedError) Error() string { return "the other direction of the run has ended" }

func unlessStopped(err error) error {
	var other *otherEndedError
	if errors.As(err, &other) {
		return nil
	}
	return err
}
