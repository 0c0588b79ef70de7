package jute

import (
	"fmt"
	"unicode/utf8"
)

// PathError says what is wrong with a znode's path, in ZooKeeper's words. It unwraps to
// BadArguments.
type PathError struct {
	Path   string
	Reason string
	whole  bool // Reason is the whole message
}

// Error implements error.
func (e *PathError) Error() string {
	if e.whole {
		return e.Reason
	}
	return `Invalid path string "` + e.Path + `" caused by ` + e.Reason
}

// Unwrap makes errors.Is(err, BadArguments) true.
func (e *PathError) Unwrap() error { return BadArguments }

// CheckPath says whether path may name a znode (PathUtils.validatePath). For a sequential
// node, whose name gets digits, path may end with a slash.
func CheckPath(path string, sequential bool) error {
	if sequential {
		path += "1"
	}
	switch {
	case path == "":
		return &PathError{path, "Path length must be > 0", true}
	case path[0] != '/':
		return &PathError{path, "Path must start with / character", true}
	case len(path) == 1:
		return nil
	case path[len(path)-1] == '/':
		return &PathError{path, "Path must not end with / character", true}
	}
	if reason := checkNames(path); reason != "" {
		return &PathError{Path: path, Reason: reason}
	}
	return nil
}

// checkNames looks at the names between the slashes. Positions are characters, as Java
// counts them: one that takes two there is refused, so the count is the same up to it.
func checkNames(path string) string {
	at := 0    // of c, in characters
	start := 1 // of the name, in bytes
	for i := 0; i < len(path); at++ {
		c, size := rune(path[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(path[i:])
		}
		switch {
		case c == 0:
			return fmt.Sprintf("null character not allowed @%d", at)
		case c == '/' && i > 0 && path[i-1] == '/':
			return fmt.Sprintf("empty node name specified @%d", at)
		case c == '/':
			start = i + 1
		case c == '.' && (i+1 == len(path) || path[i+1] == '/') && (i == start || i == start+1 && path[start] == '.'):
			return fmt.Sprintf("relative paths not allowed @%d", at)
		case !allowedRune(c):
			return fmt.Sprintf("invalid character @%d", at)
		}
		i += size
	}
	return ""
}

// allowedRune leaves out control characters, surrogates (and so what needs two of them),
// private use, and the specials. Bytes that are no UTF-8 read as one of the specials.
func allowedRune(c rune) bool {
	switch {
	case c < 0x20, c >= 0x7f && c <= 0x9f, c >= 0xd800 && c <= 0xf8ff, c >= 0xfff0:
		return false
	}
	return true
}
