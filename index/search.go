package index

import "encoding/binary"

// kind tells where an entry holds the key that a search compares.
type kind uint8

const (
	byOffset     kind = iota // u32 at 0 of an 8-byte entry
	byPosition               // u32 at 4 of an 8-byte entry
	byTimestamp              // i64 at 0 of a 12-byte entry
	byTimeOffset             // u32 at 8 of a 12-byte entry
)

func (k kind) entryBytes() int {
	if k == byTimestamp || k == byTimeOffset {
		return TimeEntryBytes
	}
	return OffsetEntryBytes
}

// key reads the key of entry i.
func key(mem []byte, i int, k kind) int64 {
	switch k {
	case byOffset:
		return int64(binary.BigEndian.Uint32(mem[i*OffsetEntryBytes:]))
	case byPosition:
		return int64(binary.BigEndian.Uint32(mem[i*OffsetEntryBytes+4:]))
	case byTimestamp:
		return int64(binary.BigEndian.Uint64(mem[i*TimeEntryBytes:]))
	default:
		return int64(binary.BigEndian.Uint32(mem[i*TimeEntryBytes+8:]))
	}
}

// search returns the greatest i < n whose key is at most target, or -1. Keys must not
// decrease. It guesses by interpolation (offsets grow evenly in most logs), gallops from
// the guess until the target is bracketed and bisects the bracket: about three cache
// misses where plain bisection of a 2 MiB index has eighteen.
func search(mem []byte, n int, k kind, target int64) int {
	if n == 0 {
		return -1
	}
	lo, hi := 0, n-1
	first, last := key(mem, lo, k), key(mem, hi, k)
	if target < first {
		return -1
	}
	if target >= last {
		return hi
	}
	// Here first <= target < last; the answer is in [lo, hi).
	guess := lo + int(float64(target-first)/float64(last-first)*float64(hi-lo))
	guess = min(max(guess, lo), hi-1)
	if key(mem, guess, k) <= target {
		lo = guess
		for step := 1; lo+step < hi; step *= 2 {
			if key(mem, lo+step, k) > target {
				hi = lo + step
				break
			}
			lo += step
		}
	} else {
		hi = guess
		for step := 1; hi-step > lo; step *= 2 {
			if key(mem, hi-step, k) <= target {
				lo = hi - step
				break
			}
			hi -= step
		}
	}
	for hi-lo > 1 {
		mid := int(uint(lo+hi) / 2)
		if key(mem, mid, k) <= target {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
