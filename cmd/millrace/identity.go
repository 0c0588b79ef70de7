package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/metadata"
)

// This file is who a broker is: its id, its cluster, and where clients find it.

// identify settles the cluster's and the broker's id: what the log directories carry
// holds, what is nowhere yet is drawn.
func (s *server) identify(ctx context.Context) error {
	carried := checkpoint.Meta{NodeID: -1}
	for _, dir := range s.static.Broker.LogDirs {
		m, err := s.readMeta(dir)
		if err != nil {
			return err
		}
		if carried.ClusterID == "" {
			carried.ClusterID = m.ClusterID
		}
		if carried.NodeID < 0 {
			carried.NodeID = m.NodeID
		}
	}
	if _, err := controller.Prepare(ctx, s.tree, rand.Reader, carried.ClusterID); err != nil {
		return err
	}
	s.id = s.static.Broker.ID
	if s.id < 0 {
		s.id = carried.NodeID
	}
	if s.id < 0 {
		id, err := controller.GenerateBrokerID(ctx, s.tree, s.static.Broker.ReservedID)
		if err != nil {
			return err
		}
		s.id = id
	}
	s.loader = metadata.NewLoader(s.tree, s.levels.Logger("metadata"))
	s.loader.OnLost(s.fail)
	s.settings = broker.NewSettings(s.static, s.id, s.log)
	s.settings.Follow(s.settingsChanged)
	s.loader.Add(s.settings)
	return nil
}

func (s *server) readMeta(dir string) (checkpoint.Meta, error) {
	name := filepath.Join(dir, checkpoint.MetaPropertiesFile)
	none := checkpoint.Meta{NodeID: -1}
	f, err := s.fs.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		s.log.Warn("meta.properties cannot be read", "file", name, "err", err)
		return none, nil // the directory may be broken: the others can serve
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size > 64<<10 {
		return none, fmt.Errorf("%s: %d bytes are no meta.properties: %w", name, size, err)
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && size > 0 {
		s.log.Warn("meta.properties cannot be read", "file", name, "err", err)
		return none, nil
	}
	m, err := checkpoint.ParseMeta(data)
	if err != nil {
		return none, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// reregister tells the cluster of other listeners.
func (s *server) reregister() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	addrs := s.serving.Load().Addrs()
	err := controller.Reregister(ctx, s.tree, s.clock, s.registration(func(l config.Listener) int32 { return portOf(addrs[l.Name]) }))
	if err != nil && !errors.Is(err, metadata.ErrClosed) {
		s.log.Error("the broker's addresses are not known to the cluster", "err", err)
	}
}

func (s *server) registration(port func(config.Listener) int32) metadata.Broker {
	c := &s.settings.Config().Broker
	b := metadata.Broker{ID: s.id, Rack: c.Rack}
	for _, l := range c.Listeners {
		e := metadata.Endpoint{Listener: l.Name, Protocol: l.Protocol, Host: l.Host, Port: port(l)}
		if ip := net.ParseIP(l.Host); l.Host == "" || (ip != nil && ip.IsUnspecified()) {
			e.Host = hostname()
		}
		for _, a := range c.Advertised {
			if a.Name == l.Name {
				e.Host, e.Port = a.Host, a.Port
			}
		}
		b.Endpoints = append(b.Endpoints, e)
	}
	return b
}

func portOf(at net.Addr) int32 {
	if a, ok := at.(*net.TCPAddr); ok {
		return int32(a.Port)
	}
	return 0
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}
