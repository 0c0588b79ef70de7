package group

import (
	"errors"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/replication"
)

// errUnloaded ends what waits when the partition moves away or the broker stops.
var errUnloaded = errors.New("the coordinator's partition is no longer led by this broker")

// tooLarge tells whether a batch was refused for its size.
func tooLarge(err error) bool {
	_, large := errors.AsType[*engine.RecordTooLargeError](err)
	return large || errors.Is(err, record.ErrTooLarge)
}

// codeOf maps why a write failed to what members are told, as Kafka does
// (CoordinatorOperationExceptionHelper): nearly everything sends the client to look for the
// coordinator again, which is right as long as the log may recover. size is for a batch that
// is too large.
func codeOf(err error, size protocol.ErrorCode) protocol.ErrorCode {
	switch {
	case err == nil:
		return protocol.CodeNone
	case tooLarge(err):
		return size
	case errors.Is(err, errUnloaded), errors.Is(err, replication.ErrNotLeader), errors.Is(err, replication.ErrClosed), errors.Is(err, engine.ErrClosed),
		errors.Is(err, replication.ErrOffline):
		return protocol.CodeNotCoordinator
	}
	if _, fenced := errors.AsType[*replication.FencedEpochError](err); fenced {
		return protocol.CodeNotCoordinator
	}
	if _, failed := errors.AsType[*engine.DirFailedError](err); failed {
		return protocol.CodeNotCoordinator
	}
	return protocol.CodeCoordinatorNotAvailable
}
