package jute

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

var (
	goldenStat = Stat{
		Czxid: 0x100000001, Mzxid: 0x100000002, CtimeMs: 1700000000001, MtimeMs: 1700000000002, Version: 3, Cversion: -4, Aversion: 5,
		EphemeralOwner: 0x0200000000000007, DataLength: 6, NumChildren: 7, Pzxid: 0x100000008,
	}
	goldenACL      = []ACL{{Perms: 1, ID: ID{"digest", "u:h="}}, {Perms: -2, ID: ID{"ip", "10.0.0.0/8"}}}
	goldenPassword = []byte{0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255}
)

// goldenRecords are the records that testdata/golden/Golden.java writes.
func goldenRecords() map[string]Record {
	st := goldenStat
	return map[string]Record{
		"ConnectRequest":               &ConnectRequest{LastZxidSeen: 0x100000009, TimeoutMs: 30000, SessionID: 0x0100000000000002, Password: goldenPassword},
		"ConnectResponse":              &ConnectResponse{TimeoutMs: 40000, SessionID: -2, Password: goldenPassword},
		"RequestHeader":                &RequestHeader{Xid: XidSetWatches, Op: OpSetWatches2},
		"ReplyHeader":                  &ReplyHeader{Xid: 7, Zxid: 0x100000009, Err: NoNode},
		"WatcherEvent":                 &WatcherEvent{Type: EventChildrenChanged, State: StateSyncConnected, Path: "/a/über"},
		"AuthPacket":                   &AuthPacket{Scheme: SchemeDigest, Auth: []byte("user:password")},
		"GetSASLRequest":               &SASLToken{Token: []byte("token")},
		"SetSASLResponse":              &SASLToken{},
		"SetWatches":                   &SetWatches{RelativeZxid: 12, Data: []string{"/d1", "/d2"}, Exist: []string{"/e"}},
		"SetWatches2":                  &SetWatches2{SetWatches{RelativeZxid: 12, Data: []string{"/d"}, Child: []string{"/c"}}, []string{"/p"}, []string{"/r", "/s"}},
		"CreateRequest":                &CreateRequest{Path: "/a", Data: []byte("data"), ACL: OpenACL(), Mode: EphemeralSequential},
		"CreateRequestNullData":        &CreateRequest{Path: "/a", ACL: goldenACL},
		"CreateRequestNoData":          &CreateRequest{Path: "/a", Data: []byte{}, ACL: goldenACL},
		"CreateTTLRequest":             &CreateTTLRequest{Path: "/a", Data: []byte("d"), ACL: OpenACL(), Mode: PersistentSequentialTTL, TTLMs: 123456789012},
		"DeleteRequest":                &DeleteRequest{Path: "/a", Version: -1},
		"CheckVersionRequest":          &CheckVersionRequest{Path: "/a", Version: 4},
		"ExistsRequest":                &ExistsRequest{Path: "/a", Watch: true},
		"GetDataRequest":               &GetDataRequest{Path: "/a"},
		"GetChildrenRequest":           &GetChildrenRequest{Path: "/a", Watch: true},
		"GetChildren2Request":          &GetChildren2Request{Path: "/a"},
		"SetDataRequest":               &SetDataRequest{Path: "/a", Data: []byte("data"), Version: 9},
		"GetACLRequest":                &GetACLRequest{Path: "/a"},
		"SetACLRequest":                &SetACLRequest{Path: "/a", ACL: goldenACL, Version: 2},
		"SyncRequest":                  &SyncRequest{Path: "/"},
		"GetEphemeralsRequest":         &GetEphemeralsRequest{Path: "/pre"},
		"GetAllChildrenNumberRequest":  &GetAllChildrenNumberRequest{Path: "/a"},
		"ReconfigRequest":              &ReconfigRequest{Joining: "server.4=h:1:2;3", Leaving: "2,3", CurConfigID: 0x100000000},
		"ReconfigRequestAll":           &ReconfigRequest{NewMembers: "server.1=h:1:2;3", CurConfigID: -1},
		"CheckWatchesRequest":          &CheckWatchesRequest{Path: "/a", Type: WatcherChildren},
		"RemoveWatchesRequest":         &RemoveWatchesRequest{Path: "/a", Type: WatcherAny},
		"AddWatchRequest":              &AddWatchRequest{Path: "/a", Mode: WatchPersistentRecursive},
		"CreateResponse":               &CreateResponse{Path: "/a0000000001"},
		"Create2Response":              &Create2Response{Path: "/a", Stat: st},
		"ExistsResponse":               &ExistsResponse{Stat: st},
		"SetDataResponse":              &SetDataResponse{Stat: st},
		"SetACLResponse":               &SetACLResponse{Stat: st},
		"SyncResponse":                 &SyncResponse{Path: "/"},
		"GetDataResponse":              &GetDataResponse{Data: []byte("data"), Stat: st},
		"GetDataResponseNull":          &GetDataResponse{Stat: st},
		"GetACLResponse":               &GetACLResponse{ACL: goldenACL, Stat: st},
		"GetChildrenResponse":          &GetChildrenResponse{Strings: []string{"x", "", "z"}},
		"GetChildren2Response":         &GetChildren2Response{Stat: st},
		"GetEphemeralsResponse":        &GetEphemeralsResponse{Strings: []string{"/e1"}},
		"GetAllChildrenNumberResponse": &GetAllChildrenNumberResponse{TotalNumber: 42},
		"ErrorResponse":                &ErrorResponse{Err: NodeExists},
		"WhoAmIResponse":               &WhoAmIResponse{Infos: []ClientInfo{{"ip", "127.0.0.1"}, {"digest", "u"}}},
		"MultiRequest": &MultiRequest{Ops: []MultiOp{
			{Type: OpCreate, Path: "/m", Data: []byte("1"), ACL: OpenACL()},
			{Type: OpCreateTTL, Path: "/t", Data: []byte("2"), ACL: OpenACL(), Mode: PersistentTTL, TTLMs: 5000},
			{Type: OpCreateContainer, Path: "/c", ACL: OpenACL(), Mode: Container},
			{Type: OpDelete, Path: "/d", Version: 2},
			{Type: OpSetData, Path: "/s", Data: []byte("3"), Version: -1},
			{Type: OpCheck, Path: "/k", Version: 6},
		}},
		"MultiReadRequest":  &MultiRequest{Ops: []MultiOp{{Type: OpGetData, Path: "/g"}, {Type: OpGetChildren, Path: "/h"}}},
		"MultiRequestEmpty": &MultiRequest{},
		"MultiResponse": &MultiResponse{Results: []MultiResult{
			{Type: OpCreate, Path: "/m"}, {Type: OpCreate2, Path: "/t", Stat: st}, {Type: OpDelete}, {Type: OpSetData, Stat: st}, {Type: OpCheck},
			{Type: OpGetData, Data: []byte("g"), Stat: st}, {Type: OpGetChildren, Children: []string{"c1", "c2"}},
		}},
		"MultiResponseFailed": &MultiResponse{Results: []MultiResult{{Type: OpError}, {Type: OpError, Err: NodeExists}, {Type: OpError, Err: RuntimeInconsistency}}},
	}
}

