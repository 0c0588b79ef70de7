package segment

import (
	"errors"
	"math"
	"sort"
	"sync"
	"sync/atomic"
)

// Chain is one log: segments in the order of their offsets, the last one active. See the
// package comment for who may call what at the same time.
type Chain struct {
	o Options

	syncMu sync.Mutex
	mu     sync.Mutex

	list   atomic.Pointer[[]*segment] // immutable, ascending, never empty
	synced atomic.Int64               // offset below which everything is durable

	conf        atomic.Pointer[Config] // cfg for those who do not hold mu
	truncations atomic.Int64           // odd while a segment is cut and the list replaced, see Read
	closed      atomic.Bool            // no file is opened any more
	lost        atomic.Pointer[error]  // why appended batches never reached the file, see gather

	// Guarded by mu.
	cfg     Config
	failed  error // *PoisonedError or ErrClosed
	deleted []deletion
	// headUnsynced: the newest names of removed segments may come back after a power cut.
	headUnsynced bool

	openedMu sync.Mutex
	opened   []*segment // sealed segments in the order they were opened; by openedMu

	prepareMu sync.Mutex // held while the next segment's file is made; before mu
	preparing bool
	prepared  *preparedFile
}

func (c *Chain) segments() []*segment { return *c.list.Load() }

func (c *Chain) active() *segment {
	l := c.segments()
	return l[len(l)-1]
}

// NextOffset is the offset that the next record gets. It moves when a batch is readable.
func (c *Chain) NextOffset() int64 {
	next, _ := c.active().end()
	return next
}

// StartOffset is the base of the first segment.
func (c *Chain) StartOffset() int64 { return c.segments()[0].base }

// ActiveBase is the base of the segment that is appended to.
func (c *Chain) ActiveBase() int64 { return c.active().base }

// SyncedOffset is the offset below which everything is durable.
func (c *Chain) SyncedOffset() int64 { return c.synced.Load() }

// SizeBytes is the length of all batches, whatever space is taken for them.
func (c *Chain) SizeBytes() int64 {
	var sum int64
	for _, s := range c.segments() {
		_, position := s.end()
		sum += position
	}
	return sum
}

// SetConfig changes the configuration from the next append on.
func (c *Chain) SetConfig(cfg Config) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg = cfg
	c.conf.Store(&cfg)
}

// Segments describes all segments, oldest first. The largest timestamp of a segment that
// was not touched yet is read from its time index.
func (c *Chain) Segments() []Info {
	list := c.segments()
	infos := make([]Info, len(list))
	for i, s := range list {
		next, position := s.end()
		if i+1 < len(list) {
			next = list[i+1].base
		}
		ts, _, err := c.maxTimestampOf(s)
		if err != nil {
			ts = math.MaxInt64
		}
		infos[i] = Info{Base: s.base, Next: next, SizeBytes: position, MaxTimestamp: ts, Active: i == len(list)-1}
	}
	return infos
}

// floor is the index of the segment that offset lies in, or -1 below the first.
func floor(list []*segment, offset int64) int {
	n := len(list)
	if offset >= list[n-1].base {
		return n - 1
	}
	return sort.Search(n, func(i int) bool { return list[i].base > offset }) - 1
}

// poison makes every later append and sync fail. mu is held.
func (c *Chain) poison(err error) error {
	if c.failed == nil {
		c.failed = &PoisonedError{Dir: c.o.Dir, Err: err}
	}
	return c.failed
}

// failure is why the log is out of service; nil: it is not. mu is held.
func (c *Chain) failure() error {
	if lost := c.lost.Load(); lost != nil {
		return c.poison(*lost)
	}
	return c.failed
}

// Idle gives back what an untouched log needs not hold: the space behind its end, its
// mappings and its open files. The next append or read takes them again.
func (c *Chain) Idle() error {
	c.syncMu.Lock()
	defer c.syncMu.Unlock()
	c.prepareMu.Lock()
	defer c.prepareMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failure(); err != nil {
		return err
	}
	return c.releaseAll()
}

// TryIdle is Idle for who must not wait for any lock: it does nothing while somebody syncs,
// appends, or makes the next segment's file, and leaves out segments that are being opened.
func (c *Chain) TryIdle() error {
	for _, mu := range []*sync.Mutex{&c.syncMu, &c.prepareMu, &c.mu} {
		if !mu.TryLock() {
			return nil
		}
		defer mu.Unlock()
	}
	if c.failure() != nil {
		return nil
	}
	errs := []error{c.dropPrepared()}
	for _, s := range c.segments() {
		if s.files.Load() == nil || !s.openMu.TryLock() {
			continue
		}
		errs = append(errs, s.trimLocked(false))
		h := s.takeLocked()
		s.openMu.Unlock()
		if h != nil {
			h.release()
		}
	}
	return errors.Join(errs...)
}

// dropPrepared gives up the file that was made ahead. prepareMu and mu are held.
func (c *Chain) dropPrepared() error {
	if c.prepared == nil {
		return nil
	}
	err := c.prepared.discard(c.o.FS)
	c.prepared = nil
	return err
}

// releaseAll trims and closes all files. Dirty segments stay dirty: their pages are in the
// page cache, and a later Sync opens them again. mu is held.
func (c *Chain) releaseAll() error {
	errs := []error{c.dropPrepared()}
	for _, s := range c.segments() {
		errs = append(errs, s.trimWriter(false))
		s.drop()
	}
	return errors.Join(errs...)
}

// trimWriter cuts the files of a segment that is open for appends to their ends, and syncs
// them if asked to.
func (s *segment) trimWriter(sync bool) error {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	return s.trimLocked(sync)
}

func (s *segment) trimLocked(sync bool) error {
	h := s.files.Load()
	if h == nil || !h.writer {
		return nil
	}
	_, position := s.end()
	off, tim := h.indexes()
	err := errors.Join(h.log.Truncate(position), off.Trim(), tim.Trim())
	if err != nil || !sync {
		return err
	}
	return errors.Join(h.log.SyncData(), off.Sync(), tim.Sync())
}

// Close stops the log cleanly: everything is synced and trimmed.
func (c *Chain) Close() error {
	_, err := c.Sync()
	c.syncMu.Lock()
	defer c.syncMu.Unlock()
	c.prepareMu.Lock()
	defer c.prepareMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.failed, ErrClosed) {
		return nil
	}
	if err == nil {
		err = c.closeClean()
	}
	c.shut()
	return err
}

// closeClean writes the active segment's last time entry, as Kafka does, trims and syncs.
func (c *Chain) closeClean() error {
	s := c.active()
	if h := s.files.Load(); h != nil && h.writer {
		if err := errors.Join(c.finishTimeIndex(s), s.trimWriter(true)); err != nil {
			return err
		}
	}
	return c.releaseAll()
}

// Kill drops everything as a crash would: nothing is trimmed or synced.
func (c *Chain) Kill() {
	c.prepareMu.Lock()
	defer c.prepareMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut()
}

// shut refuses further calls and gives up all files. mu is held.
func (c *Chain) shut() {
	c.failed = ErrClosed
	c.closed.Store(true)
	_ = c.dropPrepared() // recovery removes it if this did not
	for _, s := range c.segments() {
		s.drop()
	}
}
