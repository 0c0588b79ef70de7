package main

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/osfs"
)

// A listener that was added at run time is registered, and is there after a restart.
func TestDynamicListenersOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	start := func() *server {
		cfg, _, err := config.Load(config.Input{FS: osfs.FS{}, Overrides: []string{"broker.id=1", "log.dirs=" + dir, "listeners=PLAINTEXT://127.0.0.1:0", "admin.listener=", "quorum.client.listener="}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := startServer(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s.(*server)
	}
	stop := func(s *server) {
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	registered := func(s *server) int {
		b, ok := s.loader.Image().Broker(1)
		if !ok {
			return -1
		}
		extra, ok := b.Endpoint("EXTRA")
		if at, is := s.broker.Addrs()["EXTRA"].(*net.TCPAddr); ok && is && int32(at.Port) != extra.Port {
			return -1
		}
		return len(b.Endpoints)
	}
	s := start()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	listeners, protocols := "PLAINTEXT://127.0.0.1:0,EXTRA://127.0.0.1:0", "PLAINTEXT:PLAINTEXT,EXTRA:PLAINTEXT"
	r, err := kadm.NewClient(cl).AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "listeners", Value: &listeners}, {Op: kadm.SetConfig, Name: "listener.security.protocol.map", Value: &protocols},
	}, 1)
	if err != nil || r[0].Err != nil {
		t.Fatal(err, r)
	}
	testkit.WaitFor(t, "the registration", func() bool { return registered(s) == 2 })
	stop(s)
	s = start()
	defer stop(s)
	for name, at := range s.broker.Addrs() {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c.Close()
	}
	if len(s.broker.Addrs()) != 2 {
		t.Errorf("listeners %v", s.broker.Addrs())
	}
	testkit.WaitFor(t, "the registration", func() bool { return registered(s) == 2 })
}
