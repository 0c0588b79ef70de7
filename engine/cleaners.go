package engine

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/cleaner"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/segment"
)

// CleanerConfig are the limits on compaction (log.cleaner.*). All may change while the store
// is open. Zero values stand for Kafka's defaults, but Threads and MaxBytesPerSecond.
type CleanerConfig struct {
	Threads           int     // 0: no cleaner runs by itself
	DedupeBufferBytes int64   // memory for keys, of all threads
	IOBufferBytes     int     // memory for reading and writing, of all threads
	LoadFactor        float64 // how full the table of keys gets
	MaxBytesPerSecond float64 // read and written by all threads; 0: no limit
	BackoffMs         int64   // pause of a thread that found nothing to do
}

func (c CleanerConfig) orDefaults() CleanerConfig {
	if c.DedupeBufferBytes <= 0 {
		c.DedupeBufferBytes = 128 << 20
	}
	if c.IOBufferBytes <= 0 {
		c.IOBufferBytes = 512 << 10
	}
	if c.LoadFactor <= 0 {
		c.LoadFactor = 0.9
	}
	if c.BackoffMs <= 0 {
		c.BackoffMs = 15_000
	}
	return c
}

// Cleaning tells of one cleaning of one log.
type Cleaning struct {
	TopicPartition TopicPartition
	From, To       int64 // what was dirty and is clean now, as offsets
	cleaner.Stats
	Duration time.Duration
	Err      error // why it failed; nil
	SetAside bool  // the log is not cleaned any more
}

// CleanerStatus is how the cleaners do, for metrics and for doctor.
type CleanerStatus struct {
	Threads       int
	Running       int // cleanings under way
	Cleanings     int64
	Failed        int64
	ReadBytes     int64 // of all cleanings, both passes
	WrittenBytes  int64
	RecopyPercent float64   // of the last cleaning: what was kept of what was read (cleaner-recopy-percent)
	BufferPercent float64   // of the last cleaning: how full the table of keys was (max-buffer-utilization-percent)
	LastRun       time.Time // end of the last look for something to clean (time-since-last-run-ms)
	LastDuration  time.Duration
	// MaxDirtyPercent is the largest dirty part of a log at that look.
	MaxDirtyPercent float64
	// MaxCompactionDelayMs is how long the record that is most overdue has passed
	// max.compaction.lag.ms.
	MaxCompactionDelayMs int64
	Uncleanable          map[TopicPartition]error // set aside, with the reason
	UncleanableBytes     int64
}

// cleaners is the part of a Store that compacts logs.
type cleaners struct {
	cfg      atomic.Pointer[CleanerConfig]
	throttle cleaner.Throttle
	ctx      context.Context // ends when the store closes
	stop     context.CancelFunc

	mu          sync.Mutex
	threads     int // started
	busy        map[*Log]*underWay
	paused      map[*Log]int // by how many
	uncleanable map[*Log]error
	status      CleanerStatus
}

// underWay is a cleaning that somebody may end.
type underWay struct {
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
}

func (c *cleaners) init(cfg CleanerConfig) {
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.busy, c.paused, c.uncleanable = make(map[*Log]*underWay), make(map[*Log]int), make(map[*Log]error)
	c.cfg.Store(&cfg)
}

func (c *cleaners) cancel() {
	if c.stop != nil {
		c.stop()
	}
}

// SetCleanerConfig changes the limits: from the next cleaning on, the number of threads at
// once.
func (s *Store) SetCleanerConfig(cfg CleanerConfig) {
	cfg = cfg.orDefaults()
	s.cleaners.cfg.Store(&cfg)
	s.startCleaners()
}

// startCleaners starts the threads that are missing. Each is a chain of timers: a thread that
// found nothing waits for the backoff.
func (s *Store) startCleaners() {
	c := &s.cleaners
	c.mu.Lock()
	defer c.mu.Unlock()
	for want := c.cfg.Load().Threads; c.threads < want; c.threads++ {
		t := &cleanThread{s: s, number: c.threads}
		s.tasks.once(s.o.Clock, c.backoff(), t.run)
	}
}

func (c *cleaners) backoff() time.Duration { return flushDelay(c.cfg.Load().BackoffMs) }

// cleanThread is one thread with the memory that it keeps from one cleaning to the next, and
// gives back when it has nothing to do.
type cleanThread struct {
	s      *Store
	number int
	keys   cleaner.OffsetMap
	mem    segment.ScanBuffer
}

