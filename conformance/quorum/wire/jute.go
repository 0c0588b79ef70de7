// Package wire speaks ZooKeeper's client protocol for the tests of the quorum, from the
// frames up: it can send what no client sends, and it shows every field of an answer. It is
// written from ZooKeeper's jute file and deliberately shares nothing with quorum/jute, so
// that a mistake there is not made twice.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Enc builds a record. Its methods append, and return it for more.
type Enc struct{ B []byte }

// Int appends an int.
func (e *Enc) Int(v int32) *Enc { e.B = binary.BigEndian.AppendUint32(e.B, uint32(v)); return e }

// Long appends a long.
func (e *Enc) Long(v int64) *Enc { e.B = binary.BigEndian.AppendUint64(e.B, uint64(v)); return e }

// Bool appends a boolean.
func (e *Enc) Bool(v bool) *Enc {
	b := byte(0)
	if v {
		b = 1
	}
	e.B = append(e.B, b)
	return e
}

// Buffer appends a buffer; nil is the null one.
func (e *Enc) Buffer(v []byte) *Enc {
	if v == nil {
		return e.Int(-1)
	}
	e.Int(int32(len(v)))
	e.B = append(e.B, v...)
	return e
}

// String appends a string.
func (e *Enc) String(v string) *Enc {
	e.Int(int32(len(v)))
	e.B = append(e.B, v...)
	return e
}

// Strings appends a vector of strings; nil is the null one.
func (e *Enc) Strings(v []string) *Enc {
	if v == nil {
		return e.Int(-1)
	}
	e.Int(int32(len(v)))
	for _, s := range v {
		e.String(s)
	}
	return e
}

// ACL is an entry of an access control list.
type ACL struct {
	Perms      int32
	Scheme, ID string
}

// ACLs appends an access control list; nil is the null one.
func (e *Enc) ACLs(v []ACL) *Enc {
	if v == nil {
		return e.Int(-1)
	}
	e.Int(int32(len(v)))
	for _, a := range v {
		e.Int(a.Perms).String(a.Scheme).String(a.ID)
	}
	return e
}

// Stat is a znode's.
type Stat struct {
	Czxid, Mzxid, Ctime, Mtime  int64
	Version, Cversion, Aversion int32
	EphemeralOwner              int64
	DataLength, NumChildren     int32
	Pzxid                       int64
}

// Dec reads a record. After the first error, which Err tells, everything is zero.
type Dec struct {
	B   []byte
	err error
}

var errShort = errors.New("the record ends early")

// Err is the first error.
func (d *Dec) Err() error { return d.err }

// Take returns the next n bytes.
func (d *Dec) Take(n int) []byte {
	if d.err == nil && (n < 0 || n > len(d.B)) {
		d.err = errShort
	}
	if d.err != nil {
		return nil
	}
	b := d.B[:n]
	d.B = d.B[n:]
	return b
}

// Int reads an int.
func (d *Dec) Int() int32 {
	if b := d.Take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Long reads a long.
func (d *Dec) Long() int64 {
	if b := d.Take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// Bool reads a boolean.
func (d *Dec) Bool() bool {
	b := d.Take(1)
	if b == nil {
		return false
	}
	if b[0] > 1 {
		d.err = fmt.Errorf("a boolean of %d", b[0])
	}
	return b[0] == 1
}

// Buffer reads a buffer; nil is the null one.
func (d *Dec) Buffer() []byte {
	n := d.Int()
	if d.err != nil || n == -1 {
		return nil
	}
	return d.Take(int(n))
}

// String reads a string; the null one is "<null>".
func (d *Dec) String() string {
	b := d.Buffer()
	if b == nil && d.err == nil {
		return "<null>"
	}
	return string(b)
}

// Count reads the length of a vector, -1 for the null one.
func (d *Dec) Count() int {
	n := d.Int()
	if n < -1 || int(n) > len(d.B) {
		d.err = fmt.Errorf("a vector of %d in %d bytes", n, len(d.B))
		return 0
	}
	return int(n)
}

// Strings reads a vector of strings; nil is the null one.
func (d *Dec) Strings() []string {
	n := d.Count()
	if n < 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, d.String())
	}
	return list
}

// ACLs reads an access control list; nil is the null one.
func (d *Dec) ACLs() []ACL {
	n := d.Count()
	if n < 0 {
		return nil
	}
	list := make([]ACL, 0, n)
	for range n {
		list = append(list, ACL{d.Int(), d.String(), d.String()})
	}
	return list
}

// Stat reads a znode's stat.
func (d *Dec) Stat() Stat {
	return Stat{
		Czxid: d.Long(), Mzxid: d.Long(), Ctime: d.Long(), Mtime: d.Long(),
		Version: d.Int(), Cversion: d.Int(), Aversion: d.Int(),
		EphemeralOwner: d.Long(), DataLength: d.Int(), NumChildren: d.Int(), Pzxid: d.Long(),
	}
}
