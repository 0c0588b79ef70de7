package configs

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/tools/cli"
)

// entity is what a command line is about: one type, or users with clients. A name of ""
// is the default entity; fewer names than types means all of the rest.
type entity struct {
	types, names []string
}

func (e entity) has(kind string) bool { return slices.Contains(e.types, kind) }

// named says whether a name stands there, and hasDefault whether a default does.
func (e entity) named() bool {
	return slices.ContainsFunc(e.names, func(n string) bool { return n != "" })
}
func (e entity) hasDefault() bool { return slices.Contains(e.names, "") }

// entity joins --entity-* and the short flags.
func (o *options) entity() (entity, error) {
	e := entity{types: slices.Clone(o.types), names: slices.Clone(o.names)}
	long := o.given("entity-type") || o.given("entity-name") || o.given("entity-default")
	for _, s := range short() {
		if !o.given(s.flag) {
			continue
		}
		if long {
			return e, cli.Usagef("--entity-{type,name,default} should not be used in conjunction with specific entity flags")
		}
		e.types = append(e.types, s.kind)
		name := ""
		if s.named {
			name = o.flags.Lookup(s.flag).Value.String()
		}
		e.names = append(e.names, name)
	}
	seen := map[string]bool{}
	for _, kind := range e.types {
		if !slices.Contains(entityTypes(), kind) {
			return e, cli.Usagef("Invalid entity type %s, the entity type must be one of %s with a --bootstrap-server or --bootstrap-controller argument", kind, strings.Join(entityTypes(), ", "))
		}
		if seen[kind] {
			return e, cli.Usagef("Duplicate entity type(s) specified: %s", kind)
		}
		seen[kind] = true
	}
	switch {
	case len(e.types) == 0:
		return e, cli.Usagef("At least one entity type must be specified")
	case len(e.types) > 1 && !(len(e.types) == 2 && seen[users] && seen[clients]):
		return e, cli.Usagef("Only 'users' and 'clients' entity types may be specified together")
	case len(e.names) > len(e.types):
		return e, cli.Usagef("More entity names specified than entity types")
	}
	return e, nil
}

// check refuses command lines that make no sense, in the words of Kafka's tool.
func (o *options) check() (entity, error) {
	if o.alter == o.describe {
		return entity{}, cli.Usagef("Command must include exactly one action: --describe, --alter")
	}
	if o.given("zookeeper") {
		return o.checkZooKeeper()
	}
	for _, only := range []string{"add-config", "delete-config", "add-config-file"} {
		if o.describe && o.given(only) {
			return entity{}, cli.Usagef("Option \"[describe]\" can't be used with option \"[%s]\"", only)
		}
	}
	if (o.bootstrap == "") == (o.controller == "") {
		if o.bootstrap == "" {
			return entity{}, cli.Usagef("One of the required --bootstrap-server or --bootstrap-controller arguments must be specified")
		}
		return entity{}, cli.Usagef("Only one of --bootstrap-server or --bootstrap-controller can be specified")
	}
	e, err := o.entity()
	if err != nil {
		return e, err
	}
	if err := e.checkNames(); err != nil {
		return e, err
	}
	if o.describe {
		return e, e.checkDescribe()
	}
	return e, o.checkAlter(e)
}

func (e entity) checkNames() error {
	for i, name := range e.names {
		if name == "" {
			continue
		}
		switch kind := e.types[i]; kind {
		case brokers, brokerLoggers:
			if _, err := strconv.ParseInt(name, 10, 32); err != nil {
				return cli.Usagef("The entity name for %s must be a valid integer broker id, but it is: %s", kind, name)
			}
		case ips:
			if net.ParseIP(name) == nil {
				if _, err := net.LookupHost(name); err != nil {
					return cli.Usagef("The entity name for ips must be a valid IP or resolvable host, but it is: %s", name)
				}
			}
		}
	}
	return nil
}

func (e entity) checkDescribe() error {
	list := strings.Join(e.types, ",")
	if e.hasDefault() && !e.has(users) && !e.has(clients) && !e.has(brokers) && !e.has(ips) {
		return cli.Usagef("--entity-default must not be specified with --describe of %s", list)
	}
	if e.has(brokerLoggers) && !e.named() {
		return cli.Usagef("An entity name must be specified with --describe of %s", list)
	}
	return nil
}

func (o *options) checkAlter(e entity) error {
	if e.has(users) || e.has(clients) || e.has(brokers) || e.has(ips) {
		if len(e.names) == 0 {
			return cli.Usagef("An entity-name or default entity must be specified with --alter of users, clients, brokers or ips")
		}
	} else if !e.named() {
		return cli.Usagef("An entity name must be specified with --alter of %s", strings.Join(e.types, ","))
	}
	switch {
	case len(e.names) != len(e.types):
		return cli.Usagef("An entity name must be specified for every entity type")
	case o.given("add-config") && o.given("add-config-file"):
		return cli.Usagef("Only one of --add-config or --add-config-file must be specified")
	case !o.given("add-config") && !o.given("add-config-file") && !o.given("delete-config"):
		return cli.Usagef("At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter")
	}
	return nil
}
