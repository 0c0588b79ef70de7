package limits

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/wire"
)

const (
	defaultSamples = 5
	defaultTime    = time.Second
	warmup         = 300 * time.Millisecond
	// segmentBytes is small, so that the pages of a full segment are soon those of another:
	// what a file of 1 GiB needs more of them was often never written to by this machine.
	segmentBytes = 256 << 20
	// fetchFileBytes is what the kinds that fetch walk through: larger than any cache of the
	// processor, and in the page cache.
	fetchFileBytes = 256 << 20
	mostHeld       = 6 * segmentBytes
)

func (o Options) withDefaults() Options {
	if o.Dir == "" {
		o.Dir = os.TempDir()
	}
	if len(o.Kinds) == 0 {
		o.Kinds = Kinds()
	}
	if o.Samples <= 0 {
		o.Samples = defaultSamples
	}
	if o.SampleTime <= 0 {
		o.SampleTime = defaultTime
	}
	if len(o.Congestion) == 0 {
		o.Congestion = ownAndReno()
	}
	if o.HoldBytes == 0 {
		o.HoldBytes = min(availableBytes()/6, mostHeld)
	}
	return o
}

// Bench takes samples. It holds a temporary folder in which they write and the file that
// fetches read. One sample at a time.
type Bench struct {
	o      Options
	dir    string
	file   string
	memory *Memory // given to each sample that appends, and taken again
}

// Sample is one sample of one way.
type Sample struct {
	Spec
	Units     int64   // in the steady phase, as the server counted
	Seconds   float64 // its length
	CPUUs     float64 // of the server per unit
	UnitsPerS float64
	Busy      float64 // share of its time that the generator's thread worked
	SlowShare float64 // of the time of appends, in calls that were disturbed
	Latency   *hist.Histogram
}

// Open makes what samples need. Close removes it.
func Open(o Options) (*Bench, error) {
	if runtime.GOOS != "linux" {
		return nil, &UnsupportedError{OS: runtime.GOOS}
	}
	o = o.withDefaults()
	dir, err := os.MkdirTemp(o.Dir, "millrace-limits-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for floors: %w", err)
	}
	b := &Bench{o: o, dir: dir}
	if b.memory, err = HoldMemory(o.HoldBytes); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

// Close removes the files of b and gives its memory back.
func (b *Bench) Close() error { return errors.Join(b.memory.Release(), os.RemoveAll(b.dir)) }

// Lend gives the memory that b holds to whatever runs next, a broker for instance, so that it
// finds what the samples find. The next sample that appends, or Return, takes it back.
func (b *Bench) Lend() error { return b.memory.Release() }

// Return takes back what Lend gave.
func (b *Bench) Return() error { return b.memory.Take() }

// Sample measures s once. Without a way it takes the first of Ways.
func (b *Bench) Sample(ctx context.Context, s Spec) (Sample, error) {
	if err := s.validate(); err != nil {
		return Sample{}, err
	}
	if s.Way == "" {
		s.Way = Ways(s)[0]
	}
	switch s.Kind {
	case Append, AppendOneWay, GroupCommit:
		if err := b.memory.Release(); err != nil {
			return Sample{}, err
		}
		defer b.memory.Take() // after its files are gone; what cannot be taken is not given
	}
	dir, err := os.MkdirTemp(b.dir, "sample-")
	if err != nil {
		return Sample{}, err
	}
	defer os.RemoveAll(dir)
	j := job{Spec: s, Dir: dir, SegmentBytes: segmentBytes, RunNs: int64(b.o.SampleTime)}
	switch s.Kind {
	case Sendfile, Writev, Reply:
		if j.File, err = b.fetchFile(); err != nil {
			return Sample{}, err
		}
		j.FileBytes = fetchFileBytes
	}
	c, ready, err := startChild(ctx, b.o.Server, j)
	if err != nil {
		return Sample{}, err
	}
	var sample Sample
	if networked(s.Kind) {
		sample, err = b.drive(ctx, c, ready.Address, s)
	} else {
		sample, err = b.await(ctx, c, s)
	}
	if stopped := c.stop(); stopped != nil && err == nil || isServer(stopped) {
		err = stopped // what the server says is the reason of what the client saw
	}
	return sample, err
}

func isServer(err error) bool {
	var s *ServerError
	return errors.As(err, &s)
}

// drive loads a server that has clients.
func (b *Bench) drive(ctx context.Context, c *child, address string, s Spec) (Sample, error) {
	body := s.body()
	frames := make([][][]byte, s.Connections)
	for i := range frames {
		frames[i] = s.request(body)
	}
	var failure wire.Failure
	var from, to mark
	set := func(m *mark) func() {
		return func() {
			var err error
			if *m, err = c.mark(ctx); err != nil {
				failure.Fail(err)
			}
		}
	}
	load := wire.Load{
		Address: address, Connections: s.Connections, Depth: s.Depth, Congestion: s.Congestion,
		Frame: func(conn int, _ int64) [][]byte { return frames[conn] },
		OnReply: func(_ int, _ int64, size int, _ []byte) {
			if size != s.replyBytes()-4 {
				failure.Fail(&ServerError{Floor: s.Name(), Text: fmt.Sprintf("a reply has %d bytes, want %d", size+4, s.replyBytes())})
			}
		},
		NoReply: s.Kind == AppendOneWay, Failure: &failure,
		Warmup: min(warmup, b.o.SampleTime), Duration: b.o.SampleTime, Interval: time.Hour,
		OnSteady: set(&from), OnEnd: set(&to),
	}
	stats, err := wire.Run(ctx, load)
	if err != nil {
		return Sample{}, err
	}
	units := to.Units - from.Units
	if units <= 0 || stats.SteadyS <= 0 {
		return Sample{}, &ServerError{Floor: s.Name(), Text: "it served nothing"}
	}
	return Sample{
		Spec: s, Units: units, Seconds: stats.SteadyS, Busy: stats.BusyShare,
		CPUUs:     float64(to.CPUNs-from.CPUNs) / 1e3 / float64(units),
		UnitsPerS: float64(units) / stats.SteadyS,
		SlowShare: to.Slow.since(from.Slow).slowShare(),
		Latency:   stats.Uncorrected,
	}, nil
}

