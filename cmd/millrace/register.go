package main

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/metadata"
)

// This file keeps the broker known to the cluster. A registration lives as long as the
// session in the quorum; Kafka's brokers make a new session and register again, and so does
// this one.

// register makes the broker known, with the ports that it really has.
func (s *server) register(ctx context.Context) error {
	zxid, err := s.registerWhenFree(ctx, func(l config.Listener) int32 {
		for _, of := range s.static.Broker.Listeners {
			if opened := s.listened[of.Name]; of == l && opened != nil {
				return portOf(opened.Addr())
			}
		}
		return l.Port // a dynamic setting, not open yet
	})
	if err != nil {
		return err
	}
	return s.loader.Wait(ctx, zxid)
}

// registerPause is how often a registration is tried again.
const registerPause = 250 * time.Millisecond

// registerWhenFree registers the broker. A registration of its id that is there already may be
// that of this broker's former life, which ends with its session: it is waited for.
func (s *server) registerWhenFree(ctx context.Context, port func(config.Listener) int32) (zxid int64, err error) {
	patience := time.Duration(0)
	if s.static.Broker.ZooKeeperConnect != "" {
		patience = time.Duration(s.static.Broker.SessionMs)*time.Millisecond + 2*time.Second
	}
	for began := s.clock.Now(); ; {
		zxid, err = controller.Register(ctx, s.tree, s.clock, s.registration(port))
		waited := s.clock.Now().Sub(began)
		if !errors.Is(err, metadata.ErrNodeExists) || waited >= patience {
			return zxid, err
		}
		if waited < registerPause {
			s.log.Warn("this broker's id is registered, perhaps by its former process, whose session has not ended yet; waiting", "id", s.id, "atMost", patience)
		}
		if err := s.sleep(ctx, registerPause); err != nil {
			return 0, err
		}
	}
}

func (s *server) sleep(ctx context.Context, d time.Duration) error {
	over := make(chan struct{})
	t := s.clock.AfterFunc(d, func() { close(over) })
	defer t.Stop()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// followRegistration notes when the broker is not registered any more. It is told of images
// by the loader.
func (s *server) followRegistration(_, image *metadata.Image) {
	if _, ok := image.Broker(s.id); !ok {
		select {
		case s.unregistered <- struct{}{}:
		default:
		}
	}
}

// stayRegistered registers the broker each time its registration is gone, until ctx ends.
func (s *server) stayRegistered(ctx context.Context) {
	for {
		select {
		case <-s.unregistered:
		case <-ctx.Done():
			return
		}
		if _, ok := s.loader.Image().Broker(s.id); ok {
			continue
		}
		s.log.Warn("the broker's registration is gone, with its session or by somebody's hand; it registers again", "id", s.id)
		for {
			addrs := s.serving.Load().Addrs()
			_, err := s.registerWhenFree(ctx, func(l config.Listener) int32 { return portOf(addrs[l.Name]) })
			if err == nil {
				s.log.Info("the broker is registered again", "id", s.id)
				break
			}
			if ctx.Err() != nil || errors.Is(err, metadata.ErrClosed) {
				return
			}
			if errors.Is(err, metadata.ErrNodeExists) { // another process took the id
				s.fail(err)
				return
			}
			s.log.Error("the broker could not be registered; trying again", "err", err)
			if s.sleep(ctx, registerPause) != nil {
				return
			}
		}
	}
}
