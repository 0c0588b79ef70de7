// Package metrics measures what lies below the broker without the floors there knowing of
// it: a file system that times its syncs.
package metrics

import (
	"io/fs"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
)

// FS is a file system whose syncs are timed, by kind: "file" for all of a file, "data" for
// its contents, "mapping" for a range of a mapping, "folder" for names.
type FS struct {
	vfs.FS
	clock   clock.Clock
	seconds *prometheus.HistogramVec
	failed  *prometheus.CounterVec
}

// NewFS wraps a file system and registers its figures: millrace_sync_seconds and
// millrace_sync_failures_total.
func NewFS(below vfs.FS, c clock.Clock, r prometheus.Registerer) (*FS, error) {
	f := &FS{
		FS: below, clock: c,
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "millrace", Name: "sync_seconds", Help: "Time of one sync to the disk, by kind.",
			Buckets: []float64{.00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5},
		}, []string{"kind"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "millrace", Name: "sync_failures_total", Help: "Syncs that failed, by kind.",
		}, []string{"kind"}),
	}
	for _, c := range []prometheus.Collector{f.seconds, f.failed} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *FS) timed(kind string, sync func() error) error {
	began := f.clock.Now()
	err := sync()
	f.seconds.WithLabelValues(kind).Observe(f.clock.Now().Sub(began).Seconds())
	if err != nil {
		f.failed.WithLabelValues(kind).Inc()
	}
	return err
}

// OpenFile implements vfs.FS.
func (f *FS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	opened, err := f.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &file{File: opened, fs: f}, nil
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(name string) error {
	return f.timed("folder", func() error { return f.FS.SyncDir(name) })
}

type file struct {
	vfs.File
	fs *FS
}

func (f *file) Sync() error     { return f.fs.timed("file", f.File.Sync) }
func (f *file) SyncData() error { return f.fs.timed("data", f.File.SyncData) }

func (f *file) Map(lengthBytes int64, writable bool) (vfs.Mapping, error) {
	m, err := f.File.Map(lengthBytes, writable)
	if err != nil || !writable {
		return m, err
	}
	return &mapping{Mapping: m, fs: f.fs}, nil
}

type mapping struct {
	vfs.Mapping
	fs *FS
}

func (m *mapping) Sync(off, lengthBytes int64) error {
	return m.fs.timed("mapping", func() error { return m.Mapping.Sync(off, lengthBytes) })
}
