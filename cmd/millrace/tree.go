package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/quorum"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// This file is where the cluster's state comes from: a quorum of one inside the broker, or an
// ensemble that zookeeper.connect names.

const (
	// quorumFolder holds the quorum inside the broker, in the first log directory.
	quorumFolder = "millrace-quorum"
	// formerFile is where brokers kept their state before they had a quorum inside.
	formerFile = "millrace-metadata"
)

// QuorumPortError is the client port of the quorum inside the broker, when it is not to be
// had.
type QuorumPortError struct {
	Address string
	Err     error
}

func (e *QuorumPortError) Error() string {
	return fmt.Sprintf("quorum.client.listener %s: %v", e.Address, e.Err)
}

// Unwrap gives the reason.
func (e *QuorumPortError) Unwrap() error { return e.Err }

// listenQuorum opens the client port of the quorum inside.
func (s *server) listenQuorum(ctx context.Context) error {
	c := &s.static.Broker
	if c.ZooKeeperConnect != "" || c.QuorumAddress == "" {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.QuorumAddress)
	if err != nil {
		return &QuorumPortError{Address: c.QuorumAddress, Err: err}
	}
	s.quorumPort = l
	return nil
}

func (s *server) openTree(ctx context.Context) error {
	first := s.static.Broker.LogDirs[0]
	if err := s.fs.MkdirAll(first, 0o755); err != nil {
		return fmt.Errorf("log directory %s: %w", first, err)
	}
	if s.static.Broker.ZooKeeperConnect != "" {
		return s.openEnsemble(ctx)
	}
	return s.openQuorum(ctx)
}

// openQuorum starts the quorum of one, and takes over what an older version kept in a file.
func (s *server) openQuorum(ctx context.Context) error {
	c := &s.static.Broker
	dir := c.QuorumDir
	if dir == "" {
		dir = filepath.Join(c.LogDirs[0], quorumFolder)
	}
	cfg := zoocfg.Embedded(dir, c.QuorumAddress)
	cfg.JuteMaxBuffer = c.JuteMaxBuffer
	port := s.quorumPort
	s.quorumPort = nil // it is the quorum's now
	q, err := quorum.Start(ctx, quorum.Options{Config: cfg, FS: s.fs, Net: netx.TCP{}, Clock: s.clock, Log: s.levels.Logger("quorum"), Client: port, Facts: quorumFacts()})
	if err != nil {
		return fmt.Errorf("the quorum inside the broker: %w", err)
	}
	s.quorum = q
	s.registry.MustRegister(quorumCollector{q})
	s.watching.Go(s.watchQuorum)
	// A member that fails before it serves would be waited for in vain.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.quorumEnded, func() { cancel(context.Cause(s.quorumEnded)) })()
	tree, err := metadata.OpenTreeStore(ctx, metadata.TreeOptions{
		Quorum: metadata.NodeQuorum(q.Node()), Clock: s.clock, Log: s.levels.Logger("metadata"), EndFormer: true,
		SessionTimeout: time.Duration(c.SessionMs) * time.Millisecond,
	})
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	s.tree = tree
	file := filepath.Join(c.LogDirs[0], formerFile)
	imported, err := metadata.ImportFile(ctx, s.fs, file, tree)
	if imported {
		s.log.Info("the state that an older version kept in a file is in the quorum now", "file", file, "kept as", file+metadata.ImportedSuffix)
	}
	return err
}

// watchQuorum tells when the quorum inside ends by itself. The broker goes on: it serves what
// it has, but nothing of the metadata changes any more.
func (s *server) watchQuorum() {
	err := s.quorum.Wait()
	s.endQuorum(err)
	if err != nil {
		s.log.Error("the quorum inside the broker ended: topics and settings cannot change until the broker is started again", "err", err)
	}
}

// openEnsemble connects to the ensemble of zookeeper.connect.
func (s *server) openEnsemble(ctx context.Context) error {
	c := &s.static.Broker
	s.warnFormer()
	wait, cancel := context.WithTimeout(ctx, time.Duration(c.ConnectionMs)*time.Millisecond)
	defer cancel()
	store, err := metadata.OpenZKStore(wait, metadata.ZKOptions{
		Connect: c.ZooKeeperConnect, SessionTimeout: time.Duration(c.SessionMs) * time.Millisecond, MaxBuffer: c.JuteMaxBuffer, InFlight: c.QuorumInFlight,
		Dial: netx.TCP{}.Dial, Clock: s.clock, Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), Log: s.levels.Logger("metadata"),
	})
	if err != nil {
		return err
	}
	s.tree = store
	return nil
}

// warnFormer tells of a state that this broker kept by itself and that is not used.
func (s *server) warnFormer() {
	c := &s.static.Broker
	for _, name := range []string{formerFile, quorumFolder} {
		path := filepath.Join(c.LogDirs[0], name)
		if _, err := s.fs.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("the state that this broker kept by itself is not used: zookeeper.connect is set", "path", path, "zookeeper.connect", c.ZooKeeperConnect)
		}
	}
}
