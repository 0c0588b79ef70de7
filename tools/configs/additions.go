package configs

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/tools/cli"
)

// settings are names with the values that they are to get.
type settings map[string]string

func (s settings) names() []string { return slices.Sorted(maps.Keys(s)) }

var (
	keyForm   = regexp.MustCompile(`^[a-zA-Z0-9._-]*$`)
	equalSign = regexp.MustCompile(`\s*=\s*`)
)

// additions reads --add-config-file or --add-config.
func (o *options) additions() (settings, error) {
	add := settings{}
	if o.addConfigFile != "" {
		props, err := cli.LoadProps(o.addConfigFile)
		if err != nil {
			return nil, err
		}
		maps.Copy(add, props)
	}
	if o.given("add-config") {
		for _, pair := range splitOutside(o.addConfig, ',') {
			parts := splitPair(pair)
			if len(parts) != 2 {
				return nil, refuse("requirement failed: Invalid entity config: all configs to be added must be in the format \"key=val\".")
			}
			value := strings.NewReplacer("[", "", "]", "").Replace(parts[1])
			add[strings.TrimSpace(parts[0])] = strings.TrimSpace(value)
		}
	}
	for name := range add {
		if !keyForm.MatchString(name) {
			return nil, refuse("Invalid character found for config key: %s", name)
		}
	}
	return add, nil
}

// splitOutside splits at separators that do not stand between square brackets.
func splitOutside(text string, separator byte) []string {
	var out []string
	depth, from := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '[':
			depth++
		case ']':
			depth = max(depth-1, 0)
		case separator:
			if depth == 0 {
				out = append(out, text[from:i])
				from = i + 1
			}
		}
	}
	return append(out, text[from:])
}

// splitPair splits at the equal signs that do not stand between square brackets: two parts
// when the pair is well formed.
func splitPair(pair string) []string {
	parts := splitOutside(pair, '=')
	for i, p := range parts {
		parts[i] = equalSign.ReplaceAllString(strings.TrimSpace(p), "=")
	}
	return parts
}

func (o *options) deletions() []string {
	out := make([]string, 0, len(o.deleteConfig))
	for _, name := range o.deleteConfig {
		out = append(out, strings.TrimSpace(name))
	}
	return out
}
