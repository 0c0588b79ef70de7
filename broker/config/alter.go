package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/properties"
)

// ResourceType is a kind of thing that has settings; the numbers are those of the protocol
// (org.apache.kafka.common.config.ConfigResource.Type).
type ResourceType int8

// Kafka's resource types.
const (
	ResourceTopic         ResourceType = 2
	ResourceBroker        ResourceType = 4
	ResourceLogger        ResourceType = 8
	ResourceClientMetrics ResourceType = 16
	ResourceGroup         ResourceType = 32
)

// String is the type's name in Kafka.
func (t ResourceType) String() string {
	switch t {
	case ResourceTopic:
		return "TOPIC"
	case ResourceBroker:
		return "BROKER"
	case ResourceLogger:
		return "BROKER_LOGGER"
	case ResourceClientMetrics:
		return "CLIENT_METRICS"
	case ResourceGroup:
		return "GROUP"
	}
	return fmt.Sprintf("resource type %d", int8(t))
}

// OpType is what is done to one setting; the numbers are those of the protocol
// (AlterConfigOp.OpType).
type OpType int8

// Kafka's operations.
const (
	OpSet OpType = iota
	OpDelete
	OpAppend
	OpSubtract
)

// String is the operation's name in Kafka.
func (t OpType) String() string {
	if t < OpSet || t > OpSubtract {
		return fmt.Sprintf("operation %d", int8(t))
	}
	return [...]string{"SET", "DELETE", "APPEND", "SUBTRACT"}[t]
}

// Op changes one setting.
type Op struct {
	Type  OpType
	Name  string
	Value *string
}

// AlterError is a refused change of settings: nothing is changed.
type AlterError struct {
	// Request: the request itself is at fault (INVALID_REQUEST, which is also what Kafka
	// answers to a bad value of a broker's); otherwise a value is (INVALID_CONFIG).
	Request bool
	Message string
}

func (e *AlterError) Error() string { return e.Message }

func badRequest(format string, args ...any) error {
	return &AlterError{Request: true, Message: fmt.Sprintf(format, args...)}
}

func badConfig(format string, args ...any) error {
	return &AlterError{Message: fmt.Sprintf(format, args...)}
}

// Alter returns what ops make of the settings that a resource has, and checks all of the
// result. name is empty for the defaults of all brokers. current is not changed.
func (c *Config) Alter(kind ResourceType, name string, current map[string]string, ops []Op) (map[string]string, error) {
	s, err := c.schema(kind, name)
	if err != nil {
		return nil, err
	}
	if err := checkOps(ops); err != nil {
		return nil, err
	}
	next := maps.Clone(current)
	if next == nil {
		next = map[string]string{}
	}
	changed := map[string]bool{}
	for _, op := range ops {
		if op.Type == OpDelete {
			delete(next, op.Name)
			continue
		}
		value := *op.Value
		if op.Type != OpSet {
			if value, err = s.edited(op, next); err != nil {
				return nil, err
			}
		}
		next[op.Name], changed[op.Name] = value, true
	}
	return next, s.check(next, changed)
}

// Replace checks settings that take the place of all that a resource has.
func (c *Config) Replace(kind ResourceType, name string, settings []Op) (map[string]string, error) {
	for i := range settings {
		settings[i].Type = OpSet
	}
	return c.Alter(kind, name, nil, settings)
}

// checkOps holds what concerns operations whatever they are done to.
func checkOps(ops []Op) error {
	seen := make(map[string]bool, len(ops))
	var twice, null []string
	for _, op := range ops {
		if op.Type < OpSet || op.Type > OpSubtract {
			return badRequest("Unknown operation type %d for %s: SET is 0, DELETE 1, APPEND 2, SUBTRACT 3", int8(op.Type), op.Name)
		}
		if seen[op.Name] {
			twice = append(twice, op.Name)
		}
		seen[op.Name] = true
		if op.Value == nil && op.Type != OpDelete {
			null = append(null, op.Name)
		}
	}
	if len(twice) > 0 {
		return badRequest("Error due to duplicate config keys : %s", strings.Join(slices.Compact(twice), ","))
	}
	if len(null) > 0 {
		return badRequest("Null value not supported for : %s", strings.Join(null, ","))
	}
	return nil
}

// schema is what settings a resource can have.
type schema struct {
	kind ResourceType
	// key finds a key with the rule that holds here.
	key   func(name string) (*Key, Rule, bool)
	names func() []string
	// foreign, where it is set, knows keys of Kafka that are none here.
	foreign func(name string) bool
	// effective is the value of a setting that the resource does not have itself.
	effective func(name string) string
	// refused tells why a key that exists cannot be set, "" when it can.
	refused func(k *Key) string
	// across checks what concerns several settings, which are accepted one by one.
	across func(settings map[string]string) error
	fail   func(format string, args ...any) error
	noun   string
}

func (c *Config) schema(kind ResourceType, name string) (*schema, error) {
	s := &schema{kind: kind, refused: func(*Key) string { return "" }, fail: badConfig}
	switch kind {
	case ResourceTopic:
		c.topicSchema(s)
	case ResourceBroker:
		c.brokerSchema(s, name)
	case ResourceGroup:
		c.groupSchema(s)
	case ResourceClientMetrics:
		c.metricsSchema(s)
	default:
		return nil, badRequest("settings of %s cannot be changed", kind)
	}
	if name == "" && kind != ResourceBroker {
		return nil, badRequest("Default %s resources are not allowed.", strings.ToLower(kind.String()))
	}
	return s, nil
}

