package doctor

import (
	"errors"
	"strings"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/internal/vfs/osfs"
)

// gatherFile reads the broker's settings as the broker does.
func (o *options) gatherFile(f *facts) {
	cfg, warnings, err := config.Load(config.Input{FS: osfs.FS{}, File: o.file, Overrides: o.overrides})
	c := &configFacts{from: o.file, values: map[string]string{}, isSet: map[string]bool{}}
	f.config = c
	for _, w := range warnings {
		c.warnings = append(c.warnings, warning{w.String(), strings.Contains(w.Text, "unknown")})
	}
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			c.problems = append(c.problems, p.String())
		}
	case err != nil:
		c.problems = append(c.problems, err.Error())
	}
	if cfg == nil {
		return
	}
	for _, row := range cfg.DescribeBroker() {
		if row.Value != nil {
			c.values[row.Name] = *row.Value
		}
		if row.Source != config.SourceDefault {
			c.set++
			c.isSet[row.Name] = true
		}
	}
	for _, dir := range cfg.Broker.LogDirs {
		f.dirs = append(f.dirs, dirFacts{path: dir})
	}
}
