package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
)

// Prepare makes the persistent parents and the cluster's id where they are missing, and
// returns the id. wanted is the id that log directories already carry, or empty: a random
// one is drawn then. It fails when the tree has another id than the one wanted.
func Prepare(ctx context.Context, s metadata.Store, random io.Reader, wanted string) (clusterID string, err error) {
	var ops []metadata.Op
	for _, path := range metadata.PersistentPaths() {
		_, _, err := s.Get(ctx, path)
		if errors.Is(err, metadata.ErrNoNode) {
			ops = append(ops, metadata.Create(path, nil))
		} else if err != nil {
			return "", fmt.Errorf("prepare the metadata tree: %w", err)
		}
	}
	data, _, err := s.Get(ctx, metadata.ClusterIDPath)
	switch {
	case err == nil:
		if clusterID, err = metadata.DecodeClusterID(data); err != nil {
			return "", err
		}
		if wanted != "" && wanted != clusterID {
			return "", fmt.Errorf("the log directories belong to cluster %s, the metadata to cluster %s", wanted, clusterID)
		}
	case errors.Is(err, metadata.ErrNoNode):
		if clusterID = wanted; clusterID == "" {
			id, err := newID(random)
			if err != nil {
				return "", err
			}
			clusterID = metadata.IDString(id)
		}
		ops = append(ops, metadata.Create(metadata.ClusterIDPath, metadata.EncodeClusterID(clusterID)))
	default:
		return "", fmt.Errorf("prepare the metadata tree: %w", err)
	}
	if len(ops) == 0 {
		return clusterID, nil
	}
	if _, err := s.Multi(ctx, ops...); errors.Is(err, metadata.ErrNodeExists) {
		return Prepare(ctx, s, random, wanted) // another broker did it meanwhile
	} else if err != nil {
		return "", fmt.Errorf("prepare the metadata tree: %w", err)
	}
	return clusterID, nil
}

// Register makes the broker's ephemeral. Its epoch is the zxid that did it. A registration
// that another session holds is an error: two brokers must not share an id.
func Register(ctx context.Context, s metadata.Store, c clock.Clock, b metadata.Broker) (epoch int64, err error) {
	op := metadata.CreateEphemeral(metadata.BrokerPath(b.ID), metadata.EncodeBroker(b, clock.UnixMs(c)))
	r, err := s.Multi(ctx, op)
	if errors.Is(err, metadata.ErrNodeExists) {
		_, stat, err2 := s.Get(ctx, metadata.BrokerPath(b.ID))
		if err2 == nil && stat.EphemeralOwner == s.Session().ID {
			return stat.Czxid, Reregister(ctx, s, c, b)
		}
		return 0, fmt.Errorf("broker id %d is taken by another broker of the cluster: %w", b.ID, err)
	}
	if err != nil {
		return 0, fmt.Errorf("register broker %d: %w", b.ID, err)
	}
	return r.Zxid, nil
}

// Reregister changes what the registration of a broker says, as long as it holds it; its
// epoch stays.
func Reregister(ctx context.Context, s metadata.Store, c clock.Clock, b metadata.Broker) error {
	data := metadata.EncodeBroker(b, clock.UnixMs(c))
	if old, _, err := s.Get(ctx, metadata.BrokerPath(b.ID)); err == nil {
		if was, err := metadata.DecodeBroker(old); err == nil && was.Rack == b.Rack && slices.Equal(was.Endpoints, b.Endpoints) {
			return nil
		}
	}
	if _, err := s.Multi(ctx, metadata.Set(metadata.BrokerPath(b.ID), data, metadata.AnyVersion)); err != nil {
		return fmt.Errorf("register broker %d: %w", b.ID, err)
	}
	return nil
}

// GenerateBrokerID returns the next id above reserved (reserved.broker.max.id) that no
// broker was given before: Kafka counts them by the version of /brokers/seqid.
func GenerateBrokerID(ctx context.Context, s metadata.Store, reserved int32) (int32, error) {
	r, err := s.Multi(ctx, metadata.Set(metadata.BrokerSeqIDPath, nil, metadata.AnyVersion))
	if err != nil {
		return 0, fmt.Errorf("generate a broker id: %w", err)
	}
	return reserved + r.Ops[0].Stat.Version, nil
}
