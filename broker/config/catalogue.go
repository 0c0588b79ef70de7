package config

import (
	"slices"
	"strings"
)

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

// suggest returns the names that a misspelt one may have meant, nearest first, at most three.
func suggest(name string, names []string) []string {
	type near struct {
		name string
		far  int
	}
	var found []near
	limit := 2 + len(name)/8
	lower := strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(name, "_", "."), "-", "."))
	for _, n := range names {
		if d := distance(lower, strings.ToLower(n), limit); d <= limit {
			found = append(found, near{n, d})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.far - b.far })
	var out []string
	for _, f := range found[:min(len(found), 3)] {
		out = append(out, f.name)
	}
	return out
}

// distance is the number of letters to insert, remove, change or swap (optimal string
// alignment) between two names; anything above limit counts as limit+1.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
