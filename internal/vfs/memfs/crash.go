package memfs

import (
	"bytes"
	"math/rand/v2"
)

// CrashClone returns the disk as a power cut at this moment could leave it: everything
// synced, and each unsynced sector, size and name with the given probability in
// percent. 0 is the strictest disk, 100 one that had just written everything back. The
// original goes on unchanged; PowerOff stops it. One generator state gives one clone.
func (m *FS) CrashClone(rng *rand.Rand, unsyncedPercent int) *FS {
	m.power.Lock()
	defer m.power.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()

	// Contents first, in the order of paths, so that the draws do not depend on names.
	images := map[*node][]byte{}
	for _, n := range m.filesLocked() {
		n.mu.RLock()
		images[n] = n.crashImageLocked(rng, unsyncedPercent)
		n.mu.RUnlock()
	}
	names := m.crashNamesLocked(rng, unsyncedPercent)

	out := NewWith(m.opts)
	m.space.mu.Lock()
	out.space.capacityBytes = m.space.capacityBytes
	m.space.mu.Unlock()
	c := cloner{out: out, images: images, names: names, done: map[*node]*node{}}
	out.root = c.clone(m.root)
	return out
}

// crashNamesLocked draws which name operations survive and returns the names of each
// folder as they leave it. A move of a file implies its earlier links: a file system
// that finds an entry's target has it in one place.
func (m *FS) crashNamesLocked(rng *rand.Rand, percent int) func(*node) map[string]*node {
	kept := make([]bool, len(m.pending))
	moved := map[*node]bool{}
	for i := len(m.pending) - 1; i >= 0; i-- {
		op := m.pending[i]
		kept[i] = draw(rng, percent) || op.node != nil && moved[op.node]
		if kept[i] && op.fromDir != nil {
			moved[op.node] = true
		}
	}
	copies := map[*node]map[string]*node{}
	names := func(dir *node) map[string]*node {
		if copies[dir] == nil {
			copies[dir] = map[string]*node{}
			for name, n := range dir.durable {
				copies[dir][name] = n
			}
		}
		return copies[dir]
	}
	for i, op := range m.pending {
		if kept[i] {
			op.apply(names)
		}
	}
	return names
}

// crashImageLocked draws what is left of a file.
func (n *node) crashImageLocked(rng *rand.Rand, percent int) []byte {
	if n.shrunk && !draw(rng, percent) {
		return bytes.Clone(n.beforeTruncate)
	}
	size := drawSize(rng, percent, int64(len(n.synced)), n.sizeBytes)
	image := make([]byte, size)
	copy(image, n.synced)
	n.eachUnsyncedSectorLocked(func(off int64, now []byte) {
		if off < size && draw(rng, percent) {
			quietCopy(image[off:], now[:min(int64(len(now)), size-off)])
		}
	})
	return image
}

// eachUnsyncedSectorLocked calls f for each sector, or part of one, that differs from
// the synced image.
func (n *node) eachUnsyncedSectorLocked(f func(off int64, now []byte)) {
	var zeros [SectorBytes]byte
	lo, hi := n.unsyncedLocked()
	for off := lo &^ (SectorBytes - 1); off < hi; off += SectorBytes {
		now, rest := n.pieces(off, min(SectorBytes, n.sizeBytes-off))
		if len(rest) > 0 {
			joined := make([]byte, len(now)+len(rest))
			quietCopy(joined, now)
			quietCopy(joined[len(now):], rest)
			now = joined
		}
		was := zeros[:]
		if off < int64(len(n.synced)) {
			was = n.synced[off:min(off+SectorBytes, int64(len(n.synced)))]
		}
		common := min(len(was), len(now))
		if !quietEqual(was[:common], now[:common]) || quietNonZero(now[common:]) >= 0 {
			f(off, now)
		}
	}
}

// writebackLocked makes each unsynced sector durable with the given probability.
func (n *node) writebackLocked(rng *rand.Rand, percent int) {
	n.eachUnsyncedSectorLocked(func(off int64, now []byte) {
		if draw(rng, percent) {
			n.syncRangeLocked(off, off+int64(len(now)))
		}
	})
}

// draw decides whether one unsynced thing survives.
func draw(rng *rand.Rand, percent int) bool { return rng.IntN(100) < percent }

// drawSize picks the size of a file that grew: the synced one, the current one, or one
// of the sizes that the file could have had in between.
func drawSize(rng *rand.Rand, percent int, synced, current int64) int64 {
	if current <= synced || percent <= 0 {
		return synced
	}
	switch {
	case draw(rng, percent):
		return current
	case rng.IntN(2) == 0:
		return synced
	default:
		return synced + rng.Int64N(current-synced)
	}
}

// cloner builds a tree out of images and names.
type cloner struct {
	out    *FS
	images map[*node][]byte
	names  func(*node) map[string]*node
	done   map[*node]*node
}

func (c *cloner) clone(n *node) *node {
	if !n.isDir() {
		return c.cloneFile(n)
	}
	dir := newDir(n.modTime)
	names := c.names(n)
	for _, name := range sortedNames(names) {
		child := c.clone(names[name])
		child.links++
		dir.entries[name] = child
		dir.durable[name] = child
	}
	return dir
}

func (c *cloner) cloneFile(n *node) *node {
	if f := c.done[n]; f != nil {
		return f
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	f := newFile(n.mode, n.modTime)
	image := c.images[n]
	f.buf, f.synced, f.sizeBytes = bytes.Clone(image), image, int64(len(image))
	blocks := (f.sizeBytes + BlockBytes - 1) / BlockBytes
	f.blocks.add(0, blocks)
	c.out.space.usedBytes += blocks * BlockBytes
	c.done[n] = f
	return f
}
