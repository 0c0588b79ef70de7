package observe

import (
	"context"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/millrace/millrace/bench/result"
)

// Watcher reads the counters of one process. Its methods may be called from several
// goroutines.
type Watcher struct {
	pid    int
	self   bool
	scrape *scraper // nil: no admin port
	trace  *tracer  // nil: read and write calls only

	mu    sync.Mutex
	polls []reading
}

// reading is what the memory was at one time.
type reading struct {
	at         time.Time
	anon, file int64
}

// maxReadings bounds the memory of a Watcher that polls for days: beyond it neighbours are
// merged, which keeps peaks and halves their place in time.
const maxReadings = 1 << 16

// Open finds the process and checks that its CPU time can be read, which is all a Watcher
// needs. Errors: *RemoteError, *NoListenerError, *HiddenError, *ProcessError,
// *UnsupportedError; *AdminError when an admin port was named and does not answer.
func Open(o Options) (*Watcher, error) {
	pid := o.PID
	if pid == 0 {
		found, err := FindListener(o.Address)
		if err != nil {
			return nil, err
		}
		pid = found
	}
	if _, err := CPU(pid); err != nil {
		return nil, err
	}
	w := &Watcher{pid: pid}
	if o.Admin != "" {
		w.scrape = &scraper{address: o.Admin, client: &http.Client{Timeout: 30 * time.Second}}
		if _, err := w.scrape.read(); err != nil {
			w.scrape.close()
			return nil, err
		}
	}
	if o.Trace {
		w.trace = newTracer(pid)
	}
	return w, nil
}

// Self watches the process that calls it: the generator.
func Self() (*Watcher, error) {
	if _, err := CPU(os.Getpid()); err != nil {
		return nil, err
	}
	return &Watcher{pid: os.Getpid(), self: true}, nil
}

// PID is the process that is watched.
func (w *Watcher) PID() int { return w.pid }

// CPU reads the process's CPU clock, and nothing else.
func (w *Watcher) CPU() (time.Duration, error) { return CPU(w.pid) }

// Sample reads all counters. Only a process without a CPU clock is an error (it ended);
// everything else is left unknown.
func (w *Watcher) Sample() (Sample, error) {
	s := Sample{Began: time.Now(), Syscalls: -1, Switches: -1, Mallocs: -1, GC: -1}
	var err error
	if s.CPUBegan, err = CPU(w.pid); err != nil {
		return s, err
	}
	if anon, file, err := memory(w.pid); err == nil {
		s.RSSAnon, s.RSSFile = anon, file
		w.note(reading{s.Began, anon, file})
	}
	if n, err := switches(w.pid); err == nil {
		s.Switches = n
	}
	if w.trace != nil {
		if n, err := w.trace.count(); err == nil {
			s.Syscalls = n
		}
	} else if n, err := readWriteCalls(w.pid); err == nil {
		s.Syscalls = n
	}
	switch {
	case w.self:
		s.Mallocs, s.GC = ownHeap()
	case w.scrape != nil:
		if heap, err := w.scrape.read(); err == nil {
			s.Mallocs, s.GC = heap.mallocs, heap.gc
		}
	}
	if s.CPUEnded, err = CPU(w.pid); err != nil {
		return s, err
	}
	s.Ended = time.Now()
	return s, nil
}

// Poll reads the memory in use every interval until ctx ends or the process does, so that
// Cost finds its peaks. Run it in a goroutine; it costs about 30 us a reading.
func (w *Watcher) Poll(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(max(interval, time.Millisecond))
	defer tick.Stop()
	for {
		anon, file, err := memory(w.pid)
		if err != nil {
			return
		}
		w.note(reading{time.Now(), anon, file})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *Watcher) note(r reading) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.polls) == maxReadings {
		for i := range maxReadings / 2 {
			a, b := w.polls[2*i], w.polls[2*i+1]
			w.polls[i] = reading{b.at, max(a.anon, b.anon), max(a.file, b.file)}
		}
		w.polls = w.polls[:maxReadings/2]
	}
	w.polls = append(w.polls, r)
}

// peak is the highest memory that was read between two Samples, which count themselves.
func (w *Watcher) peak(from, to Sample) (anon, file int64) {
	anon, file = max(from.RSSAnon, to.RSSAnon), max(from.RSSFile, to.RSSFile)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.polls {
		if !r.at.Before(from.Began) && !r.at.After(to.Ended) {
			anon, file = max(anon, r.anon), max(file, r.file)
		}
	}
	return anon, file
}

// Cost is what the process spent between two Samples, per unit of what was done. The CPU time
// between the end of from and the beginning of to counts: reading the counters does not.
// Without u.Seconds the time between the Samples is taken.
func (w *Watcher) Cost(from, to Sample, u Units) *result.Cost {
	cpu := (to.CPUBegan - from.CPUEnded).Seconds()
	seconds := u.Seconds
	if seconds <= 0 {
		seconds = to.Began.Sub(from.Ended).Seconds()
	}
	c := &result.Cost{
		CPUSeconds:      cpu,
		Cores:           per(cpu, seconds),
		CPUPerGB:        per(cpu, float64(u.Bytes)/1e9),
		CPUPerMRecords:  per(cpu, float64(u.Records)/1e6),
		CPUPerRequestUs: per(cpu*1e6, float64(u.Requests)),
	}
	c.RSSAnonBytes, c.RSSFileBytes = w.peak(from, to)
	if from.Syscalls >= 0 && to.Syscalls >= 0 {
		c.SyscallsPerRequest = per(float64(to.Syscalls-from.Syscalls), float64(u.Requests))
		c.SyscallsBy = byReadWrite
		if w.trace != nil {
			c.SyscallsBy = byTrace
		}
	}
	if from.Switches >= 0 && to.Switches >= from.Switches {
		c.SwitchesPerRequest = per(float64(to.Switches-from.Switches), float64(u.Requests))
	}
	if from.Mallocs >= 0 && to.Mallocs >= 0 {
		c.AllocsKnown = true
		c.AllocsPerRequest = per(to.Mallocs-from.Mallocs, float64(u.Requests))
		c.AllocsPerRecord = per(to.Mallocs-from.Mallocs, float64(u.Records))
	}
	if from.GC >= 0 && to.GC >= from.GC {
		c.GCShare = min(per((to.GC-from.GC).Seconds(), cpu), 1)
	}
	return c
}

// How system calls were counted: result.Cost.SyscallsBy.
const (
	byTrace     = "all calls, by tracepoint"
	byReadWrite = "read and write calls only, of /proc/PID/io (sendfile counts as both)"
)

func per(x, n float64) float64 {
	if n <= 0 {
		return 0
	}
	return x / n
}

// Close gives back what the Watcher holds. It does not touch the process.
func (w *Watcher) Close() {
	if w.trace != nil {
		w.trace.close()
	}
	if w.scrape != nil {
		w.scrape.close()
	}
}
