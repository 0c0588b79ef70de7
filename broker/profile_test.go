package broker

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/millrace/millrace/internal/testkit"
)

// The rate of the runtime is set while somebody asks, at the finest rate asked for, and is
// afterwards what it was.
func TestSamplingIsSetOnlyWhileAskedFor(t *testing.T) {
	var set []int
	now := 7
	s := &sampling{set: func(rate int) int {
		before := now
		now = rate
		set = append(set, rate)
		return before
	}}
	a := s.hold(100)
	b := s.hold(5)
	c := s.hold(5)
	b()
	a()
	c()
	if want := []int{100, 5, 5, 5, 5, 7}; !slices.Equal(set, want) {
		t.Errorf("rates %v, want %v", set, want)
	}
}

func TestProfilesOfTheAdminPort(t *testing.T) {
	n := startNode(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := StartAdmin(l, n.broker, n.registry, slog.New(slog.NewTextHandler(n.log, nil)))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, []byte) {
		resp, err := client.Get("http://" + a.Addr().String() + path)
		if err != nil {
			t.Error(err)
			return 0, nil
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return resp.StatusCode, body
	}
	for path, want := range map[string]string{
		"/debug/pprof/mutex?seconds=1&rate=0": "rate=0",
		"/debug/pprof/block?seconds=1&rate=x": "rate=x",
		"/debug/fgprof?seconds=0":             "seconds=0",
		"/debug/fgprof?format=svg":            "format=svg",
	} {
		if code, body := get(path); code != http.StatusBadRequest || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s, want 400 and %q", path, code, body, want)
		}
	}
	// All at once, while two goroutines contend for a lock.
	over := make(chan struct{})
	var contenders, wg sync.WaitGroup
	var lock sync.Mutex
	for range 2 {
		contenders.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				lock.Lock()
				for range 100 {
					runtime.Gosched()
				}
				lock.Unlock()
			}
		})
	}
	for path, want := range map[string]string{
		"/debug/pprof/mutex?seconds=1&rate=1": "delay",
		"/debug/pprof/block?seconds=1&rate=1": "delay",
		"/debug/fgprof?seconds=1":             "time",
	} {
		wg.Go(func() {
			code, body := get(path)
			p, err := profile.Parse(bytes.NewReader(body))
			if err != nil || code != http.StatusOK {
				t.Errorf("%s: %d, %v", path, code, err)
				return
			}
			if len(p.Sample) == 0 || p.SampleType[1].Type != want || !strings.Contains(p.String(), "TestProfilesOfTheAdminPort") {
				t.Errorf("%s: %d samples of %s, or not of the contenders", path, len(p.Sample), p.SampleType[1].Type)
			}
		})
	}
	wg.Wait()
	close(over)
	contenders.Wait()
	if rate := runtime.SetMutexProfileFraction(-1); rate != 0 {
		t.Errorf("locks are still sampled, one in %d", rate)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
}

// One wall-clock profile at a time, and one whose reader has gone away ends.
func TestWallClockProfileEndsWithItsRequest(t *testing.T) {
	h := wallClock(testkit.NewClock(time.Unix(0, 0)))
	began := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan struct{})
	go func() {
		defer close(first)
		r := httptest.NewRequestWithContext(&announced{Context: ctx, asked: sync.OnceFunc(func() { close(began) })}, "GET", "/debug/fgprof", nil)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}()
	<-began // the first waits for its end, so it holds the profile
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/debug/fgprof", nil))
	if w.Code != http.StatusConflict {
		t.Errorf("a second profile: %d %s", w.Code, w.Body)
	}
	cancel()
	<-first
}

// announced is a context that tells when somebody waits for it.
type announced struct {
	context.Context
	asked func()
}

func (a *announced) Done() <-chan struct{} { a.asked(); return a.Context.Done() }
