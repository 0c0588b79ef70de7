package server

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit/zkserver"
	"github.com/millrace/millrace/quorum/jute"
)

// Debian's ZooKeeper beside ours: the same clients do the same on both, and what words,
// commands and replies say must be alike but for numbers and times.
func TestBesideDebiansZooKeeper(t *testing.T) {
	zkserver.Need(t)
	theirs := zkserver.Launch(t, zkserver.Options{Config: map[string]string{"4lw.commands.whitelist": "*", "tickTime": "2000"}}).Servers[0]
	ours := startPort(t, func(o *Options) { o.Config.MaxClientCnxns, o.Facts.DataDir = 60, "/some/where" })
	web := httptest.NewServer(ours.s.AdminHandler("/commands"))
	defer web.Close()
	requests(t, theirs.Addr(), ours.addr)
	hidden(t, theirs.Addr())
	hidden(t, ours.addr)
	scene(t, theirs.Addr())
	scene(t, ours.addr)
	for _, word := range []string{"ruok", "isro", "gtmk", "srvr", "stat", "conf", "cons", "dump", "wchs", "wchc", "wchp", "dirs", "crst", "srst"} {
		want, got := shape(word, askWord(t, theirs.Addr(), word)), shape(word, ours.word(word))
		if !slices.Equal(got, want) {
			t.Errorf("%s says\n%s\nwant\n%s", word, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	mntr(t, askWord(t, theirs.Addr(), "mntr"), ours.word("mntr"))
	admin(t, "http://"+theirs.Admin(), web.URL)
}

// scene leaves a session with an ephemeral node and watches.
func scene(t *testing.T, addr string) {
	t.Helper()
	c := session(t, addr)
	c.create("/scene", "x")
	c.must(jute.OpCreate, &jute.CreateRequest{Path: "/scene/e", ACL: jute.OpenACL(), Mode: jute.Ephemeral}, nil)
	c.get("/scene", true)
	c.must(jute.OpGetChildren, &jute.GetChildrenRequest{Path: "/scene", Watch: true}, nil)
	c.call(jute.OpExists, &jute.ExistsRequest{Path: "/scene/none", Watch: true}, nil)
	t.Cleanup(func() { c.nc.Close() })
}

var (
	versions = regexp.MustCompile(`Zookeeper version: 3\.8\.0-.*, built on .*`)
	dates    = regexp.MustCompile(`(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d UTC \d{4}`)
	numbers  = regexp.MustCompile(`(0x[0-9a-f]+|-?\d+(\.\d+)?(E-?\d+)?)`)
)

// shape is a text without what differs: numbers, dates, folders, and the order of sets.
func shape(word, text string) []string {
	text = versions.ReplaceAllString(text, "Zookeeper version: 3.8.0")
	text = dates.ReplaceAllString(text, "DATE")
	text = numbers.ReplaceAllString(text, "N")
	text = regexp.MustCompile(`(?m)^(dataDir|dataLogDir)=.*`).ReplaceAllString(text, "$1=DIR")
	lines := strings.Split(text, "\n")
	switch word {
	case "cons", "stat", "wchp", "wchc":
		slices.Sort(lines)
	case "dump":
		// Their table of connections keeps sets that are empty.
		lines = slices.DeleteFunc(lines, func(l string) bool { return l == "N expire at DATE:" })
	}
	return lines
}

// mntr checks that all of our lines are theirs by name and kind, and that theirs that tell of
// the port are there.
func mntr(t *testing.T, theirs, ours string) {
	t.Helper()
	read := func(text string) map[string]string {
		m := map[string]string{}
		for line := range strings.Lines(text) {
			name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			if !ok {
				t.Errorf("mntr has the line %q", line)
			}
			m[name] = value
		}
		return m
	}
	want, got := read(theirs), read(ours)
	for name, value := range got {
		their, ok := want[name]
		if !ok {
			t.Errorf("mntr: they have no %s", name)
			continue
		}
		if a, b := strings.Contains(their, "."), strings.Contains(value, "."); a != b {
			t.Errorf("mntr: %s is %s, theirs %s", name, value, their)
		}
	}
	for _, name := range []string{
		"version", "server_state", "ephemerals_count", "num_alive_connections", "avg_latency", "outstanding_requests", "znode_count", "global_sessions",
		"packets_sent", "packets_received", "watch_count", "min_latency", "max_latency", "approximate_data_size", "uptime", "connection_rejected",
		"cnt_readlatency", "p99_updatelatency", "response_bytes", "bytes_received_count",
	} {
		if _, ok := got["zk_"+name]; !ok {
			t.Errorf("mntr: zk_%s is missing", name)
		}
	}
	for _, name := range []string{"zk_znode_count", "zk_ephemerals_count", "zk_watch_count", "zk_approximate_data_size", "zk_server_state"} {
		if got[name] != want[name] {
			t.Errorf("mntr: %s is %s, theirs %s", name, got[name], want[name])
		}
	}
}

// admin compares the keys of the commands, with their kinds.
func admin(t *testing.T, theirs, ours string) {
	t.Helper()
	get := func(url string) string {
		c := http.Client{Timeout: patience}
		r, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatal(url, r.Status, err)
		}
		return string(b)
	}
	if want, got := get(theirs+"/commands"), get(ours+"/commands"); got != want {
		t.Errorf("the list of commands is %s, want %s", got, want)
	}
	for i := range commands {
		for _, name := range commands[i].names {
			switch name {
			case "environment", "env", "envi", "system_properties", "sysp", "monitor", "mntr", "hash":
				continue // it is Java's, or compared elsewhere
			}
			want, got := get(theirs+"/commands/"+name), get(ours+"/commands/"+name)
			w, g := keys(t, want), keys(t, got)
			if name == "dump" { // theirs keeps sets that are empty
				w = slices.DeleteFunc(w, func(k string) bool { return strings.HasSuffix(k, " empty list") })
			}
			if !slices.Equal(g, w) {
				t.Errorf("%s answers\n%s\nwant\n%s\n%v\n%v", name, got, want, g, w)
			}
		}
	}
	for _, q := range []string{"nope", "stmk?traceMask=x", "stmk?traceMask=12", "gtmk"} {
		var want, got map[string]any
		_ = json.Unmarshal([]byte(get(theirs+"/commands/"+q)), &want)
		_ = json.Unmarshal([]byte(get(ours+"/commands/"+q)), &got)
		if !maps.Equal(want, got) {
			t.Errorf("%s answers %v, want %v", q, got, want)
		}
	}
	if got := get(ours + "/commands/monitor"); !strings.Contains(got, `"znode_count": `) {
		t.Errorf("monitor answers %s", got)
	}
}

// keys are the paths to all values of a JSON text, with the kinds of the values; keys that are
// ids or times are alike.
func keys(t *testing.T, text string) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	seen := map[string]bool{}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				if numbers.FindString(k) == k {
					k = "N"
				}
				walk(at+"."+k, e)
			}
		case []any:
			for _, e := range v {
				walk(at+"[]", e)
			}
			if len(v) == 0 {
				seen[at+" empty list"] = true
			}
		default:
			seen[fmt.Sprintf("%s %T", at, v)] = true
		}
	}
	walk("", v)
	return slices.Sorted(maps.Keys(seen))
}