// await lets a server without clients run.
func (b *Bench) await(ctx context.Context, c *child, s Spec) (Sample, error) {
	r, err := c.ask(ctx, b.o.SampleTime+startTimeout)
	if err != nil {
		return Sample{}, err
	}
	if r.Outcome == nil || r.Outcome.Units == 0 {
		return Sample{}, &ServerError{Floor: s.Name(), Text: "it did nothing"}
	}
	o := r.Outcome
	h := hist.New()
	for _, ns := range o.LatencyNs {
		h.Record(ns)
	}
	return Sample{
		Spec: s, Units: o.Units, Seconds: float64(o.WallNs) / 1e9, Latency: h,
		CPUUs:     float64(o.CPUNs) / 1e3 / float64(o.Units),
		UnitsPerS: float64(o.Units) / (float64(o.WallNs) / 1e9),
	}, nil
}

// fetchFile makes the file that fetches read, once.
func (b *Bench) fetchFile() (string, error) {
	if b.file != "" {
		return b.file, nil
	}
	path := filepath.Join(b.dir, "fetch.log")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	piece := newBatch(64<<10, 7)
	for range fetchFileBytes / len(piece) {
		if _, err := f.Write(piece); err != nil {
			return "", err
		}
	}
	// Written out now: a sample should not meet the kernel doing it.
	if err := f.Sync(); err != nil {
		return "", err
	}
	b.file = path
	return path, nil
}

// MeasureOne takes one sample of s, of its first way when it names none, and returns it as a
// floor. A suite calls it between its runs of a broker, see also Open and Cheapest. Memory is
// held before only when o says how much.
func MeasureOne(ctx context.Context, o Options, s Spec) (result.Floor, error) {
	if o.HoldBytes == 0 {
		o.HoldBytes = -1
	}
	b, err := Open(o)
	if err != nil {
		return result.Floor{}, err
	}
	defer b.Close()
	sample, err := b.Sample(ctx, s)
	if err != nil {
		return result.Floor{}, err
	}
	f := Summarize([]Sample{sample})
	f.Name = s.Name()
	return f, nil
}

// Measure takes samples of all that o asks for, in turns, and returns for each floor the
// cheapest way under the floor's name, followed by all of its ways. When ctx ends, or a
// sample fails, it returns what it has with the error.
func Measure(ctx context.Context, o Options) ([]result.Floor, error) {
	specs, err := Matrix(o)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	b, err := Open(o)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	samples, err := b.rounds(ctx, specs)
	var floors []result.Floor
	for _, s := range specs {
		floors = append(floors, pick(s, samples)...)
	}
	return floors, err
}

// rounds takes one sample of each way of each spec, and again.
func (b *Bench) rounds(ctx context.Context, specs []Spec) (map[Spec][]Sample, error) {
	var ways []Spec
	for _, s := range specs {
		for _, w := range Ways(s) {
			s.Way = w
			if err := s.validate(); err != nil {
				return nil, err
			}
			ways = append(ways, s)
		}
	}
	samples := map[Spec][]Sample{}
	for round := range b.o.Samples {
		for i, s := range ways {
			if b.o.Progress != nil {
				b.o.Progress(Progress{Done: round*len(ways) + i, Total: b.o.Samples * len(ways), Name: WayName(s.Name(), s.Way)})
			}
			sample, err := b.Sample(ctx, s)
			if err != nil {
				return samples, err
			}
			samples[s] = append(samples[s], sample)
		}
	}
	return samples, nil
}

// Cheapest returns s with the way that is the cheapest here, by the median of a few samples
// of each.
func (b *Bench) Cheapest(ctx context.Context, s Spec, rounds int) (Spec, error) {
	quick := *b
	quick.o.Samples, quick.o.Progress = max(rounds, 1), nil
	s.Way = ""
	samples, err := quick.rounds(ctx, []Spec{s})
	if err != nil {
		return s, err
	}
	s.Way = cheapest(s, samples)
	return s, nil
}

// cheapest returns the way with the lowest median cost, "" when there are no samples. Where
// the disk decides it is the fastest.
func cheapest(s Spec, samples map[Spec][]Sample) string {
	best, lowest := "", 0.0
	for _, w := range Ways(s) {
		s.Way = w
		if len(samples[s]) == 0 {
			continue
		}
		f := Summarize(samples[s])
		cost := f.CPUPerUnitUs
		if !networked(s.Kind) || s.Kind == GroupCommit {
			cost = 1 / f.UnitsPerS
		}
		if best == "" || cost < lowest {
			best, lowest = w, cost
		}
	}
	return best
}

// pick returns the floor of s and its ways.
func pick(s Spec, samples map[Spec][]Sample) []result.Floor {
	best := cheapest(s, samples)
	if best == "" {
		return nil
	}
	var ways []result.Floor
	var floor result.Floor
	for _, w := range Ways(s) {
		way := s
		way.Way = w
		if len(samples[way]) == 0 {
			continue
		}
		f := Summarize(samples[way])
		if w == best {
			floor = f
			floor.Name = s.Name()
			floor.Note = joinNotes("by "+w, f.Note)
		}
		ways = append(ways, f)
	}
	if len(ways) == 1 {
		return []result.Floor{floor}
	}
	return slices.Insert(ways, 0, floor)
}
