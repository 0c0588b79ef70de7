// Package jute is ZooKeeper's wire: the records of its client protocol, versions 3.4 to
// 3.8, and their codecs. Server and client share it.
//
// All numbers are big endian. A boolean is one byte, a string or buffer an int32 length (-1:
// null) and its bytes, a vector an int32 count (-1: null) and its elements. A packet is an
// int32 length and a payload: RequestHeader{xid, type} and a record one way,
// ReplyHeader{xid, zxid, err} and a record (none when err is not 0) the other.
//
// Decoders are bounded: no count or length beyond the bytes that are left is believed, and
// nothing is allocated before that check.
//
// A packet is made by BeginFrame, the AppendTo of its records, and EndFrame, in one buffer,
// without allocation; it is read by ReadFrame and a Reader. Strings are copies, buffers alias
// the packet. A null string, vector or ACL list reads as an empty one; null data stays nil,
// since clients see the difference.
//
// testdata/golden holds bytes from ZooKeeper's own classes.
package jute
