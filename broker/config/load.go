package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/properties"
	"github.com/millrace/millrace/internal/vfs"
)

// Input is where settings come from, weakest first.
type Input struct {
	// Defaults replace the catalogue's; the composition root fits them to how the broker
	// was started.
	Defaults map[string]string
	// File is a properties file, or empty for none. Without one the broker listens on
	// loopback.
	File string
	FS   vfs.FS
	// Environ is os.Environ(): KAFKA_LOG_RETENTION_MS and MILLRACE_LOG_RETENTION_MS set
	// log.retention.ms.
	Environ []string
	// Overrides are key=value, the last of a key wins.
	Overrides []string
}

// Source is where a value comes from; the numbers are those of DescribeConfigs.
type Source int8

// Kafka's sources (ConfigEntry.ConfigSource).
const (
	SourceTopic          Source = 1
	SourceDynamicBroker  Source = 2
	SourceDynamicDefault Source = 3
	SourceStatic         Source = 4
	SourceDefault        Source = 5
	SourceLogger         Source = 6
	SourceClientMetrics  Source = 7
	SourceGroup          Source = 8
)

// Place is where a setting was made, for messages.
type Place struct {
	Source string // a file's name, "--override", "environment", "topic", "dynamic"
	Line   int    // in a file, else 0
}

// String is file:line, or the source.
func (p Place) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s:%d", p.Source, p.Line)
	}
	return p.Source
}

// setting is one value that somebody set.
type setting struct {
	value string
	place Place
}

// Config is the settings of a broker. It is immutable.
type Config struct {
	Broker    Broker
	catalogue *Catalogue
	defaults  map[string]string // of keys whose default is not the catalogue's
	static    map[string]setting
	dynamic   map[string]string // of this broker
	cluster   map[string]string // of all brokers
}

// Load reads the settings. The error is a Problems: everything that is wrong with them.
// Warnings are sentences for the log.
func Load(in Input) (*Config, []Warning, error) {
	l := &loader{c: &Config{catalogue: NewCatalogue(), defaults: map[string]string{}, static: map[string]setting{}}}
	maps.Copy(l.c.defaults, in.Defaults)
	if in.File == "" {
		if _, ok := l.c.defaults["listeners"]; !ok {
			l.c.defaults["listeners"] = "PLAINTEXT://127.0.0.1:9092"
		}
	} else if err := l.file(in.FS, in.File); err != nil {
		return nil, l.warnings, err
	}
	l.environment(in.Environ)
	for _, o := range in.Overrides {
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			l.problem(Place{Source: "--override"}, o, "", "key=value", "it has no =")
			continue
		}
		l.set(Place{Source: "--override"}, strings.TrimSpace(key), value)
	}
	l.c.Broker = l.broker()
	if len(l.problems) > 0 {
		return nil, l.warnings, l.problems
	}
	return l.c, l.warnings, nil
}

// loader collects settings and what is wrong with them.
type loader struct {
	c        *Config
	problems Problems
	warnings []Warning
}

func (l *loader) file(fsys vfs.FS, name string) error {
	text, err := readFile(fsys, name)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	props, err := properties.Parse(text)
	if err != nil {
		return fmt.Errorf("configuration file %s: %w", name, err)
	}
	lines := map[string]int{}
	for _, p := range props {
		if before, ok := lines[p.Key]; ok {
			l.warn(Place{name, p.Line}, p.Key, fmt.Sprintf("it was set in line %d already; this line holds", before))
		}
		lines[p.Key] = p.Line
		l.set(Place{name, p.Line}, p.Key, p.Value)
	}
	return nil
}

func readFile(fsys vfs.FS, name string) (string, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return "", err
	}
	const maxBytes = 16 << 20
	if size > maxBytes {
		return "", fmt.Errorf("%s has %d bytes, at most %d are read", name, size, maxBytes)
	}
	buf := make([]byte, size)
	if _, err := f.ReadAt(buf, 0); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(buf), nil
}

