package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Severity ranks findings.
type Severity int8

// From what must be mended now to what is only worth knowing.
const (
	Critical Severity = iota
	Warning
	Note
)

// String is the word that is printed.
func (s Severity) String() string { return [...]string{"critical", "warning", "note"}[s] }

// MarshalText makes JSON carry the word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that is wrong, or worth knowing.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy,omitempty"`
}

// Report is the outcome of a run.
type Report struct {
	Target   string    `json:"target"`
	Findings []Finding `json:"findings"` // the worst first
	Passed   []string  `json:"passed"`   // checks that found nothing
	Skipped  []Skipped `json:"skipped"`  // checks that could not be made
}

// Skipped is a check that could not be made, and why.
type Skipped struct {
	Check string `json:"check"`
	Why   string `json:"why"`
}

// count returns how many findings have severity s.
func (r *Report) count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// rank puts the worst first; within a severity the order of the checks stays.
func (r *Report) rank() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return int(a.Severity) - int(b.Severity) })
}

// printJSON writes the report for programs.
func (r *Report) printJSON(out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// print writes the report for people.
func (r *Report) print(out io.Writer) {
	fmt.Fprintf(out, "%s\n\n", r.Target)
	for _, f := range r.Findings {
		fmt.Fprintf(out, "%-9s %-10s %s\n", strings.ToUpper(f.Severity.String()), f.Check, f.Text)
		if f.Remedy != "" {
			fmt.Fprintf(out, "%-20s -> %s\n", "", f.Remedy)
		}
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(out)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(out, "%-9s %-10s %s\n", "skipped", s.Check, s.Why)
	}
	if len(r.Passed) > 0 {
		fmt.Fprintf(out, "%-9s %s\n", "ok", strings.Join(r.Passed, ", "))
	}
	fmt.Fprintf(out, "\n%d critical, %d warning, %d note\n", r.count(Critical), r.count(Warning), r.count(Note))
}
