package report

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/bench/result"
)

// Merge joins the results of several files into one. Runs and floors of one name that are
// not of one file get a number, so that names stay unique and runs keep their floor. What
// a reader must know of the mixture (other machines, other versions) becomes a note.
func Merge(files ...*result.File) *result.File {
	if len(files) == 1 {
		return files[0]
	}
	out := &result.File{Schema: result.Schema}
	runs, floors := map[string]bool{}, map[string]bool{}
	for i, f := range files {
		if i == 0 {
			out.Command, out.Version, out.Machine = f.Command, f.Version, f.Machine
			out.Started, out.Ended = f.Started, f.Ended
		} else {
			mergeHead(out, f, i+1)
		}
		out.Interrupted = out.Interrupted || f.Interrupted
		for _, n := range f.Notes {
			if !slices.Contains(out.Notes, n) {
				out.Notes = append(out.Notes, n)
			}
		}
		newRun, newFloor := map[string]string{}, map[string]string{}
		for _, fl := range f.Floors {
			newFloor[fl.Name] = unique(floors, fl.Name, i+1)
			fl.Name = newFloor[fl.Name]
			out.Floors = append(out.Floors, fl)
		}
		for _, r := range f.Runs {
			newRun[r.Name] = unique(runs, r.Name, i+1)
			r.Name, r.Floor = newRun[r.Name], renamed(newFloor, r.Floor)
			out.Runs = append(out.Runs, r)
		}
		for _, g := range f.Goals {
			g.Run, g.Floor = renamed(newRun, g.Run), renamed(newFloor, g.Floor)
			out.Goals = append(out.Goals, g)
		}
		out.Pairs = append(out.Pairs, f.Pairs...)
		out.Curves = append(out.Curves, f.Curves...)
	}
	return out
}

// mergeHead folds the head of file number n into out.
func mergeHead(out, f *result.File, n int) {
	out.Command += "\n" + f.Command
	if f.Started.Before(out.Started) {
		out.Started = f.Started
	}
	if f.Ended.After(out.Ended) {
		out.Ended = f.Ended
	}
	if f.Version != out.Version {
		out.Notes = append(out.Notes, fmt.Sprintf("Results %d were measured by version %s, the first by %s.", n, f.Version, out.Version))
	}
	a, b := out.Machine, f.Machine
	a.LoadAverage, b.LoadAverage = 0, 0
	if a != b {
		out.Notes = append(out.Notes, fmt.Sprintf("Results %d are from another machine or set-up (%s): its figures do not compare with the first's.", n, machineLine(f.Machine)))
	}
}

// unique returns name, with a number when it is taken, and takes it.
func unique(taken map[string]bool, name string, n int) string {
	for taken[name] {
		name = fmt.Sprintf("%s (%d)", name, n)
	}
	taken[name] = true
	return name
}

func renamed(names map[string]string, name string) string {
	if other, ok := names[name]; ok {
		return other
	}
	return name
}
