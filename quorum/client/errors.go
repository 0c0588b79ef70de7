package client

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/quorum/jute"
)

// ErrClosed is why calls fail after Close and Abandon.
var ErrClosed = errors.New("the client is closed")

// Error is what a call fails with. It unwraps to its Code and its Cause.
type Error struct {
	Op   jute.OpCode
	Path string
	Code jute.Code
	// Sent tells of a ConnectionLoss or an expired context whether the request may have reached
	// a server: then the outcome of a write is unknown. Otherwise it may be made again.
	Sent  bool
	Cause error // why the connection was lost, or what is wrong with the request; may be nil
}

// Error implements error.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %s", e.Op, e.Path, e.Code.Error())
	if e.Path == "" {
		s = fmt.Sprintf("%s: %s", e.Op, e.Code.Error())
	}
	if e.Cause != nil {
		s += " (" + e.Cause.Error() + ")"
	}
	return s
}

// Unwrap makes errors.Is find the Code and the Cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.Cause}
}

// CodeOf is the code that err holds, OK when it is nil, SystemError when it holds none.
func CodeOf(err error) jute.Code {
	if err == nil {
		return jute.OK
	}
	var code jute.Code
	if errors.As(err, &code) {
		return code
	}
	return jute.SystemError
}
