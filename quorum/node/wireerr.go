package node

import (
	"errors"

	"github.com/millrace/millrace/quorum/jute"
)

// wireErrors are the errors that keep their identity on the way between servers, by number.
var wireErrors = map[uint8]error{
	1: ErrNotServing, 2: ErrSessionExpired, 3: ErrBadPassword, 4: ErrClosed, 5: ErrNotLeader, 6: ErrOverloaded,
	7: errOtherCluster, 8: errNotMe,
}

// Codes travel as wireCode and the code; other errors as wireText and their text.
const (
	wireCode = 254
	wireText = 255
)

var (
	errOtherCluster = errors.New("that server belongs to another ensemble")
	errNotMe        = errors.New("another server, or a new incarnation of it, lives there")
)

// appendError writes an error; nil is one zero byte.
func appendError(dst []byte, err error) []byte {
	if err == nil {
		return append(dst, 0)
	}
	for number, known := range wireErrors {
		if errors.Is(err, known) {
			return append(dst, number)
		}
	}
	var code jute.Code
	if errors.As(err, &code) {
		return append(dst, wireCode, byte(code>>24), byte(code>>16), byte(code>>8), byte(code))
	}
	return append(append(dst, wireText), err.Error()...)
}

// error reads what appendError wrote. Only a text takes all that is left.
func (b *body) error() error {
	switch number := b.uint8(); number {
	case 0:
		return nil
	case wireCode:
		return jute.Code(int32(b.uint32()))
	case wireText:
		return errors.New(string(b.rest()))
	default:
		if known := wireErrors[number]; known != nil {
			return known
		}
		b.ok = false
		return errFrame
	}
}
