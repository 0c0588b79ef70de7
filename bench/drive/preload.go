package drive

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/millrace/millrace/bench/pace"
	"github.com/millrace/millrace/bench/raw"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/wire"
)

// preload produces what is to be read, evenly over all partitions: with raw connections
// where listener and system allow, because it may be many GB.
func preload(ctx context.Context, s *Spec, c *cluster, parts []raw.Partition, p Progress) error {
	load := *s
	load.Kind, load.Acks, load.Idempotent = Produce, -1, false
	load.Warmup, load.Duration, load.Rate = 0, 0, 0
	load.Producers, load.Connections, load.Depth = 1, 0, 0
	load.Flame, load.Admin, load.Cold = nil, "", nil
	batches, err := buildBatches(s)
	if err != nil {
		return err
	}
	records, bytes, _ := sum(batches)
	n := max(int64(float64(s.PreloadBytes)/float64(bytes)*float64(len(batches))+0.5), int64(len(parts)))
	load.Records = n * max(1, records/int64(len(batches)))
	m := &meter{spec: &load, progress: preparing{p}}
	var elsewhere *wire.UnsupportedError
	if !secured(s.Props) {
		if _, err = runRaw(ctx, &load, m, c, parts); !errors.As(err, &elsewhere) {
			return err
		}
	}
	_, err = runFranz(ctx, &load, m, c, parts)
	return err
}

// preparing passes on how fast it goes, and no phase but the one that was told already.
type preparing struct{ Progress }

func (preparing) Phase(string, string) {}

func (p preparing) Point(run string, pt result.Point) {
	pt.Warmup = true
	p.Progress.Point(run, pt)
}

// runIdle holds connections open and says nothing on them.
func runIdle(ctx context.Context, s *Spec, m *meter, _ *cluster, parts []raw.Partition) (outcome, error) {
	var dialer net.Dialer
	for i := range s.Connections {
		conn, err := dialer.DialContext(ctx, "tcp", parts[i%len(parts)].Address)
		if err != nil {
			return outcome{}, err
		}
		defer conn.Close()
	}
	began := pace.Now()
	if err := idle(ctx, s.Warmup); err != nil {
		return outcome{}, err
	}
	m.steady()
	from := pace.Now()
	o := outcome{warmup: float64(from-began) / 1e9}
	var err error
	for last := from; err == nil && last-from < int64(s.Duration); {
		err = idle(ctx, min(s.Interval, s.Duration-time.Duration(last-from)))
		now := pace.Now()
		m.point(result.Point{AtS: float64(now-began) / 1e9, IntervalS: float64(now-last) / 1e9})
		last = now
	}
	o.seconds = float64(pace.Now()-from) / 1e9
	m.end()
	return o, err
}

func idle(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
