package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/magiconair/properties"
)

// Props are client settings under Kafka's names ("security.protocol", "acks").
type Props map[string]string

// LoadProps reads a Java properties file; an empty path gives empty Props.
func LoadProps(path string) (Props, error) {
	p := Props{}
	if path == "" {
		return p, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	loaded, err := loader.LoadBytes(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, k := range loaded.Keys() {
		v, _ := loaded.Get(k)
		p[k] = v
	}
	return p, nil
}

// AddPairs adds "key=value" words; a word without "=" gets an empty value, as in Kafka.
func (p Props) AddPairs(pairs []string) Props {
	for _, pair := range pairs {
		k, v, _ := strings.Cut(pair, "=")
		p[k] = v
	}
	return p
}

// Bool says whether key is set to "true" in any case.
func (p Props) Bool(key string) bool {
	return strings.EqualFold(strings.TrimSpace(p[key]), "true")
}

// Or returns the value of key, or otherwise when it is not set.
func (p Props) Or(key, otherwise string) string {
	if v, ok := p[key]; ok {
		return v
	}
	return otherwise
}
