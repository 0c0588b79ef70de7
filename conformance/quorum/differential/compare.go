package differential

import (
	"fmt"
	"slices"
	"strings"
)

// Difference is the first one between two runs of a script.
type Difference struct {
	Step int
	Why  string
	A, B Record
}

func (d *Difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n    in step %d: %s", d.Why, d.Step, d.A.What)
	for i, rec := range []Record{d.A, d.B} {
		fmt.Fprintf(&b, "\n    %s:", [...]string{"wanted", "got"}[i])
		for _, e := range rec.Before {
			fmt.Fprintf(&b, "\n      %s", e)
		}
		for _, f := range rec.Fields {
			fmt.Fprintf(&b, "\n      %v", f)
		}
		for _, e := range rec.After {
			fmt.Fprintf(&b, "\n      behind the answer: %s", e)
		}
	}
	return b.String()
}

// comparer knows what means the same in both runs.
type comparer struct {
	pairs  []pair // zxids, in their order
	namesA map[int64]string
	namesB map[int64]string
}

type pair struct{ a, b int64 }

// Compare returns the first difference, nil if there is none.
func Compare(a, b []Record, namesA, namesB map[int64]string) *Difference {
	c := &comparer{namesA: namesA, namesB: namesB, pairs: []pair{{0, 0}}}
	for i := range a {
		if i >= len(b) {
			return &Difference{Step: a[i].Step, Why: "the second run ends early", A: a[i]}
		}
		if why := c.record(&a[i], &b[i]); why != "" {
			return &Difference{Step: a[i].Step, Why: why, A: a[i], B: b[i]}
		}
	}
	if len(b) > len(a) {
		return &Difference{Step: b[len(a)].Step, Why: "the first run ends early", A: Record{What: b[len(a)].What}, B: b[len(a)]}
	}
	return nil
}

func (c *comparer) record(a, b *Record) string {
	if a.Step != b.Step || a.What != b.What {
		return "another step"
	}
	if why := events("before", a.Before, b.Before, a.Loose); why != "" {
		return why
	}
	if why := events("behind", a.After, b.After, a.Loose); why != "" {
		return why
	}
	for i := range min(len(a.Fields), len(b.Fields)) {
		if why := c.field(a.Fields[i], b.Fields[i]); why != "" {
			return fmt.Sprintf("%s: %s", a.Fields[i].Name, why)
		}
	}
	if len(a.Fields) != len(b.Fields) {
		return fmt.Sprintf("%d fields and %d", len(a.Fields), len(b.Fields))
	}
	if why := times(a.Fields); why != "" {
		return "the first: " + why
	}
	if why := times(b.Fields); why != "" {
		return "the second: " + why
	}
	return ""
}

func events(where string, a, b []string, loose bool) string {
	if loose {
		a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	}
	if !slices.Equal(a, b) {
		return "the events " + where + " the answer"
	}
	return ""
}

func (c *comparer) field(a, b Field) string {
	if a.Name != b.Name || a.Kind != b.Kind {
		return fmt.Sprintf("%v is not of the same kind as %v", a, b)
	}
	switch a.Kind {
	case exact:
		if a.Text != b.Text {
			return fmt.Sprintf("%s, not %s", b.Text, a.Text)
		}
	case zxid:
		return c.zxid(a.N, b.N)
	case timeMs:
		if (a.N == 0) != (b.N == 0) {
			return fmt.Sprintf("time %d, not %d", b.N, a.N)
		}
	case session:
		nameA, knownA := c.namesA[a.N]
		nameB, knownB := c.namesB[b.N]
		if nameA != nameB || (!knownA || !knownB) && a.N != b.N {
			return fmt.Sprintf("0x%x %s, not 0x%x %s", b.N, nameB, a.N, nameA)
		}
	}
	return ""
}

// zxid checks that the two stand at the same place among all that were seen.
func (c *comparer) zxid(a, b int64) string {
	at, found := slices.BinarySearchFunc(c.pairs, a, func(p pair, a int64) int {
		switch {
		case p.a < a:
			return -1
		case p.a > a:
			return 1
		}
		return 0
	})
	if found {
		if p := c.pairs[at]; p.b != b {
			return fmt.Sprintf("0x%x, where 0x%x was 0x%x before", b, a, p.b)
		}
		return ""
	}
	if at > 0 && c.pairs[at-1].b >= b {
		return fmt.Sprintf("0x%x for 0x%x is not above 0x%x for 0x%x", b, a, c.pairs[at-1].b, c.pairs[at-1].a)
	}
	if at < len(c.pairs) && c.pairs[at].b <= b {
		return fmt.Sprintf("0x%x for 0x%x is not below 0x%x for 0x%x", b, a, c.pairs[at].b, c.pairs[at].a)
	}
	c.pairs = slices.Insert(c.pairs, at, pair{a, b})
	return ""
}

// times checks the times of each stat of a record: a node is not changed before it is made,
// and one that was not changed has one time.
func times(fields []Field) string {
	value := map[string]int64{}
	for _, f := range fields {
		value[f.Name] = f.N
	}
	for _, f := range fields {
		name, ok := strings.CutSuffix(f.Name, ".ctime")
		if !ok {
			continue
		}
		created, changed := value[name+".ctime"], value[name+".mtime"]
		if created > changed || value[name+".czxid"] == value[name+".mzxid"] && created != changed {
			return fmt.Sprintf("made at %d (0x%x), changed at %d (0x%x)", created, value[name+".czxid"], changed, value[name+".mzxid"])
		}
	}
	return ""
}
