package tree

import (
	"bytes"
	"testing"

	"github.com/millrace/millrace/quorum/jute"
)

func TestApplyAndSnapshot(t *testing.T) {
	s := New()
	e := &Entry{TimeMs: 1000, Txns: []Txn{
		{Session: 7, Op: Op{Kind: CreateSession, TimeoutMs: 100, KeepResult: true}},
		{Session: 7, ConnGen: 1, Seq: 1, Op: Op{Kind: Create, Path: "/a", Data: []byte("x"), ACL: jute.OpenACL()}},
		{Session: 7, ConnGen: 1, Seq: 2, Op: Op{Kind: Create, Path: "/a/b-", ACL: jute.OpenACL(), Mode: jute.EphemeralSequential}},
		{Session: 7, ConnGen: 1, Seq: 3, Op: Op{Kind: Multi, Ops: []Op{{Kind: SetData, Path: "/a", Version: -1}, {Kind: Delete, Path: "/a", Version: -1}, {Kind: Check, Path: "/"}}}},
		{Session: 7, ConnGen: 1, Seq: 3, Op: Op{Kind: Delete, Path: "/a", Version: -1}},
	}}
	e, err := DecodeEntry(AppendEntry(nil, e))
	if err != nil {
		t.Fatal(err)
	}
	s.Apply(1, e, func(o *Outcome) { t.Logf("%+v %+v", o.Result, o.Changes) })
	s.Walk(func(p string, d []byte, st jute.Stat, _ []jute.ACL) bool {
		t.Logf("%s %q %+v", p, d, st)
		return true
	})
	var b bytes.Buffer
	if err := s.Encode(&b); err != nil {
		t.Fatal(err)
	}
	s2, err := Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	if s2.Digest() != s.Digest() || s2.Bytes() != s.Bytes() || s2.NodeCount() != s.NodeCount() {
		t.Fatal("differs", s.Bytes(), s2.Bytes())
	}
	t.Log(s.NodeCount(), s.Bytes())
}
