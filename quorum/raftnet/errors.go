package raftnet

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed: the other side sent what is no message.
	ErrMalformed = errors.New("a message of Raft that makes no sense")
	// ErrUnencodable: a message cannot be written, since it holds a name that is too long or a
	// protocol version that does not exist.
	ErrUnencodable = errors.New("a message of Raft that cannot be written")
)

// SizeError is a frame that is longer than is taken. It is an ErrMalformed.
type SizeError struct{ Bytes, Max int64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("%v: %d bytes, at most %d are taken", ErrMalformed, e.Bytes, e.Max)
}
func (e *SizeError) Unwrap() error { return ErrMalformed }

// RefusedError is what the other server's Raft answered instead of a result.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }
