package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

// field is one entry of a JSON object that keeps its order.
type field struct {
	name  string
	value any
}

type object []field

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// command is one of AdminServer's. The first name is the primary one. Those that need a
// serving server say so when it is none.
type command struct {
	names   []string
	anytime bool
	run     func(s *Server, args url.Values) (object, string)
}

// commands are those of ZooKeeper 3.8, with its keys.
var commands = []command{
	{[]string{"configuration", "conf", "config"}, false, (*Server).cmdConfiguration},
	{[]string{"connection_stat_reset", "crst"}, false, func(s *Server, _ url.Values) (object, string) { s.resetConns(); return nil, "" }},
	{[]string{"connections", "cons"}, false, func(s *Server, _ url.Values) (object, string) { return s.connections(false), "" }},
	{[]string{"dirs"}, false, func(s *Server, _ url.Values) (object, string) {
		data, log := s.facts.DirSizes()
		return object{{"datadir_size", data}, {"logdir_size", log}}, ""
	}},
	{[]string{"dump"}, false, (*Server).cmdDump},
	{[]string{"environment", "env", "envi"}, true, func(s *Server, _ url.Values) (object, string) { return pairs(s.environment()), "" }},
	{[]string{"get_trace_mask", "gtmk"}, true, func(s *Server, _ url.Values) (object, string) { return object{{"tracemask", s.traceMask.Load()}}, "" }},
	{[]string{"hash"}, false, (*Server).cmdHash},
	{[]string{"initial_configuration", "icfg"}, false, func(s *Server, _ url.Values) (object, string) {
		return object{{"initial_configuration", s.facts.InitialConfig}}, ""
	}},
	{[]string{"is_read_only", "isro"}, false, func(*Server, url.Values) (object, string) { return object{{"read_only", false}}, "" }},
	{[]string{"last_snapshot", "lsnp"}, false, (*Server).cmdLastSnapshot},
	{[]string{"leader", "lead"}, false, (*Server).cmdLeader},
	{[]string{"monitor", "mntr"}, false, (*Server).cmdMonitor},
	{[]string{"observer_connection_stat_reset", "orst"}, false, func(*Server, url.Values) (object, string) { return nil, "" }},
	{[]string{"observers", "obsr"}, false, (*Server).cmdObservers},
	{[]string{"ruok"}, false, func(*Server, url.Values) (object, string) { return nil, "" }},
	{[]string{"server_stats", "srvr"}, false, func(s *Server, _ url.Values) (object, string) { return s.serverStats(), "" }},
	{[]string{"set_trace_mask", "stmk"}, true, (*Server).cmdSetTraceMask},
	{[]string{"stat_reset", "srst"}, false, func(s *Server, _ url.Values) (object, string) { s.resetStats(); return nil, "" }},
	{[]string{"stats", "stat"}, false, func(s *Server, _ url.Values) (object, string) {
		return append(s.serverStats(), s.connections(true)...), ""
	}},
	{[]string{"system_properties", "sysp"}, true, func(s *Server, _ url.Values) (object, string) { return pairs(s.facts.SystemProperties()), "" }},
	{[]string{"voting_view"}, false, (*Server).cmdVotingView},
	{[]string{"watch_summary", "wchs"}, false, func(s *Server, _ url.Values) (object, string) {
		w := s.watches.Summary()
		return object{{"num_connections", w.Watchers}, {"num_paths", w.Paths}, {"num_total_watches", w.Watches}}, ""
	}},
	{[]string{"watches", "wchc"}, false, (*Server).cmdWatches},
	{[]string{"watches_by_path", "wchp"}, false, (*Server).cmdWatchesByPath},
	{[]string{"zabstate"}, true, (*Server).cmdZabState},
}

// AdminHandler serves AdminServer's commands below a path such as "/commands": a list of them there,
// each as JSON at its name. It answers GET only and changes nothing but counters and the trace
// mask.
func (s *Server) AdminHandler(root string) http.Handler {
	root = "/" + strings.Trim(root, "/")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, root)
		switch {
		case !ok || name != "" && name[0] != '/':
			http.NotFound(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the commands are asked by GET", http.StatusMethodNotAllowed)
		case name == "" || name == "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			for i := range commands {
				fmt.Fprintf(w, "<a href=\"%s/%s\">%[2]s</a>\n<br/>\n", root, commands[i].names[0])
			}
		default:
			s.answerCommand(w, name[1:], r.URL.Query())
		}
	})
}

