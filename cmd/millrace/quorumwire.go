package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/metrics"
	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum"
	clientport "github.com/millrace/millrace/quorum/server"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// heapRoomBytes is what the heap may grow by before the collector runs again, beside as much as the
// tree takes. With the few MiB of a small tree alone it runs ten times a second under writes and
// takes a tenth of the server's CPU.
const heapRoomBytes = 12 << 20

// quorumServer is a server of the quorum as "millrace quorum" runs it.
type quorumServer struct {
	*quorum.Quorum
	metrics *metricsPort
	// room is what the collector counts as part of the heap. It is never touched: it takes addresses
	// and no memory.
	room    []byte
	closing sync.Once
	closed  error
}

// startQuorum makes a server. After an error nothing is left.
func startQuorum(ctx context.Context, cfg *zoocfg.Config, log *slog.Logger) (running, error) {
	room := make([]byte, heapRoomBytes) // first: later it might be made of memory that was used, and has to be cleared
	registry := prometheus.NewRegistry()
	fsys, err := metrics.NewFS(osfs.FS{}, clock.Real{}, registry)
	if err != nil {
		return nil, err
	}
	port, err := openMetrics(ctx, cfg)
	if err != nil {
		return nil, err
	}
	q, err := quorum.Start(ctx, quorum.Options{Config: cfg, FS: fsys, Net: netx.TCP{}, Log: log, Facts: quorumFacts()})
	if err != nil {
		return nil, errors.Join(err, port.close())
	}
	registry.MustRegister(quorumCollector{q})
	if cfg.Metrics.Runtime {
		registerRuntime(registry)
	}
	port.serve(registry, log)
	srv := &quorumServer{Quorum: q, metrics: port, room: room}
	if !cfg.Distributed() { // one of an ensemble may wait for the others for long
		if err := q.WaitServing(ctx); err != nil {
			return nil, errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
		}
	}
	return srv, nil
}

// registerRuntime adds what the process itself uses: go_ and process_.
func registerRuntime(registry *prometheus.Registry) {
	gc := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/cpu/classes/gc/total:cpu-seconds$`)}
	registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(gc)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// Close ends the server and then its metrics.
func (s *quorumServer) Close(ctx context.Context) error {
	s.closing.Do(func() { s.closed = errors.Join(s.Quorum.Close(ctx), s.metrics.close()) })
	return s.closed
}

// quorumFacts are what the words and commands tell of this process.
func quorumFacts() quorum.Facts {
	return quorum.Facts{Version: version, Built: built(), FileDescriptors: openFiles, Environment: environment}
}

// built is when the sources were committed that this binary was made of, zero if it does not say.
func built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if at, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
			return at
		}
	}
	return time.Time{}
}

// environment is what envi prints, under the names of Java's properties where they mean
// something.
func environment() []clientport.Pair {
	dir, _ := os.Getwd()
	return []clientport.Pair{
		{Name: "host.name", Value: hostname()},
		{Name: "millrace.version", Value: version},
		{Name: "go.version", Value: runtime.Version()},
		{Name: "os.name", Value: runtime.GOOS},
		{Name: "os.arch", Value: runtime.GOARCH},
		{Name: "os.version", Value: kernel()},
		{Name: "user.name", Value: os.Getenv("USER")},
		{Name: "user.home", Value: os.Getenv("HOME")},
		{Name: "user.dir", Value: dir},
	}
}

// kernel is the version of the operating system; "" where it does not tell.
func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// openFiles counts this process's descriptors, and tells how many it may have.
func openFiles() (open, limit int64) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, fileLimit()
	}
	return int64(len(entries)), fileLimit()
}

// metricsPort is where ZooKeeper's Prometheus provider serves. A nil one is none.
type metricsPort struct {
	l    net.Listener
	http *http.Server
	done chan struct{} // nil until it serves
}

func openMetrics(ctx context.Context, cfg *zoocfg.Config) (*metricsPort, error) {
	if !cfg.Metrics.Prometheus {
		return nil, nil
	}
	l, err := netx.TCP{}.Listen(ctx, cfg.Metrics.Address())
	if err != nil {
		return nil, &quorum.PortError{Key: "metricsProvider.httpPort", Addr: cfg.Metrics.Address(), File: cfg.File, Err: err}
	}
	return &metricsPort{l: l}, nil
}

func (p *metricsPort) serve(registry *prometheus.Registry, log *slog.Logger) {
	if p == nil {
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)}))
	p.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		if err := p.http.Serve(p.l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("the port for metrics stopped", "err", err)
		}
	}()
	log.Info("metrics are served", "url", fmt.Sprintf("http://%s/metrics", p.l.Addr()))
}

func (p *metricsPort) close() error {
	if p == nil {
		return nil
	}
	if p.done == nil {
		return p.l.Close()
	}
	err := p.http.Close()
	<-p.done
	return err
}
