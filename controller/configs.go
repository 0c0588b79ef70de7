package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/millrace/millrace/metadata"
)

// ConfigKind is a kind of thing whose settings are in the tree.
type ConfigKind uint8

// The kinds of settings.
const (
	TopicConfigs ConfigKind = iota + 1
	BrokerConfigs
	GroupConfigs
	ClientMetricsConfigs
)

// ConfigChange asks for other settings of one thing.
type ConfigChange struct {
	Kind ConfigKind
	Name string // of brokers: the id, or empty for the defaults of all
	// Apply makes the new settings of those that hold, which it leaves alone. Its error is
	// told to the client.
	Apply func(current map[string]string) (next map[string]string, err error)
}

func (g ConfigChange) path() string {
	switch g.Kind {
	case TopicConfigs:
		return metadata.TopicConfigPath(g.Name)
	case GroupConfigs:
		return metadata.GroupConfigPath(g.Name)
	case ClientMetricsConfigs:
		return metadata.ClientMetricsConfigPath(g.Name)
	}
	if g.Name == "" {
		return metadata.DefaultBrokerConfigPath()
	}
	return metadata.BrokerConfigsPath + "/" + g.Name
}

// keepsNode: topics and brokers keep a node without settings, as in Kafka.
func (g ConfigChange) keepsNode() bool { return g.Kind == TopicConfigs || g.Kind == BrokerConfigs }

// AlterConfigs changes settings, all that pass by one transaction. The errors are in the
// order of the request, nil for success. With validateOnly nothing is written.
func (c *Controller) AlterConfigs(ctx context.Context, changes []ConfigChange, validateOnly bool) (errs []error, zxid int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	errs = make([]error, len(changes))
	asked := make(map[string]int, len(changes))
	for i := range changes {
		asked[changes[i].path()]++
	}
	var ops []metadata.Op
	var at []int
	for i, g := range changes {
		if asked[g.path()] > 1 {
			errs[i] = refuse(InvalidRequest, "Each resource must appear at most once.")
			continue
		}
		op, changed, err := c.planConfig(ctx, g)
		if errs[i] = err; err != nil || !changed {
			continue
		}
		ops = append(ops, op, metadata.CreateSequential(metadata.ConfigChangesPath+"/config_change_", metadata.EncodeConfigChange(g.path())))
		at = append(at, i)
	}
	if validateOnly || len(ops) == 0 {
		return errs, 0
	}
	old, err := c.oldChanges(ctx)
	if err == nil {
		zxid, err = c.commit(ctx, append(ops, old...))
	}
	for _, i := range at {
		if errs[i] = err; err == nil {
			c.o.Log.Info("changed settings", "path", changes[i].path())
		}
	}
	return errs, zxid
}

// planConfig decides about one change.
func (c *Controller) planConfig(ctx context.Context, g ConfigChange) (op metadata.Op, changed bool, err error) {
	if g.Kind == TopicConfigs {
		if err := checkName(g.Name); err != nil {
			return op, false, err
		}
		if _, ok := c.o.Loader.Image().Topic(g.Name); !ok {
			return op, false, refuse(UnknownTopic, "The topic '%s' does not exist.", g.Name)
		}
	}
	data, stat, err := c.o.Store.Get(ctx, g.path())
	exists := err == nil
	if err != nil && !errors.Is(err, metadata.ErrNoNode) {
		return op, false, fmt.Errorf("settings: %w", err)
	}
	current, err := metadata.DecodeConfig(data)
	if err != nil {
		return op, false, err
	}
	next, err := g.Apply(current)
	if err != nil || maps.Equal(current, next) {
		return op, false, err
	}
	switch {
	case exists && len(next) == 0 && !g.keepsNode():
		return metadata.Delete(g.path(), stat.Version), true, nil
	case exists:
		return metadata.Set(g.path(), metadata.EncodeConfig(next), stat.Version), true, nil
	}
	return metadata.Create(g.path(), metadata.EncodeConfig(next)), true, nil
}

// keptChanges is how many notes of changes stay for others who share the tree. Kafka keeps
// them for a quarter of an hour, whatever their number.
const keptChanges = 100

// oldChanges removes the notes of changes that everybody has had time to read.
func (c *Controller) oldChanges(ctx context.Context) ([]metadata.Op, error) {
	names, _, err := c.o.Store.Children(ctx, metadata.ConfigChangesPath)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if len(names) <= keptChanges {
		return nil, nil
	}
	var ops []metadata.Op
	for _, name := range names[:len(names)-keptChanges] {
		ops = append(ops, metadata.Delete(metadata.ConfigChangesPath+"/"+name, metadata.AnyVersion))
	}
	return ops, nil
}
