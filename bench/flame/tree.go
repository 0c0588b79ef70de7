package flame

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// frame is a function as it was called from the frame above it, with what was sampled in it
// and below (total) and in it alone (self).
type frame struct {
	name, file  string
	total, self int64
	children    map[string]*frame
}

func (f *frame) child(name, file string) *frame {
	c := f.children[name]
	if c == nil {
		c = &frame{name: name, file: file}
		if f.children == nil {
			f.children = map[string]*frame{}
		}
		f.children[name] = c
	}
	return c
}

// sorted are the children, the greatest first; equal ones by name, so that the same profile
// always gives the same drawing.
func (f *frame) sorted() []*frame {
	list := make([]*frame, 0, len(f.children))
	for _, c := range f.children {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *frame) int {
		return cmp.Or(cmp.Compare(b.total, a.total), strings.Compare(a.name, b.name))
	})
	return list
}

// grow adds up a profile's samples by call path; value is the index of the sample's value.
// Inlined calls are frames like all others. Negative values (a difference of two profiles,
// where something was freed) count as none.
func grow(p *profile.Profile, value int) *frame {
	root := &frame{name: "all"}
	for _, s := range p.Sample {
		if value >= len(s.Value) || s.Value[value] <= 0 {
			continue
		}
		v := s.Value[value]
		at := root
		at.total += v
		for i := len(s.Location) - 1; i >= 0; i-- { // the last location is the outermost call
			lines := s.Location[i].Line
			for j := len(lines) - 1; j >= 0; j-- { // and so is the last line of one
				if fn := lines[j].Function; fn != nil && fn.Name != "" && fn.Name != "runtime.goexit" { // the root of every goroutine says nothing
					at = at.child(fn.Name, fn.Filename)
					at.total += v
				}
			}
		}
		at.self += v
	}
	return root
}

// valueIndex finds the type of sample to draw: the one named, else the profile's default,
// else its last, as pprof does.
func valueIndex(p *profile.Profile, name string) int {
	for _, want := range []string{name, p.DefaultSampleType} {
		for i, t := range p.SampleType {
			if want != "" && t.Type == want {
				return i
			}
		}
	}
	return len(p.SampleType) - 1
}

// waiting keeps of a wall-clock profile the samples of goroutines that did not run: parked by
// the scheduler, or in a system call that waits for a disk. Others in system calls may be
// either, and count as running.
func waiting(p *profile.Profile) *profile.Profile {
	q := &profile.Profile{SampleType: p.SampleType, DefaultSampleType: p.DefaultSampleType, DurationNanos: p.DurationNanos}
	for _, s := range p.Sample {
		if waits(s) {
			q.Sample = append(q.Sample, s)
		}
	}
	return q
}

func waits(s *profile.Sample) bool {
	if len(s.Location) == 0 {
		return false
	}
	if lines := s.Location[0].Line; len(lines) > 0 && lines[0].Function != nil && lines[0].Function.Name == "runtime.gopark" {
		return true
	}
	for _, l := range s.Location[:min(len(s.Location), 6)] {
		for _, line := range l.Line {
			if line.Function == nil {
				continue
			}
			switch name := line.Function.Name; name[strings.LastIndexByte(name, '.')+1:] {
			case "Fdatasync", "Fsync", "Msync", "SyncFileRange":
				return true
			}
		}
	}
	return false
}
