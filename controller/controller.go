package controller

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
)

// Options is what a Controller works with.
type Options struct {
	Store    metadata.Store
	Loader   *metadata.Loader // of the same store
	Clock    clock.Clock
	Log      *slog.Logger
	Random   io.Reader // topic ids, and where assignments begin
	BrokerID int32
	// ValidateConfig checks a topic's settings; its error is told to the client.
	ValidateConfig func(settings map[string]string) error
	// Defaults is asked for each request, since settings may change.
	Defaults func() Defaults
}

// Defaults are settings of the broker that decisions need.
type Defaults struct {
	NumPartitions     int32
	ReplicationFactor int16
	DeleteTopics      bool // delete.topic.enable
}

// Controller decides for the cluster while its broker holds /controller.
type Controller struct {
	o Options

	mu sync.Mutex // one decision at a time, from reading the image to the loaded result
	// epoch is that of this broker's election; version that of its node, which each write
	// checks.
	epoch   int32
	version int32
}

// Start elects this broker and chooses leaders for partitions that need one. It fails with
// ErrNotController when another broker holds the place.
func Start(ctx context.Context, o Options) (*Controller, error) {
	c := &Controller{o: o}
	if err := c.elect(ctx); err != nil {
		return nil, err
	}
	if err := c.electLeaders(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Epoch is that of this broker's election.
func (c *Controller) Epoch() int32 { return c.epoch }

// elect takes /controller and raises /controller_epoch in one transaction, so that there
// is never a controller with another's epoch.
func (c *Controller) elect(ctx context.Context) error {
	claim := metadata.CreateEphemeral(metadata.ControllerPath, metadata.EncodeController(c.o.BrokerID, clock.UnixMs(c.o.Clock)))
	data, stat, err := c.o.Store.Get(ctx, metadata.ControllerEpochPath)
	var raise metadata.Op
	switch {
	case errors.Is(err, metadata.ErrNoNode):
		c.epoch, c.version = 1, 0
		raise = metadata.Create(metadata.ControllerEpochPath, []byte("1"))
	case err != nil:
		return fmt.Errorf("controller election: %w", err)
	default:
		old, err := strconv.ParseInt(string(data), 10, 32)
		if err != nil {
			return fmt.Errorf("controller election: %s holds %q", metadata.ControllerEpochPath, data)
		}
		c.epoch, c.version = int32(old)+1, stat.Version+1
		raise = metadata.Set(metadata.ControllerEpochPath, strconv.AppendInt(nil, old+1, 10), stat.Version)
	}
	r, err := c.o.Store.Multi(ctx, claim, raise)
	if errors.Is(err, metadata.ErrNodeExists) || errors.Is(err, metadata.ErrBadVersion) {
		return refuse(NotController, "another broker is the controller")
	}
	if err != nil {
		return fmt.Errorf("controller election: %w", err)
	}
	c.o.Log.Info("elected controller", "broker", c.o.BrokerID, "epoch", c.epoch)
	return c.o.Loader.Wait(ctx, r.Zxid)
}

// commit writes a decision as one transaction, fenced by the controller's epoch, and
// returns when the image holds it. The caller holds c.mu.
func (c *Controller) commit(ctx context.Context, ops []metadata.Op) (zxid int64, err error) {
	all := make([]metadata.Op, 0, len(ops)+1)
	all = append(all, metadata.Check(metadata.ControllerEpochPath, c.version))
	r, err := c.o.Store.Multi(ctx, append(all, ops...)...)
	if err != nil {
		var m *metadata.MultiError
		if errors.As(err, &m) && m.Index == 0 {
			return 0, refuse(NotController, "this broker is no longer the controller")
		}
		return 0, err
	}
	return r.Zxid, c.o.Loader.Wait(ctx, r.Zxid)
}

// electLeaders chooses a leader for each partition that has none, or whose leader came
// back since it was chosen: its epoch is raised, so that clients notice if it lost the end
// of its log (KIP-320). Only the first replica in sync that is registered may lead.
func (c *Controller) electLeaders(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	image := c.o.Loader.Image()
	var ops []metadata.Op
	for _, t := range image.Topics() {
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if p.PartitionEpoch < 0 {
				continue
			}
			path := metadata.PartitionStatePath(t.Name, p.Index)
			_, stat, err := c.o.Store.Get(ctx, path)
			if err != nil {
				return fmt.Errorf("leader election: %w", err)
			}
			next, ok := nextState(image, p, stat.Mzxid)
			if !ok {
				continue
			}
			next.ControllerEpoch = c.epoch
			ops = append(ops, metadata.Set(path, next.Encode(), p.PartitionEpoch))
		}
	}
	if len(ops) == 0 {
		return nil
	}
	if _, err := c.commit(ctx, ops); err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	c.o.Log.Info("elected leaders", "partitions", len(ops), "controllerEpoch", c.epoch)
	return nil
}

// nextState decides about one partition whose state was written by transaction writtenZxid.
func nextState(image *metadata.Image, p *metadata.Partition, writtenZxid int64) (metadata.StateNode, bool) {
	if leader, ok := image.Broker(p.Leader); ok && leader.Epoch < writtenZxid {
		return metadata.StateNode{}, false // it led before and never went away
	}
	for _, replica := range p.Replicas {
		if _, alive := image.Broker(replica); alive && contains(p.ISR, replica) {
			return metadata.StateNode{Leader: replica, LeaderEpoch: p.LeaderEpoch + 1, ISR: p.ISR}, true
		}
	}
	if p.Leader == metadata.NoLeader {
		return metadata.StateNode{}, false
	}
	return metadata.StateNode{Leader: metadata.NoLeader, LeaderEpoch: p.LeaderEpoch + 1, ISR: p.ISR}, true
}

func contains(list []int32, want int32) bool {
	for _, v := range list {
		if v == want {
			return true
		}
	}
	return false
}

// newID draws a random (version 4) UUID as Kafka does: never one of its reserved ids, and
// never one whose text begins with a dash, which a command line would take for an option.
func newID(random io.Reader) (metadata.TopicID, error) {
	for {
		var id metadata.TopicID
		if _, err := io.ReadFull(random, id[:]); err != nil {
			return id, fmt.Errorf("random id: %w", err)
		}
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		// The version bits keep it apart from the reserved ids, which are zero but for
		// their last byte.
		if metadata.IDString(id)[0] != '-' {
			return id, nil
		}
	}
}

func randomBelow(random io.Reader, n int) (int, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0, fmt.Errorf("random number: %w", err)
	}
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n)), nil
}
