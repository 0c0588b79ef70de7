package report

import "strings"

// shorten takes off names what all of them begin and end with, word by word, so that lists
// and legends show what tells them apart: "produce 1KiB p1 acks=1" and "produce 1KiB p6
// acks=1" become "p1" and "p6", common to them is "produce 1KiB … acks=1". A lone name, and
// names of which one would lose all its words, stay as they are. What is common is left out
// when it is no more than the title above the list.
func shorten(names []string, title string) (short []string, common string) {
	if len(names) < 2 {
		return names, ""
	}
	words := make([][]string, len(names))
	for i, n := range names {
		words[i] = strings.Fields(n)
	}
	front, back := 0, 0
	for front < len(words[0]) && all(words, func(w []string) bool { return len(w) > front+1 && w[front] == words[0][front] }) {
		front++
	}
	for back < len(words[0]) && all(words, func(w []string) bool {
		return len(w) > front+back+1 && w[len(w)-1-back] == words[0][len(words[0])-1-back]
	}) {
		back++
	}
	if front+back == 0 {
		return names, ""
	}
	for _, w := range words {
		short = append(short, strings.Join(w[front:len(w)-back], " "))
	}
	first := words[0]
	parts := append(append([]string{}, first[:front]...), "…")
	common = strings.Join(append(parts, first[len(first)-back:]...), " ")
	if strings.Trim(common, " …:") == title {
		common = ""
	}
	return short, common
}

func all(words [][]string, holds func([]string) bool) bool {
	for _, w := range words {
		if !holds(w) {
			return false
		}
	}
	return true
}