func (s *Server) answerCommand(w http.ResponseWriter, name string, args url.Values) {
	body := s.runCommand(name, args)
	b, err := json.Marshal(body)
	if err != nil {
		b = []byte(`{"error": "Exception writing command response to JSON"}`)
	}
	var out bytes.Buffer
	if json.Indent(&out, b, "", "  ") != nil {
		out.Write(b)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out.Bytes())
}

// runCommand ends each answer with the command's primary name and the error, as ZooKeeper does.
func (s *Server) runCommand(name string, args url.Values) object {
	end := func(o object, name, problem string) object {
		if problem != "" {
			return append(o, field{"command", name}, field{"error", problem})
		}
		return append(o, field{"command", name}, field{"error", nil})
	}
	i := slices.IndexFunc(commands, func(c command) bool { return slices.Contains(c.names, name) })
	if i < 0 {
		return end(nil, name, "Unknown command: "+name)
	}
	c := &commands[i]
	if !c.anytime && !s.serving.Load() {
		return end(nil, name, notServing)
	}
	body, problem := c.run(s, args)
	return end(body, c.names[0], problem)
}

func pairs(list []Pair) object {
	o := make(object, len(list))
	for i, p := range list {
		o[i] = field{p.Name, p.Value}
	}
	return o
}

func (s *Server) cmdConfiguration(url.Values) (object, string) {
	id := 0
	if status := s.member.Status(); status.Mode != node.Standalone {
		id = status.ID
	}
	logDir := s.facts.DataLogDir
	if logDir == "" {
		logDir = s.facts.DataDir
	}
	return object{
		{"client_port", port(s.listen)},
		{"data_dir", s.facts.DataDir},
		{"data_log_dir", logDir},
		{"tick_time", s.cfg.TickTime.Milliseconds()},
		{"max_client_cnxns", s.cfg.MaxClientCnxns},
		{"min_session_timeout", s.cfg.MinSessionTimeout.Milliseconds()},
		{"max_session_timeout", s.cfg.MaxSessionTimeout.Milliseconds()},
		{"server_id", id},
		{"client_port_listen_backlog", s.facts.ListenBacklog},
	}, ""
}

func (s *Server) connections(brief bool) object {
	plain, secure := []object{}, []object{}
	for _, c := range s.sorted() {
		i := c.info()
		o := i.json(brief)
		if i.secure {
			secure = append(secure, o)
		} else {
			plain = append(plain, o)
		}
	}
	return object{{"connections", plain}, {"secure_connections", secure}}
}

func (i connInfo) json(brief bool) object {
	k := &i.counters
	o := object{
		{"remote_socket_address", strings.TrimPrefix(i.remote, "/")},
		{"interest_ops", i.interest},
		{"outstanding_requests", i.queued},
		{"packets_received", k.received},
		{"packets_sent", k.sent},
	}
	if brief {
		return o
	}
	return append(o, object{
		{"session_id", i.session},
		{"last_operation", k.lastOp},
		{"established", i.established},
		{"session_timeout", i.timeoutMs},
		{"last_cxid", k.lastXid},
		{"last_zxid", k.lastZxid},
		{"last_response_time", k.lastResponse / 1e6},
		{"last_latency", k.lastNs / 1e6},
		{"min_latency", i.minMs},
		{"avg_latency", i.avgMs},
		{"max_latency", i.maxMs},
	}...)
}

func (s *Server) cmdDump(url.Values) (object, string) {
	expiry, owned := object{}, object{}
	if mode := s.member.Status().Mode; mode != node.Follower && mode != node.Observer { // which let no session end
		ends := s.sessionEnds(s.sorted())
		for _, end := range sortedKeys(ends) {
			expiry = append(expiry, field{strconv.FormatInt(end, 10), ends[end]})
		}
	}
	owners, nodes := s.ephemerals()
	for i, id := range owners {
		owned = append(owned, field{strconv.FormatInt(id, 10), nodes[i]})
	}
	return object{{"expiry_time_to_session_ids", expiry}, {"session_id_to_ephemeral_paths", owned}}, ""
}

