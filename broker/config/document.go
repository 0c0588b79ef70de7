package config

import (
	"fmt"
	"strings"
)

// Document writes docs/config.md.
func (c *Catalogue) Document() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Generated from broker/config by "go generate ./broker/config": do not edit. -->

Settings come from, weakest first: the defaults below, the file named on the command line
(` + "`server.properties`" + `, in Java's properties format), the environment (` + "`KAFKA_LOG_RETENTION_MS` or `MILLRACE_LOG_RETENTION_MS`" + `
for ` + "`log.retention.ms`" + `), and ` + "`--override key=value`" + `. Dynamic settings of the cluster and of a
broker stand above them, and a topic's own settings above all. A value that cannot be used
stops the start, with the file, the line, the key, the value and what is allowed. A key that
does not exist is a warning with a suggestion.

Names, types and defaults are Apache Kafka's (4.0's defaults, 3.9's ranges), but where a line says otherwise.

`)
	for _, g := range c.groups {
		fmt.Fprintf(&b, "## %s\n\n", g.title)
		for i := range g.keys {
			g.keys[i].markdown(&b)
		}
	}
	b.WriteString("## Groups\n\nA group can have settings of its own (`kafka-configs.sh --entity-type groups`); each stands above the broker's key.\n\n")
	for _, name := range sorted(groupNames) {
		fmt.Fprintf(&b, "- `%s`: `%s`\n", name, groupNames[name])
	}
	b.WriteString("\n## Subscriptions to the metrics of clients\n\nSettings of `kafka-client-metrics.sh` (KIP-714).\n\n")
	for _, name := range sorted(c.byMetrics) {
		c.byMetrics[name].markdown(&b)
	}
	b.WriteString("## Other keys of Kafka\n\nThese are accepted with a warning and have no effect: ")
	b.WriteString("`" + strings.Join(sorted(c.others), "`, `") + "`, and everything that begins with `")
	b.WriteString(strings.Join(strings.Fields(foreignPrefixes), "`, `") + "` and is not listed above.\n")
	return b.String()
}

func (k *Key) markdown(b *strings.Builder) {
	name := k.Name
	if k.TopicOnly {
		name = k.Topic
	}
	fmt.Fprintf(b, "### `%s`\n\n%s\n\n", name, k.document())
	fmt.Fprintf(b, "- Type: %s", k.Type)
	if k.Unit != "" {
		fmt.Fprintf(b, " (%s)", k.Unit)
	}
	switch {
	case k.Null && len(k.Fallbacks) > 0:
		names := make([]string, len(k.Fallbacks))
		for i, f := range k.Fallbacks {
			names[i] = "`" + f.Name + "`"
		}
		fmt.Fprintf(b, "\n- Default: that of %s", strings.Join(names, ", then "))
	case k.Null:
		b.WriteString("\n- Default: none")
	case k.Default == "":
		b.WriteString("\n- Default: empty")
	default:
		fmt.Fprintf(b, "\n- Default: `%s`", k.Default)
	}
	if k.Rule.Allowed != "" {
		fmt.Fprintf(b, "\n- Allowed: %s", k.Rule.Allowed)
	}
	switch {
	case k.TopicOnly:
		b.WriteString("\n- Of topics only")
	case k.Topic != "":
		fmt.Fprintf(b, "\n- Of topics: `%s`", k.Topic)
		if k.TopicRule.Allowed != "" {
			fmt.Fprintf(b, " (%s)", k.TopicRule.Allowed)
		}
	}
	if !k.TopicOnly {
		fmt.Fprintf(b, "\n- Changes while running: %s", k.Dynamic)
	}
	b.WriteString("\n\n")
}
