package telemetry

import (
	"strings"
	"unicode/utf8"
)

// Bounds of what becomes a name or a label.
const (
	maxNameBytes  = 200
	maxValueBytes = 128
)

// prefix begins the names of clients' metrics. None of the broker's own begins so.
const prefix = "millrace_client_"

// metricName is what a client's metric is called here: org.apache.kafka.producer.x.y becomes
// millrace_client_producer_x_y. Counters end in _total and others do not, so that no two
// types share a name.
func metricName(name string, counter bool) string {
	s := prefix + safe(strings.TrimPrefix(name, "org.apache.kafka."), maxNameBytes)
	s = strings.TrimRight(s, "_")
	for strings.HasSuffix(s, "_total") {
		s = strings.TrimRight(strings.TrimSuffix(s, "_total"), "_")
	}
	if counter {
		return s + "_total"
	}
	if strings.HasSuffix(name, "total") {
		return s + "_current"
	}
	return s
}

// labelName is what an attribute is called here; "" for none.
func labelName(key string) string {
	s := strings.Trim(safe(key, maxValueBytes), "_")
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return ""
	}
	return s
}

// safe keeps letters and digits of ASCII, in lower case, and makes the rest underscores.
func safe(s string, most int) string {
	s = s[:min(len(s), most)]
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, s)
}

// labelValue bounds a value, at the end of a character.
func labelValue(s string) string {
	if len(s) > maxValueBytes {
		s = s[:maxValueBytes]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if r, n := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && n == 1 {
			s = s[:len(s)-1]
		}
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
