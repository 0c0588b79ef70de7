//go:build linux

package limits

import (
	"fmt"
	"os"
	"testing"
)

// resident returns the resident bytes of this process.
func resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func TestHeldMemoryIsResidentUntilItIsReleased(t *testing.T) {
	const n = 64 << 20
	before := resident(t)
	m, err := HoldMemory(n)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := resident(t) - before; got < n*9/10 {
			t.Errorf("%d bytes more are resident, want %d", got, n)
		}
		if err := m.Release(); err != nil {
			t.Fatal(err)
		}
		if got := resident(t) - before; got > n/2 {
			t.Errorf("%d bytes more are resident after the release", got)
		}
		if err := m.Take(); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Release(); err != nil {
		t.Fatal(err)
	}
	if err := m.Release(); err != nil {
		t.Errorf("a second release: %v", err)
	}
}

func TestNoMemoryIsHeldWhenNoneIsWanted(t *testing.T) {
	m, err := HoldMemory(-1)
	if err != nil || m.held != nil || m.Release() != nil {
		t.Errorf("held %d bytes, %v", len(m.held), err)
	}
}
