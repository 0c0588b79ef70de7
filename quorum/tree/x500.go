package tree

import (
	"slices"
	"strconv"
	"strings"
)

// x500Keywords are the attribute types that Java's X500Principal knows by name; others are
// named by their object identifiers.
var x500Keywords = []string{
	"C", "CN", "DC", "DNQ", "DNQUALIFIER", "EMAIL", "EMAILADDRESS", "GENERATION", "GIVENNAME", "INITIALS", "IP", "L", "O", "OU", "S",
	"SERIALNUMBER", "ST", "STREET", "SURNAME", "T", "UID",
}

// validX500 tells whether Java's X500Principal takes a distinguished name (RFC 2253, with
// semicolons as well): that is what an ACL of the scheme x509 needs.
func validX500(name string) bool {
	if name == "" {
		return true
	}
	for {
		key, rest, ok := strings.Cut(name, "=")
		if !ok || !x500Type(strings.Trim(key, " ")) {
			return false
		}
		if rest, ok = x500Value(strings.TrimLeft(rest, " ")); !ok {
			return false
		}
		if rest == "" {
			return true
		}
		name = rest[1:] // the separator
	}
}

func x500Type(key string) bool {
	if slices.Contains(x500Keywords, strings.ToUpper(key)) {
		return true
	}
	if len(key) > 4 && strings.EqualFold(key[:4], "OID.") {
		key = key[4:]
	}
	arcs := strings.Split(key, ".")
	for i, arc := range arcs {
		n, err := strconv.ParseUint(arc, 10, 31)
		if err != nil || i == 0 && n > 2 || i == 1 && n > 39 && strings.TrimLeft(arcs[0], "0") != "2" {
			return false
		}
	}
	return len(arcs) > 1
}

// x500Value reads a value and returns what follows it: nothing, or a separator and more.
func x500Value(s string) (rest string, ok bool) {
	switch {
	case strings.HasPrefix(s, `"`):
		s, ok = x500Until(s[1:], `"`, "")
		if !ok || s == "" {
			return "", false
		}
		return x500End(s[1:])
	case strings.HasPrefix(s, "#"):
		digits := 0
		for s = s[1:]; s != "" && isHex(s[0]); s = s[1:] {
			digits++
		}
		if digits == 0 || digits%2 > 0 {
			return "", false
		}
		return x500End(s)
	}
	return x500Until(s, ",;+", `<>"`)
}

// x500End skips the spaces before a separator or the end.
func x500End(s string) (rest string, ok bool) {
	s = strings.TrimLeft(s, " ")
	return s, s == "" || strings.ContainsAny(s[:1], ",;+")
}

// x500Until skips to the first of the characters in stop that has no backslash before it, or
// to the end. It refuses those in bad, and a backslash before anything that needs none.
func x500Until(s, stop, bad string) (rest string, ok bool) {
	for s != "" && !strings.ContainsAny(s[:1], stop) {
		switch {
		case strings.ContainsAny(s[:1], bad):
			return "", false
		case s[0] != '\\':
			s = s[1:]
		case len(s) > 2 && isHex(s[1]) && isHex(s[2]):
			s = s[3:]
		case len(s) > 1 && strings.ContainsAny(s[1:2], `,+<>#;"\ =`):
			s = s[2:]
		default:
			return "", false
		}
	}
	return s, true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }
