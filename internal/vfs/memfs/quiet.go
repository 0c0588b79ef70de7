package memfs

import "unsafe"

// The functions below stand for the kernel, which writes pages back while they are
// being stored to. They are hidden from the race detector, and so move words by hand:
// copy and append report to it whatever the caller says.

// quietCopy copies src to the start of dst, which must be at least as long.
//
//go:norace
func quietCopy(dst, src []byte) {
	if len(src) == 0 {
		return
	}
	_ = dst[len(src)-1]
	d, s := unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(src))
	i := 0
	for ; i+8 <= len(src); i += 8 {
		*(*uint64)(unsafe.Add(d, i)) = *(*uint64)(unsafe.Add(s, i))
	}
	for ; i < len(src); i++ {
		*(*byte)(unsafe.Add(d, i)) = *(*byte)(unsafe.Add(s, i))
	}
}

// quietEqual reports whether a and b, of the same length, are equal.
//
//go:norace
func quietEqual(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	p, q := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b))
	i := 0
	for ; i+8 <= len(a); i += 8 {
		if *(*uint64)(unsafe.Add(p, i)) != *(*uint64)(unsafe.Add(q, i)) {
			return false
		}
	}
	for ; i < len(a); i++ {
		if *(*byte)(unsafe.Add(p, i)) != *(*byte)(unsafe.Add(q, i)) {
			return false
		}
	}
	return true
}

// quietNonZero returns the index of the first byte of a that is not zero, or -1.
//
//go:norace
func quietNonZero(a []byte) int {
	p := unsafe.Pointer(unsafe.SliceData(a))
	i := 0
	for ; i+8 <= len(a); i += 8 {
		if *(*uint64)(unsafe.Add(p, i)) != 0 {
			break
		}
	}
	for ; i < len(a); i++ {
		if *(*byte)(unsafe.Add(p, i)) != 0 {
			return i
		}
	}
	return -1
}
