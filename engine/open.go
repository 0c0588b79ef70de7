package engine

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
)

// LogOptions open one log as a library.
type LogOptions struct {
	Dir            string         // a log directory, created if need be; the log lies in a folder of it
	TopicPartition TopicPartition // names the folder; "log-0" when zero
	Config         *Config        // nil: DefaultConfig

	FS    vfs.FS       // nil: the machine's
	Clock clock.Clock  // nil: the machine's
	Log   *slog.Logger // nil: nothing is logged
}

// OpenLog opens a log without a broker, recovers it if the last user crashed, and locks its
// directory. Log.Close closes it cleanly.
func OpenLog(ctx context.Context, o LogOptions) (*Log, error) {
	if o.FS == nil {
		o.FS = osfs.FS{}
	}
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.TopicPartition == (TopicPartition{}) {
		o.TopicPartition.Topic = "log"
	}
	cfg := DefaultConfig()
	if o.Config != nil {
		cfg = *o.Config
	}
	s, err := OpenStore(ctx, StoreOptions{
		FS: o.FS, Clock: o.Clock, Log: o.Log, Dirs: []string{o.Dir},
		DefaultConfig: cfg, Random: rand.Int64N,
	})
	if err != nil {
		return nil, err
	}
	l, err := s.Create(o.TopicPartition, [16]byte{}, cfg)
	if err == nil {
		err = l.Failure()
	}
	if err != nil {
		s.Kill()
		return nil, err
	}
	l.owner = s
	// Nobody replicates this log: all that was appended may be read.
	l.SetHighWatermark(l.LogEndOffset())
	return l, nil
}

// Close closes a log that OpenLog opened, cleanly, and unlocks its directory. The logs of a
// Store are closed by their store: for them Close has no effect.
func (l *Log) Close() error {
	if l.owner == nil {
		return nil
	}
	return l.owner.Close(context.Background())
}
