package observe

import (
	"errors"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func closedAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return l.Addr().String()
}

func TestFindListener(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	for _, c := range []struct{ listen, ask string }{
		{"127.0.0.1:0", "127.0.0.1"}, {"127.0.0.1:0", "localhost"}, {"0.0.0.0:0", "127.0.0.2"}, {":0", "127.0.0.1"}, {":0", ""}, {"127.0.0.1:0", "0.0.0.0"},
	} {
		l, err := net.Listen("tcp", c.listen)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if pid, err := FindListener(net.JoinHostPort(c.ask, port)); err != nil || pid != os.Getpid() {
			t.Errorf("%s asked as %q: process %d, %v; want this one, %d", c.listen, c.ask, pid, err, os.Getpid())
		}
		_ = l.Close()
	}
	// A connection of ours with that port is no listener; nor is one on another address.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, address := range []string{c.LocalAddr().String(), "127.0.0.9:" + port, closedAddress(t)} {
		var none *NoListenerError
		if pid, err := FindListener(address); !errors.As(err, &none) || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: process %d, %v; want a NoListenerError", address, pid, err)
		}
	}
	var remote *RemoteError
	if _, err := FindListener("192.0.2.7:9092"); !errors.As(err, &remote) {
		t.Errorf("another machine: %v", err)
	}
	for _, bad := range []string{"", "9092", "127.0.0.1:", "127.0.0.1:http2x", "127.0.0.1:70000"} {
		if _, err := FindListener(bad); err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestOpenWithoutAProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Skip(err)
	}
	var process *ProcessError
	for _, pid := range []int{cmd.Process.Pid, -1} {
		if _, err := Open(Options{PID: pid}); !errors.As(err, &process) {
			t.Errorf("process %d: %v", pid, err)
		}
	}
	var none *NoListenerError
	if _, err := Open(Options{Address: closedAddress(t)}); !errors.As(err, &none) {
		t.Errorf("no process: %v", err)
	}
	var admin *AdminError
	if _, err := Open(Options{PID: os.Getpid(), Admin: closedAddress(t)}); !errors.As(err, &admin) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("no admin port: %v", err)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if _, err := Open(Options{PID: os.Getpid(), Admin: other.Listener.Addr().String()}); !errors.As(err, &admin) || !strings.Contains(err.Error(), "404") {
		t.Errorf("another server: %v", err)
	}
}

// keep is where the tests' allocations go, so that they are made.
type keep struct{ all [][]byte }

