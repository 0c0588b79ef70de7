package observe

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/metrics"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// Names of what the Go runtime tells, in its own words and as the admin port's /metrics has
// them. client_golang's collector makes the second from the first.
const (
	allocObjects  = "/gc/heap/allocs:objects"
	gcCPU         = "/cpu/classes/gc/total:cpu-seconds"
	mallocsMetric = "go_memstats_mallocs_total"
	gcCPUMetric   = "go_cpu_classes_gc_total_cpu_seconds_total"
)

// heap is what a Go process allocated and what collecting it took; -1: unknown.
type heap struct {
	mallocs float64
	gc      time.Duration
}

// ownHeap reads this process's.
func ownHeap() (mallocs float64, gc time.Duration) {
	s := []metrics.Sample{{Name: allocObjects}, {Name: gcCPU}}
	metrics.Read(s)
	mallocs, gc = -1, -1
	if s[0].Value.Kind() == metrics.KindUint64 {
		mallocs = float64(s[0].Value.Uint64())
	}
	if s[1].Value.Kind() == metrics.KindFloat64 {
		gc = time.Duration(s[1].Value.Float64() * float64(time.Second))
	}
	return mallocs, gc
}

// scraper reads a server's from its admin port. It asks for two metrics by name, which saves
// a broker with many partitions the text of all others.
type scraper struct {
	address string
	client  *http.Client
}

func (s *scraper) close() { s.client.CloseIdleConnections() }

func (s *scraper) read() (heap, error) {
	none := heap{-1, -1}
	u := url.URL{Scheme: "http", Host: s.address, Path: "/metrics", RawQuery: url.Values{"name[]": {mallocsMetric, gcCPUMetric}}.Encode()}
	resp, err := s.client.Get(u.String())
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return none, &AdminError{s.address, err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return none, &AdminError{s.address, fmt.Errorf("/metrics answered %s", resp.Status)}
	}
	h, err := parseHeap(resp.Body, expfmt.ResponseFormat(resp.Header))
	if err != nil {
		return none, &AdminError{s.address, err}
	}
	return h, nil
}

// parseHeap picks the two metrics out of an exposition; a server may send all it has.
func parseHeap(r io.Reader, f expfmt.Format) (heap, error) {
	h := heap{-1, -1}
	for dec := expfmt.NewDecoder(r, f); ; {
		var m dto.MetricFamily
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return h, nil
		} else if err != nil {
			return h, fmt.Errorf("/metrics: %w", err)
		}
		if len(m.Metric) == 0 {
			continue
		}
		switch m.GetName() {
		case mallocsMetric:
			h.mallocs = value(m.Metric[0])
		case gcCPUMetric:
			h.gc = time.Duration(value(m.Metric[0]) * float64(time.Second))
		}
	}
}

// value is a metric's number, whichever kind its server says it is.
func value(m *dto.Metric) float64 {
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
}
