package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path"
	"slices"
	"sync"

	"github.com/millrace/millrace/internal/vfs"
)

// Stable is hashicorp/raft's StableStore: term, vote and other small values, in a file of two
// slots. A change writes the slot that is not in force and syncs it.
type Stable struct {
	latch *latch
	stall stall
	name  string

	mu    sync.Mutex
	f     vfs.File
	state stableState
	buf   []byte
}

// stableState is what a slot holds.
type stableState struct {
	generation uint64            // its slot is the generation modulo 2
	first      uint64            // first index of the log as raft knows it, 0: where the files begin
	closed     uint64            // after a clean stop: 1 + the last index of the log
	values     map[string]string // at most what fits into a slot
}

// The layout of a slot.
const (
	slotMagic      = "MRSTABL1"
	slotGeneration = 8
	slotFirst      = 16
	slotClosed     = 24
	slotLength     = 32 // of the values
	slotCRC        = 36 // CRC-32C of all else
	slotHeader     = 40
	slotBytes      = 16 << 10
	slotSector     = 512
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrTooLarge refuses a value that does not fit into the stable file. Nothing was changed.
var ErrTooLarge = fmt.Errorf("the stable state holds at most %d bytes", slotBytes-slotHeader)

// appendSlot encodes s, padded to whole sectors.
func (s *stableState) appendSlot(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, slotHeader)...)
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		dst = binary.AppendUvarint(dst, uint64(len(key)))
		dst = append(dst, key...)
		dst = binary.AppendUvarint(dst, uint64(len(s.values[key])))
		dst = append(dst, s.values[key]...)
	}
	slot := dst[start:]
	if len(slot) > slotBytes {
		return dst[:start], ErrTooLarge
	}
	copy(slot, slotMagic)
	binary.BigEndian.PutUint64(slot[slotGeneration:], s.generation)
	binary.BigEndian.PutUint64(slot[slotFirst:], s.first)
	binary.BigEndian.PutUint64(slot[slotClosed:], s.closed)
	binary.BigEndian.PutUint32(slot[slotLength:], uint32(len(slot)-slotHeader))
	binary.BigEndian.PutUint32(slot[slotCRC:], slotSum(slot))
	if odd := len(slot) % slotSector; odd > 0 {
		dst = append(dst, make([]byte, slotSector-odd)...)
	}
	return dst, nil
}

func slotSum(slot []byte) uint32 {
	sum := crc32.Checksum(slot[:slotCRC], castagnoli)
	return crc32.Update(sum, castagnoli, slot[slotHeader:])
}

// decodeSlot reads slot number n.
func decodeSlot(slot []byte, n uint64) (stableState, error) {
	var s stableState
	if len(slot) < slotHeader || string(slot[:len(slotMagic)]) != slotMagic {
		return s, errors.New("no slot of a stable file")
	}
	length := binary.BigEndian.Uint32(slot[slotLength:])
	if uint64(length) > uint64(len(slot)-slotHeader) {
		return s, fmt.Errorf("length %d", length)
	}
	slot = slot[:slotHeader+int(length)]
	if got, want := slotSum(slot), binary.BigEndian.Uint32(slot[slotCRC:]); got != want {
		return s, fmt.Errorf("crc is %#x, want %#x", got, want)
	}
	s.generation = binary.BigEndian.Uint64(slot[slotGeneration:])
	s.first = binary.BigEndian.Uint64(slot[slotFirst:])
	s.closed = binary.BigEndian.Uint64(slot[slotClosed:])
	if s.generation%2 != n {
		return s, fmt.Errorf("generation %d in slot %d", s.generation, n)
	}
	s.values = make(map[string]string)
	for rest := slot[slotHeader:]; len(rest) > 0; {
		var key, value string
		var ok bool
		if key, rest, ok = cutString(rest); ok {
			value, rest, ok = cutString(rest)
		}
		if _, twice := s.values[key]; !ok || twice {
			return s, errors.New("its values can not be read")
		}
		s.values[key] = value
	}
	return s, nil
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, false
	}
	end := size + int(n)
	return string(b[size:end]), b[end:], true
}

