package differential

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/conformance/quorum/wire"
)

// The operations, from ZooDefs.OpCode.
const (
	opCreate               int32 = 1
	opDelete               int32 = 2
	opExists               int32 = 3
	opGetData              int32 = 4
	opSetData              int32 = 5
	opGetACL               int32 = 6
	opSetACL               int32 = 7
	opGetChildren          int32 = 8
	opSync                 int32 = 9
	opPing                 int32 = 11
	opGetChildren2         int32 = 12
	opCheck                int32 = 13
	opMulti                int32 = 14
	opCreate2              int32 = 15
	opReconfig             int32 = 16
	opCheckWatches         int32 = 17
	opRemoveWatches        int32 = 18
	opCreateContainer      int32 = 19
	opDeleteContainer      int32 = 20
	opCreateTTL            int32 = 21
	opMultiRead            int32 = 22
	opAuth                 int32 = 100
	opSetWatches           int32 = 101
	opSASL                 int32 = 102
	opGetEphemerals        int32 = 103
	opGetAllChildrenNumber int32 = 104
	opSetWatches2          int32 = 105
	opAddWatch             int32 = 106
	opWhoAmI               int32 = 107
	opCloseSession         int32 = -11
	// Not on the wire: drops the connection and takes the session on, at another server of
	// an ensemble.
	stepReconnect int32 = -1001
	// As stepReconnect, with a wrong password.
	stepWrongPassword int32 = -1002
)

var opNames = map[int32]string{
	opCreate: "create", opDelete: "delete", opExists: "exists", opGetData: "getData", opSetData: "setData", opGetACL: "getACL", opSetACL: "setACL",
	opGetChildren: "getChildren", opSync: "sync", opPing: "ping", opGetChildren2: "getChildren2", opCheck: "check", opMulti: "multi", opCreate2: "create2",
	opReconfig: "reconfig", opCheckWatches: "checkWatches", opRemoveWatches: "removeWatches", opCreateContainer: "createContainer",
	opDeleteContainer: "deleteContainer", opCreateTTL: "createTTL", opMultiRead: "multiRead", opAuth: "auth", opSetWatches: "setWatches", opSASL: "sasl",
	opGetEphemerals: "getEphemerals", opGetAllChildrenNumber: "getAllChildrenNumber", opSetWatches2: "setWatches2", opAddWatch: "addWatch",
	opWhoAmI: "whoAmI", opCloseSession: "closeSession", stepReconnect: "reconnect", stepWrongPassword: "reconnect with a wrong password",
}

// relativeZxid of setWatches, which no script can name as a number.
const (
	relZero = iota
	relLast // the last zxid that this client has seen
	relMax
)

// Step is one request of one client. Which fields count depends on Op.
type Step struct {
	Client int
	Op     int32
	// Path lies under the script's own folder, unless Raw says that it is sent as it is.
	Path    string
	Raw     bool
	Data    []byte
	ACL     []wire.ACL
	Flags   int32 // of creates; the mode of addWatch, the type of checkWatches and removeWatches
	TTL     int64
	Version int32
	Watch   bool
	Scheme  string
	Rel     int
	Paths   [5][]string // of setWatches
	Subs    []Step      // of multi
	// Cut removes bytes from the end of the request; Extra adds some.
	Cut, Extra int
}

// String shows the step as a person reads it.
func (s *Step) String() string {
	name := opNames[s.Op]
	if name == "" {
		name = "op " + strconv.Itoa(int(s.Op))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "client %d: %s", s.Client, name)
	add := func(show bool, format string, args ...any) {
		if show {
			fmt.Fprintf(&b, " "+format, args...)
		}
	}
	add(s.Path != "" || s.Raw, "%q", s.Path)
	add(s.Raw, "(as it is)")
	add(s.Data != nil && len(s.Data) <= 40, "data %q", s.Data)
	add(len(s.Data) > 40, "%d bytes of data", len(s.Data))
	add(s.ACL != nil, "acl %v", s.ACL)
	add(s.Flags != 0, "flags %d", s.Flags)
	add(s.TTL != 0, "ttl %d", s.TTL)
	add(s.Version != 0, "version %d", s.Version)
	add(s.Watch, "watch")
	add(s.Scheme != "", "scheme %s", s.Scheme)
	add(s.Op == opSetWatches || s.Op == opSetWatches2, "from %d %q", s.Rel, s.Paths)
	add(s.Cut != 0, "cut by %d", s.Cut)
	add(s.Extra != 0, "longer by %d", s.Extra)
	for i := range s.Subs {
		fmt.Fprintf(&b, "\n      %s", strings.TrimPrefix(s.Subs[i].String(), "client 0: "))
	}
	return b.String()
}

// path is what is sent for a path.
func (s *Step) path(prefix, path string) string {
	if s.Raw {
		return path
	}
	return prefix + path
}

// encode is the body of the request. last is the last zxid that the client has seen.
func (s *Step) encode(prefix string, last int64) []byte {
	var e wire.Enc
	p := s.path(prefix, s.Path)
	switch s.Op {
	case opCreate, opCreate2, opCreateContainer:
		e.String(p).Buffer(s.Data).ACLs(s.ACL).Int(s.Flags)
	case opCreateTTL:
		e.String(p).Buffer(s.Data).ACLs(s.ACL).Int(s.Flags).Long(s.TTL)
	case opDelete, opCheck:
		e.String(p).Int(s.Version)
	case opSetData:
		e.String(p).Buffer(s.Data).Int(s.Version)
	case opSetACL:
		e.String(p).ACLs(s.ACL).Int(s.Version)
	case opExists, opGetData, opGetChildren, opGetChildren2:
		e.String(p).Bool(s.Watch)
	case opGetACL, opSync, opGetEphemerals, opGetAllChildrenNumber, opDeleteContainer:
		e.String(p)
	case opCheckWatches, opRemoveWatches, opAddWatch:
		e.String(p).Int(s.Flags)
	case opAuth:
		e.Int(0).String(s.Scheme).Buffer(s.Data)
	case opSASL:
		e.Buffer(s.Data)
	case opReconfig:
		e.String("").String("").String("").Long(-1)
	case opSetWatches, opSetWatches2:
		rel := map[int]int64{relZero: 0, relLast: last, relMax: 1<<63 - 1}[s.Rel]
		e.Long(rel)
		lists := s.Paths[:]
		if s.Op == opSetWatches {
			lists = lists[:3]
		}
		for _, list := range lists {
			full := make([]string, len(list))
			for i, path := range list {
				full[i] = prefix + path
			}
			e.Strings(full)
		}
	case opMulti, opMultiRead:
		for i := range s.Subs {
			sub := &s.Subs[i]
			e.Int(sub.Op).Bool(false).Int(-1)
			e.B = append(e.B, sub.encode(prefix, last)...)
		}
		e.Int(-1).Bool(true).Int(-1)
	case opPing, opWhoAmI, opCloseSession:
	default: // an operation that there is not: some bytes
		e.Buffer(s.Data)
	}
	e.B = e.B[:max(0, len(e.B)-s.Cut)]
	return append(e.B, make([]byte, s.Extra)...)
}
