package words

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/conformance/quorum/wire"
	"github.com/millrace/millrace/internal/testkit/zkserver"
)

const sessionTimeout = 10 * time.Minute

// both is an ensemble of each kind, with a client each that has an ephemeral node and watches.
func both(t *testing.T, servers int) (debian, ours *zkserver.Ensemble) {
	t.Helper()
	zkserver.Need(t)
	binary, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	// The clients say nothing while their servers are compared.
	config := map[string]string{"maxSessionTimeout": fmt.Sprint(sessionTimeout.Milliseconds())}
	debian = zkserver.Launch(t, zkserver.Options{Servers: servers, Config: config})
	ours = zkserver.Launch(t, zkserver.Options{Servers: servers, Config: config, Argv: []string{binary, "quorum"}})
	for _, e := range []*zkserver.Ensemble{debian, ours} {
		for _, s := range e.Servers {
			use(t, s)
		}
	}
	return debian, ours
}

func use(t *testing.T, s *zkserver.Server) {
	t.Helper()
	c, _, err := wire.New(s.Addr(), sessionTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	path := fmt.Sprintf("/of-%d", s.ID)
	create := new(wire.Enc).String(path).Buffer([]byte("x")).ACLs([]wire.ACL{{Perms: 31, Scheme: "world", ID: "anyone"}}).Int(1)
	watch := new(wire.Enc).String(path).Bool(true)
	for _, call := range []struct {
		op   int32
		body []byte
	}{{1, create.B}, {4, watch.B}, {8, watch.B}} {
		if r, err := c.Call(call.op, call.body); err != nil || r.Err != 0 {
			t.Fatalf("op %d: code %d, %v", call.op, r.Err, err)
		}
	}
}

var (
	hexadecimal = regexp.MustCompile(`0x[0-9a-fA-F]+`)
	address     = regexp.MustCompile(`(/?127\.0\.0\.1|\[0:0:0:0:0:0:0:1\]|localhost)(:\d+)?`)
	decimal     = regexp.MustCompile(`-?\d+(\.\d+)?(E-?\d+)?`)
)

// shape is a line without its values, as a monitor's expression sees it.
func shape(line string) string {
	line = hexadecimal.ReplaceAllString(line, "HEX")
	line = address.ReplaceAllString(line, "ADDR")
	return decimal.ReplaceAllString(strings.TrimRight(line, "\r\n"), "N")
}

func shapes(text string, keep func(string) string) []string {
	set := map[string]bool{}
	for line := range strings.Lines(text) {
		if s := keep(line); s != "" {
			set[s] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// missing is what the first list has and the second has not.
func missing(want, got []string) []string {
	var list []string
	for _, s := range want {
		if !slices.Contains(got, s) {
			list = append(list, s)
		}
	}
	return list
}

// key is what stands before the first of the separators.
func key(separators string) func(string) string {
	return func(line string) string {
		if at := strings.IndexAny(line, separators); at >= 0 {
			return line[:at]
		}
		return ""
	}
}

// TestWords compares the answers to the four-letter words, line by line: texts that monitors
// parse must have all of the oracle's lines and no others; where lines are keys with values
// it is the keys that count.
func TestWords(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprint(servers), func(t *testing.T) {
			t.Parallel()
			debian, ours := both(t, servers)
			// The leader has lines of its own; compare leaders with leaders.
			leaderFirst(t, debian)
			leaderFirst(t, ours)
			for i := range debian.Servers {
				compareWords(t, debian.Servers[i], ours.Servers[i])
			}
		})
	}
}

func leaderFirst(t *testing.T, e *zkserver.Ensemble) {
	t.Helper()
	l, err := e.Leader()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.Index(e.Servers, l)
	e.Servers[0], e.Servers[at] = e.Servers[at], e.Servers[0]
}

func compareWords(t *testing.T, debian, ours *zkserver.Server) {
	words := []struct {
		word string
		keep func(string) string
	}{
		{"ruok", shape}, {"srvr", version}, {"stat", version}, {"isro", shape}, {"cons", shape}, {"crst", shape}, {"srst", shape},
		{"conf", key("=")}, {"dirs", shape}, {"wchs", shape}, {"wchc", shape}, {"wchp", shape}, {"gtmk", shape}, {"dump", shape},
		{"nope", shape},
	}
	for _, w := range words {
		want, err := debian.FourLetters(w.word)
		got, err2 := ours.FourLetters(w.word)
		if err != nil && w.word != "nope" || err2 != nil && w.word != "nope" {
			t.Errorf("%s: %v, %v", w.word, err, err2)
		}
		a, b := shapes(want, w.keep), shapes(got, w.keep)
		if lost, more := missing(a, b), missing(b, a); len(lost)+len(more) > 0 {
			t.Errorf("%s of a %s: lacks %q, has besides %q\nwant:\n%s\ngot:\n%s", w.word, debian.Mode(), lost, more, want, got)
		}
	}
}

// version leaves the line of the version to its form.
func version(line string) string {
	if rest, ok := strings.CutPrefix(line, "Zookeeper version: "); ok {
		if !regexp.MustCompile(`^[0-9A-Za-z.${}-]+, built on \S+ \d\d:\d\d \S+\s*$`).MatchString(rest) {
			return line
		}
		return "Zookeeper version"
	}
	return shape(line)
}

// leftOut are the keys of mntr that ours does not have; the package doc of quorum/server has the
// reasons. Those of a summary stand there without their first word.
var leftOut = regexp.MustCompile(`^zk_((cnt|min|max|avg|sum|p50|p95|p99|p999)_)?(` + strings.Join([]string{
	`jvm_\w+`,
	// stages and queues of the request processors
	`\w+_(commitproc|final_proc)_time_ms`, `(prep|sync|commit)_process(or)?_\w+`, `(read|write|commit)_commit_proc_\w+`, `om_\w+`, `\w*learner_handler_\w+`,
	`proposal_process_time`, `(local|server)_write_committed_time_ms`, `close_session_prep_time`, `concurrent_request_processing_in_commit_processor`,
	`pending_session_queue_size`, `reads_\w+_session_queue`, `requests_in_session_queue`, `session_queues_drained`, `time_waiting_empty_pool_\w+`,
	`write_batch_time_in_commit_processor`, `outstanding_changes_\w+`, `request_commit_queued`, `requests_not_forwarded_to_commit_processor`,
	`learner_request_processor_queue_size`, `skip_learner_request_\w+`,
	// messages that Raft does not have
	`proposal_latency`, `proposal_ack_creation_latency`, `quorum_ack_latency`, `commit_propagation_latency`, `learner_proposal_received_count`,
	`(inflight_)?(snap|diff)_count`, `(follower|observer)_sync_time`, `revalidate_count`, `quit_leading_due_to_disloyal_voter`, `socket_closing_time`,
	`startup_\w+`, `dbinittime`,
	// what ours has no such thing of
	`response_packet_\w+`, `\w*dead_watcher\w*`, `ensemble_auth_\w+`, `connection_token_deficit`, `request_throttle_queue_time_ms`, `throttled_ops`, `stale_re\w+`,
	`large_requests_rejected`, `tls_handshake_exceeded`, `insecure_admin_count`, `netty_queued_buffer_capacity`, `\S+_per_namespace`,
}, "|") + `)$`)

// ofEnsembles are those that a server which stands alone has besides, all of them 0 in ZooKeeper.
var ofEnsembles = regexp.MustCompile(`^zk_(\w+_(election|unavailable)_time|\w+_leader_unavailable_time|looking_count|proposal_count|commit_count|learner_commit_received_count)$`)

// TestMonitored compares the keys of mntr, of a server alone and of a leader and its followers:
// what ours lacks is in the list above, and it has nothing that ZooKeeper does not have.
func TestMonitored(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprint(servers), func(t *testing.T) {
			t.Parallel()
			debian, ours := both(t, servers)
			leaderFirst(t, debian)
			leaderFirst(t, ours)
			for i := range debian.Servers {
				compareMonitored(t, debian.Servers[i], ours.Servers[i], servers == 1)
			}
		})
	}
}

