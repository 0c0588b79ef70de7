package differential

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/millrace/millrace/conformance/quorum/wire"
)

// generator makes random scripts.
type generator struct {
	*rand.Rand
	clients int
	client  int // the one that the next step is of
}

// Generate makes a script. Few names, few clients: they shall meet.
func Generate(rnd *rand.Rand, clients, steps int) Script {
	g := &generator{Rand: rnd, clients: clients}
	s := Script{Clients: clients}
	for range steps {
		s.Steps = append(s.Steps, g.step())
	}
	return s
}

func pick[T any](g *generator, list ...T) T { return list[g.IntN(len(list))] }

// oneIn is true once in n times.
func (g *generator) oneIn(n int) bool { return g.IntN(n) == 0 }

// weighted is the operations with how often they are wanted.
var weighted = []struct {
	weight int
	make   func(g *generator, s *Step)
}{
	{30, (*generator).create},
	{12, func(g *generator, s *Step) { s.Op, s.Version = opDelete, g.version() }},
	{14, func(g *generator, s *Step) { s.Op, s.Data, s.Version = opSetData, g.data(), g.version() }},
	{12, func(g *generator, s *Step) { s.Op, s.Watch = opExists, g.watches() }},
	{14, func(g *generator, s *Step) { s.Op, s.Watch = opGetData, g.watches() }},
	{6, func(g *generator, s *Step) { s.Op, s.Watch = opGetChildren, g.watches() }},
	{10, func(g *generator, s *Step) { s.Op, s.Watch = opGetChildren2, g.watches() }},
	{4, func(g *generator, s *Step) { s.Op = opGetACL }},
	{5, func(g *generator, s *Step) { s.Op, s.ACL, s.Version = opSetACL, g.acl(), g.version() }},
	{3, func(g *generator, s *Step) { s.Op, s.Path = opSync, echoed(s.Path) }},
	{3, func(g *generator, s *Step) { s.Op = opGetAllChildrenNumber }},
	{3, func(g *generator, s *Step) { s.Op = opGetEphemerals }},
	{12, func(g *generator, s *Step) {
		s.Op, s.Client = opAddWatch, 1+g.IntN(2)
		g.client = s.Client
		s.Path, s.Raw = g.path()
		s.Flags = pick(g, int32(s.Client-1), int32(s.Client-1), int32(s.Client-1), 2, -1)
	}},
	{4, func(g *generator, s *Step) { s.Op, s.Flags = opRemoveWatches, watcherType(g) }},
	// ZooKeeper 3.8.0 answers for the watches of all clients of the server, so that it must
	// be a node that no other client watches.
	{2, func(g *generator, s *Step) {
		s.Op, s.Flags, s.Path, s.Raw = opCheckWatches, watcherType(g), g.own(), false
	}},
	{14, (*generator).multi},
	{4, (*generator).multiRead},
	{4, (*generator).setWatches},
	{4, (*generator).auth},
	{1, func(g *generator, s *Step) { s.Op = opWhoAmI }},
	{1, func(g *generator, s *Step) { s.Op = opPing }},
	{3, func(g *generator, s *Step) { s.Op = opCloseSession }},
	{5, func(g *generator, s *Step) { s.Op = stepReconnect }},
	{1, func(g *generator, s *Step) { s.Op = stepWrongPassword }},
	{3, (*generator).odd},
}

// echoed is a path that the server sends back unchecked. No node has what is beyond 16 bits in
// its path, and Java sends it back in an encoding of its own (CESU-8).
func echoed(path string) string { return strings.ReplaceAll(path, "\U0001f600", "") }

// watches tells whether a read leaves a watch. Only the first client's do: the second one has
// persistent watches, the third one recursive ones. Of a client that has several kinds of them
// on one path ZooKeeper 3.8.0 forgets some (ZOOKEEPER-4466).
func (g *generator) watches() bool { return g.client == 0 && !g.oneIn(3) }

func watcherType(g *generator) int32 { return pick(g, int32(1), 2, 3, 3, 4, 5, 0) }

// own is a path that no other client uses.
func (g *generator) own() string { return fmt.Sprintf("/of%d", g.client) }

