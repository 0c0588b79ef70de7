package node

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/raft"
)

// fuse is what stands between Raft and its stores. Raft goes on after a failed write, and tries
// again, though nobody can say any more what is on the disk; for other failures it panics. So
// the first error blows the fuse: the node ends with it. Its connections are broken before Raft
// hears of the error, and nothing is written or applied any more. So Raft, which goes on until it
// is stopped, may then be told what keeps it from panicking: nobody hears what it makes of it.
type fuse struct {
	once  sync.Once
	blown chan struct{}
	err   error
	// cut ends the node. It returns when nothing can leave this server any more.
	cut func(error)
	// starting is set until Raft runs: until then an error only makes the start fail.
	starting atomic.Bool
}

func newFuse(cut func(error)) *fuse {
	f := &fuse{blown: make(chan struct{}), cut: cut}
	f.starting.Store(true)
	return f
}

func (f *fuse) blow(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.blown)
		if !f.starting.Load() {
			f.cut(err)
		}
	})
}

// arm ends the start and returns the error that it met.
func (f *fuse) arm() error {
	f.starting.Store(false)
	if f.isBlown() {
		return f.err
	}
	return nil
}

func (f *fuse) isBlown() bool {
	select {
	case <-f.blown:
		return true
	default:
		return false
	}
}

// Cached entries: the followers are sent what was just appended, and a follower that lags a
// little is served from here too.
const (
	cacheEntries = 1024
	cacheBytes   = 4 << 20
)

// guardedLog is the LogStore that Raft gets: a cache of the last entries over the caller's
// store, behind the fuse.
type guardedLog struct {
	store raft.LogStore
	late  lateLog // store, if it can; see doubt
	doubt doubt
	// leader is set when Raft runs, if there are others that it could lead.
	leader atomic.Pointer[raft.Raft]
	run    func(func()) // starts a goroutine that the node's end waits for
	fuse   *fuse
	cut    atomic.Bool // the log lost its end and nothing was appended since

	mu    sync.Mutex
	ring  []*raft.Log // by index modulo its length
	bytes int
	low   uint64 // the cache holds [low, high]; high 0: nothing
	high  uint64
}

func newGuardedLog(store raft.LogStore, f *fuse, run func(func())) *guardedLog {
	g := &guardedLog{store: store, run: run, fuse: f, ring: make([]*raft.Log, cacheEntries)}
	g.late, _ = store.(lateLog)
	g.doubt.over.L = &g.doubt.mu
	return g
}

// IsMonotonic implements raft.MonotonicLogStore: whether the store tolerates gaps is the
// store's to say, and Raft leaves one after a snapshot if it is not asked.
func (g *guardedLog) IsMonotonic() bool {
	m, ok := g.store.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

func (g *guardedLog) FirstIndex() (uint64, error) { return g.store.FirstIndex() }
func (g *guardedLog) LastIndex() (uint64, error)  { return g.store.LastIndex() }

// GetLog implements raft.LogStore.
func (g *guardedLog) GetLog(index uint64, out *raft.Log) error {
	if cached := g.cached(index); cached != nil {
		*out = *cached
		return nil
	}
	err := g.store.GetLog(index, out)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	// Raft panics when it cannot read what it has to apply: it is given an entry of no meaning.
	g.fuse.blow(&StoreError{Op: "read the log", Err: err})
	*out = raft.Log{Index: index, Type: raft.LogNoop}
	return nil
}

func (g *guardedLog) cached(index uint64) *raft.Log {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.high == 0 || index < g.low || index > g.high {
		return nil
	}
	return g.ring[index%cacheEntries]
}

// StoreLog implements raft.LogStore.
func (g *guardedLog) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (g *guardedLog) StoreLogs(logs []*raft.Log) error {
	if g.fuse.isBlown() {
		return g.fuse.err
	}
	store := g.store.StoreLogs
	if g.mayLate(logs) {
		store = g.storeLate
	}
	if err := store(logs); err != nil {
		// A full disk left the log as it was: Raft gives up its office and tries again later. Not
		// so after a cut, whose end Raft believes to be where it was before.
		if !errors.Is(err, syscall.ENOSPC) || g.cut.Load() {
			g.fuse.blow(&StoreError{Op: "append to the log", Err: err})
		}
		return err
	}
	g.cut.Store(false)
	g.remember(logs)
	return nil
}

func (g *guardedLog) remember(logs []*raft.Log) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range logs {
		if g.high != 0 && l.Index != g.high+1 {
			g.forgetLocked()
		}
		if g.high == 0 {
			g.low = l.Index
		}
		g.high = l.Index
		g.bytes += len(l.Data)
		for g.low < g.high && (g.bytes > cacheBytes || g.high-g.low >= cacheEntries) {
			g.bytes -= len(g.ring[g.low%cacheEntries].Data)
			g.ring[g.low%cacheEntries] = nil
			g.low++
		}
		g.ring[l.Index%cacheEntries] = l
	}
}

