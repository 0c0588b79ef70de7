package segment

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/internal/vfs"
)

// Appends below gatherBelowBytes are kept back from the file; gatherBytes is how much may be.
const (
	gatherBelowBytes = 32 << 10
	gatherBytes      = 256 << 10
)

// gather is the log file of a segment whose appends each wait for a sync: what is added goes
// to the file by one write, when the sync begins or when somebody reads so far. Appends then
// never wait for the file, which a sync under way holds up. What is kept back is lost when
// the process is killed, as it would be by a power cut; nobody was told of it.
//
// A write that fails is final, as a failed sync is: it is left in Chain.lost, which poisons
// the log, and every later call that would write returns it. Close drops what is kept back:
// whoever wants it truncates or syncs first.
//
// add, WriteAt, Truncate and Allocate have one caller at a time (Chain.mu); the rest may run
// beside them.
type gather struct {
	vfs.File
	lost *atomic.Pointer[error]
	from atomic.Int64 // what lies at or behind it may not be in the file yet

	io sync.Mutex // held while kept bytes are written; taken before mu
	mu sync.Mutex
	// kept, nil for nothing, belongs at position at.
	kept *[]byte
	at   int64
}

func newGather(f vfs.File, lost *atomic.Pointer[error]) *gather {
	g := &gather{File: f, lost: lost}
	g.from.Store(math.MaxInt64)
	return g
}

var gatherBuffers = sync.Pool{New: func() any { return new([]byte) }}

// add keeps b back, which belongs at position, right behind what was added before.
func (g *gather) add(b []byte, position int64) error {
	g.mu.Lock()
	full := g.kept != nil && len(*g.kept)+len(b) > gatherBytes
	g.mu.Unlock()
	if full {
		if err := g.settle(math.MaxInt64); err != nil {
			return err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.kept == nil {
		g.kept, g.at = gatherBuffers.Get().(*[]byte), position
		g.from.CompareAndSwap(math.MaxInt64, position) // fails while what came before is being written
	}
	*g.kept = append(*g.kept, b...)
	return nil
}

// settle brings everything before end into the file.
func (g *gather) settle(end int64) error {
	if end <= g.from.Load() {
		return nil
	}
	g.io.Lock()
	defer g.io.Unlock()
	g.mu.Lock()
	b, at := g.kept, g.at
	g.kept = nil
	g.mu.Unlock()
	if lost := g.lost.Load(); lost != nil {
		return *lost
	}
	if b == nil {
		return nil
	}
	if _, err := g.File.WriteAt(*b, at); err != nil {
		g.lost.CompareAndSwap(nil, &err) // and from stays: nobody passes it
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	from := int64(math.MaxInt64)
	if g.kept != nil {
		from = g.at
	}
	g.from.Store(from)
	*b = (*b)[:0]
	gatherBuffers.Put(b)
	return nil
}

// ReadAt implements vfs.File.
func (g *gather) ReadAt(p []byte, off int64) (int, error) {
	if err := g.settle(off + int64(len(p))); err != nil {
		return 0, err
	}
	return g.File.ReadAt(p, off)
}

// WriteAt implements vfs.File.
func (g *gather) WriteAt(p []byte, off int64) (int, error) {
	if err := g.settle(math.MaxInt64); err != nil {
		return 0, err
	}
	return g.File.WriteAt(p, off)
}

// Truncate implements vfs.File.
func (g *gather) Truncate(sizeBytes int64) error {
	if err := g.settle(math.MaxInt64); err != nil {
		return err
	}
	return g.File.Truncate(sizeBytes)
}

// Sync implements vfs.File.
func (g *gather) Sync() error {
	if err := g.settle(math.MaxInt64); err != nil {
		return err
	}
	return g.File.Sync()
}

// SyncData implements vfs.File.
func (g *gather) SyncData() error {
	if err := g.settle(math.MaxInt64); err != nil {
		return err
	}
	return g.File.SyncData()
}
