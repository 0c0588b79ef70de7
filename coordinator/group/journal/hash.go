package journal

import (
	"math"
	"unicode/utf8"
)

// Partition is the partition of __consumer_offsets that a group belongs to, as Kafka
// counts it: the absolute value of Java's String.hashCode, modulo the partitions.
func Partition(group string, partitions int32) int32 {
	h := javaHash(group)
	if h == math.MinInt32 {
		return 0
	}
	if h < 0 {
		h = -h
	}
	return h % partitions
}

// javaHash is String.hashCode, which goes over UTF-16 code units.
func javaHash(s string) int32 {
	var h int32
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return wideHash(h, s[i:])
		}
		h = 31*h + int32(s[i])
	}
	return h
}

func wideHash(h int32, s string) int32 {
	for _, c := range s { // a broken sequence counts as U+FFFD, as Java decodes it
		if c >= 0x10000 {
			c -= 0x10000
			h = 31*h + (0xd800 + c>>10)
			h = 31*h + (0xdc00 + c&0x3ff)
			continue
		}
		h = 31*h + c
	}
	return h
}