func (g *guardedLog) forgetLocked() {
	clear(g.ring)
	g.low, g.high, g.bytes = 0, 0, 0
}

// DeleteRange implements raft.LogStore.
func (g *guardedLog) DeleteRange(low, high uint64) error {
	if g.fuse.isBlown() {
		return g.fuse.err
	}
	g.mu.Lock()
	if g.high != 0 && high >= g.low && low <= g.high {
		g.forgetLocked()
	}
	g.mu.Unlock()
	if last, err := g.store.LastIndex(); err == nil && high >= last {
		g.cut.Store(true)
	}
	err := g.store.DeleteRange(low, high)
	if err != nil {
		g.fuse.blow(&StoreError{Op: "cut the log", Err: err})
	}
	return err
}

// trackingLog is a guardedLog over a store that remembers what was committed.
type trackingLog struct {
	*guardedLog
	tracks raft.CommitTrackingLogStore
	// restored is the last entry in the snapshot that Raft has restored, 0 for none.
	restored func() uint64
}

func (t *trackingLog) StageCommitIndex(index uint64) error { return t.tracks.StageCommitIndex(index) }

// maxRestored is how many entries Raft may apply before it runs: it hands them to its state
// machine's goroutine, which is started only later, through a channel of 128 batches.
const maxRestored = 100 * maxAppendEntries

// GetCommitIndex implements raft.CommitTrackingLogStore: up to where a starting member applies
// what it has before it has met a leader. Not past a change of the configuration: Raft looks
// for those only in what was not applied yet, and would not know the ensemble.
func (t *trackingLog) GetCommitIndex() (uint64, error) {
	commit, err := t.tracks.GetCommitIndex()
	if err != nil || commit == 0 {
		return 0, err
	}
	from := t.restored()
	commit = min(commit, from+maxRestored)
	for index := from + 1; index <= commit; index++ {
		var l raft.Log
		switch err := t.store.GetLog(index, &l); {
		case errors.Is(err, raft.ErrLogNotFound): // the snapshot holds it
		case err != nil:
			return 0, err
		case l.Type == raft.LogConfiguration:
			return index - 1, nil
		}
	}
	return commit, nil
}

// forRaft is the log as Raft gets it, and whether it tracks commits.
func (g *guardedLog) forRaft(restored func() uint64) (raft.LogStore, bool) {
	if tracks, ok := g.store.(raft.CommitTrackingLogStore); ok {
		return &trackingLog{g, tracks, restored}, true
	}
	return g, false
}

// guardedStable is the StableStore that Raft gets.
type guardedStable struct {
	store raft.StableStore
	fuse  *fuse
}

func (g *guardedStable) Get(key []byte) ([]byte, error)       { return g.store.Get(key) }
func (g *guardedStable) GetUint64(key []byte) (uint64, error) { return g.store.GetUint64(key) }

// Set implements raft.StableStore.
func (g *guardedStable) Set(key, val []byte) error {
	if g.fuse.isBlown() {
		return g.fuse.err
	}
	err := g.store.Set(key, val)
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		g.fuse.blow(&StoreError{Op: "write the vote", Err: err})
	}
	return err
}

// SetUint64 implements raft.StableStore. Raft panics when its term cannot be written: after the
// fuse has blown it is told that it was.
func (g *guardedStable) SetUint64(key []byte, val uint64) error {
	if !g.fuse.isBlown() {
		err := g.store.SetUint64(key, val)
		if err == nil {
			return nil
		}
		g.fuse.blow(&StoreError{Op: "write the term", Err: err})
	}
	if string(key) != currentTermKey {
		return g.fuse.err
	}
	return nil
}

// currentTermKey is where Raft keeps its term (keyCurrentTerm in its api.go).
const currentTermKey = "CurrentTerm"
