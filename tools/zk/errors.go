package zk

import (
	"errors"

	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
)

// failed is a command that did not do what it was asked for: the text for the user and the
// exit code.
type failed struct {
	text string
	code int
}

func (f *failed) Error() string { return f.text }

// failure is a failed command with the exit code that all but one have.
func failure(text string) error { return &failed{text, 1} }

// explain turns an error of the client into what ZooKeeper's shell says (CliWrapperException).
// A path that is none is told as is.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var path *jute.PathError
	if errors.As(err, &path) {
		return failure(path.Error())
	}
	var e *client.Error
	if !errors.As(err, &e) {
		return failure(err.Error())
	}
	at := e.Path
	if at == "" && e.Op != jute.OpReconfig {
		at = "null"
	}
	switch e.Code {
	case jute.NoNode:
		return failure("Node does not exist: " + at)
	case jute.NoChildrenForEphemerals:
		return failure("Ephemerals cannot have children: " + at)
	case jute.NodeExists:
		return failure("Node already exists: " + at)
	case jute.NotEmpty:
		return failure("Node not empty: " + at)
	case jute.NotReadOnly:
		return failure("Not a read-only call: " + at)
	case jute.InvalidACL:
		return failure("Acl is not valid : " + at)
	case jute.NoAuth:
		return failure("Insufficient permission : " + at)
	case jute.BadArguments:
		return failure("Arguments are not valid : " + at)
	case jute.BadVersion:
		return failure("version No is not valid : " + at)
	case jute.ReconfigInProgress:
		return failure("Another reconfiguration is in progress -- concurrent reconfigs not supported (yet)")
	case jute.NewConfigNoQuorum:
		return failure("No quorum of new config is connected and up-to-date with the leader of last commmitted config - try invoking reconfiguration after " +
			"new servers are connected and synced")
	case jute.QuotaExceeded:
		return failure("Quota has exceeded : " + at)
	}
	return failure(keeperMessage(e))
}

// keeperMessage is KeeperException.getMessage. Why a connection was lost stands behind it.
func keeperMessage(e *client.Error) string {
	text := "KeeperErrorCode = " + e.Code.Error()
	if e.Path != "" {
		text += " for " + e.Path
	}
	if e.Code == jute.ConnectionLoss && e.Cause != nil {
		text += " (" + e.Cause.Error() + ")"
	}
	return text
}