func compareMonitored(t *testing.T, debian, ours *zkserver.Server, alone bool) {
	want, err := debian.FourLetters("mntr")
	got, err2 := ours.FourLetters("mntr")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	a, b := shapes(want, key("\t ")), shapes(got, key("\t "))
	lost := slices.DeleteFunc(missing(a, b), func(name string) bool {
		return leftOut.MatchString(name) || alone && ofEnsembles.MatchString(name)
	})
	if more := missing(b, a); len(lost)+len(more) > 0 || len(b) < 90 {
		t.Errorf("mntr of a %s: %d keys, ours has %d; lacks %q, has besides %q", debian.Mode(), len(a), len(b), lost, more)
	}
	for line := range strings.Lines(got) {
		if !regexp.MustCompile(`^zk_\w+(\{[^}]*\})?\t\S.*\n$`).MatchString(line) {
			t.Errorf("mntr: the line %q is not of the form that exporters parse", line)
		}
	}
}

// TestCommands compares the admin server's commands: which there are, and the fields of their
// answers with their types, of a server alone and of a leader and its followers.
func TestCommands(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprint(servers), func(t *testing.T) {
			t.Parallel()
			debian, ours := both(t, servers)
			leaderFirst(t, debian)
			leaderFirst(t, ours)
			for i := range debian.Servers {
				compareCommands(t, debian.Servers[i], ours.Servers[i])
			}
		})
	}
}

