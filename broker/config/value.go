package config

import (
	"math"
)

// lookup returns a key's value and where it was set (zero for a default). What somebody
// set wins over every default, and a finer key over a coarser one.
func (c *Config) lookup(name string) (string, setting) {
	k := c.catalogue.byName[name]
	chain := append([]Fallback{{Name: name, Factor: 1}}, k.Fallbacks...)
	for _, f := range chain {
		if s, ok := c.set(f.Name); ok {
			return scale(s.value, f.Factor), s
		}
	}
	for _, f := range chain {
		if v, ok := c.defaultOf(f.Name); ok {
			return scale(v, f.Factor), setting{}
		}
	}
	return "", setting{}
}

// set returns what somebody set for exactly this key.
func (c *Config) set(name string) (setting, bool) {
	if v, ok := c.dynamic[name]; ok {
		return setting{v, Place{Source: "dynamic setting of the broker"}}, true
	}
	if v, ok := c.cluster[name]; ok {
		return setting{v, Place{Source: "dynamic setting of all brokers"}}, true
	}
	s, ok := c.static[name]
	return s, ok
}

func (c *Config) defaultOf(name string) (string, bool) {
	if v, ok := c.defaults[name]; ok {
		return v, true
	}
	k := c.catalogue.byName[name]
	return k.Default, !k.Null
}

// scale multiplies a number; -1 means no limit in every unit.
func scale(v string, factor int64) string {
	if factor <= 1 {
		return v
	}
	n := asInt(v)
	switch {
	case n < 0:
		return v
	case n > math.MaxInt64/factor:
		return long(math.MaxInt64)
	}
	return long(n * factor)
}

// Value returns a key's effective value, as text, and whether it has one.
func (c *Config) Value(name string) (string, bool) {
	k, ok := c.catalogue.byName[name]
	if !ok {
		return "", false
	}
	v, s := c.lookup(name)
	return v, v != "" || s.place != (Place{}) || !k.Null
}

func (c *Config) text(name string) string { v, _ := c.lookup(name); return v }
func (c *Config) int64(name string) int64 { return asInt(c.text(name)) }
func (c *Config) int32(name string) int32 { return int32(c.int64(name)) }
func (c *Config) int(name string) int     { return int(c.int64(name)) }
func (c *Config) bool(name string) bool   { return c.text(name) == "true" }
func (c *Config) list(name string) []string {
	return splitList(c.text(name))
}
