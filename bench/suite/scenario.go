package suite

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/bench/drive"
	"github.com/millrace/millrace/bench/limits"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

// Scenario is one load as data: what drive runs, and what it is set beside.
type Scenario struct {
	Name  string // unique, stable: baselines and goals refer to it
	Group string // what varies, for tables
	Title string // in words
	Load  drive.Spec
	Floor limits.Spec // Kind empty: none
	Per   Unit        // what the CPU of broker and floor is compared by
	Short bool        // part of the short suite
	Cold  bool        // the page cache is emptied between preloading and reading
	Note  string

	// Rounds is how often it is measured; 0: as the suite has it.
	Rounds int
	// FullDuration is its steady phase in the full suite; 0: Load.Duration.
	FullDuration time.Duration
	// Server holds settings of the broker for this scenario, as --override takes them; a
	// broker that was already running goes without.
	Server map[string]string
	// Dataset names what the broker holds before the load: KeptBytes of records in the topic
	// of the load. Scenarios of one Dataset that follow each other share a broker.
	Dataset   string
	KeptBytes int64
	// Curve and X place the scenario on a curve: how its figures grow with X.
	Curve string
	X     float64
}

// Unit is what CPU time is divided by.
type Unit string

// The units.
const (
	PerGB      Unit = "GB"
	PerRequest Unit = "request"
)

// Select returns the scenarios whose name or group matches pattern (all of them when it is
// empty), of the short suite only when short is set. Nothing selected is a usage error.
func Select(all []Scenario, pattern string, short bool) ([]Scenario, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, cli.Usagef("--run %q: %v", pattern, err)
	}
	var out []Scenario
	for _, s := range all {
		if (s.Short || !short) && (re.MatchString(s.Name) || re.MatchString(s.Group)) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, cli.Usagef("--run %q selects none of %d scenarios: --list shows them", pattern, len(all))
	}
	return out, nil
}

// Named returns the scenarios of these names, in that order.
func Named(all []Scenario, names []string) ([]Scenario, error) {
	var out []Scenario
	for _, name := range names {
		i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
		if i < 0 {
			return nil, cli.Usagef("there is no scenario %q: 'millrace bench suite --list' shows their names", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

func acksName(acks int16) string {
	if acks == -1 {
		return "all"
	}
	return strconv.Itoa(int(acks))
}

// size writes bytes as names have them: 100B, 16KiB, 1MiB.
func size(bytes int) string {
	switch {
	case bytes >= gib && bytes%gib == 0:
		return fmt.Sprintf("%dGiB", bytes/gib)
	case bytes >= mib && bytes%mib == 0:
		return fmt.Sprintf("%dMiB", bytes/mib)
	case bytes >= kib && bytes%kib == 0:
		return fmt.Sprintf("%dKiB", bytes/kib)
	}
	return fmt.Sprintf("%dB", bytes)
}

// count writes "1 partition", "10,000 partitions".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return result.Rate(float64(n)) + " " + what
}
