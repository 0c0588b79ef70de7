package quorum

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/tools/cli"
)

// op is what each request of a load does.
type op uint8

const (
	opSet op = iota
	opCreate
	opGet
	opPing
)

// kind is what is measured.
type kind uint8

const (
	kindLoad     kind = iota // requests as fast as they go, or at a rate
	kindFailover             // the leader is killed: how long until a write succeeds
	kindRestart              // the only server is killed with znodes in its tree: how long until it serves
	kindMemory               // memory of the only server for each znode
)

// where says which servers the connections go to.
type where uint8

const (
	anyServer where = iota
	theLeader
	aFollower
)

// scenario is one line of the matrix.
type scenario struct {
	name, title string
	kind        kind
	op          op
	valueBytes  int
	conns       int
	depth       int // unanswered requests of a connection
	where       where
	alone       bool // takes an ensemble of one
	znodes      int  // made before (restart, memory)
	// every is, for pings, how often each connection sends one.
	every time.Duration
	long  bool // only when it is named
}

// matrix is every scenario, in the order in which all are run.
func matrix() []scenario {
	return []scenario{
		{name: "set 1KiB 64", title: "sets of 1 KiB, 64 connections over all servers, one unanswered on each", op: opSet, valueBytes: 1 << 10, conns: 64, depth: 1},
		{name: "set 1KiB 256", title: "sets of 1 KiB, 64 connections over all servers, four unanswered on each", op: opSet, valueBytes: 1 << 10, conns: 64, depth: 4},
		{name: "set 1KiB lone leader", title: "one set of 1 KiB after the other, on the leader", op: opSet, valueBytes: 1 << 10, conns: 1, depth: 1, where: theLeader},
		{name: "set 1KiB lone follower", title: "one set of 1 KiB after the other, on a follower", op: opSet, valueBytes: 1 << 10, conns: 1, depth: 1, where: aFollower},
		{name: "create 100B 64", title: "creates of 100 B, 64 connections over all servers", op: opCreate, valueBytes: 100, conns: 64, depth: 1},
		{name: "get 100B 64", title: "reads of 100 B, 64 connections over all servers", op: opGet, valueBytes: 100, conns: 64, depth: 1},
		{name: "get 100B 64x8", title: "reads of 100 B, 64 connections over all servers, eight unanswered on each", op: opGet, valueBytes: 100, conns: 64, depth: 8},
		{name: "sessions 1000", title: "1,000 sessions of 30 s that only ping, each 10 s", op: opPing, conns: 1000, depth: 1, every: 10 * time.Second},
		{name: "sessions 10000", title: "10,000 sessions of 30 s that only ping, each 10 s", op: opPing, conns: 10_000, depth: 1, every: 10 * time.Second, long: true},
		{name: "failover", title: "the leader is killed: from then to the first write that another server takes", kind: kindFailover},
		{name: "restart 100000", title: "a lone server with 100,000 znodes of 100 B is killed: from its start to the first read", kind: kindRestart, valueBytes: 100, znodes: 100_000, alone: true, long: true},
		{name: "memory 200000", title: "memory of a lone server for each of 200,000 znodes of 100 B", kind: kindMemory, valueBytes: 100, znodes: 200_000, alone: true, long: true},
	}
}

// selected are the scenarios named, in the matrix's order; without names all that are not long.
func selected(names []string) ([]scenario, error) {
	all := matrix()
	for _, name := range names {
		if !slices.ContainsFunc(all, func(s scenario) bool { return s.name == name }) {
			return nil, cli.Usagef("unknown scenario %q: 'millrace bench quorum --list' shows them", name)
		}
	}
	return slices.DeleteFunc(all, func(s scenario) bool {
		if len(names) == 0 {
			return s.long
		}
		return !slices.Contains(names, s.name)
	}), nil
}

// list is what --list prints.
func list() string {
	var b strings.Builder
	for _, s := range matrix() {
		note := ""
		if s.long {
			note = " (only when named)"
		}
		fmt.Fprintf(&b, "%-24s %s%s\n", s.name, s.title, note)
	}
	return b.String()
}