// openStable opens the file, or makes it where mayCreate says that there is nothing yet that
// it could be missing from.
func openStable(fs vfs.FS, dir string, s *Stable, mayCreate bool) error {
	s.name = path.Join(dir, stableFile)
	f, err := fs.OpenFile(s.name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		if !mayCreate {
			return &CorruptError{File: s.name, Position: -1, Err: errors.New("it is missing beside a log: the server's vote is lost")}
		}
		if err := createStable(fs, dir, s.name); err != nil {
			return err
		}
		f, err = fs.OpenFile(s.name, os.O_RDWR, 0)
	}
	if err != nil {
		return err
	}
	if s.state, err = readStable(f); err != nil {
		return errors.Join(err, f.Close())
	}
	s.f = f
	return nil
}

// createStable makes the file aside, both slots valid, so that a file in which none is was
// damaged.
func createStable(fs vfs.FS, dir, name string) error {
	f, err := fs.OpenFile(name+tempSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	both := make([]byte, 2*slotBytes)
	for n := range uint64(2) {
		s := stableState{generation: n}
		slot, serr := s.appendSlot(nil)
		err = errors.Join(err, serr)
		copy(both[n*slotBytes:], slot)
	}
	_, werr := f.WriteAt(both, 0)
	if err = errors.Join(err, werr, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, fs.Remove(name+tempSuffix))
	}
	if err := fs.Rename(name+tempSuffix, name); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// readStable takes the newer one of the valid slots.
func readStable(f vfs.File) (stableState, error) {
	size, err := f.Size()
	if err != nil {
		return stableState{}, err
	}
	both := make([]byte, 2*slotBytes)
	if size != int64(len(both)) {
		return stableState{}, &CorruptError{File: f.Name(), Position: -1, Err: fmt.Errorf("its size is %d, want %d", size, len(both))}
	}
	if n, err := f.ReadAt(both, 0); n < len(both) {
		return stableState{}, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	a, aerr := decodeSlot(both[:slotBytes], 0)
	b, berr := decodeSlot(both[slotBytes:], 1)
	switch {
	case aerr != nil && berr != nil:
		return a, &CorruptError{File: f.Name(), Position: 0, Err: fmt.Errorf("neither slot is valid: %w, %w", aerr, berr)}
	case aerr != nil || berr == nil && b.generation > a.generation:
		return b, nil
	}
	return a, nil
}

// change applies f to a copy of the state and writes it; f returns false when nothing changed.
func (s *Stable) change(f func(*stableState) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.latch.check(); err != nil {
		return err
	}
	next := s.state
	next.values = maps.Clone(s.state.values)
	if !f(&next) {
		return nil
	}
	next.generation++
	slot, err := next.appendSlot(s.buf[:0])
	if err != nil {
		return err
	}
	s.buf = slot
	defer s.stall.begin("write " + s.name)()
	// In place, over bytes that the file has: a full disk is no reason to fail.
	if _, err := s.f.WriteAt(slot, int64(next.generation%2)*slotBytes); err != nil {
		return s.latch.fail("write "+s.name, err)
	}
	if err := s.f.SyncData(); err != nil {
		return s.latch.fail("sync "+s.name, err)
	}
	s.state = next
	return s.latch.check() // a call that was given up is not a success
}

// Set implements raft.StableStore. The value is durable when it returns.
func (s *Stable) Set(key, value []byte) error {
	return s.change(func(next *stableState) bool {
		old, has := next.values[string(key)]
		next.values[string(key)] = string(value)
		return !has || old != string(value)
	})
}

// Get implements raft.StableStore: nil when there is no such key.
func (s *Stable) Get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.state.values[string(key)]
	if !ok {
		return nil, nil
	}
	return []byte(v), nil
}

// SetUint64 implements raft.StableStore.
func (s *Stable) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore: 0 when there is no such key.
func (s *Stable) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil || v == nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("the value of %q is no number: %d bytes", bytes.ToValidUTF8(key, nil), len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

func (s *Stable) setFirst(index uint64) error {
	return s.change(func(next *stableState) bool {
		was := next.first
		next.first = index
		return was != index
	})
}

func (s *Stable) setClosed(closed uint64) error {
	return s.change(func(next *stableState) bool {
		was := next.closed
		next.closed = closed
		return was != closed
	})
}

// numbers are those that belong to the log.
func (s *Stable) numbers() (first, closed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.first, s.state.closed
}

func (s *Stable) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f.Close()
}
