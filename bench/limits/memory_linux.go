package limits

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Memory is memory that was written to and is kept, until it is wanted for something else.
// A guest's host gives it memory when it first writes to it, which takes up to 60 times as
// long as writing, and where free pages are reported to it (virtio-balloon) it takes pieces
// of 2 MiB back that were free for two seconds. What is kept here and released just before a
// measurement is what the page cache of that measurement then gets.
type Memory struct {
	bytes int64
	held  []byte
}

// HoldMemory takes and writes to n bytes. Release gives them back, Take takes them again.
func HoldMemory(n int64) (*Memory, error) {
	m := &Memory{bytes: n}
	return m, m.Take()
}

// Take takes the memory, when it is not held: a part page by page, the rest in huge pages,
// because a file's pages come from free pieces of any size.
func (m *Memory) Take() error {
	if m.held != nil || m.bytes <= 0 {
		return nil
	}
	b, err := unix.Mmap(-1, 0, int(m.bytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("take %d MiB of memory: %w", m.bytes>>20, err)
	}
	_ = unix.Madvise(b[:m.bytes/4*3], unix.MADV_HUGEPAGE) // not every kernel has them
	if err := unix.Madvise(b, unix.MADV_POPULATE_WRITE); err != nil {
		_ = unix.Munmap(b)
		return fmt.Errorf("write to %d MiB of memory: %w", m.bytes>>20, err)
	}
	m.held = b
	return nil
}

// Release gives the memory back.
func (m *Memory) Release() error {
	if m.held == nil {
		return nil
	}
	b := m.held
	m.held = nil
	return unix.Munmap(b)
}

// availableBytes returns how much memory could be used without swapping.
func availableBytes() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}