func (g *generator) step() Step {
	total := 0
	for _, w := range weighted {
		total += w.weight
	}
	g.client = g.IntN(g.clients)
	s := Step{Client: g.client}
	n := g.IntN(total)
	for _, w := range weighted {
		if n -= w.weight; n < 0 {
			s.Path, s.Raw = g.path()
			w.make(g, &s)
			break
		}
	}
	if g.oneIn(150) && s.Op > 0 {
		s.Cut = 1 + g.IntN(12)
	}
	if g.oneIn(150) && s.Op > 0 {
		s.Extra = 1 + g.IntN(9)
	}
	return s
}

// path is mostly one of few that there may be.
func (g *generator) path() (path string, raw bool) {
	switch {
	case g.oneIn(60):
		return pick(g, "x", "a/b", "//", "/zookeeper", "/zookeeper/quota", "/", "/zookeeper/quota/a"), true
	case g.oneIn(40):
		return pick(g, "/", "/a/", "//a", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/...", "/a/.b", "/a\x00", "/a\x1f", "/a\x7fb", "/a\uf000", "/a\U0001f600"), false
	case g.oneIn(15):
		return "", false // the script's own folder
	case g.oneIn(15):
		return g.own(), false
	}
	var b strings.Builder
	for range 1 + g.IntN(3) {
		b.WriteString("/" + g.name())
		if g.oneIn(2) {
			break
		}
	}
	return b.String(), false
}

func (g *generator) name() string {
	switch {
	case g.oneIn(12):
		return fmt.Sprintf("%s%010d", pick(g, "", "s-", "a"), g.IntN(4))
	case g.oneIn(25):
		return pick(g, "zażółć", "a b", "%s", "日本", "a.b", strings.Repeat("long", 60))
	}
	return pick(g, "a", "a", "b", "b", "c")
}

func (g *generator) data() []byte {
	switch {
	case g.oneIn(8):
		return nil
	case g.oneIn(8):
		return []byte{}
	case g.oneIn(120):
		return make([]byte, pick(g, 1<<20-1, 1<<20-200, 1_000_000, 1<<20, 1<<20+1))
	case g.oneIn(30):
		return []byte(strings.Repeat("x", g.IntN(5000)))
	}
	return fmt.Appendf(nil, "%d", g.IntN(1000))
}

func (g *generator) version() int32 {
	return pick(g, int32(-1), -1, -1, 0, 0, 1, 2, 3, -2)
}

// digestID is what the digest scheme stores of user:password.
func digestID(userPassword string) string {
	user, _, _ := strings.Cut(userPassword, ":")
	sum := sha1.Sum([]byte(userPassword))
	return user + ":" + base64.StdEncoding.EncodeToString(sum[:])
}

func (g *generator) acl() []wire.ACL {
	if !g.oneIn(4) {
		return []wire.ACL{{Perms: 31, Scheme: "world", ID: "anyone"}}
	}
	list := []wire.ACL{}
	for range g.IntN(4) {
		list = append(list, g.entry())
	}
	if g.oneIn(15) {
		return nil
	}
	if len(list) > 0 && g.oneIn(10) {
		list = append(list, list[0])
	}
	return list
}

func (g *generator) entry() wire.ACL {
	perms := pick(g, int32(31), 31, 31, 1, 3, 16, 17, 27, 30, 0, 32, -1)
	return pick(g,
		wire.ACL{Perms: perms, Scheme: "world", ID: "anyone"},
		wire.ACL{Perms: perms, Scheme: "world", ID: "anyone"},
		wire.ACL{Perms: perms, Scheme: "auth", ID: ""},
		wire.ACL{Perms: perms, Scheme: "auth", ID: "ignored"},
		wire.ACL{Perms: perms, Scheme: "digest", ID: digestID("alice:secret")},
		wire.ACL{Perms: perms, Scheme: "digest", ID: digestID("bob:pw")},
		wire.ACL{Perms: perms, Scheme: "ip", ID: "127.0.0.1"},
		wire.ACL{Perms: perms, Scheme: "ip", ID: pick(g, "127.0.0.0/8", "10.0.0.0/8", "127.0.0.1/33", "127.0.0", "127.0.0.1/x", "", "127.0.0.0/0")},
		wire.ACL{Perms: perms, Scheme: pick(g, "world", "digest", "foo", "", "super", "sasl"), ID: pick(g, "x", "", "a:b", "a:b:c", "anyone")},
	)
}

func (g *generator) create(s *Step) {
	s.Op = pick(g, opCreate, opCreate, opCreate2, opCreate2, opCreate2, opCreateContainer, opCreateTTL)
	s.Data, s.ACL = g.data(), g.acl()
	switch s.Op {
	case opCreateContainer:
		s.Flags = 4
	case opCreateTTL:
		// One above the largest ends Debian's server, for good: it is in its log.
		s.Flags, s.TTL = pick(g, int32(5), 6), pick(g, int64(100_000), 1, 1<<39, 0, -1, 1<<40-1)
	default:
		s.Flags = pick(g, int32(0), 0, 0, 0, 1, 1, 2, 3)
	}
	if s.Op != opCreateContainer && s.Op != opCreateTTL && g.oneIn(40) {
		// The flags of TTL nodes belong to createTTL: without a TTL they are a marshalling
		// error in a multi and BadArguments else.
		s.Flags = pick(g, int32(0), 1, 2, 3, 4, 7, -1)
	}
	if s.Flags == 2 || s.Flags == 3 || s.Flags == 6 {
		s.Path += pick(g, "", "", "s-", "/")
	}
}

func (g *generator) multi(s *Step) {
	s.Op = opMulti
	for range g.IntN(5) {
		sub := Step{}
		sub.Path, sub.Raw = g.path()
		switch g.IntN(12) {
		case 0, 1, 2, 3:
			g.create(&sub)
		case 4, 5:
			sub.Op, sub.Version = opDelete, g.version()
		case 6, 7:
			sub.Op, sub.Data, sub.Version = opSetData, g.data(), g.version()
		default:
			sub.Op, sub.Version = opCheck, pick(g, int32(-1), -1, 0)
		}
		if g.oneIn(80) {
			sub.Op = pick(g, opGetData, opSetACL, opMulti, 99)
		}
		s.Subs = append(s.Subs, sub)
	}
}

func (g *generator) multiRead(s *Step) {
	s.Op = opMultiRead
	for range g.IntN(5) {
		sub := Step{Op: pick(g, opGetData, opGetChildren), Watch: g.watches()}
		sub.Path, sub.Raw = g.path()
		if g.oneIn(60) {
			sub.Op = pick(g, opExists, opCreate)
		}
		s.Subs = append(s.Subs, sub)
	}
}

func (g *generator) setWatches(s *Step) {
	s.Op, s.Rel = pick(g, opSetWatches, opSetWatches2), pick(g, relZero, relLast, relLast, relMax)
	kinds := [][]int{{0, 1, 2}, {3}, {4}}[s.Client%3]
	for i := range s.Paths {
		s.Paths[i] = []string{}
		if !slices.Contains(kinds, i) {
			continue
		}
		for range g.IntN(3) {
			path, raw := g.path()
			if !raw {
				s.Paths[i] = append(s.Paths[i], echoed(path))
			}
		}
	}
}

func (g *generator) auth(s *Step) {
	s.Op = opAuth
	s.Scheme = pick(g, "digest", "digest", "digest", "digest", "digest", "ip", "world", "foo", "auth", "sasl", "x509", "")
	s.Data = []byte(pick(g, "alice:secret", "alice:secret", "bob:pw", "alice:wrong", "nocolon", "", "a:b:c"))
	if g.oneIn(25) {
		s.Scheme, s.Data = "digest", []byte("super:test")
	}
}

// odd is what no client sends. createSession is not among it, which ZooKeeper answers in the
// middle of a connection as if it were the first frame, deleteContainer, which
// ZooKeeper means for its own use and takes from anybody, check outside of a multi, whose success
// it does not answer at all, and sasl, which makes it hang up without a word where it is not
// configured.
func (g *generator) odd(s *Step) {
	s.Op = pick(g, opReconfig, -1, 0, 10, 23, 99, 108, 1<<31-1, -2)
	s.Data, s.Version = g.data(), g.version()
	if len(s.Data) > 1000 {
		s.Data = nil
	}
}
