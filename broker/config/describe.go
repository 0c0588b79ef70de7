package config

import "strings"

// Row is one line of DescribeConfigs.
type Row struct {
	Name      string
	Value     *string // nil: none, or hidden
	Type      Type
	Source    Source
	ReadOnly  bool
	Sensitive bool
	Doc       string
	Synonyms  []Synonym // strongest first
}

// Synonym is one place that a value can come from.
type Synonym struct {
	Name   string
	Value  *string
	Source Source
}

// DescribeTopic returns a topic's rows by name. The synonyms name the broker's keys; the
// source of a value that log.retention.hours gave is that setting's, where Kafka says
// "default".
func (c *Config) DescribeTopic(settings map[string]string) []Row {
	settings = c.acceptable(settings)
	var rows []Row
	for _, name := range sorted(c.catalogue.byTopic) {
		k := c.catalogue.byTopic[name]
		value, own := c.topicValue(name, settings)
		row := Row{Name: name, Value: k.show(value), Type: k.Type, Source: SourceDefault, Sensitive: k.Sensitive(), Doc: k.document()}
		if own {
			row.Synonyms = append(row.Synonyms, Synonym{Name: name, Value: k.show(value), Source: SourceTopic})
		}
		if !k.TopicOnly {
			row.Synonyms = append(row.Synonyms, c.synonyms(k)...)
		}
		if len(row.Synonyms) > 0 {
			row.Source = row.Synonyms[0].Source
		}
		rows = append(rows, row)
	}
	return rows
}

// DescribeBroker returns the rows of this broker by name. As in Kafka a key that is not set
// and has no default shows none, even where a coarser key gives the value.
func (c *Config) DescribeBroker() []Row {
	var rows []Row
	for _, name := range sorted(c.catalogue.byName) {
		k := c.catalogue.byName[name]
		row := Row{Name: name, Type: k.Type, Source: SourceDefault, ReadOnly: k.Dynamic == ReadOnly, Sensitive: k.Sensitive(), Doc: k.document()}
		if s, ok := c.set(name); ok {
			row.Value = k.show(s.value)
		} else if v, ok := c.defaultOf(name); ok {
			row.Value = k.show(v)
		}
		if row.Synonyms = fromName(c.synonyms(k), name); len(row.Synonyms) > 0 {
			row.Source = row.Synonyms[0].Source
		}
		rows = append(rows, row)
	}
	return rows
}

// DescribeDefaults returns the dynamic settings of all brokers, by name.
func (c *Config) DescribeDefaults() []Row {
	var rows []Row
	for _, name := range sorted(c.cluster) {
		k := c.catalogue.byName[name]
		v := k.show(c.cluster[name])
		rows = append(rows, Row{
			Name: name, Value: v, Type: k.Type, Source: SourceDynamicDefault, Sensitive: k.Sensitive(), Doc: k.document(),
			Synonyms: []Synonym{{name, v, SourceDynamicDefault}},
		})
	}
	return rows
}

// fromName drops what comes before the key's own first entry (ConfigHelper does it).
func fromName(list []Synonym, name string) []Synonym {
	for i := range list {
		if list[i].Name == name {
			return list[i:]
		}
	}
	return nil
}

// synonyms lists all places that give a broker key's value, strongest first: by source,
// and in a source by fineness.
func (c *Config) synonyms(k *Key) []Synonym {
	chain := []*Key{k}
	for _, f := range k.Fallbacks {
		chain = append(chain, c.catalogue.byName[f.Name])
	}
	var out []Synonym
	add := func(source Source, of func(name string) (string, bool)) {
		for _, k := range chain {
			if v, ok := of(k.Name); ok {
				out = append(out, Synonym{Name: k.Name, Value: k.show(v), Source: source})
			}
		}
	}
	add(SourceDynamicBroker, func(name string) (string, bool) { v, ok := c.dynamic[name]; return v, ok })
	add(SourceDynamicDefault, func(name string) (string, bool) { v, ok := c.cluster[name]; return v, ok })
	add(SourceStatic, func(name string) (string, bool) { s, ok := c.static[name]; return s.value, ok })
	add(SourceDefault, c.defaultOf)
	return out
}

// show hides what is sensitive.
func (k *Key) show(v string) *string {
	if k.Sensitive() {
		return nil
	}
	return &v
}

func (k *Key) document() string {
	if k.NoEffect == "" {
		return k.Doc
	}
	return k.Doc + " It has no effect: " + strings.TrimSuffix(k.NoEffect, ".") + "."
}
