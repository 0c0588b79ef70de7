package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/millrace/millrace/bench/result"
)

// table is one table of the report, the same on the page and on the terminal.
type table struct {
	ID, Title string
	Note      string // what a reader must know of its columns
	Columns   []column
	Rows      []row
}

// column is the head of one column.
type column struct {
	Name, Unit string
	Help       string // the long form of Name
	Numeric    bool   // set flush right, sorted by value
	Wide       bool   // holds sentences
	Roomy      bool   // holds phrases
}

// row is one line; Kind dims a run that failed.
type row struct {
	Cells  []cell
	Failed bool
}

// cell is one figure or text. An empty Text is nothing known.
type cell struct {
	Text  string
	Sort  float64 // what numeric columns are sorted by; NaN stands last
	Class string  // "met", "missed", "unknown": the colour of a verdict
}

// field is a column of a table and how its cell is had from a T.
type field[T any] struct {
	column
	of func(T) cell
}

// How many bytes of text make a column one of sentences, and one of phrases.
const (
	wideText  = 60
	roomyText = 28
)

// tableOf makes a table of items; columns without anything in them are left out.
func tableOf[T any](id, title, note string, fields []field[T], items []T) table {
	t := table{ID: id, Title: title, Note: note}
	used := make([]bool, len(fields))
	cells := make([][]cell, len(items))
	for i, item := range items {
		cells[i] = make([]cell, len(fields))
		for j, f := range fields {
			cells[i][j] = f.of(item)
			used[j] = used[j] || cells[i][j].Text != ""
			fields[j].Wide = fields[j].Wide || len(cells[i][j].Text) > wideText
			fields[j].Roomy = fields[j].Roomy || len(cells[i][j].Text) > roomyText
		}
	}
	for j, f := range fields {
		if used[j] {
			t.Columns = append(t.Columns, f.column)
		}
	}
	for i := range items {
		var r row
		for j := range fields {
			if used[j] {
				r.Cells = append(r.Cells, cells[i][j])
			}
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}

// text is a column of words.
func text[T any](name string, of func(T) string) field[T] {
	return field[T]{column{Name: name}, func(item T) cell { return cell{Text: of(item), Sort: math.NaN()} }}
}

// figure is a column of numbers written by format; zero is nothing known.
func figure[T any](name, unit, help string, format func(float64) string, of func(T) float64) field[T] {
	return field[T]{column{Name: name, Unit: unit, Help: help, Numeric: true}, func(item T) cell {
		v := of(item)
		if v == 0 || !finite(v) {
			return cell{Sort: math.NaN()}
		}
		return cell{Text: format(v), Sort: v}
	}}
}

// How figures are written; units stand in the heads of columns.

func ratioText(v float64) string { return fixed(v, 2) + "x" }

func percent(v float64) string { return fixed(v*100, 1) + " %" }

func mebibytes(v float64) string { return result.Significant(v / (1 << 20)) }

func seconds(v float64) string { return fixed(v, 1) }

func fixed(v float64, decimals int) string {
	if math.Abs(v) >= 100 {
		decimals = 0
	}
	s := fmt.Sprintf("%.*f", decimals, v)
	if strings.Contains(s, "-0") && strings.Trim(s, "-0.") == "" {
		return strings.TrimPrefix(s, "-")
	}
	return s
}

// bytesText writes a size with the unit that suits it: "64 KiB", "30 GiB", "200 B".
func bytesText(n int64) string {
	v, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if math.Abs(v) < 1024 {
			break
		}
		v, unit = v/1024, u
	}
	if v == math.Trunc(v) {
		return fmt.Sprintf("%.0f %s", v, unit)
	}
	return result.Significant(v) + " " + unit
}
