package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/millrace/millrace/metadata"
)

// Feature is one that the cluster can raise and lower as a whole (KIP-584).
type Feature struct {
	Name     string
	Min, Max int16
	// Default is the level until somebody sets another one.
	Default int16
}

// GroupVersion is the feature that lets clients use the group protocol of KIP-848; at level
// 0 only the classic one is served.
const GroupVersion = "group.version"

// SupportedFeatures lists the features, by name.
func SupportedFeatures() []Feature {
	return []Feature{{Name: GroupVersion, Min: 0, Max: 1, Default: 1}}
}

// FeatureLevel is the level of a feature that holds in an image, 0 for one that is not
// supported.
func FeatureLevel(image *metadata.Image, name string) int16 {
	for _, f := range SupportedFeatures() {
		if f.Name == name {
			if level, ok := image.Features().Levels[name]; ok {
				return level
			}
			return f.Default
		}
	}
	return 0
}

// UpgradeType says which way a level may go (UpdateFeatures).
type UpgradeType int8

// Kafka's upgrade types.
const (
	Upgrade UpgradeType = iota + 1
	SafeDowngrade
	UnsafeDowngrade
)

// FeatureUpdate asks for another level of a feature.
type FeatureUpdate struct {
	Name  string
	Level int16
	Type  UpgradeType
}

// UpdateFeatures sets levels, all or none: when one is refused the others are not made
// either. The errors are in the order of the request, nil where nothing is wrong.
func (c *Controller) UpdateFeatures(ctx context.Context, updates []FeatureUpdate, validateOnly bool) (errs []error, zxid int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	errs = make([]error, len(updates))
	image := c.o.Loader.Image()
	levels := maps.Clone(image.Features().Levels)
	if levels == nil {
		levels = map[string]int16{}
	}
	seen := map[string]bool{}
	refused := false
	for i, u := range updates {
		if seen[u.Name] {
			errs[i] = refuse(InvalidRequest, "Feature %s is named more than once.", u.Name)
		} else {
			errs[i] = checkFeature(u, FeatureLevel(image, u.Name))
		}
		seen[u.Name], refused = true, refused || errs[i] != nil
		levels[u.Name] = u.Level
	}
	if refused || validateOnly || maps.Equal(levels, image.Features().Levels) {
		return errs, 0, nil
	}
	op := metadata.Create(metadata.FeaturePath, metadata.EncodeFeatures(levels))
	_, stat, err := c.o.Store.Get(ctx, metadata.FeaturePath)
	if err == nil {
		op = metadata.Set(metadata.FeaturePath, metadata.EncodeFeatures(levels), stat.Version)
	} else if !errors.Is(err, metadata.ErrNoNode) {
		return errs, 0, fmt.Errorf("features: %w", err)
	}
	if zxid, err = c.commit(ctx, []metadata.Op{op}); err == nil {
		c.o.Log.Info("changed feature levels", "levels", levels)
	}
	return errs, zxid, err
}

// checkFeature decides about one update of a feature that has level now. It is pure.
func checkFeature(u FeatureUpdate, now int16) error {
	bad := func(format string, args ...any) error {
		return refuse(InvalidUpdateVersion, "Invalid update version %d for feature %s. "+format, append([]any{u.Level, u.Name}, args...)...)
	}
	for _, f := range SupportedFeatures() {
		if f.Name != u.Name {
			continue
		}
		switch {
		case u.Level < f.Min || u.Level > f.Max:
			return bad("This broker supports versions %d to %d.", f.Min, f.Max)
		case u.Type < Upgrade || u.Type > UnsafeDowngrade:
			return bad("The upgrade type %d is not known: 1 is upgrade, 2 safe downgrade, 3 unsafe downgrade.", u.Type)
		case u.Level < now && u.Type == Upgrade:
			return bad("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.")
		case u.Level > now && u.Type != Upgrade:
			return bad("Can't downgrade to a newer version.")
		}
		return nil
	}
	return bad("This broker does not support this feature.")
}
