package tree

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/quorum/jute"
)

// The schemes that the tree knows.
const (
	schemeWorld  = "world"
	schemeAuth   = "auth"
	schemeDigest = "digest"
	schemeIP     = "ip"
	schemeX509   = "x509"
	schemeSuper  = "super"
)

// Super is who passes every ACL.
var Super = jute.ID{Scheme: schemeSuper}

// Allows tells whether a list gives one with these identities one of perms
// (ZooKeeperServer.checkACL). An empty list gives everything.
func Allows(list []jute.ACL, perms int32, auth []jute.ID) bool {
	if len(list) == 0 {
		return true
	}
	for i := range list {
		if list[i].Perms&perms != 0 && list[i].ID == jute.WorldAnyone {
			return true
		}
	}
	for i := range auth {
		if auth[i].Scheme == schemeSuper {
			return true
		}
	}
	for i := range list {
		if list[i].Perms&perms == 0 {
			continue
		}
		for j := range auth {
			if matches(auth[j], list[i].ID) {
				return true
			}
		}
	}
	return false
}

// matches tells whether the identity is the one that the ACL names, or one of them.
func matches(id, want jute.ID) bool {
	if id.Scheme != want.Scheme {
		return false
	}
	switch id.Scheme {
	case schemeDigest, schemeX509:
		return id.ID == want.ID
	case schemeIP:
		prefix, ok := ipPrefix(want.ID)
		if !ok {
			return false
		}
		addr, ok := ipAddr(id.ID)
		return ok && prefix.Contains(addr)
	}
	return false
}

// ipPrefix reads an address or a network in CIDR form.
func ipPrefix(s string) (netip.Prefix, bool) {
	host, bits, network := strings.Cut(s, "/")
	addr, ok := ipAddr(host)
	if !ok {
		return netip.Prefix{}, false
	}
	n := addr.BitLen()
	if network {
		var err error
		if n, err = strconv.Atoi(bits); err != nil {
			return netip.Prefix{}, false
		}
	}
	prefix, err := addr.Prefix(n)
	return prefix, err == nil
}

// ipAddr reads an address as Java does: parts of four may begin with zeros.
func ipAddr(s string) (netip.Addr, bool) {
	if strings.Contains(s, ":") {
		addr, err := netip.ParseAddr(s)
		return addr.WithZone("").Unmap(), err == nil
	}
	var four [4]byte
	parts := strings.Split(s, ".")
	if len(parts) != len(four) {
		return netip.Addr{}, false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || n > 255 {
			return netip.Addr{}, false
		}
		four[i] = byte(n)
	}
	return netip.AddrFrom4(four), true
}

// fixACL appends to dst the list that a node gets when asked says so: without repetitions,
// and with the scheme auth replaced by who asks (PrepRequestProcessor.fixupACL). It refuses
// an empty list, identities that their scheme does not know, and auth without any.
func fixACL(dst, asked []jute.ACL, auth []jute.ID) ([]jute.ACL, bool) {
	for i, a := range asked {
		if slices.Contains(asked[:i], a) {
			continue
		}
		switch {
		case a.ID == jute.WorldAnyone:
			dst = append(dst, a)
		case a.ID.Scheme == schemeAuth:
			before := len(dst)
			for _, id := range auth {
				if id.Scheme == schemeDigest || id.Scheme == schemeX509 {
					dst = append(dst, jute.ACL{Perms: a.Perms, ID: id})
				}
			}
			if len(dst) == before {
				return dst, false
			}
		case validID(a.ID):
			dst = append(dst, a)
		default:
			return dst, false
		}
	}
	return dst, len(asked) > 0
}

// validID tells whether an ACL may name the identity.
func validID(id jute.ID) bool {
	switch id.Scheme {
	case schemeDigest:
		return digestParts(id.ID) == 2
	case schemeIP:
		_, ok := ipPrefix(id.ID)
		return ok
	case schemeX509:
		return validX500(id.ID)
	}
	return false
}

// digestParts counts as Java's split(":") does, which forgets empty parts at the end.
func digestParts(id string) int {
	return strings.Count(strings.TrimRight(id, ":"), ":") + 1
}

// MaskDigests is what one who may read but not change an ACL is shown of it.
func MaskDigests(list []jute.ACL) []jute.ACL {
	shown := slices.Clone(list)
	for i, a := range shown {
		if user, _, ok := strings.Cut(a.ID.ID, ":"); ok && a.ID.Scheme == schemeDigest {
			shown[i].ID.ID = user + ":x"
		}
	}
	return shown
}

// aclTable holds each list once. Number 0 is the open one and stays.
type aclTable struct {
	entries []aclEntry
	byKey   map[string]uint32
	free    []uint32
	key     []byte     // scratch
	fixed   []jute.ACL // scratch
}

type aclEntry struct {
	list []jute.ACL
	key  string
	refs int
	hash uint64
}

func newACLTable() aclTable {
	t := aclTable{byKey: map[string]uint32{}}
	t.acquire(jute.OpenACL())
	return t
}

// acquire returns the number of a list and counts one more user of it.
func (t *aclTable) acquire(list []jute.ACL) uint32 {
	t.key = t.key[:0]
	for _, a := range list {
		t.key = appendACL(t.key, a)
	}
	at, ok := t.byKey[string(t.key)]
	if !ok {
		e := aclEntry{list: slices.Clone(list), key: string(t.key)}
		e.hash = hashString(hashB, e.key)
		if n := len(t.free); n > 0 {
			at, t.free = t.free[n-1], t.free[:n-1]
			t.entries[at] = e
		} else {
			at = uint32(len(t.entries))
			t.entries = append(t.entries, e)
		}
		t.byKey[e.key] = at
	}
	t.entries[at].refs++
	return at
}

// release counts one user less.
func (t *aclTable) release(at uint32) {
	e := &t.entries[at]
	if e.refs--; e.refs > 0 || at == 0 {
		return
	}
	delete(t.byKey, e.key)
	*e = aclEntry{}
	t.free = append(t.free, at)
}
