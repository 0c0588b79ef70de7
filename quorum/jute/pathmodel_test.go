package jute

import (
	"strings"
	"unicode/utf16"
)

// javaPathOK judges a path name by name: an independent reading of the rules.
func javaPathOK(path string, sequential bool) bool {
	if sequential {
		path += "1"
	}
	if path == "/" {
		return true
	}
	if !strings.HasPrefix(path, "/") {
		return false
	}
	for _, name := range strings.Split(path[1:], "/") {
		if name == "" || name == "." || name == ".." {
			return false
		}
		for _, u := range utf16.Encode([]rune(name)) {
			switch {
			case u <= 0x1f, u >= 0x7f && u <= 0x9f, u >= 0xd800 && u <= 0xf8ff, u >= 0xfff0:
				return false
			}
		}
	}
	return true
}
