package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/quorum/client"
)

// Listener is one address to listen on or to advertise.
type Listener struct {
	Name     string // upper case
	Protocol string // PLAINTEXT
	Host     string // empty: all interfaces; without brackets
	Port     int32  // 0: any free port (listeners only)
}

// Address is host:port as package net takes it.
func (l Listener) Address() string {
	return net.JoinHostPort(l.Host, strconv.FormatInt(int64(l.Port), 10))
}

// String is NAME://host:port.
func (l Listener) String() string { return l.Name + "://" + l.Address() }

// parseListener reads NAME://host:port; the name is folded to upper case as Kafka does.
func parseListener(s string) (Listener, error) {
	name, address, ok := strings.Cut(s, "://")
	if !ok || name == "" {
		return Listener{}, fmt.Errorf("%q is not NAME://host:port", s)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Listener{}, fmt.Errorf("%q is not NAME://host:port", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Listener{}, fmt.Errorf("%q: the port is not 0 to 65535", s)
	}
	return Listener{Name: strings.ToUpper(name), Host: host, Port: int32(n)}, nil
}

// listenerKeys are read together: they must fit.
var listenerKeys = [...]string{"listeners", "advertised.listeners", "listener.security.protocol.map"}

const listenerForm = "NAME://host:port separated by commas"

// listeners reads the three keys that describe where the broker listens.
func (l *loader) listeners() (listen, advertised []Listener) {
	protocols := l.protocolMap()
	ours := l.c.list("controller.listener.names")
	isController := func(name string) bool {
		return slices.ContainsFunc(ours, func(s string) bool { return strings.EqualFold(s, name) })
	}
	for _, a := range l.parseListeners("listeners", protocols) {
		if isController(a.Name) {
			_, s := l.c.lookup("listeners")
			l.warn(s.place, "listeners", a.String()+" is not opened: the controller is inside the broker")
			continue
		}
		listen = append(listen, a)
	}
	if len(listen) == 0 && len(l.problems) == 0 {
		l.problemAt("listeners", listenerForm, "there is no listener for clients")
	}
	for _, a := range l.parseListeners("advertised.listeners", protocols) {
		if isController(a.Name) {
			continue
		}
		switch {
		case a.Host == "" || a.Host == "0.0.0.0" || a.Host == "::":
			l.problemAt("advertised.listeners", "an address that clients can connect to", fmt.Sprintf("%s does not name a host", a))
		case a.Port == 0:
			l.problemAt("advertised.listeners", "a port from 1 to 65535", fmt.Sprintf("%s does not name a port", a))
		case !slices.ContainsFunc(listen, func(b Listener) bool { return a.Name == b.Name }):
			l.problemAt("advertised.listeners", "names that stand in listeners", fmt.Sprintf("there is no listener %s", a.Name))
		}
		advertised = append(advertised, a)
	}
	return listen, advertised
}

// parseListeners reads a list of addresses and checks it against itself.
func (l *loader) parseListeners(key string, protocols map[string]string) []Listener {
	var out []Listener
	for _, item := range l.c.list(key) {
		a, err := parseListener(item)
		if err != nil {
			l.problemAt(key, listenerForm, err.Error())
			continue
		}
		a.Protocol = protocols[a.Name]
		switch a.Protocol {
		case "PLAINTEXT":
		case "":
			l.problemAt(key, "names that stand in listener.security.protocol.map", fmt.Sprintf("%s has no security protocol", a.Name))
		default:
			l.problemAt(key, "listeners with the security protocol PLAINTEXT", fmt.Sprintf("%s asks for %s, which is not built yet", a, a.Protocol))
		}
		for _, b := range out {
			if a.Name == b.Name {
				l.problemAt(key, "each name once", fmt.Sprintf("%s stands twice", a.Name))
			} else if key == "listeners" && a.Port == b.Port && a.Port != 0 && a.Host == b.Host {
				l.problemAt(key, "each address once", fmt.Sprintf("%s and %s are the same address", b, a))
			}
		}
		out = append(out, a)
	}
	return out
}

// protocolMap reads listener.security.protocol.map.
func (l *loader) protocolMap() map[string]string {
	const key = "listener.security.protocol.map"
	const form = "NAME:PROTOCOL separated by commas, with PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
	protocols := map[string]string{}
	for _, item := range l.c.list(key) {
		name, protocol, ok := strings.Cut(item, ":")
		name, protocol = strings.ToUpper(strings.TrimSpace(name)), strings.ToUpper(strings.TrimSpace(protocol))
		if !ok || name == "" || !slices.Contains([]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}, protocol) {
			l.problemAt(key, form, fmt.Sprintf("%q", item))
			continue
		}
		if _, twice := protocols[name]; twice {
			l.problemAt(key, form, name+" stands twice")
		}
		protocols[name] = protocol
	}
	return protocols
}

// adminAddressOK is the rule of admin.listener.
func adminAddressOK(v string) bool {
	if v == "" {
		return true
	}
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// connectOK is the rule of zookeeper.connect.
func connectOK(v string) bool {
	if v == "" {
		return true
	}
	_, _, err := client.ParseServers(v)
	return err == nil
}

// overridesOK is the rule of max.connections.per.ip.overrides.
func overridesOK(v string) bool {
	for _, item := range splitList(v) {
		at := strings.LastIndexByte(item, ':')
		if at <= 0 {
			return false
		}
		if _, err := strconv.ParseUint(item[at+1:], 10, 31); err != nil {
			return false
		}
	}
	return true
}

func parseOverrides(v string) map[string]int {
	out := map[string]int{}
	for _, item := range splitList(v) {
		at := strings.LastIndexByte(item, ':')
		out[item[:at]] = int(asInt(item[at+1:]))
	}
	return out
}