// requests sends each of a list of odd requests to both, and compares codes and sizes.
func requests(t *testing.T, theirs, ours string) {
	t.Helper()
	open := jute.OpenACL()
	list := []struct {
		op jute.OpCode
		m  jute.Record
	}{
		{jute.OpCreate, &jute.CreateRequest{Path: "/q", Data: []byte("1"), ACL: open}},
		{jute.OpCreate, &jute.CreateRequest{Path: "/q", ACL: open}},
		{jute.OpCreate, &jute.CreateRequest{Path: "/q/", ACL: open}},
		{jute.OpCreate, &jute.CreateRequest{Path: "q", ACL: open}},
		{jute.OpCreate, &jute.CreateRequest{Path: "", ACL: open}},
		{jute.OpCreate, &jute.CreateRequest{Path: "/q/seq-", ACL: open, Mode: jute.PersistentSequential}},
		{jute.OpCreate, &jute.CreateRequest{Path: "/q/flag4", ACL: open, Mode: jute.Container}},
		{jute.OpCreate, &jute.CreateRequest{Path: "/q/flag9", ACL: open, Mode: 9}},
		{jute.OpCreate2, &jute.CreateRequest{Path: "/q/two", ACL: open}},
		{jute.OpCreateContainer, &jute.CreateRequest{Path: "/q/box", ACL: open, Mode: jute.Container}},
		{jute.OpCreate, &jute.CreateRequest{Path: "/q/noacl"}},
		{jute.OpCreate, &jute.CreateRequest{Path: "/q/badacl", ACL: []jute.ACL{{Perms: 31, ID: jute.ID{Scheme: "nope", ID: "x"}}}}},
		{jute.OpCreate, &jute.CreateRequest{Path: "/q/none/x", ACL: open}},
		{jute.OpSetData, &jute.SetDataRequest{Path: "/q", Data: []byte("22"), Version: -1}},
		{jute.OpSetData, &jute.SetDataRequest{Path: "/q", Data: []byte("22"), Version: 7}},
		{jute.OpSetData, &jute.SetDataRequest{Path: "/none", Version: -1}},
		{jute.OpGetData, &jute.GetDataRequest{Path: "/q", Watch: true}},
		{jute.OpGetData, &jute.GetDataRequest{Path: "/none", Watch: true}},
		{jute.OpGetData, &jute.GetDataRequest{Path: "no slash"}},
		{jute.OpGetData, &jute.GetDataRequest{Path: ""}},
		{jute.OpExists, &jute.ExistsRequest{Path: "/q"}},
		{jute.OpExists, &jute.ExistsRequest{Path: "/none"}},
		{jute.OpExists, &jute.ExistsRequest{Path: "/a\x00b"}},
		{jute.OpGetChildren, &jute.GetChildrenRequest{Path: "/q"}},
		{jute.OpGetChildren2, &jute.GetChildrenRequest{Path: "/q"}},
		{jute.OpGetAllChildrenNumber, &jute.PathOnly{Path: "/q"}},
		{jute.OpGetEphemerals, &jute.PathOnly{Path: "/"}},
		{jute.OpGetACL, &jute.GetACLRequest{Path: "/q"}},
		{jute.OpSetACL, &jute.SetACLRequest{Path: "/q", ACL: open, Version: -1}},
		{jute.OpSetACL, &jute.SetACLRequest{Path: "/q", ACL: open, Version: 77}},
		{jute.OpSync, &jute.SyncRequest{Path: "/q"}},
		{jute.OpSync, &jute.SyncRequest{Path: "rubbish"}},
		{jute.OpWhoAmI, nil},
		{jute.OpCheckWatches, &jute.WatchesRequest{Path: "/q", Type: jute.WatcherData}},
		{jute.OpCheckWatches, &jute.WatchesRequest{Path: "/q", Type: 99}},
		{jute.OpRemoveWatches, &jute.WatchesRequest{Path: "/q", Type: jute.WatcherData}},
		{jute.OpRemoveWatches, &jute.WatchesRequest{Path: "/q", Type: jute.WatcherAny}},
		{jute.OpAddWatch, &jute.AddWatchRequest{Path: "/q", Mode: jute.WatchPersistentRecursive}},
		{jute.OpAddWatch, &jute.AddWatchRequest{Path: "/q", Mode: 5}},
		{jute.OpMulti, &jute.MultiRequest{}},
		{jute.OpMulti, &jute.MultiRequest{Ops: []jute.MultiOp{{Type: jute.OpCheck, Path: "/q", Version: 1}, {Type: jute.OpCreate2, Path: "/q/m", ACL: open}, {Type: jute.OpSetData, Path: "/q", Version: -1}, {Type: jute.OpDelete, Path: "/q/m", Version: -1}}}},
		{jute.OpMulti, &jute.MultiRequest{Ops: []jute.MultiOp{{Type: jute.OpDelete, Path: "/none", Version: -1}, {Type: jute.OpCheck, Path: "/q", Version: 1}}}},
		{jute.OpMulti, &jute.MultiRequest{Ops: []jute.MultiOp{{Type: jute.OpCheck, Path: "/q", Version: -1}, {Type: jute.OpCreate, Path: "/q/x", ACL: open, Mode: 9}}}},
		{jute.OpMulti, &jute.MultiRequest{Ops: []jute.MultiOp{{Type: jute.OpCreate, Path: "/q/f4", ACL: open, Mode: jute.Container}, {Type: jute.OpCreateContainer, Path: "/q/f0", ACL: open}, {Type: jute.OpCreateTTL, Path: "/q/f1", ACL: open, TTLMs: 5}}}},
		{jute.OpMultiRead, &jute.MultiRequest{Ops: []jute.MultiOp{{Type: jute.OpGetData, Path: "/q"}, {Type: jute.OpGetChildren, Path: "/none"}}}},
		{jute.OpReconfig, &jute.ReconfigRequest{Joining: "server.9=a:1:2;3", CurConfigID: -1}},
		{jute.OpSetWatches, &jute.SetWatches{Data: []string{"/q", "/none"}, Exist: []string{"/q", "/none"}, Child: []string{"/q", "/none"}}},
		{jute.OpDelete, &jute.DeleteRequest{Path: "/q", Version: -1}},
		{jute.OpDelete, &jute.DeleteRequest{Path: "/", Version: -1}},
		{jute.OpDelete, &jute.DeleteRequest{Path: "/zookeeper/config", Version: -1}},
		{jute.OpSetData, &jute.SetDataRequest{Path: "/zookeeper/config", Version: -1}},
	}
	a, b := session(t, theirs), session(t, ours)
	for _, q := range list {
		want, got := exchange(a, q.op, q.m), exchange(b, q.op, q.m)
		if !slices.Equal(got, want) {
			t.Errorf("operation %d %+v: %v, want %v", q.op, q.m, got, want)
		}
	}
	a.must(jute.OpCloseSession, nil, nil)
	b.must(jute.OpCloseSession, nil, nil)
}

// exchange is what comes of a request: events, code and size of the reply.
func exchange(c *rawClient, op jute.OpCode, m jute.Record) []string {
	c.t.Helper()
	xid := c.send(op, m)
	var list []string
	for {
		_ = c.nc.SetDeadline(time.Now().Add(patience))
		m := c.next()
		if m.event == nil {
			if m.head.Xid != xid {
				c.t.Fatalf("%v came", m)
			}
			return append(list, fmt.Sprintf("%v, %d bytes", m.head.Err, len(m.body)))
		}
		list = append(list, m.String())
	}
}
