package metrics

import (
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs/osfs"
)

func TestSyncsAreCounted(t *testing.T) {
	r := prometheus.NewRegistry()
	fsys, err := NewFS(osfs.FS{}, clock.Real{}, r)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f, err := fsys.OpenFile(dir+"/file", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Allocate(0, 1<<16); err != nil {
		t.Fatal(err)
	}
	m, err := f.Map(1<<16, true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, ok := f.Fd(); !ok {
		t.Error("the descriptor is hidden: sendfile would not be used")
	}
	for _, step := range []func() error{f.Sync, f.SyncData, f.SyncData, func() error { return m.Sync(0, 4096) }, func() error { return fsys.SyncDir(dir) }} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]uint64{"file": 1, "data": 2, "mapping": 1, "folder": 1}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			kind := metric.GetLabel()[0].GetValue()
			if got := metric.GetHistogram().GetSampleCount(); got != want[kind] {
				t.Errorf("%d syncs of kind %s, want %d", got, kind, want[kind])
			}
			delete(want, kind)
		}
	}
	if len(want) != 0 {
		t.Errorf("no figures for %v", want)
	}
}
