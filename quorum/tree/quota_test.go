package tree

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/quorum/jute"
)

// setQuota does what zkCli's setquota does.
func setQuota(t testing.TB, s *State, path, limits string) {
	t.Helper()
	txns := []Txn{}
	for i, r := range path {
		if r == '/' && i > 0 {
			txns = append(txns, Txn{Op: mk(quotaPath+path[:i], 0)})
		}
	}
	txns = append(txns, Txn{Op: mk(quotaPath+path, 0)},
		Txn{Op: Op{Kind: Create, Path: quotaPath + path + "/zookeeper_limits", ACL: jute.OpenACL(), Data: []byte(limits)}},
		Txn{Op: Op{Kind: Create, Path: quotaPath + path + "/zookeeper_stats", ACL: jute.OpenACL(), Data: []byte("count=-1,bytes=-1")}})
	applyAll(t, s, 0, 0, txns...)
}

func stats(s *State, path string) string {
	data, _, _ := s.Get(quotaPath + path + "/zookeeper_stats")
	return string(data)
}

func TestQuotaCounts(t *testing.T) {
	s := fixture(t)
	if stats(s, "/a") != "" {
		t.Fatal("stats without a quota")
	}
	setQuota(t, s, "/a", "count=5,bytes=-1")
	if got := stats(s, "/a"); got != "count=2,bytes=4" { // "two" and "d"
		t.Fatal(got)
	}
	st, _ := s.Stat(quotaPath + "/a/zookeeper_stats")
	for _, c := range []struct {
		op   Op
		want string
	}{
		{mk("/a/b", 0), "count=3,bytes=5"}, {mk("/a/b/c", 0), "count=4,bytes=6"}, {set("/a/b", "longer", -1), "count=4,bytes=11"},
		{set("/a/b", "", -1), "count=4,bytes=5"}, {del("/a/b/c", -1), "count=3,bytes=4"}, {mk("/ab", 0), "count=3,bytes=4"},
		{Op{Kind: Multi, Ops: []Op{mk("/a/x", 0), del("/none", -1)}}, "count=3,bytes=4"},
		{Op{Kind: Multi, Ops: []Op{mk("/a/x", 0), mk("/a/y", 0)}}, "count=5,bytes=6"},
		{mk("/a/over", 0), "count=6,bytes=7"}, // a soft limit only counts
	} {
		o := applyAll(t, s, 0, 0, Txn{Op: c.op})[0]
		if got := stats(s, "/a"); got != c.want {
			t.Errorf("after %+v: %s, want %s", c.op, got, c.want)
		}
		if o.Quota != nil {
			t.Errorf("limits are told though they are not enforced: %+v", o.Quota)
		}
		verify(t, s)
	}
	if now, _ := s.Stat(quotaPath + "/a/zookeeper_stats"); now.Mzxid != st.Mzxid || now.Version != 0 {
		t.Errorf("counting shows in the Stat: %+v", now)
	}
	// without its limits a quota does not count
	applyAll(t, s, 0, 0, Txn{Op: del(quotaPath+"/a/zookeeper_limits", -1)}, Txn{Op: mk("/a/more", 0)})
	if got := stats(s, "/a"); got != "count=6,bytes=7" {
		t.Error(got)
	}
	verify(t, s)
}

func TestQuotaEnforced(t *testing.T) {
	s := fixture(t)
	applyAll(t, s, 0, 0, Txn{Op: Op{Kind: SetFlags, Flags: EnforceQuota}})
	setQuota(t, s, "/a", "count=3,bytes=8=;byteHardLimit=10;countHardLimit=4")
	for _, c := range []struct {
		op    Op
		want  jute.Code
		quota string
	}{
		{mk("/a/b", 0), jute.OK, "[]"},                                              // 3 nodes, 5 bytes
		{set("/a/b", "123456", -1), jute.OK, "[]"},                                  // 10 bytes
		{set("/a/b", "1234567", 9), jute.QuotaExceeded, "[{/a true true 11 10}]"},   // before BadVersion
		{set("/a/b", "", -1), jute.OK, "[]"},                                        // 4 bytes
		{mk("/a/c", 0), jute.OK, "[]"},                                              // 4 nodes
		{mk("/a/d", 0), jute.QuotaExceeded, "[{/a false true 5 4}]"},                //
		{Op{Kind: Multi, Ops: []Op{del("/a/c", -1), mk("/a/d", 0)}}, jute.OK, "[]"}, //
		{Op{Kind: Multi, Ops: []Op{mk("/a/e", 0)}}, jute.QuotaExceeded, "[{/a false true 5 4}]"},
		{del("/a/d", -1), jute.OK, "[]"},
	} {
		o := applyAll(t, s, 0, 0, Txn{Op: c.op})[0]
		if o.Result.Code != c.want || fmt.Sprint(o.Quota) != c.quota {
			t.Errorf("%+v: %v %+v, want %v %s", c.op, o.Result.Code, o.Quota, c.want, c.quota)
		}
	}
	s = fixture(t)
	applyAll(t, s, 0, 0, Txn{Op: Op{Kind: SetFlags, Flags: EnforceQuota}})
	setQuota(t, s, "/a", "count=2,bytes=-1")
	o := applyAll(t, s, 0, 0, Txn{Op: mk("/a/b", 0)})[0]
	if o.Result.Code != jute.OK || fmt.Sprint(o.Quota) != "[{/a false false 3 2}]" {
		t.Errorf("soft: %v %+v", o.Result.Code, o.Quota)
	}
}

func TestQuotaOfRootIsNone(t *testing.T) {
	s := New()
	applyAll(t, s, 0, 0, Txn{Op: mk(quotaPath+"/zookeeper_limits", 0)}, Txn{Op: mk(quotaPath+"/zookeeper_stats", 0)}, Txn{Op: mk("/x", 0)})
	if data, _, _ := s.Get(quotaPath + "/zookeeper_stats"); string(data) != "d" {
		t.Errorf("%q", data)
	}
	verify(t, s)
}

func TestTrack(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "count=-1,bytes=-1"}, {"count=1,bytes=2", "count=1,bytes=2"}, {"bytes=2;count=1", "count=1,bytes=2"},
		{"count=1,bytes=2=;countHardLimit=3;byteHardLimit=4", "count=1,bytes=2=;byteHardLimit=4;countHardLimit=3"},
		{"count=x,bytes=", "count=-1,bytes=-1"}, {"nonsense", "count=-1,bytes=-1=;nonsense=-1"},
		{"count=1,count=2,a=1,a=2", "count=2,bytes=-1=;a=2"},
	} {
		if got := string(parseTrack(c.in).text()); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}
