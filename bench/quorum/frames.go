package quorum

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/bench/wire"
	"github.com/millrace/millrace/quorum/jute"
)

// root is the node below which everything is made.
const root = "/millrace-bench"

const sessionTimeoutMs = 30_000

// packet is one request in its frame.
func packet(header *jute.RequestHeader, record jute.Record) []byte {
	b := jute.BeginFrame(nil)
	if header != nil {
		b = header.AppendTo(b)
	}
	if record != nil {
		b = record.AppendTo(b)
	}
	jute.EndFrame(b, 0)
	return b
}

func connectPacket() []byte {
	return packet(nil, &jute.ConnectRequest{TimeoutMs: sessionTimeoutMs, Password: make([]byte, 16), HasReadOnly: true})
}

// value fills n bytes with what does not compress to nothing.
func value(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func nodeOf(conn int) string { return root + "/c" + strconv.Itoa(conn) }

// frames makes the requests of one load: the first of each connection opens its session.
type frames struct {
	connect []byte
	fixed   [][]byte // by connection, where all its requests are the same
	made    [][]byte // by connection, of creates: the path's digits are written anew
	digits  int      // where they stand in made
	limit   int64    // requests of each connection after the connect; 0: none
	parts   [][]byte // what is returned: one thread calls for a connection at a time
}

// newFrames makes what sc sends. run tells several loads of creates apart.
func newFrames(sc scenario, run int, limit int64) *frames {
	f := &frames{connect: connectPacket(), limit: limit, parts: make([][]byte, sc.conns)}
	data := value(sc.valueBytes)
	for c := range sc.conns {
		header := &jute.RequestHeader{Xid: 1}
		switch sc.op {
		case opSet:
			header.Op = jute.OpSetData
			f.fixed = append(f.fixed, packet(header, &jute.SetDataRequest{Path: nodeOf(c), Data: data, Version: -1}))
		case opGet:
			header.Op = jute.OpGetData
			f.fixed = append(f.fixed, packet(header, &jute.GetDataRequest{Path: nodeOf(c)}))
		case opPing:
			f.fixed = append(f.fixed, packet(&jute.RequestHeader{Xid: jute.XidPing, Op: jute.OpPing}, nil))
		case opCreate:
			header.Op = jute.OpCreate
			prefix := nodeOf(c) + "/n" + strconv.Itoa(run) + "-"
			f.made = append(f.made, packet(header, &jute.CreateRequest{Path: prefix + zeros, Data: data, ACL: jute.OpenACL()}))
		}
	}
	return f
}

// zeros is the place of a number in a path.
const zeros = "0000000000"

// frame is wire.Load's Frame.
func (f *frames) frame(conn int, seq int64) [][]byte {
	switch {
	case seq == 0:
		f.parts[conn] = f.connect
	case f.limit > 0 && seq > f.limit:
		return nil
	case f.made != nil:
		f.parts[conn] = number(f.made[conn], seq)
	default:
		f.parts[conn] = f.fixed[conn]
	}
	return f.parts[conn : conn+1 : conn+1]
}

// number writes n into the path of a create: 4 bytes of frame, 8 of header, 4 of length, path.
func number(b []byte, n int64) []byte {
	const path = 4 + 8 + 4
	end := path + int(binary.BigEndian.Uint32(b[path-4:]))
	for i := end - 1; i >= end-len(zeros); i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// headBytes of a reply hold its code, and of the first one the session's timeout.
const headBytes = 16

// check makes the first refused request the end of the run.
func check(fail *wire.Failure) func(conn int, seq int64, size int, head []byte) {
	return func(conn int, seq int64, _ int, head []byte) {
		switch {
		case len(head) < headBytes:
			fail.Fail(fmt.Errorf("connection %d: the reply to request %d has %d bytes, fewer than %d", conn, seq, len(head), headBytes))
		case seq == 0:
			if binary.BigEndian.Uint32(head[4:]) == 0 {
				fail.Fail(fmt.Errorf("connection %d: the server refused a session", conn))
			}
		default:
			if code := jute.Code(int32(binary.BigEndian.Uint32(head[12:]))); code != jute.OK {
				fail.Fail(fmt.Errorf("connection %d, request %d: %w", conn, seq, code))
			}
		}
	}
}