func (c *Config) topicSchema(s *schema) {
	s.noun = "topic"
	s.key = func(name string) (*Key, Rule, bool) {
		k, ok := c.catalogue.byTopic[name]
		if !ok {
			return nil, Rule{}, false
		}
		return k, k.topicRule(), true
	}
	s.names = c.catalogue.TopicKeys
	s.effective = func(name string) string { v, _ := c.topicValue(name, nil); return v }
	s.across = func(settings map[string]string) error {
		l := &loader{c: c}
		l.acrossTopic(settings)
		if len(l.problems) > 0 {
			return badConfig("%v", TopicProblems(l.problems))
		}
		return nil
	}
}

func (c *Config) brokerSchema(s *schema, name string) {
	s.noun, s.fail = "broker", badRequest
	s.key = func(name string) (*Key, Rule, bool) {
		k, ok := c.catalogue.byName[name]
		if !ok {
			return nil, Rule{}, false
		}
		return k, k.Rule, true
	}
	s.names = func() []string { return c.dynamicNames(name != "") }
	s.foreign = c.catalogue.foreign
	s.effective = c.text
	s.refused = func(k *Key) string {
		switch {
		case k.Dynamic == ReadOnly:
			return "Cannot update these configs dynamically: [" + k.Name + "]: it is read at the start only; set it in server.properties"
		case k.Dynamic == PerBroker && name == "":
			return "Cannot update these configs at default cluster level: [" + k.Name + "]: name the broker"
		case k.NoEffect == noSecurity:
			return "Cannot update these configs dynamically: [" + k.Name + "]: " + noSecurity
		}
		return ""
	}
	s.across = func(settings map[string]string) error {
		next := *c
		if name == "" {
			next.cluster = settings
		} else {
			next.dynamic = settings
		}
		return next.checkDynamic()
	}
}

// dynamicNames are the keys that can be set while the broker runs.
func (c *Config) dynamicNames(perBroker bool) []string {
	var names []string
	for _, name := range sorted(c.catalogue.byName) {
		if k := c.catalogue.byName[name]; k.Dynamic == ClusterWide || k.Dynamic == PerBroker && perBroker {
			names = append(names, name)
		}
	}
	return names
}

// checkDynamic checks what concerns several keys, with dynamic settings in force.
func (c *Config) checkDynamic() error {
	l := &loader{c: c}
	l.acrossTopic(nil)
	for _, name := range listenerKeys {
		if _, set := c.dynamic[name]; set {
			l.listeners()
			break
		}
	}
	if len(l.problems) > 0 {
		return badRequest("%v", TopicProblems(l.problems))
	}
	return nil
}

// edited applies APPEND or SUBTRACT to the list that holds now.
func (s *schema) edited(op Op, settings map[string]string) (string, error) {
	k, _, ok := s.key(op.Name)
	if !ok {
		return "", s.unknown(op.Name)
	}
	if k.Type != List {
		return "", badConfig("Can't %s to key %s because its type is not LIST.", op.Type, op.Name)
	}
	value, own := settings[op.Name]
	if !own {
		value = s.effective(op.Name)
	}
	items := splitList(value)
	for _, item := range splitList(*op.Value) {
		at := slices.Index(items, item)
		switch {
		case op.Type == OpAppend && at < 0:
			items = append(items, item)
		case op.Type == OpSubtract && at >= 0:
			items = slices.Delete(items, at, at+1)
		}
	}
	return strings.Join(items, ","), nil
}

// check looks at all settings of a resource and brings the changed ones into the form in
// which they are kept. What another broker wrote before stays, also where this one does not
// know it.
func (s *schema) check(settings map[string]string, changed map[string]bool) error {
	var wrong []string
	accepted := map[string]string{}
	for _, name := range sorted(settings) {
		k, rule, ok := s.key(name)
		if !ok {
			if changed[name] {
				wrong = append(wrong, s.unknown(name).Error())
			}
			continue
		}
		if reason := s.refused(k); reason != "" && changed[name] {
			wrong = append(wrong, reason)
			continue
		}
		v, err := k.normalize(settings[name], rule)
		if err != nil {
			if changed[name] {
				wrong = append(wrong, fmt.Sprintf("Invalid value %s for configuration %s: %v", shown(k, settings[name]), name, err))
			}
			continue
		}
		if changed[name] {
			settings[name] = v
		}
		accepted[name] = v
	}
	if len(wrong) > 0 {
		return s.fail("%s", strings.Join(wrong, "; "))
	}
	if s.across == nil {
		return nil
	}
	return s.across(accepted)
}

func (s *schema) unknown(name string) error {
	if s.foreign != nil && s.foreign(name) {
		return s.fail("Cannot update these configs dynamically: [%s]: Apache Kafka has it; it has no effect here", name)
	}
	names := s.names()
	reason := unknown(properties.Suggest(name, names))
	if len(names) < 5 {
		reason = "there is no such key; there are " + strings.Join(names, ", ")
	}
	return s.fail("Unknown %s config name: %s: %s", s.noun, name, reason)
}

func shown(k *Key, value string) string {
	if k.Sensitive() {
		return "[hidden]"
	}
	return value
}
