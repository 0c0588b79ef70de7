package tree

import (
	"strings"
	"unicode/utf8"
)

// validPath tells whether path may name a node (PathUtils.validatePath).
func validPath(path string) bool {
	if path == "/" {
		return true
	}
	if len(path) < 2 || path[0] != '/' {
		return false
	}
	for rest := path[1:]; ; {
		name, after, more := strings.Cut(rest, "/")
		if !validName(name) {
			return false
		}
		if !more {
			return true
		}
		rest = after
	}
}

func validName(name string) bool {
	if name == "" || name == "." || name == ".." {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c < 0x20 || c >= 0x7f {
			return validRunes(name)
		}
	}
	return true
}

// validRunes is validName's slow way. What is not UTF-8 decodes to U+FFFD, which is refused.
func validRunes(name string) bool {
	for _, r := range name {
		switch {
		case r < 0x20, r >= 0x7f && r <= 0x9f, r >= 0xd800 && r <= 0xf8ff, r >= 0xfff0, r == utf8.RuneError:
			return false
		}
	}
	return true
}

// split cuts path at its last slash. It refuses what has none or holds a NUL.
func split(path string) (parent, name string, ok bool) {
	at := strings.LastIndexByte(path, '/')
	if at < 0 || strings.IndexByte(path, 0) >= 0 {
		return "", "", false
	}
	return path[:at], path[at+1:], true
}

// The nodes that are always there.
const (
	systemPath = "/zookeeper"
	quotaPath  = "/zookeeper/quota"
	// ConfigPath is the node that holds the ensemble's configuration.
	ConfigPath = "/zookeeper/config"
)

// special tells which nodes cannot be deleted.
func special(path string) bool {
	return path == "/" || path == systemPath || path == quotaPath || path == ConfigPath
}
