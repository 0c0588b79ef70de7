package segment

import (
	"path"
	"strconv"
	"strings"
)

// Suffixes of Kafka's files (LogFileUtils).
const (
	logSuffix     = ".log"
	indexSuffix   = ".index"
	timeSuffix    = ".timeindex"
	txnSuffix     = ".txnindex"
	deletedSuffix = ".deleted"
	cleanedSuffix = ".cleaned"
	swapSuffix    = ".swap"
	rebuildSuffix = ".rebuild" // ours: an index being rebuilt
	nextPrefix    = "next-segment"
)

// fileName is Kafka's: the base offset in 20 digits.
func fileName(dir string, base int64, suffix string) string {
	var b [20]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + base%10)
		base /= 10
	}
	return path.Join(dir, string(b[:])+suffix)
}

// parseName splits a file name into base offset and suffix (".log", ".index.swap", ...).
func parseName(name string) (base int64, suffix string, ok bool) {
	i := strings.IndexByte(name, '.')
	if i <= 0 {
		return 0, "", false
	}
	for _, c := range name[:i] {
		if c < '0' || c > '9' {
			return 0, "", false
		}
	}
	base, err := strconv.ParseInt(name[:i], 10, 64)
	if err != nil || base < 0 {
		return 0, "", false
	}
	return base, name[i:], true
}
