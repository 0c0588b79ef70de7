package broker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin is the admin port: /metrics, /healthz, /debug/pprof and /debug/fgprof. It has no
// authentication, so it listens on loopback unless told otherwise (admin.listener). While
// nobody asks it costs nothing: figures are read, and waiting is sampled, for a request.
type Admin struct {
	server *http.Server
	addr   net.Addr
	done   chan struct{}
}

// Health is what /healthz says.
type Health struct {
	Status      string      `json:"status"` // ok, degraded (a log directory is offline), failed (all are), stopping
	BrokerID    int32       `json:"brokerId"`
	ClusterID   string      `json:"clusterId"`
	Listeners   []string    `json:"listeners"`
	Connections int         `json:"connections"`
	LogDirs     []DirHealth `json:"logDirs"`
}

// DirHealth is the state of one log directory.
type DirHealth struct {
	Path       string `json:"path"`
	Online     bool   `json:"online"`
	Error      string `json:"error,omitempty"`
	TotalBytes int64  `json:"totalBytes"`
	FreeBytes  int64  `json:"freeBytes"`
	SizeBytes  int64  `json:"sizeBytes"`
	Partitions int    `json:"partitions"`
}

// StartAdmin opens the admin port on an open listener and serves it.
func StartAdmin(l net.Listener, b *Broker, registry *prometheus.Registry, log *slog.Logger) *Admin {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)}))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		h := b.Health()
		w.Header().Set("Content-Type", "application/json")
		if h.Status == "failed" || h.Status == "stopping" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(h) // the peer may have gone away
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/debug/pprof/mutex", mutexSampling().handler("mutex", mutexRate))
	mux.Handle("/debug/pprof/block", blockSampling().handler("block", blockRate))
	mux.Handle("/debug/fgprof", wallClock(b.clock))
	a := &Admin{
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)},
		addr:   l.Addr(),
		done:   make(chan struct{}),
	}
	go func() {
		defer close(a.done)
		if err := a.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin port stopped", "err", err)
		}
	}()
	return a
}

// Addr is where the admin port listens.
func (a *Admin) Addr() net.Addr { return a.addr }

// Close ends the admin port; requests that run when ctx ends are cut off.
func (a *Admin) Close(ctx context.Context) error {
	err := a.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, a.server.Close())
	}
	<-a.done
	return err
}

// Health tells how the broker is.
func (b *Broker) Health() Health {
	b.mu.Lock()
	h := Health{Status: "ok", BrokerID: b.id, ClusterID: b.loader.Image().ClusterID(), Connections: len(b.open)}
	if b.closing {
		h.Status = "stopping"
	}
	b.mu.Unlock()
	for _, l := range b.listening() {
		h.Listeners = append(h.Listeners, l.name+"://"+l.Addr().String())
	}
	offline := 0
	for _, d := range b.store.Dirs() {
		dir := DirHealth{Path: d.Path, Online: d.Err == nil, TotalBytes: d.TotalBytes, FreeBytes: d.FreeBytes, SizeBytes: d.SizeBytes, Partitions: d.Logs}
		if d.Err != nil {
			dir.Error = d.Err.Error()
			offline++
		}
		h.LogDirs = append(h.LogDirs, dir)
	}
	switch {
	case offline > 0 && offline == len(h.LogDirs):
		h.Status = "failed"
	case offline > 0:
		h.Status = "degraded"
	}
	return h
}

func itoa(n int32) string { return strconv.FormatInt(int64(n), 10) }
