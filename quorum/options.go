package quorum

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/server"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// Options is what Start needs.
type Options struct {
	Config *zoocfg.Config
	FS     vfs.FS
	// Net opens every port and every connection; each Dial looks names up anew.
	Net   node.Net
	Clock clock.Clock  // nil: the machine's
	Log   *slog.Logger // nil: silent
	Rand  io.Reader    // nil: crypto/rand
	// Client, if set, is the client port, open already, in place of Config.ClientAddress. It is
	// taken over, also by a Start that fails.
	Client net.Listener
	Facts  Facts
}

// Facts are what only the process knows, for those who ask the running server.
type Facts struct {
	Version         string               // of Millrace
	Built           time.Time            // when its sources were committed; zero: not known
	Environment     func() []server.Pair // what envi prints; nil: nothing
	FileDescriptors func() (open, limit int64)
}

func (o *Options) withDefaults() error {
	if o.Config == nil || o.FS == nil || o.Net == nil {
		return errors.New("a quorum needs a configuration, files and a network")
	}
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return nil
}