// environment takes KAFKA_X, KAFKA_CFG_X and MILLRACE_X. Of what it does not know it speaks
// only when it is ours or looks like a key: images and orchestrators set many KAFKA_ and
// even MILLRACE_ variables of their own.
func (l *loader) environment(environ []string) {
	environ = slices.Clone(environ)
	slices.Sort(environ)
	for _, prefix := range []string{"KAFKA_", "KAFKA_CFG_", "MILLRACE_"} {
		for _, e := range environ {
			name, value, _ := strings.Cut(e, "=")
			rest, ok := strings.CutPrefix(name, prefix)
			if !ok {
				continue
			}
			if key, ok := l.c.catalogue.byEnv[rest]; ok {
				l.set(Place{Source: "environment " + name}, key, value)
			} else if near := properties.Suggest(dotted(rest), sorted(l.c.catalogue.byName)); len(near) > 0 && !strings.HasPrefix(rest, "CFG_") {
				l.warn(Place{Source: "environment"}, name, unknown(near))
			}
		}
	}
}

func dotted(env string) string { return strings.ToLower(strings.ReplaceAll(env, "_", ".")) }

// set takes one setting in; a stronger source comes later and replaces it.
func (l *loader) set(p Place, name, value string) {
	k, ok := l.c.catalogue.byName[name]
	if !ok {
		l.unknown(p, name)
		return
	}
	v, err := k.Normalize(value)
	if err != nil {
		shown := value
		if k.Sensitive() {
			shown = "[hidden]"
		}
		l.problem(p, name, shown, k.Allowed()+k.atMost(strings.TrimSpace(value)), "")
		return
	}
	l.c.static[name] = setting{value: v, place: p}
	if k.NoEffect != "" {
		l.warn(p, name, "it has no effect: "+k.NoEffect)
	}
}

func (l *loader) unknown(p Place, name string) {
	if k, ok := l.c.catalogue.byTopic[name]; ok && k.Name != "" {
		l.warn(p, name, "it is a setting of topics and has no effect here; the broker's is "+k.Name)
		return
	}
	if l.c.catalogue.foreign(name) {
		l.warn(p, name, "Apache Kafka has it; it has no effect here")
		return
	}
	l.warn(p, name, unknown(properties.Suggest(name, sorted(l.c.catalogue.byName))))
}

func unknown(near []string) string {
	if len(near) == 0 {
		return "there is no such key"
	}
	return "there is no such key; did you mean " + strings.Join(near, " or ") + "?"
}

func (l *loader) warn(p Place, key, text string) {
	l.warnings = append(l.warnings, Warning{Place: p, Key: key, Text: text})
}

func (l *loader) problem(p Place, key, value, allowed, reason string) {
	l.problems = append(l.problems, Problem{Place: p, Key: key, Value: value, Allowed: allowed, Reason: reason})
}

// problemAt complains about a key's value wherever that was set.
func (l *loader) problemAt(key, allowed, reason string) {
	v, s := l.c.lookup(key)
	place := s.place
	if place == (Place{}) {
		place = Place{Source: "default"}
	}
	l.problem(place, key, v, allowed, reason)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Warning is something odd that does not stop the start.
type Warning struct {
	Place Place
	Key   string
	Text  string
}

// String is a line for the log.
func (w Warning) String() string { return fmt.Sprintf("%s: %s: %s", w.Place, w.Key, w.Text) }

// Problem is one value that cannot be used.
type Problem struct {
	Place   Place
	Key     string
	Value   string
	Allowed string
	Reason  string // empty when Allowed says it

	unknownName bool
}

// String is a line for the terminal.
func (p Problem) String() string {
	s := fmt.Sprintf("%s: %s=%s", p.Place, p.Key, p.Value)
	if p.Reason != "" {
		s += ": " + p.Reason
	}
	if p.Allowed != "" {
		s += "; allowed: " + p.Allowed
	}
	return s
}

// Problems is everything that is wrong with the settings.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return "the configuration cannot be used:\n  " + strings.Join(lines, "\n  ")
}