func compareCommands(t *testing.T, debian, ours *zkserver.Server) {
	listed := func(s *zkserver.Server) []string {
		text, _ := get(t, s, "")
		var names []string
		for _, m := range regexp.MustCompile(`href="/commands/(\w+)"`).FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		return names
	}
	want := listed(debian)
	if got := listed(ours); !slices.Equal(want, got) || len(want) == 0 {
		t.Errorf("commands: %q, want %q", got, want)
	}
	for _, name := range append(want, "nope") {
		// Values of a JVM; what mntr has, see above; a log of digests that begins after 128 changes.
		if slices.Contains([]string{"system_properties", "environment", "monitor", "hash"}, name) {
			continue
		}
		a, typeA := get(t, debian, "/"+name)
		b, typeB := get(t, ours, "/"+name)
		fa, fb := fields(t, a), fields(t, b)
		if name == "initial_configuration" { // Debian's is null where the servers are listed in it
			fb = slices.Clone(fa)
		}
		if lost, more := missing(fa, fb), missing(fb, fa); len(lost)+len(more) > 0 {
			t.Errorf("%s of a %s: ours lacks %q, has besides %q\nwant: %s\ngot: %s", name, debian.Mode(), lost, more, a, b)
		}
		if typeA != typeB {
			t.Errorf("%s: content type %q, not %q", name, typeB, typeA)
		}
	}
}

func get(t *testing.T, s *zkserver.Server, path string) (text, contentType string) {
	t.Helper()
	r, err := (&http.Client{Timeout: wire.Timeout}).Get("http://" + s.Admin() + "/commands" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), r.Header.Get("Content-Type")
}

// fields is the names in a JSON object, with those of objects in it and their types. A session, a
// time and a path that stand as names are one like the other.
func fields(t *testing.T, text string) []string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Errorf("%v in %s", err, text)
	}
	set := map[string]bool{}
	var walk func(prefix string, value any)
	walk = func(prefix string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for name, value := range v {
				name = regexp.MustCompile(`^(\d+|/.*)$`).ReplaceAllString(name, "N")
				set[fmt.Sprintf("%s%s %T", prefix, name, value)] = true
				walk(prefix+name+".", value)
			}
		case []any:
			for _, value := range v {
				walk(prefix+"[].", value)
			}
		}
	}
	walk("", m)
	return slices.Sorted(maps.Keys(set))
}