func (t *cleanThread) run() {
	c := &t.s.cleaners
	for t.s.cleanNext(t) {
	}
	t.keys.Release()
	t.mem = segment.ScanBuffer{}
	c.mu.Lock()
	retire := t.number >= c.cfg.Load().Threads && t.number == c.threads-1
	if retire {
		c.threads--
	}
	c.mu.Unlock()
	if !retire {
		t.s.tasks.once(t.s.o.Clock, c.backoff(), t.run)
	}
}

// Clean compacts every log that is due, one after the other, and returns how many it cleaned:
// what the cleaner threads do, for who does not want to wait for them.
func (s *Store) Clean() (cleaned int) {
	before := s.CleanerStatus().Cleanings
	t := &cleanThread{s: s}
	for s.cleanNext(t) {
	}
	return int(s.CleanerStatus().Cleanings - before)
}

// cleanNext cleans the log that needs it most, and reports whether there may be more to do.
func (s *Store) cleanNext(t *cleanThread) bool {
	c := &s.cleaners
	cfg := *c.cfg.Load()
	if c.ctx.Err() != nil || t.number > 0 && t.number >= cfg.Threads {
		return false
	}
	now := s.o.Clock.Now()
	next, way := s.pick(now)
	if next == nil {
		return false
	}
	defer c.done(next.log)
	job := s.newJob(t, way.ctx)
	to, err := next.log.clean(next, job, now)
	result := Cleaning{TopicPartition: next.log.tp, From: next.FirstDirty, To: to, Stats: job.stats, Err: err}
	result.Duration = s.o.Clock.Now().Sub(now)
	if err == nil {
		if err = next.log.setCleaned(to); err != nil {
			result.Err = err
		}
	}
	again := err == nil && to > next.FirstDirty
	if err != nil {
		result.To = next.FirstDirty
		result.SetAside, again = s.cleanFailed(next.log, err)
	}
	c.note(&result, float64(t.keys.Len())*cleaner.SlotBytes/float64(max(job.share, 1)))
	s.tellCleaned(&result)
	return again
}

// newJob gives a thread its share of the memory.
func (s *Store) newJob(t *cleanThread, ctx context.Context) *cleanJob {
	cfg := *s.cleaners.cfg.Load()
	threads := max(cfg.Threads, 1)
	t.mem.ChunkBytes = int64(max(cfg.IOBufferBytes/threads/2, 4096))
	return &cleanJob{
		ctx: ctx, cfg: cfg, share: cfg.DedupeBufferBytes / int64(threads), buf: cfg.IOBufferBytes / threads / 2,
		keys: &t.keys, mem: &t.mem, wait: s.waitToClean,
	}
}

// setCleaned notes how far the log is clean.
func (l *Log) setCleaned(to int64) error {
	l.cleanedTo.Store(to)
	err := l.host.saveCleaned()
	if err == nil || segment.IsDiskFull(err) || vfs.OutOfFiles(err) {
		return err
	}
	return l.appendError(err)
}

// pick chooses the next log and marks it as busy.
func (s *Store) pick(now time.Time) (*cleanable, *underWay) {
	c := &s.cleaners
	var list []cleanable
	var candidates []cleaner.Candidate
	var maxRatio float64
	var overdueMs int64
	for l := range s.Logs() {
		if c.taken(l) {
			continue
		}
		if err := l.rollOverdue(now); err != nil {
			continue // the next append meets it
		}
		found, ok, err := l.cleanable(now)
		if err != nil || !ok {
			continue // changed meanwhile, or for a read to meet
		}
		list, candidates = append(list, found), append(candidates, found.Candidate)
		maxRatio, overdueMs = max(maxRatio, found.Ratio()), max(overdueMs, found.OverdueMs)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.LastRun, c.status.MaxDirtyPercent, c.status.MaxCompactionDelayMs = now, 100*maxRatio, overdueMs
	for {
		i := cleaner.Pick(candidates)
		if i < 0 {
			return nil, nil
		}
		if l := list[i].log; c.busy[l] == nil && c.paused[l] == 0 {
			way := &underWay{done: make(chan struct{})}
			way.ctx, way.cancel = context.WithCancel(c.ctx)
			c.busy[l] = way
			return &list[i], way
		}
		candidates[i] = cleaner.Candidate{} // somebody else was faster
	}
}

// taken tells whether a log is not to be looked at.
func (c *cleaners) taken(l *Log) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busy[l] != nil || c.paused[l] > 0 || c.uncleanable[l] != nil
}

