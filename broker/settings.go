package broker

import (
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/metadata"
)

// Settings is the configuration in force: that of the start, with the dynamic settings of
// the metadata on top. It is a metadata.Publisher, which must be added to the loader before
// those who read it: they are told of a new image when its settings are in force.
type Settings struct {
	id      int32
	log     *slog.Logger
	current atomic.Pointer[config.Config]
	follow  atomic.Pointer[func(old, now *config.Config)]
}

// NewSettings has only the settings of the start, until an image comes.
func NewSettings(static *config.Config, id int32, log *slog.Logger) *Settings {
	s := &Settings{id: id, log: log}
	s.current.Store(static)
	return s
}

// Config returns the settings in force. It takes no lock.
func (s *Settings) Config() *config.Config { return s.current.Load() }

// Follow sets who is told of changes, from the loader's goroutine: it must not block.
func (s *Settings) Follow(f func(old, now *config.Config)) { s.follow.Store(&f) }

// Publish implements metadata.Publisher. Only a change of the broker's own settings costs
// anything.
func (s *Settings) Publish(old, now *metadata.Image) {
	own, all := now.BrokerConfig(s.id), now.DefaultBrokerConfig()
	if maps.Equal(own, old.BrokerConfig(s.id)) && maps.Equal(all, old.DefaultBrokerConfig()) {
		return
	}
	before := s.current.Load()
	next, warnings := before.WithDynamic(own, all)
	for _, w := range warnings {
		s.log.Warn(w.String())
	}
	if next == before {
		return
	}
	s.current.Store(next)
	// Names only: a value may be a secret.
	s.log.Info("dynamic settings are in force", "broker", slices.Sorted(maps.Keys(own)), "all", slices.Sorted(maps.Keys(all)))
	if f := s.follow.Load(); f != nil {
		(*f)(before, next)
	}
}
