package zoocfg

import (
	"errors"
	"fmt"
	"strings"
)

// Place is where a setting was made, for messages.
type Place struct {
	Source string // a file's name, or the environment variable that held -D
	Line   int    // in a file, else 0
}

// String is file:line, or the source.
func (p Place) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s:%d", p.Source, p.Line)
	}
	return p.Source
}

// Warning is something odd that does not stop the start.
type Warning struct {
	Place Place
	Key   string
	Text  string
}

// String is a line for the log.
func (w Warning) String() string { return fmt.Sprintf("%s: %s: %s", w.Place, w.Key, w.Text) }

// Problem is one value that cannot be used.
type Problem struct {
	Place   Place
	Key     string
	Value   string
	Allowed string // what would do
	Reason  string // what is wrong and the way out; empty when Allowed says it
}

// String is a line for the terminal.
func (p Problem) String() string {
	s := fmt.Sprintf("%s: %s", p.Place, p.Key)
	if p.Value != "" {
		s += "=" + p.Value
	}
	if p.Reason != "" {
		s += ": " + p.Reason
	}
	if p.Allowed != "" {
		s += "; allowed: " + p.Allowed
	}
	return s
}

// Problems is everything that is wrong with a configuration.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return "the configuration cannot be used:\n  " + strings.Join(lines, "\n  ")
}

// valueError is what a key's parser says of a value that it does not take.
type valueError struct{ allowed, reason string }

func (e *valueError) Error() string {
	if e.allowed == "" {
		return e.reason
	}
	return strings.TrimPrefix(e.reason+"; allowed: "+e.allowed, "; ")
}

func allowed(format string, args ...any) error {
	return &valueError{allowed: fmt.Sprintf(format, args...)}
}

func refused(format string, args ...any) error {
	return &valueError{reason: fmt.Sprintf(format, args...)}
}

// problemOf makes a Problem of what a parser said.
func problemOf(at Place, key, value string, err error) Problem {
	p := Problem{Place: at, Key: key, Value: value}
	var v *valueError
	if errors.As(err, &v) {
		p.Allowed, p.Reason = v.allowed, v.reason
	} else {
		p.Reason = err.Error()
	}
	return p
}
