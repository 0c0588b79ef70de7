package broker

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/internal/loglevel"
	"github.com/millrace/millrace/protocol"
)

// This file is what AlterConfigs and IncrementalAlterConfigs have in common.

// alteration is one resource of a request on its way.
type alteration struct {
	kind    config.ResourceType
	name    string
	ops     []config.Op
	replace bool // the settings take the place of all others
	err     error
}

// alter makes all changes that are allowed and valid: those of the tree by one transaction,
// after which they are in force here; log levels at once.
func (r *request) alter(list []alteration, validateOnly bool) {
	b := r.b
	asked := map[[2]string]int{}
	key := func(a *alteration) [2]string { return [2]string{a.kind.String(), a.name} }
	for i := range list {
		asked[key(&list[i])]++
	}
	var changes []controller.ConfigChange
	var at []int
	for i := range list {
		a := &list[i]
		if asked[key(a)] > 1 {
			a.err = &codedError{protocol.CodeInvalidRequest, "Each resource must appear at most once."}
			continue
		}
		if a.err = r.mayAlter(a); a.err != nil {
			continue
		}
		if a.kind == config.ResourceLogger {
			a.err = r.alterLevels(a, validateOnly)
			continue
		}
		change := controller.ConfigChange{Kind: configKinds[a.kind], Name: a.name}
		change.Apply = func(current map[string]string) (map[string]string, error) {
			if a.replace {
				return b.config().Replace(a.kind, a.name, a.ops)
			}
			return b.config().Alter(a.kind, a.name, current, a.ops)
		}
		changes, at = append(changes, change), append(at, i)
	}
	errs, zxid := b.controller.AlterConfigs(b.ctx, changes, validateOnly)
	settled := b.settled(zxid)
	for j, err := range errs {
		if err == nil {
			err = settled
		}
		list[at[j]].err = err
	}
}

// configKinds maps what has its settings in the tree.
var configKinds = map[config.ResourceType]controller.ConfigKind{
	config.ResourceTopic: controller.TopicConfigs, config.ResourceBroker: controller.BrokerConfigs,
	config.ResourceGroup: controller.GroupConfigs, config.ResourceClientMetrics: controller.ClientMetricsConfigs,
}

// mayAlter checks what a resource is and who asks.
func (r *request) mayAlter(a *alteration) error {
	allowed := func(kind ResourceType, name string) bool {
		return r.b.auth.Allowed(r.caller, OpAlterConfigs, kind, name)
	}
	if a.name == "" && a.kind != config.ResourceBroker {
		return &codedError{protocol.CodeInvalidRequest, "Default " + strings.ToLower(a.kind.String()) + " resources are not allowed."}
	}
	switch a.kind {
	case config.ResourceTopic:
		if !allowed(ResourceTopic, a.name) {
			return errTopicDenied
		}
	case config.ResourceGroup:
		if !allowed(ResourceGroup, a.name) {
			return errGroupDenied
		}
	case config.ResourceBroker, config.ResourceLogger:
		if !allowed(ResourceCluster, clusterName) {
			return errClusterDenied
		}
		if a.kind == config.ResourceBroker && a.name == "" {
			return nil
		}
		return r.isThisBroker(a.name)
	case config.ResourceClientMetrics:
		if !allowed(ResourceCluster, clusterName) {
			return errClusterDenied
		}
	default:
		return &codedError{protocol.CodeInvalidRequest, "settings of " + a.kind.String() + " cannot be changed; those of 2 (topic), 4 (broker), 8 (broker logger), 16 (client metrics) and 32 (group) can"}
	}
	return nil
}

// isThisBroker checks the name of a broker in a request.
func (r *request) isThisBroker(name string) error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return &codedError{protocol.CodeInvalidRequest, "Node id must be an integer, but it is: " + name}
	}
	if int32(id) != r.b.id {
		return &codedError{protocol.CodeInvalidRequest, "Unexpected broker id, expected " + itoa(r.b.id) + ", but received " + name}
	}
	return nil
}

// alterLevels sets levels of loggers, all or none. They last until the broker stops.
func (r *request) alterLevels(a *alteration, validateOnly bool) error {
	if a.replace {
		return &codedError{protocol.CodeInvalidRequest, "AlterConfigs does not know BROKER_LOGGER; IncrementalAlterConfigs does"}
	}
	levels := r.b.levels
	names := levels.Names()
	for _, op := range a.ops {
		switch {
		case op.Type != config.OpSet && op.Type != config.OpDelete:
			return &codedError{protocol.CodeInvalidRequest, op.Type.String() + " operation is not allowed for the BROKER_LOGGER resource"}
		case !slices.Contains(names, op.Name):
			return &codedError{protocol.CodeInvalidConfig, "Logger " + op.Name + " does not exist!"}
		case op.Type == config.OpDelete && op.Name == loglevel.Root:
			return &codedError{protocol.CodeInvalidRequest, "Removing the log level of the root logger is not allowed"}
		case op.Type == config.OpSet && op.Value == nil:
			return &codedError{protocol.CodeInvalidRequest, "Null value not supported for : " + op.Name}
		}
		if op.Type == config.OpSet {
			if _, err := loglevel.Parse(*op.Value); err != nil {
				return &codedError{protocol.CodeInvalidConfig, "Cannot set the log level of " + op.Name + ": " + err.Error()}
			}
		}
	}
	if validateOnly {
		return nil
	}
	for _, op := range a.ops {
		if op.Type == config.OpDelete {
			levels.Unset(op.Name)
			continue
		}
		level, _ := loglevel.Parse(*op.Value) // checked above
		levels.Set(op.Name, level)
		r.b.log.Info("log level was set", "logger", op.Name, "level", loglevel.Name(level))
	}
	return nil
}

// alterError maps a refusal of the catalogue.
func alterError(err error) (protocol.ErrorCode, bool) {
	e, ok := errors.AsType[*config.AlterError](err)
	switch {
	case !ok:
		return 0, false
	case e.Request:
		return protocol.CodeInvalidRequest, true
	}
	return protocol.CodeInvalidConfig, true
}

// pointer is a value as the catalogue takes it.
func pointer(s protocol.NullString) *string {
	if !s.Valid {
		return nil
	}
	return &s.Value
}
