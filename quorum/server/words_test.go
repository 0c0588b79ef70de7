package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

func TestWordsOfTheWhitelist(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.Words = []string{" ruok", "wchs "} })
	for word, want := range map[string]string{
		"ruok": "imok",
		"wchs": "0 connections watching 0 paths\nTotal watches:0\n",
		"mntr": "mntr is not executed because it is not in the whitelist.\n",
		"stmk": "stmk is not executed because it is not in the whitelist.\n",
	} {
		if got := p.word(word); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
	if got := p.word("srvr"); !strings.HasPrefix(got, "Zookeeper version: 3.8.0-millrace, built on ") {
		t.Errorf("srvr, which is always answered: %q", got)
	}
	standard := startPort(t, func(o *Options) { o.Config.Words = nil })
	for _, word := range []string{"ruok", "srvr", "stat", "mntr", "conf", "isro"} {
		if got := standard.word(word); strings.Contains(got, "whitelist") {
			t.Errorf("%s: %q", word, got)
		}
	}
	if got := standard.word("dump"); !strings.Contains(got, "whitelist") {
		t.Errorf("dump: %q", got)
	}
}

func TestWordInPieces(t *testing.T) {
	p := startPort(t, nil)
	c := p.dial()
	for _, b := range "srv" {
		c.write([]byte(string(b)))
	}
	c.write([]byte("r\n"))
	b := make([]byte, 18)
	if _, err := c.nc.Read(b); err != nil || string(b) != "Zookeeper version:" {
		t.Errorf("%q, %v", b, err)
	}
	telnet := p.dial()
	telnet.write([]byte{0xff, 0xf4, 0xff, 0xfd})
	telnet.closed()
	mask := p.dial()
	mask.write([]byte("stmk\x00\x00\x00\x00"))
	mask.write([]byte("\x00\x00\x00\x2a"))
	if got := make([]byte, 2); true {
		if _, err := mask.nc.Read(got); err != nil || string(got) != "42" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if got := p.word("gtmk"); got != "42" {
		t.Errorf("the mask is %q", got)
	}
	// Later it is a length.
	late := p.client()
	late.write([]byte("ruok"))
	late.closed()
}

func TestWhatAnEnsembleTells(t *testing.T) {
	p := startPort(t, func(o *Options) {
		o.Facts.DataDir, o.Facts.InitLimit, o.Facts.SyncLimit = "/data", 10, 5
		o.Facts.LastSnapshot = func() (int64, time.Time, bool) { return 0x1f, time.Unix(5, 0), true }
	})
	web := p.s.AdminHandler("commands/")
	ask := func(name string) map[string]any {
		r := httptest.NewRecorder()
		web.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/commands/"+name, nil))
		var m map[string]any
		if err := json.Unmarshal(r.Body.Bytes(), &m); err != nil || r.Code != http.StatusOK {
			t.Fatalf("%s: %v, %d", name, err, r.Code)
		}
		return m
	}
	const config = "server.1=a:2888:3888:participant;0.0.0.0:2181\nserver.2=[::1]:2888:3888:participant;2182\nserver.3=c:2888:3888:observer"
	p.e.do(tree.Op{Kind: tree.SetConfig, Data: []byte(config)})
	p.e.status.Store(&Status{Mode: node.Leader, ID: 1, LeaderID: 1, Voters: 2, Observers: 1, Voter: true, Term: 3, SyncedFollowers: 1, SyncedObservers: 1,
		Reign: 5 * time.Second, Counts: node.Counts{Proposed: 7, Committed: 6, Learned: 5, LastBytes: 80, LeastBytes: 40, MostBytes: 90}})
	if got := p.word("srvr"); !strings.Contains(got, "\nMode: leader\n") || !strings.HasSuffix(got, "\nProposal sizes last/min/max: 80/40/90\n") {
		t.Errorf("srvr: %q", got)
	}
	mntr := p.word("mntr")
	for _, want := range []string{"zk_server_state\tleader\n", "zk_peer_state\tleading - broadcast\n", "zk_learners\t2\n", "zk_synced_followers\t1\n", "zk_synced_observers\t1\n", "zk_pending_syncs\t0\n", "zk_quorum_size\t2\n",
		"zk_leader_uptime\t5000\n", "zk_last_proposal_size\t80\n", "zk_min_proposal_size\t40\n", "zk_max_proposal_size\t90\n",
		"zk_proposal_count\t7\n", "zk_commit_count\t6\n", "zk_learner_commit_received_count\t5\n", "zk_non_mtls_local_conn_count\t2\n", "zk_non_mtls_remote_conn_count\t0\n"} {
		if !strings.Contains(mntr, want) {
			t.Errorf("mntr has no %q", want)
		}
	}
	p.e.each(func(s node.Sink) { s.Serving(false) })
	p.e.each(func(s node.Sink) { s.Serving(false) })
	p.e.each(func(s node.Sink) { s.Serving(true) })
	p.e.each(func(s node.Sink) { s.Serving(true) })
	watcher := p.client()
	if code := watcher.call(jute.OpExists, &jute.ExistsRequest{Path: "/w", Watch: true}, nil); code != jute.NoNode {
		t.Error(code)
	}
	watcher.create("/w", "")
	mntr = p.word("mntr")
	for _, want := range []string{"zk_looking_count\t1\n", "zk_cnt_election_time\t1\n", "zk_cnt_unavailable_time\t1\n", "zk_cnt_leader_unavailable_time\t1\n", "zk_cnt_propagation_latency\t3\n", "zk_sum_node_created_watch_count\t1\n", "zk_max_node_created_watch_count\t1\n", "zk_stale_sessions_expired\t0\n", "zk_digest_mismatches_count\t0\n"} {
		if !strings.Contains(mntr, want) {
			t.Errorf("mntr has no %q", want)
		}
	}
	if got := p.word("conf"); !strings.Contains(got, "\nserverId=1\ninitLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=3888\nquorumPort=2888\npeerType=0\nmembership: \n"+config+"\nversion=") {
		t.Errorf("conf: %q", got)
	}
	if m := ask("leader"); m["is_leader"] != true || m["leader_id"] != 1.0 || m["leader_ip"] != "a" || m["error"] != nil {
		t.Errorf("leader: %v", m)
	}
	view := ask("voting_view")["current_config"].(map[string]any)
	if len(view) != 2 {
		t.Errorf("voting_view: %v", view)
	}
	second := view["2"].(map[string]any)
	if second["server_addresses"].([]any)[0] != "[::1]:2888" || second["election_addresses"].([]any)[0] != "[::1]:3888" || second["client_address"] != "0.0.0.0:2182" || second["learner_type"] != "participant" {
		t.Errorf("voting_view: %v", second)
	}
	if m := ask("zabstate"); m["voting"] != true || m["zabstate"] != "broadcast" || m["quorum_address"].(map[string]any)["one"] != "a:2888" || m["election_address"].(map[string]any)["all_ports"].([]any)[0] != 3888.0 || m["myid"] != 1.0 || m["zab_epoch"] != 1.0 {
		t.Errorf("zabstate: %v", m)
	}
	if m := ask("observers"); m["synced_observers"] != 1.0 {
		t.Errorf("observers: %v", m)
	}
	if m := ask("last_snapshot"); m["zxid"] != "1f" || m["timestamp"] != 5.0 {
		t.Errorf("last_snapshot: %v", m)
	}
	if m := ask("srvr"); m["proposal_stats"].(map[string]any)["min_buffer_size"] != 40.0 || m["server_stats"].(map[string]any)["non_mtlslocal_conn_count"].(float64) < 2 {
		t.Errorf("srvr: %v", m)
	}
	if got := p.word("srst"); got != "Server stats reset.\n" {
		t.Errorf("srst: %q", got)
	}
	if mntr := p.word("mntr"); !strings.Contains(mntr, "zk_proposal_count\t0\n") || !strings.Contains(mntr, "zk_max_proposal_size\t-1\n") || !strings.Contains(mntr, "zk_cnt_propagation_latency\t0\n") {
		t.Errorf("mntr after srst: %s", mntr)
	}
	if m := ask("dump"); len(m["expiry_time_to_session_ids"].(map[string]any)) != 1 {
		t.Errorf("dump: %v", m)
	}
	p.e.status.Store(&Status{Mode: node.Follower, ID: 3, LeaderID: 1, Voters: 2, Observers: 1})
	if m := ask("leader"); m["is_leader"] != false || m["leader_ip"] != "a" {
		t.Errorf("leader: %v", m)
	}
	if got := p.word("srvr"); !strings.Contains(got, "\nMode: follower\n") || strings.Contains(got, "Proposal") {
		t.Errorf("srvr: %q", got)
	}
	if m := ask("dump"); len(m["expiry_time_to_session_ids"].(map[string]any)) != 0 {
		t.Errorf("dump of a follower: %v", m)
	}
	if m := ask("srvr"); m["proposal_stats"] != nil {
		t.Errorf("srvr of a follower: %v", m)
	}
	p.e.each(func(s node.Sink) { s.Serving(false) })
	if m := ask("stats"); m["error"] != notServing || m["command"] != "stats" {
		t.Errorf("stats: %v", m)
	}
	if m := ask("ruok"); m["error"] != notServing {
		t.Errorf("ruok: %v", m)
	}
	if m := ask("environment"); m["error"] != nil {
		t.Errorf("environment: %v", m)
	}
	for request, code := range map[*http.Request]int{
		httptest.NewRequest(http.MethodPost, "/commands/ruok", nil): http.StatusMethodNotAllowed,
		httptest.NewRequest(http.MethodGet, "/other", nil):          http.StatusNotFound,
		httptest.NewRequest(http.MethodGet, "/commandsx", nil):      http.StatusNotFound,
		httptest.NewRequest(http.MethodGet, "/commands/", nil):      http.StatusOK,
	} {
		r := httptest.NewRecorder()
		web.ServeHTTP(r, request)
		if r.Code != code {
			t.Errorf("%s %s: %d", request.Method, request.URL, r.Code)
		}
	}
}
