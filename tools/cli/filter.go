package cli

import (
	"regexp"
	"strings"
)

// TopicFilter is Kafka's IncludeList: a regular expression over whole topic names, in
// which a comma means "or" and blanks and surrounding quotes do not count.
type TopicFilter struct{ re *regexp.Regexp }

// NewTopicFilter compiles pattern; the error names it.
func NewTopicFilter(pattern string) (*TopicFilter, error) {
	re, err := regexp.Compile("^(?:" + FilterExpression(pattern) + ")$")
	if err != nil {
		return nil, Usagef("%s is an invalid regex.", pattern)
	}
	return &TopicFilter{re}, nil
}

// FilterExpression rewrites pattern as IncludeList does.
func FilterExpression(pattern string) string {
	p := strings.NewReplacer(",", "|", " ", "").Replace(strings.TrimSpace(pattern))
	return strings.Trim(p, `"'`)
}

// Allows says whether the filter takes topic.
func (f *TopicFilter) Allows(topic string) bool { return f.re.MatchString(topic) }

// Select returns the topics that the filter takes, in their order.
func (f *TopicFilter) Select(topics []string, excludeInternal bool) []string {
	var out []string
	for _, t := range topics {
		if f.Allows(t) && !(excludeInternal && IsInternal(t)) {
			out = append(out, t)
		}
	}
	return out
}
