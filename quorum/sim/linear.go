package sim

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/millrace/millrace/quorum/jute"
)

// register is one key.
type register struct {
	there bool
	data  string
	ver   int32
}

// model is a register whose requests with unknown outcome were done or not.
var model = porcupine.NondeterministicModel{
	Init: func() []any { return []any{register{}} },
	Step: func(state, input, output any) []any {
		r, o := state.(register), input.(*op)
		next, ok := o.apply(r)
		if o.unknown || o.ret == 0 {
			if _, done := o.apply(r); done && o.writes() {
				return []any{r, next}
			}
			return []any{r}
		}
		if !ok {
			return nil
		}
		return []any{next}
	},
	Equal: func(a, b any) bool { return a.(register) == b.(register) },
	DescribeOperation: func(input, _ any) string {
		o := input.(*op)
		if o.unknown {
			return "? " + o.String()
		}
		return o.String()
	},
	DescribeState: func(state any) string { return fmt.Sprintf("%+v", state) },
}

func (o *op) writes() bool { return o.kind != opGet && o.kind != opExists && o.kind != opSyncGet }

// apply is the register after o, and whether o can have had its outcome there. An unknown
// outcome is taken for success.
func (o *op) apply(r register) (register, bool) {
	done := o.code == jute.OK || o.unknown || o.ret == 0
	sure := !o.unknown && o.ret != 0
	fits := o.version == -1 || o.version == r.ver
	switch o.kind {
	case opSet, opMultiSet:
		switch {
		case done:
			next := register{true, o.value, r.ver + 1}
			return next, r.there && fits && (o.kind == opMultiSet || !sure || o.stat.Version == next.ver)
		case o.code == jute.NoNode:
			return r, !r.there
		}
		return r, o.code == jute.BadVersion && r.there && !fits
	case opCreate:
		if done {
			return register{true, o.value, 0}, !r.there
		}
		return r, o.code == jute.NodeExists && r.there
	case opDelete:
		switch {
		case done:
			return register{}, r.there && fits
		case o.code == jute.NoNode:
			return r, !r.there
		}
		return r, o.code == jute.BadVersion && r.there && !fits
	}
	if done {
		return r, r.there && r.data == o.data && r.ver == o.stat.Version
	}
	return r, o.code == jute.NoNode && !r.there
}

// linear checks the writes of each key, and the reads behind a sync.
func (j *judge) linear() {
	for _, key := range keys {
		var history []porcupine.Operation
		for _, c := range j.w.clients {
			for _, l := range c.lives {
				for i, o := range l.ops {
					if !o.onKey(key) || o.dropped || o.kind == opMultiSet && o.code != jute.OK && !o.unknown {
						continue
					}
					ret := o.ret
					if o.unknown || ret == 0 {
						ret = nextReply(l, i+1, ret)
					}
					history = append(history, porcupine.Operation{ClientId: c.id, Input: o, Call: o.call, Output: nil, Return: ret})
				}
			}
		}
		result, info := porcupine.CheckOperationsVerbose(model.ToModel(), history, time.Minute)
		switch result {
		case porcupine.Illegal:
			j.fail("%s is not linearizable: %s", key, longest(history, info))
		case porcupine.Unknown:
			j.t.Logf("%s: %d operations could not be checked in a minute", key, len(history))
		}
	}
}

// onKey tells whether the linearizability of key depends on o.
func (o *op) onKey(key string) bool {
	switch o.kind {
	case opSet, opCreate, opDelete, opSyncGet:
		return o.path == key
	case opMultiSet:
		return o.path == key || o.path2 == key
	}
	return false
}

// nextReply is when the session's next request after the break was answered: what was under
// way is done until then or never.
func nextReply(l *life, from int, broke int64) int64 {
	for ; l != nil; l, from = l.next, 0 {
		for _, o := range l.ops[from:] {
			if o.call > broke && broke != 0 && o.ret != 0 && !o.unknown && !o.dropped {
				return o.ret
			}
		}
	}
	return math.MaxInt64
}

// longest describes where the longest linearization ends.
func longest(history []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var best []int
	for _, part := range info.PartialLinearizations() {
		for _, p := range part {
			if len(p) > len(best) {
				best = p
			}
		}
	}
	s := fmt.Sprintf("%d of %d operations fit", len(best), len(history))
	in := make(map[int]bool)
	for i, n := range best {
		in[n] = true
		if i >= len(best)-6 {
			s += fmt.Sprintf("\n  client %d %d-%d %s", history[n].ClientId, history[n].Call, history[n].Return, model.DescribeOperation(history[n].Input, nil))
		}
	}
	s += "\n then none of"
	count := 0
	for n := range history {
		if !in[n] && count < 8 {
			count++
			s += fmt.Sprintf("\n  client %d %d-%d %s", history[n].ClientId, history[n].Call, history[n].Return, model.DescribeOperation(history[n].Input, nil))
		}
	}
	return s
}
