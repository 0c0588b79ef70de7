package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/metadata"
)

// QuotaChange sets and removes quotas of one entity.
type QuotaChange struct {
	Entity metadata.QuotaEntity
	Ops    []QuotaOp
}

// QuotaOp sets one quota, or removes it.
type QuotaOp struct {
	Key    string
	Value  float64
	Remove bool
}

// The largest value of each quota of users and clients, and of addresses (QuotaConfig).
// Where whole, only whole numbers are taken.
var (
	clientQuotas = map[string]quotaRule{
		metadata.ProducerByteRate: {most: math.MaxInt64, whole: true}, metadata.ConsumerByteRate: {most: math.MaxInt64, whole: true},
		metadata.RequestPercentage: {most: math.MaxFloat64}, metadata.ControllerMutationRate: {most: math.MaxFloat64},
	}
	addressQuotas = map[string]quotaRule{metadata.ConnectionCreationRate: {most: math.MaxInt32, whole: true}}
)

type quotaRule struct {
	most  float64
	whole bool
}

// AlterQuotas changes quotas, as in ClientQuotaControlManager of Kafka: an entity whose
// change is refused stays as it was, all others change in one transaction. The errors are
// in the order of the request, nil for success.
func (c *Controller) AlterQuotas(ctx context.Context, changes []QuotaChange, validateOnly bool) (errs []error, zxid int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	errs = make([]error, len(changes))
	asked := make(map[metadata.QuotaEntity]int, len(changes))
	for i := range changes {
		asked[changes[i].Entity]++
	}
	made := map[string]bool{}
	var ops []metadata.Op
	var at []int
	for i := range changes {
		if asked[changes[i].Entity] > 1 {
			errs[i] = refuse(InvalidRequest, "Ignoring duplicate entity %s", changes[i].Entity.Path())
			continue
		}
		more, err := c.quotaOps(ctx, &changes[i], made)
		if err != nil {
			errs[i] = err
			continue
		}
		ops, at = append(ops, more...), append(at, i)
	}
	if validateOnly || len(ops) == 0 {
		return errs, 0
	}
	zxid, err := c.commit(ctx, ops)
	for _, i := range at {
		if errs[i] = err; err == nil {
			c.o.Log.Info("changed quotas", "entity", changes[i].Entity.Path())
		}
	}
	return errs, zxid
}

// quotaOps checks one change and returns its writes, none when nothing changes. made holds
// the nodes that earlier changes of the same transaction make.
func (c *Controller) quotaOps(ctx context.Context, change *QuotaChange, made map[string]bool) ([]metadata.Op, error) {
	if err := checkQuota(change); err != nil {
		return nil, err
	}
	path := change.Entity.Path()
	data, stat, err := c.o.Store.Get(ctx, path)
	missing := errors.Is(err, metadata.ErrNoNode)
	if err != nil && !missing {
		return nil, err
	}
	old, err := metadata.DecodeConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	next := maps.Clone(old)
	if next == nil {
		next = map[string]string{}
	}
	for _, op := range change.Ops {
		if op.Remove {
			delete(next, op.Key)
		} else {
			next[op.Key] = quotaText(op.Value, allowedQuotas(change.Entity)[op.Key].whole)
		}
	}
	if maps.Equal(old, next) {
		return nil, nil
	}
	if !missing {
		return []metadata.Op{metadata.Set(path, metadata.EncodeConfig(next), stat.Version)}, nil
	}
	var ops []metadata.Op
	for _, parent := range change.Entity.Parents() {
		_, _, err := c.o.Store.Get(ctx, parent)
		switch {
		case errors.Is(err, metadata.ErrNoNode) && !made[parent]:
			ops, made[parent] = append(ops, metadata.Create(parent, nil)), true
		case err != nil && !errors.Is(err, metadata.ErrNoNode):
			return nil, err
		}
	}
	if made[path] { // as the parent of another entity
		return append(ops, metadata.Set(path, metadata.EncodeConfig(next), metadata.AnyVersion)), nil
	}
	made[path] = true
	return append(ops, metadata.Create(path, metadata.EncodeConfig(next))), nil
}

func allowedQuotas(e metadata.QuotaEntity) map[string]quotaRule {
	if e.IP.Set {
		return addressQuotas
	}
	return clientQuotas
}

func checkQuota(change *QuotaChange) error {
	e := change.Entity
	if e.IP.Set {
		if e.User.Set || e.ClientID.Set {
			return refuse(InvalidRequest, "Invalid quota entity combination: an ip has quotas of its own, without user or client-id")
		}
		if _, err := netip.ParseAddr(e.IP.Name); err != nil && !e.IP.Default {
			return refuse(InvalidRequest, "%q is no IP address", e.IP.Name)
		}
	}
	seen := make(map[string]bool, len(change.Ops))
	for _, op := range change.Ops {
		if seen[op.Key] {
			return refuse(InvalidRequest, "Duplicate quota key %s: the quotas of this entity stay as they are", op.Key)
		}
		seen[op.Key] = true
		if err := checkQuotaOp(allowedQuotas(e), op); err != nil {
			return err
		}
	}
	return nil
}

func checkQuotaOp(allowed map[string]quotaRule, op QuotaOp) error {
	rule, known := allowed[op.Key]
	switch {
	case !known:
		return refuse(InvalidRequest, "Invalid configuration key %s; this entity has %s", op.Key, strings.Join(slices.Sorted(maps.Keys(allowed)), ", "))
	case op.Remove:
		return nil
	case !(op.Value > 0): // nor a NaN
		return refuse(InvalidRequest, "Quota %s must be greater than 0, and is %v", op.Key, op.Value)
	case op.Value > rule.most:
		return refuse(InvalidRequest, "Quota %s is %v; the most is %v", op.Key, op.Value, rule.most)
	case rule.whole && math.Abs(op.Value-math.Round(op.Value)) > 1e-6:
		return refuse(InvalidRequest, "Quota %s is %v; only whole numbers are allowed", op.Key, op.Value)
	}
	return nil
}

// quotaText writes a value as Kafka does: 1024 for whole ones, 12.5 and 200.0 for others.
func quotaText(v float64, whole bool) string {
	if whole {
		if v >= math.MaxInt64 {
			return strconv.FormatInt(math.MaxInt64, 10)
		}
		return strconv.FormatInt(int64(math.Round(v)), 10)
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