// goldenLines calls f with the fields of each line of golden.txt that starts with kind.
func goldenLines(t *testing.T, kind string, f func(fields []string)) {
	t.Helper()
	text, err := os.ReadFile("testdata/golden/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(strings.TrimSpace(line), " "); fields[0] == kind {
			f(fields[1:])
			n++
		}
	}
	if n == 0 {
		t.Fatalf("golden.txt has no line %q", kind)
	}
}

func TestRecordsAreJavas(t *testing.T) {
	records := goldenRecords()
	goldenLines(t, "record", func(fields []string) {
		name := fields[0]
		want, err := hex.DecodeString(strings.Join(fields[1:], ""))
		if err != nil {
			t.Fatal(err)
		}
		rec := records[name]
		if rec == nil {
			t.Errorf("%s: no such record here", name)
			return
		}
		delete(records, name)
		if got := rec.AppendTo([]byte("x"))[1:]; !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", name, got, want)
		}
		back := reflect.New(reflect.TypeOf(rec).Elem()).Interface().(Record)
		r := NewReader(want)
		if err := back.Decode(r); err != nil || r.Len() != 0 {
			t.Errorf("%s: decode: %v, %d bytes left", name, err, r.Len())
		}
		if !reflect.DeepEqual(back, rec) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, back, rec)
		}
		// Whatever is cut off is missed.
		for n := range want {
			if err := back.Decode(NewReader(want[:n:n])); err == nil || !errors.Is(err, MarshallingError) {
				t.Errorf("%s cut to %d of %d bytes: %v", name, n, len(want), err)
			}
		}
	})
	for name := range records {
		t.Errorf("%s is not in golden.txt", name)
	}
}

// ZooKeeper 3.8 adds the byte readOnly by hand after these two records.
func TestReadOnlyByteIsOptional(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		req := &ConnectRequest{TimeoutMs: 5, Password: goldenPassword}
		with := *req
		with.HasReadOnly, with.ReadOnly = true, readOnly
		if got, want := with.AppendTo(nil), AppendBool(req.AppendTo(nil), readOnly); !bytes.Equal(got, want) {
			t.Errorf("got %x, want %x", got, want)
		}
		var back ConnectRequest
		if err := back.Decode(NewReader(with.AppendTo(nil))); err != nil || !reflect.DeepEqual(back, with) {
			t.Errorf("got %+v (%v), want %+v", back, err, with)
		}
		resp := ConnectResponse{TimeoutMs: 5, Password: goldenPassword, HasReadOnly: true, ReadOnly: readOnly}
		var respBack ConnectResponse
		if err := respBack.Decode(NewReader(resp.AppendTo(nil))); err != nil || !reflect.DeepEqual(respBack, resp) {
			t.Errorf("got %+v (%v), want %+v", respBack, err, resp)
		}
	}
}

func TestPathsAreJudgedAsJavaDoes(t *testing.T) {
	goldenLines(t, "path", func(fields []string) {
		path, _ := hex.DecodeString(fields[1][1:])
		message, _ := hex.DecodeString(fields[2][1:])
		got := ""
		err := CheckPath(string(path), fields[0] == "true")
		if err != nil {
			got = err.Error()
			if !errors.Is(err, BadArguments) {
				t.Errorf("%q: %v is not BadArguments", path, err)
			}
		}
		if got != string(message) {
			t.Errorf("%q, sequential %s:\n got %q\nwant %q", path, fields[0], got, message)
		}
	})
	if err := CheckPath("/a\xff", false); err == nil {
		t.Error("bytes that are no UTF-8 passed")
	}
}

func TestDigestIsJavas(t *testing.T) {
	goldenLines(t, "digest", func(fields []string) {
		if got := DigestID(fields[0]); got != (ID{"digest", fields[1]}) {
			t.Errorf("%s: got %v, want %s", fields[0], got, fields[1])
		}
	})
}
