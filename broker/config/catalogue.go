package config

import "strings"

// Catalogue is all keys. It is immutable.
type Catalogue struct {
	keys    []*Key // in the order of the documentation
	byName  map[string]*Key
	byTopic map[string]*Key
	byEnv   map[string]string // LOG_RETENTION_MS -> log.retention.ms
	others  map[string]struct{}
	groups  []group

	byMetrics map[string]*Key // of subscriptions to the metrics of clients
}

// group is a chapter of the documentation.
type group struct {
	title string
	keys  []Key
}

// NewCatalogue builds the catalogue.
func NewCatalogue() *Catalogue {
	c := &Catalogue{
		byName: map[string]*Key{}, byTopic: map[string]*Key{}, byEnv: map[string]string{}, others: map[string]struct{}{},
		groups: []group{
			{"The broker and its listeners", identityKeys()},
			{"Topics", adminKeys()},
			{"Logs", logKeys()},
			{"Log compaction", cleanerKeys()},
			{"Connections and requests", networkKeys()},
			{"The cluster", clusterKeys()},
			{"Consumer groups", append(coordinatorKeys(), consumerKeys()...)},
			{"Transactions and security", groupKeys()},
		},
	}
	for i := range c.groups {
		for j := range c.groups[i].keys {
			c.add(&c.groups[i].keys[j])
		}
	}
	c.byMetrics = map[string]*Key{}
	for _, k := range clientMetricsKeys() {
		c.byMetrics[k.Name] = &k
	}
	for name := range strings.FieldsSeq(foreignKeys) {
		c.others[name] = struct{}{}
	}
	return c
}

func (c *Catalogue) add(k *Key) {
	c.keys = append(c.keys, k)
	if k.Topic != "" {
		c.byTopic[k.Topic] = k
	}
	if k.Name != "" {
		c.byName[k.Name] = k
		c.byEnv[strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))] = k.Name
	}
}

// Key looks a broker's key up.
func (c *Catalogue) Key(name string) (*Key, bool) { k, ok := c.byName[name]; return k, ok }

// TopicKey looks a key up by the name that topics have for it.
func (c *Catalogue) TopicKey(name string) (*Key, bool) { k, ok := c.byTopic[name]; return k, ok }

// TopicKeys returns the names that topics have, sorted.
func (c *Catalogue) TopicKeys() []string { return sorted(c.byTopic) }
