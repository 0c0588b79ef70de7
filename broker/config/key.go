package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Type is a setting's type; the numbers are those of DescribeConfigs.
type Type int8

// Kafka's types (ConfigDef.Type).
const (
	Boolean Type = iota + 1
	String
	Int
	Short
	Long
	Double
	List
	Class
	Password
)

// String is the type's name in Kafka's documentation.
func (t Type) String() string {
	names := [...]string{"", "boolean", "string", "int", "short", "long", "double", "list", "class", "password"}
	if t < 1 || int(t) >= len(names) {
		return "unknown"
	}
	return names[t]
}

// Dynamic tells how a setting can change while the broker runs.
type Dynamic uint8

// The update modes of Kafka (DynamicBrokerConfig).
const (
	ReadOnly Dynamic = iota
	PerBroker
	ClusterWide
)

// String is the mode's name in Kafka's documentation.
func (d Dynamic) String() string {
	return [...]string{"read-only", "per-broker", "cluster-wide"}[d]
}

// Key is one setting.
type Key struct {
	Name    string
	Type    Type
	Default string
	Null    bool // there is no default
	Unit    string
	Rule    Rule
	// TopicRule, where there is one, takes Rule's place for the settings of topics.
	TopicRule Rule
	Dynamic   Dynamic
	// Topic is the name that topics have for it; empty where they have none.
	Topic string
	// TopicOnly keys have no name for brokers: Name is empty.
	TopicOnly bool
	// Fallbacks are keys that give the value when this one is not set, finest first.
	Fallbacks []Fallback
	Doc       string
	// NoEffect says why the key is accepted without effect; empty where it acts.
	NoEffect string
}

// Fallback is a coarser key for the same value: its value times Factor.
type Fallback struct {
	Name   string
	Factor int64
}

// Sensitive settings are never shown.
func (k *Key) Sensitive() bool { return k.Type == Password }

// Rule is what values a key takes besides those of its type.
type Rule struct {
	Allowed string
	ok      func(v string) bool
}

func atLeast(low int64) Rule {
	return Rule{Allowed: fmt.Sprintf("at least %d", low), ok: func(v string) bool { return asInt(v) >= low }}
}

func between(low, high int64) Rule {
	return Rule{
		Allowed: fmt.Sprintf("%d to %d", low, high),
		ok:      func(v string) bool { n := asInt(v); return n >= low && n <= high },
	}
}

func ratio() Rule {
	return Rule{Allowed: "0 to 1", ok: func(v string) bool {
		f, err := strconv.ParseFloat(v, 64)
		return err == nil && f >= 0 && f <= 1
	}}
}

// foreverOr takes -1, for no limit, and values from low.
func foreverOr(low int64) Rule {
	return Rule{
		Allowed: fmt.Sprintf("-1 for no limit, or at least %d", low),
		ok:      func(v string) bool { n := asInt(v); return n == -1 || n >= low },
	}
}

func minusOneOr(low, high int64) Rule {
	return Rule{
		Allowed: fmt.Sprintf("-1 for the codec's default, or %d to %d", low, high),
		ok:      func(v string) bool { n := asInt(v); return n == -1 || n >= low && n <= high },
	}
}

func oneOf(values ...string) Rule {
	return Rule{Allowed: strings.Join(values, ", "), ok: func(v string) bool { return slices.Contains(values, v) }}
}

// eachOf takes a list of the values, with at least one.
func eachOf(values ...string) Rule {
	return Rule{Allowed: "a list of " + strings.Join(values, ", "), ok: func(v string) bool {
		items := splitList(v)
		return len(items) > 0 && !slices.ContainsFunc(items, func(s string) bool { return !slices.Contains(values, s) })
	}}
}

func notEmpty() Rule {
	return Rule{Allowed: "a value that is not empty", ok: func(v string) bool { return v != "" }}
}

// asInt reads a number that was checked before.
func asInt(v string) int64 {
	n, _ := strconv.ParseInt(v, 10, 64)
	return n
}

// asFloat reads a number that was checked before.
func asFloat(v string) float64 {
	f, _ := strconv.ParseFloat(v, 64)
	return f
}

// Normalize returns the value as it is kept: trimmed, booleans in lower case. The error
// says what is allowed.
func (k *Key) Normalize(value string) (string, error) { return k.normalize(value, k.Rule) }

// NormalizeTopic is Normalize for the setting of a topic.
func (k *Key) NormalizeTopic(value string) (string, error) { return k.normalize(value, k.topicRule()) }

func (k *Key) topicRule() Rule {
	if k.TopicRule.ok != nil {
		return k.TopicRule
	}
	return k.Rule
}

func (k *Key) normalize(value string, rule Rule) (string, error) {
	v := strings.TrimSpace(value)
	if k.Type == Password {
		v = value
	}
	if !k.typeOK(&v) || rule.ok != nil && !rule.ok(v) {
		return "", &ValueError{Allowed: k.allowed(rule) + k.atMost(v)}
	}
	return v, nil
}

// atMost is the largest number of the key's type, said when the value lies above it: the
// rule alone would seem to allow it.
func (k *Key) atMost(v string) string {
	bits := map[Type]int{Short: 16, Int: 32, Long: 64}[k.Type]
	if bits == 0 || strings.HasPrefix(v, "-") {
		return ""
	}
	n, err := strconv.ParseInt(v, 10, bits) // n is the largest one when v is out of range
	if !errors.Is(err, strconv.ErrRange) {
		return ""
	}
	return fmt.Sprintf(", at most %d", n)
}

func (k *Key) typeOK(v *string) bool {
	number := func(bits int) bool { _, err := strconv.ParseInt(*v, 10, bits); return err == nil }
	switch k.Type {
	case Boolean:
		*v = strings.ToLower(*v)
		return *v == "true" || *v == "false"
	case Short:
		return number(16)
	case Int:
		return number(32)
	case Long:
		return number(64)
	case Double:
		f, err := strconv.ParseFloat(*v, 64)
		return err == nil && !math.IsNaN(f)
	}
	return true
}

// Allowed describes the values that the key takes.
func (k *Key) Allowed() string { return k.allowed(k.Rule) }

func (k *Key) allowed(rule Rule) string {
	switch {
	case k.Type == Boolean:
		return "true, false"
	case k.Type == Short || k.Type == Int || k.Type == Long:
		s := "a whole number"
		if k.Unit != "" {
			s += " (" + k.Unit + ")"
		}
		if rule.Allowed != "" {
			return s + ", " + rule.Allowed
		}
		bits := map[Type]int{Short: 16, Int: 32, Long: 64}[k.Type]
		return fmt.Sprintf("%s of %d bits", s, bits)
	case k.Type == Double:
		return strings.TrimSuffix("a number, "+rule.Allowed, ", ")
	case rule.Allowed != "":
		return rule.Allowed
	}
	return "any " + k.Type.String()
}

func splitList(v string) []string {
	var items []string
	for item := range strings.SplitSeq(v, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// ValueError is a value that its key does not take.
type ValueError struct{ Allowed string }

func (e *ValueError) Error() string { return "allowed: " + e.Allowed }
