package properties

import (
	"slices"
	"strings"
)

// Suggest returns the names that a misspelt one may have meant, nearest first, at most three.
func Suggest(name string, names []string) []string {
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
