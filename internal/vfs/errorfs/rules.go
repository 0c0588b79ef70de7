package errorfs

import (
	"path"
	"slices"
	"sync/atomic"
)

// Match chooses calls.
type Match func(Op) bool

// Kinds matches calls of the given kinds.
func Kinds(kinds ...Kind) Match {
	return func(op Op) bool { return slices.Contains(kinds, op.Kind) }
}

// Writes matches everything that changes a file or makes it durable: what a full or
// broken disk refuses.
func Writes() Match {
	return Kinds(Create, Remove, RemoveAll, Rename, MkdirAll, SyncDir, Write, Truncate, Allocate, Sync, SyncData, Populate, MapSync)
}

// Syncs matches what makes something durable.
func Syncs() Match { return Kinds(SyncDir, Sync, SyncData, MapSync) }

// Name matches calls on files whose last path element matches the pattern of path.Match;
// for a rename, either name.
func Name(pattern string) Match {
	return func(op Op) bool {
		for _, name := range []string{op.Path, op.NewPath} {
			if ok, err := path.Match(pattern, path.Base(name)); ok && err == nil && name != "" {
				return true
			}
		}
		return false
	}
}

// All matches what each of its parts matches; without parts, everything.
func All(parts ...Match) Match {
	return func(op Op) bool {
		for _, m := range parts {
			if !m(op) {
				return false
			}
		}
		return true
	}
}

// Once fails the n-th matching call, counted from 0, and no other.
func Once(n int64, fault Fault, match Match) Rule {
	var seen atomic.Int64
	return func(op Op) Fault {
		if match(op) && seen.Add(1)-1 == n {
			return fault
		}
		return Fault{}
	}
}

// From fails the n-th matching call, counted from 0, and every later one.
func From(n int64, fault Fault, match Match) Rule {
	var seen atomic.Int64
	return func(op Op) Fault {
		if match(op) && seen.Add(1)-1 >= n {
			return fault
		}
		return Fault{}
	}
}

// EachCall runs f for n = 0, 1, 2, ... with a rule that fails the n-th matching call,
// until a run had fewer matching calls than that, and returns how many runs had a fault.
// The rule is Once or From. f makes everything anew each time, and reports failures
// itself; it returns false to stop early.
func EachCall(rule func(int64, Fault, Match) Rule, fault Fault, match Match, f func(n int64, r Rule) bool) int64 {
	for n := int64(0); ; n++ {
		var fired atomic.Bool
		inner := rule(n, fault, match)
		watched := func(op Op) Fault {
			got := inner(op)
			if got != (Fault{}) {
				fired.Store(true)
			}
			return got
		}
		if more := f(n, watched); !more || !fired.Load() {
			return n
		}
	}
}