func (s *Server) cmdHash(url.Values) (object, string) {
	var zxid, digest int64
	s.member.Read(func(t *tree.State) { zxid, digest = t.Zxid(), int64(t.Digest()) })
	return object{{"digests", []object{{{"zxid", zxid}, {"digest_version", 1}, {"digest", digest}}}}}, ""
}

func (s *Server) cmdLastSnapshot(url.Values) (object, string) {
	zxid, at, ok := s.facts.LastSnapshot()
	if !ok {
		return object{{"zxid", strconv.FormatUint(1<<64-1, 16)}, {"timestamp", -1}}, ""
	}
	return object{{"zxid", strconv.FormatUint(uint64(zxid), 16)}, {"timestamp", at.Unix()}}, ""
}

func (s *Server) cmdMonitor(url.Values) (object, string) {
	var o object
	for _, m := range s.monitor() {
		if _, ok := m.Value.(float64); ok {
			m.Value = json.Number(m.text())
		}
		o = append(o, field{m.Name, m.Value})
	}
	return o, ""
}

func (s *Server) serverStats() object {
	st, status := s.Stats(), s.member.Status()
	data, log := s.facts.DirSizes()
	sizes := object{{"last_buffer_size", st.LastResponseBytes}, {"min_buffer_size", st.MinResponseBytes}, {"max_buffer_size", st.MaxResponseBytes}}
	o := object{
		{"version", s.version()},
		{"read_only", false},
		{"server_stats", object{
			{"packets_sent", st.PacketsSent},
			{"packets_received", st.PacketsReceived},
			{"fsync_threshold_exceed_count", 0},
			{"client_response_stats", sizes},
			{"data_dir_size", data},
			{"log_dir_size", log},
			{"provider_null", false},
			{"server_state", status.Mode.String()},
			{"last_processed_zxid", st.Zxid},
			{"outstanding_requests", st.OutstandingRequests},
			{"avg_latency", json.Number(javaFloat(st.Latency.AvgMs))},
			{"max_latency", st.Latency.MaxMs},
			{"min_latency", st.Latency.MinMs},
			{"num_alive_client_connections", st.Connections},
			{"uptime", st.Uptime.Milliseconds()},
			{"auth_failed_count", st.AuthFailures},
			{"non_mtlsremote_conn_count", st.PlainRemote},
			{"non_mtlslocal_conn_count", st.PlainLocal},
		}},
		{"client_response", sizes},
	}
	if status.Mode == node.Leader {
		n := &status.Counts
		o = append(o, field{"proposal_stats", object{{"last_buffer_size", n.LastBytes}, {"min_buffer_size", n.LeastBytes}, {"max_buffer_size", n.MostBytes}}})
	}
	return append(o, field{"node_count", st.Nodes})
}

func (s *Server) cmdSetTraceMask(args url.Values) (object, string) {
	if !args.Has("traceMask") {
		return nil, "setTraceMask requires long traceMask argument"
	}
	mask, err := strconv.ParseInt(args.Get("traceMask"), 10, 64)
	if err != nil {
		return nil, "setTraceMask requires long traceMask argument, got " + args.Get("traceMask")
	}
	s.traceMask.Store(mask)
	return object{{"tracemask", mask}}, ""
}

func (s *Server) cmdWatches(url.Values) (object, string) {
	byConn, out := s.watchedPaths(), object{}
	for _, id := range sortedKeys(byConn) {
		slices.Sort(byConn[id])
		out = append(out, field{strconv.FormatInt(id, 10), byConn[id]})
	}
	return object{{"session_id_to_watched_paths", out}}, ""
}

func (s *Server) cmdWatchesByPath(url.Values) (object, string) {
	byPath, out := s.watchers(), object{}
	for _, p := range sortedKeys(byPath) {
		slices.Sort(byPath[p])
		out = append(out, field{p, byPath[p]})
	}
	return object{{"path_to_session_ids", out}}, ""
}