func (c *cleaners) done(l *Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[l].cancel()
	close(c.busy[l].done)
	delete(c.busy, l)
}

// abortAndPause ends the cleaning of a log, if one is under way, and lets none begin until
// resume was called as often.
func (c *cleaners) abortAndPause(l *Log) {
	c.mu.Lock()
	c.paused[l]++
	way := c.busy[l]
	c.mu.Unlock()
	if way != nil {
		way.cancel()
		<-way.done
	}
}

func (c *cleaners) resume(l *Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused[l]--; c.paused[l] <= 0 {
		delete(c.paused, l)
	}
}

func (c *cleaners) note(r *Cleaning, buffer float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := &c.status
	st.ReadBytes += r.MapBytes + r.ReadBytes
	st.WrittenBytes += r.WrittenBytes
	if r.Err != nil {
		st.Failed++
		return
	}
	st.Cleanings++
	st.LastDuration = r.Duration
	st.BufferPercent = 100 * buffer
	if r.ReadBytes > 0 {
		st.RecopyPercent = 100 * float64(r.WrittenBytes) / float64(r.ReadBytes)
	}
}

// cleanFailed decides what a failure means. A log that was closed, cut or trimmed meanwhile
// is tried again, as one is for which there was no space or descriptor; a broken disk takes
// its directory offline; anything else concerns this log alone, which is set aside so that
// the others go on.
func (s *Store) cleanFailed(l *Log, err error) (setAside, again bool) {
	var poisoned *segment.PoisonedError
	switch {
	case errors.Is(err, context.Canceled), l.Failure() != nil, errors.Is(err, segment.ErrClosed), errors.Is(err, segment.ErrChanged):
		return false, false
	case segment.IsDiskFull(err):
		s.o.Log.Warn("log not cleaned: the disk is full; it is tried again", "partition", l.tp.String(), "dir", l.host.dir)
		return false, false
	case vfs.OutOfFiles(err):
		l.host.limited(err)
		return false, false
	case errors.As(err, &poisoned):
		_ = l.appendError(err)
		return false, false
	}
	s.cleaners.mu.Lock()
	s.cleaners.uncleanable[l] = err
	s.cleaners.mu.Unlock()
	s.o.Log.Error("partition cannot be cleaned and grows until the broker is restarted or the topic made anew; the other partitions are cleaned", "partition", l.tp.String(), "dir", l.Dir(), "error", err)
	return true, true
}

func (s *Store) tellCleaned(r *Cleaning) {
	if r.Err == nil {
		s.o.Log.Debug("log cleaned", "partition", r.TopicPartition.String(), "from", r.From, "to", r.To,
			"read_bytes", r.ReadBytes, "written_bytes", r.WrittenBytes, "duration", r.Duration)
	}
	if r.InvalidRecords > 0 {
		s.o.Log.Warn("records without a key were removed: the topic took them before it was compacted", "partition", r.TopicPartition.String(), "records", r.InvalidRecords)
	}
	if s.o.OnCleaned != nil {
		s.o.OnCleaned(*r)
	}
}

// waitToClean keeps the cleaners to their bytes per second.
func (s *Store) waitToClean(ctx context.Context, bytes int64) error {
	c := &s.cleaners
	limit := c.cfg.Load().MaxBytesPerSecond
	d := c.throttle.Take(s.o.Clock.Now(), bytes, limit)
	if d <= 0 {
		runtime.Gosched() // a cleaning is in no hurry
		return nil
	}
	due := make(chan struct{})
	timer := s.o.Clock.AfterFunc(d, func() { close(due) })
	defer timer.Stop()
	select {
	case <-due:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// CleanerStatus tells how the cleaners do.
func (s *Store) CleanerStatus() CleanerStatus {
	s.forgetGone()
	c := &s.cleaners
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.status
	st.Threads, st.Running = c.threads, len(c.busy)
	st.Uncleanable = make(map[TopicPartition]error, len(c.uncleanable))
	for l, err := range c.uncleanable {
		st.Uncleanable[l.tp] = err
		st.UncleanableBytes += l.SizeBytes()
	}
	return st
}

// forgetGone drops what is known of logs that were deleted.
func (s *Store) forgetGone() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := &s.cleaners
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.uncleanable {
		if s.logs[l.tp] != l {
			delete(c.uncleanable, l)
		}
	}
}
