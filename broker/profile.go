package broker

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/felixge/fgprof"

	"github.com/millrace/millrace/internal/clock"
)

// What is sampled while a profile of waiting is taken, unless the request says rate=N.
const (
	mutexRate = 5      // one in so many contended locks
	blockRate = 10_000 // waits of so many nanoseconds, and shorter ones in proportion
)

// sampling is a rate of the runtime that costs every lock or channel something while it is
// set: it is set while requests ask for it, at the finest of their rates, and put back after
// the last of them.
type sampling struct {
	set func(rate int) (before int)

	mu     sync.Mutex
	asked  []int
	before int
}

func mutexSampling() *sampling { return &sampling{set: runtime.SetMutexProfileFraction} }

func blockSampling() *sampling {
	return &sampling{set: func(rate int) int {
		runtime.SetBlockProfileRate(rate) // does not tell what it was; nobody else sets it
		return 0
	}}
}

// hold sets the rate until release.
func (s *sampling) hold(rate int) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, rate)
	before := s.set(slices.Min(s.asked))
	if len(s.asked) == 1 {
		s.before = before
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := slices.Index(s.asked, rate)
		s.asked = slices.Delete(s.asked, i, i+1)
		if len(s.asked) == 0 {
			s.set(s.before)
			return
		}
		s.set(slices.Min(s.asked))
	}
}

// handler serves a profile of the runtime. With seconds=N it samples during these seconds
// and answers what was added in them; without, it answers what such requests left so far.
func (s *sampling) handler(profile string, rate int) http.Handler {
	next := pprof.Handler(profile)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rate := rate
		if text := r.FormValue("rate"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				http.Error(w, fmt.Sprintf("rate=%s: want a whole number from 1; 1 samples everything", text), http.StatusBadRequest)
				return
			}
			rate = n
		}
		if r.FormValue("seconds") != "" {
			defer s.hold(rate)()
		}
		next.ServeHTTP(w, r)
	})
}

// wallClock serves /debug/fgprof: the stacks of all goroutines, running or waiting, 99 times
// a second, as a profile (or as folded stacks with format=folded). Each look stops the
// goroutines for a moment, so one request is served at a time.
func wallClock(c clock.Clock) http.Handler {
	var busy sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seconds, format := 30, fgprof.FormatPprof
		if text := r.FormValue("seconds"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				http.Error(w, fmt.Sprintf("seconds=%s: want a whole number from 1", text), http.StatusBadRequest)
				return
			}
			seconds = n
		}
		switch text := r.FormValue("format"); text {
		case "", string(fgprof.FormatPprof):
		case string(fgprof.FormatFolded):
			format = fgprof.FormatFolded
		default:
			http.Error(w, fmt.Sprintf("format=%s: there are pprof and folded", text), http.StatusBadRequest)
			return
		}
		if !busy.TryLock() {
			http.Error(w, "another wall-clock profile is being taken: try again when it is done", http.StatusConflict)
			return
		}
		defer busy.Unlock()
		w.Header().Set("Content-Type", "application/octet-stream")
		stop := fgprof.Start(w, format)
		over := make(chan struct{})
		timer := c.AfterFunc(time.Duration(seconds)*time.Second, func() { close(over) })
		select {
		case <-over:
		case <-r.Context().Done():
			timer.Stop()
		}
		if !finished(stop) {
			http.Error(w, "no goroutine was looked at: ask for more seconds", http.StatusServiceUnavailable)
		}
	})
}

// finished ends a wall-clock profile and writes the reply, and says whether there was one.
// fgprof 0.9.5 divides by the rate that it reached, which is 0 when it ends before its first
// look: its reader went away at once, or the machine is so busy.
func finished(stop func() error) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	_ = stop() // fails when the peer has gone away
	return true
}