// The counters of this very process: seen as another's by its admin port, and as its own.
func TestSampleCounts(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsAll)))
	admin := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer admin.Close()
	watched, err := Open(Options{PID: os.Getpid(), Admin: admin.Listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Close()
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	file, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, w := range map[string]*Watcher{"by its admin port": watched, "by itself": self} {
		from, err := w.Sample()
		if err != nil {
			t.Fatal(err)
		}
		const calls, objects = 2000, 50_000
		var k keep
		one := make([]byte, 1)
		for range calls {
			if _, err := file.Read(one); err != nil {
				t.Fatal(err)
			}
		}
		for range objects {
			k.all = append(k.all, make([]byte, 64))
		}
		runtime.GC()
		runtime.KeepAlive(k)
		to, err := w.Sample()
		if err != nil {
			t.Fatal(err)
		}
		c := w.Cost(from, to, Units{Requests: calls, Records: objects, Bytes: 1e9, Seconds: 2})
		if c.SyscallsPerRequest < 1 || c.SyscallsBy != byReadWrite {
			t.Errorf("%s: %g system calls each, by %q", name, c.SyscallsPerRequest, c.SyscallsBy)
		}
		if !c.AllocsKnown || c.AllocsPerRecord < 1 || c.AllocsPerRecord > 2 {
			t.Errorf("%s: %g allocations each, known %v", name, c.AllocsPerRecord, c.AllocsKnown)
		}
		if to.GC <= from.GC || c.GCShare <= 0 {
			t.Errorf("%s: a collection took no time: %v to %v", name, from.GC, to.GC)
		}
		if c.CPUSeconds <= 0 || c.Cores != c.CPUSeconds/2 || c.CPUPerGB != c.CPUSeconds {
			t.Errorf("%s: %+v", name, c)
		}
		if to.Switches < from.Switches || from.Switches < 0 || to.RSSAnon == 0 || to.RSSFile == 0 {
			t.Errorf("%s: %+v", name, to)
		}
	}
}

func TestCost(t *testing.T) {
	w := &Watcher{}
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	from := Sample{Began: at(0), Ended: at(100), CPUBegan: time.Second, CPUEnded: 2 * time.Second, RSSAnon: 10, RSSFile: 90, Syscalls: 100, Switches: 10, Mallocs: 1000, GC: time.Second}
	to := Sample{Began: at(4100), Ended: at(4200), CPUBegan: 4 * time.Second, CPUEnded: 9 * time.Second, RSSAnon: 20, RSSFile: 20, Syscalls: 600, Switches: 260, Mallocs: 3000, GC: 1500 * time.Millisecond}
	got := *w.Cost(from, to, Units{Records: 1e6, Requests: 1000, Bytes: 5e8})
	want := result.Cost{
		CPUSeconds: 2, Cores: .5, CPUPerGB: 4, CPUPerMRecords: 2, CPUPerRequestUs: 2000, RSSAnonBytes: 20, RSSFileBytes: 90,
		SyscallsPerRequest: .5, SyscallsBy: byReadWrite, SwitchesPerRequest: .25, AllocsPerRequest: 2, AllocsPerRecord: .002, AllocsKnown: true, GCShare: .25,
	}
	if got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	unknown := from
	unknown.Syscalls, unknown.Switches, unknown.Mallocs, unknown.GC = -1, -1, -1, -1
	got = *w.Cost(unknown, to, Units{Seconds: 8})
	want = result.Cost{CPUSeconds: 2, Cores: .25, RSSAnonBytes: 20, RSSFileBytes: 90}
	if got != want {
		t.Errorf("with little known: %+v\nwant %+v", got, want)
	}
}

func TestPeaksAreKept(t *testing.T) {
	w := &Watcher{}
	at := func(i int) time.Time { return time.Unix(int64(i), 0) }
	for i := range 3*maxReadings + 7 {
		r := reading{at(i), 100, 100}
		switch i {
		case 50: // before the steady phase, and long merged with its neighbours
			r.anon = 9999
		case 2 * maxReadings:
			r.anon = 500
		case 2*maxReadings + 5:
			r.file = 700
		}
		w.note(r)
	}
	if len(w.polls) > maxReadings {
		t.Errorf("%d readings are held", len(w.polls))
	}
	from, to := Sample{Began: at(1000)}, Sample{Ended: at(3 * maxReadings)}
	if anon, file := w.peak(from, to); anon != 500 || file != 700 {
		t.Errorf("peaks %d and %d, want 500 and 700", anon, file)
	}
}

func TestHeapOfOtherServers(t *testing.T) {
	text := expfmt.NewFormat(expfmt.TypeTextPlain)
	for _, c := range []struct {
		text string
		want heap
	}{
		{"# TYPE go_memstats_mallocs_total counter\ngo_memstats_mallocs_total 1.5e+06\n# TYPE go_cpu_classes_gc_total_cpu_seconds_total counter\ngo_cpu_classes_gc_total_cpu_seconds_total 0.25\n", heap{1.5e6, 250 * time.Millisecond}},
		{"go_memstats_mallocs_total 7\n", heap{7, -1}},
		{"# TYPE jvm_gc_seconds summary\njvm_gc_seconds_sum 3\njvm_gc_seconds_count 4\n", heap{-1, -1}},
		{"", heap{-1, -1}},
	} {
		if got, err := parseHeap(strings.NewReader(c.text), text); err != nil || got != c.want {
			t.Errorf("%q: %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	if _, err := parseHeap(strings.NewReader("<html>"), text); err == nil {
		t.Error("a page is taken for metrics")
	}
}

func TestMachine(t *testing.T) {
	m := Machine(t.TempDir())
	if m.CPUs < 1 || m.GoVersion != runtime.Version() || m.CPU == "" || m.Kernel == "" {
		t.Errorf("%+v", m)
	}
	if host, err := os.Hostname(); err == nil && len(host) > 3 && strings.Contains(m.CPU+m.Kernel+m.FileSystem, host) {
		t.Errorf("%+v names the host", m)
	}
	if runtime.GOOS == "linux" && (m.MemoryBytes < 1<<20 || m.FileSystem == "" || math.IsNaN(m.LoadAverage)) {
		t.Errorf("%+v", m)
	}
}
