package server

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/server/watch"
	"github.com/millrace/millrace/quorum/tree"
)

// notServing is what words and commands answer when this server has no quorum.
const notServing = "This ZooKeeper instance is not currently serving requests"

// defaultTraceMask is what gtmk tells; the mask traces nothing here.
const defaultTraceMask = 306

// word is a four-letter word. Those that need a serving server say so when it is none.
type word struct {
	name    string
	anytime bool
	run     func(s *Server, w io.Writer, asking *conn)
}

// words are ZooKeeper's, with its texts. stmk is none of them: it takes an argument.
var words = []word{
	{"conf", false, (*Server).wordConf},
	{"cons", false, func(s *Server, w io.Writer, _ *conn) { s.printConns(w, false); fmt.Fprintln(w) }},
	{"crst", false, func(s *Server, w io.Writer, _ *conn) { s.resetConns(); fmt.Fprintln(w, "Connection stats reset.") }},
	{"dirs", false, func(s *Server, w io.Writer, _ *conn) {
		data, log := s.facts.DirSizes()
		fmt.Fprintf(w, "datadir_size: %d\nlogdir_size: %d\n", data, log)
	}},
	{"dump", false, (*Server).wordDump},
	{"envi", true, func(s *Server, w io.Writer, _ *conn) {
		fmt.Fprintln(w, "Environment:")
		for _, p := range s.environment() {
			fmt.Fprintf(w, "%s=%s\n", p.Name, p.Value)
		}
	}},
	{"gtmk", true, func(s *Server, w io.Writer, _ *conn) { fmt.Fprint(w, s.traceMask.Load()) }},
	{"hash", false, (*Server).wordHash},
	{"isro", true, func(s *Server, w io.Writer, _ *conn) {
		if s.serving.Load() {
			fmt.Fprint(w, "rw")
		} else {
			fmt.Fprint(w, "null")
		}
	}},
	{"mntr", false, func(s *Server, w io.Writer, _ *conn) {
		for _, m := range s.monitor() {
			fmt.Fprintf(w, "zk_%s\t%s\n", m.Name, m.text())
		}
	}},
	{"ruok", true, func(_ *Server, w io.Writer, _ *conn) { fmt.Fprint(w, "imok") }},
	{"srst", false, func(s *Server, w io.Writer, _ *conn) { s.resetStats(); fmt.Fprintln(w, "Server stats reset.") }},
	{"srvr", false, func(s *Server, w io.Writer, _ *conn) { s.printServer(w, false) }},
	{"stat", false, func(s *Server, w io.Writer, _ *conn) { s.printServer(w, true) }},
	{"wchc", false, (*Server).wordWatchesByConn},
	{"wchp", false, (*Server).wordWatchesByPath},
	{"wchs", false, func(s *Server, w io.Writer, _ *conn) {
		sum := s.watches.Summary()
		fmt.Fprintf(w, "%d connections watching %d paths\nTotal watches:%d\n", sum.Watchers, sum.Paths, sum.Watches)
	}},
}

// wordOf is the word that the first four bytes of a connection are, "" if they are none.
func wordOf(n int32) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	if s := string(b[:]); s == "stmk" || slices.ContainsFunc(words, func(w word) bool { return w.name == s }) {
		return s
	}
	return ""
}

// isWord also knows what telnet sends when it goes, so that it is no error.
func isWord(n int32) bool { return uint32(n) == telnetClose || wordOf(n) != "" }

const telnetClose = 0xfff4fffd

// allowedWords is the whitelist. srvr is always on it: zkServer.sh status asks for it.
func allowedWords(list []string) map[string]bool {
	allowed := map[string]bool{"srvr": true}
	for _, name := range list {
		if name = strings.TrimSpace(name); name == "*" {
			allowed["stmk"] = true
			for _, w := range words {
				allowed[w.name] = true
			}
		}
		allowed[name] = true
	}
	return allowed
}

// word answers the word that the connection began with, and ends it.
func (c *conn) word(n int32) error {
	name := wordOf(n)
	s := c.srv
	c.mu.Lock()
	c.received++
	c.mu.Unlock()
	s.stats.packetsReceived.Add(1)
	s.stats.bytesReceived.Add(4)
	c.in.skip(4)
	c.reading.Store(false)
	w := bufio.NewWriter(countingWriter{c})
	switch {
	case name == "":
	case !s.words[name]:
		fmt.Fprintf(w, "%s is not executed because it is not in the whitelist.\n", name)
	case name == "stmk":
		if err := c.setTraceMask(w); err != nil {
			return err
		}
	default:
		s.log.Debug("four-letter word", "word", name, "remote", c.remote)
		i := slices.IndexFunc(words, func(w word) bool { return w.name == name })
		if !words[i].anytime && !s.serving.Load() {
			fmt.Fprintln(w, notServing)
			break
		}
		words[i].run(s, w, c)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return errAnswered
}

// countingWriter sends straight to the client: a connection that asks for a word has no
// queue. Each piece counts as a packet, as in ZooKeeper.
type countingWriter struct{ c *conn }

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.c.nc.Write(p)
	w.c.srv.stats.packetsSent.Add(1)
	return n, err
}

// setTraceMask takes the eight bytes that follow the word stmk.
func (c *conn) setTraceMask(w io.Writer) error {
	for c.in.end-c.in.off < 8 {
		n, err := c.x.ReadInto(&c.in)
		if err != nil {
			return err
		}
		c.in.got(n)
	}
	mask := int64(binary.BigEndian.Uint64(c.in.buf.b[c.in.off:]))
	c.in.skip(8)
	c.srv.traceMask.Store(mask)
	_, err := fmt.Fprint(w, mask)
	return err
}

// version is the line that monitors look for: the date is in the form of ZooKeeper 3.5.
func (s *Server) version() string {
	return s.facts.Version + ", built on " + s.facts.Built.UTC().Format("01/02/2006 15:04") + " GMT"
}

// mode is the word for the part that this server plays.
func (s *Server) mode() string { return s.member.Status().Mode.String() }

func (s *Server) printServer(w io.Writer, clients bool) {
	fmt.Fprintf(w, "Zookeeper version: %s\n", s.version())
	if clients {
		fmt.Fprintln(w, "Clients:")
		s.printConns(w, true)
		fmt.Fprintln(w)
	}
	st := s.Stats()
	status := s.member.Status()
	fmt.Fprintf(w, "Latency min/avg/max: %d/%s/%d\n", st.Latency.MinMs, javaFloat(st.Latency.AvgMs), st.Latency.MaxMs)
	fmt.Fprintf(w, "Received: %d\nSent: %d\nConnections: %d\nOutstanding: %d\n", st.PacketsReceived, st.PacketsSent, st.Connections, st.OutstandingRequests)
	fmt.Fprintf(w, "Zxid: %s\nMode: %s\nNode count: %d\n", hex(st.Zxid), status.Mode, st.Nodes)
	if status.Mode == node.Leader {
		n := &status.Counts
		fmt.Fprintf(w, "Proposal sizes last/min/max: %d/%d/%d\n", n.LastBytes, n.LeastBytes, n.MostBytes)
	}
}

// javaFloat is a double with at most four decimals and at least one.
func javaFloat(f float64) string {
	s := strings.TrimRight(strconv.FormatFloat(f, 'f', 4, 64), "0")
	if strings.HasSuffix(s, ".") {
		s += "0"
	}
	return s
}

// sorted is the connections, oldest first.
func (s *Server) sorted() []*conn {
	list := s.all()
	slices.SortFunc(list, func(a, b *conn) int { return int(a.number) - int(b.number) })
	return list
}

func (s *Server) printConns(w io.Writer, brief bool) {
	for _, c := range s.sorted() {
		fmt.Fprintln(w, c.info().text(brief))
	}
}

func (s *Server) resetConns() {
	for _, c := range s.all() {
		c.mu.Lock()
		c.counters.reset()
		c.mu.Unlock()
	}
}

func (s *Server) wordConf(w io.Writer, _ *conn) {
	for _, p := range s.configuration() {
		fmt.Fprintf(w, "%s=%s\n", p.Name, p.Value)
	}
	if status := s.member.Status(); status.Mode != node.Standalone {
		s.printMembership(w, &status)
	}
}

// printMembership is what conf adds for a server of an ensemble.
func (s *Server) printMembership(w io.Writer, status *Status) {
	text := s.membership()
	var self memberLine
	for _, m := range members(text) {
		if m.id == status.ID {
			self = m
		}
	}
	peerType := 0
	if self.observer {
		peerType = 1
	}
	fmt.Fprintf(w, "initLimit=%d\nsyncLimit=%d\nelectionAlg=3\n", s.facts.InitLimit, s.facts.SyncLimit)
	fmt.Fprintf(w, "electionPort=%s\nquorumPort=%s\npeerType=%d\n", portOf(self.election), portOf(self.quorum), peerType)
	fmt.Fprint(w, "membership: \n", text)
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// membership is the text of /zookeeper/config.
func (s *Server) membership() string {
	var text string
	s.member.Read(func(t *tree.State) {
		if data, _, err := t.Get(configPath); err == nil {
			text = string(data)
		}
	})
	return text
}

// wordDump tells sessions, ephemeral nodes and connections, by the time at which they end; a
// follower tells the sessions with their timeouts. When a session ends is known to the
// tracker alone, so the time is that of this server's connection, and sessions of other servers
// stand in a set of their own.
func (s *Server) wordDump(w io.Writer, _ *conn) {
	conns := s.sorted()
	fmt.Fprintln(w, "SessionTracker dump:")
	if mode := s.member.Status().Mode; mode == node.Follower || mode == node.Observer {
		s.printSessions(w)
	} else {
		ends := s.sessionEnds(conns)
		fmt.Fprintf(w, "Session Sets (%d)/(%d):\n", len(ends), countAll(ends))
		s.printSets(w, ends, func(id int64) string { return hex(id) })
	}
	owners, nodes := s.ephemerals()
	fmt.Fprintf(w, "ephemeral nodes dump:\nSessions with Ephemerals (%d):\n", len(owners))
	for i, id := range owners {
		fmt.Fprintf(w, "%s:\n", hex(id))
		for _, p := range nodes[i] {
			fmt.Fprintf(w, "\t%s\n", p)
		}
	}
	byEnd := map[int64][]*conn{}
	for _, c := range conns {
		end := s.endOf(c)
		byEnd[end] = append(byEnd[end], c)
	}
	fmt.Fprintf(w, "Connections dump:\nConnections Sets (%d)/(%d):\n", len(byEnd), len(conns))
	for _, end := range sortedKeys(byEnd) {
		fmt.Fprintf(w, "%d expire at %s:\n", len(byEnd[end]), s.javaDate(end))
		for _, c := range byEnd[end] {
			fmt.Fprintf(w, "\tip: %s sessionId: %s\n", javaAddrPort(c.remote), hex(c.session.Load()))
		}
	}
}

// printSessions is how a follower lists the ensemble's sessions, which it does not expire.
func (s *Server) printSessions(w io.Writer) {
	timeouts := map[int64]int32{}
	s.member.Read(func(t *tree.State) {
		t.Sessions(func(id int64, info tree.SessionInfo) bool {
			timeouts[id] = info.TimeoutMs
			return true
		})
	})
	fmt.Fprintf(w, "Global Sessions(%d):\n", len(timeouts))
	for _, id := range sortedKeys(timeouts) {
		fmt.Fprintf(w, "%s\t%dms\n", hex(id), timeouts[id])
	}
}

func (s *Server) printSets(w io.Writer, sets map[int64][]int64, text func(int64) string) {
	for _, end := range sortedKeys(sets) {
		fmt.Fprintf(w, "%d expire at %s:\n", len(sets[end]), s.javaDate(end))
		for _, id := range sets[end] {
			fmt.Fprintf(w, "\t%s\n", text(id))
		}
	}
}

// endOf is when a connection ends if nothing more is heard of it, rounded up to ticks: in
// milliseconds since 1970.
func (s *Server) endOf(c *conn) int64 {
	end := s.start.UnixMilli() + c.heard.Load()/int64(time.Millisecond) + int64(c.timeoutMs.Load())
	tick := s.cfg.TickTime.Milliseconds()
	return (end/tick + 1) * tick
}

// sessionEnds groups the ensemble's sessions by when they end as far as this server can tell.
func (s *Server) sessionEnds(conns []*conn) map[int64][]int64 {
	here := map[int64]int64{}
	for _, c := range conns {
		if id := c.session.Load(); id != 0 {
			here[id] = s.endOf(c)
		}
	}
	now, tick := s.start.UnixMilli()+s.now()/int64(time.Millisecond), s.cfg.TickTime.Milliseconds()
	ends := map[int64][]int64{}
	s.member.Read(func(t *tree.State) {
		t.Sessions(func(id int64, info tree.SessionInfo) bool {
			end, ok := here[id]
			if !ok {
				end = ((now+int64(info.TimeoutMs))/tick + 1) * tick
			}
			ends[end] = append(ends[end], id)
			return true
		})
	})
	return ends
}

// ephemerals are the sessions that own nodes, with the nodes.
func (s *Server) ephemerals() (owners []int64, nodes [][]string) {
	s.member.Read(func(t *tree.State) {
		t.Sessions(func(id int64, _ tree.SessionInfo) bool {
			if paths := t.Ephemerals(id); len(paths) > 0 {
				owners, nodes = append(owners, id), append(nodes, paths)
			}
			return true
		})
	})
	return owners, nodes
}

func (s *Server) javaDate(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("Mon Jan 02 15:04:05 UTC 2006")
}

func (s *Server) wordHash(w io.Writer, _ *conn) {
	s.member.Read(func(t *tree.State) {
		fmt.Fprintf(w, "%x: %d\n", t.Zxid(), int64(t.Digest()))
	})
}

func (s *Server) wordWatchesByConn(w io.Writer, _ *conn) {
	byConn := s.watchedPaths()
	for _, id := range sortedKeys(byConn) {
		fmt.Fprintf(w, "%s\n", hex(id))
		slices.Sort(byConn[id])
		for _, p := range byConn[id] {
			fmt.Fprintf(w, "\t%s\n", p)
		}
	}
	fmt.Fprintln(w)
}

func (s *Server) wordWatchesByPath(w io.Writer, _ *conn) {
	byPath := s.watchers()
	for _, p := range sortedKeys(byPath) {
		fmt.Fprintf(w, "%s\n", p)
		slices.Sort(byPath[p])
		for _, id := range byPath[p] {
			fmt.Fprintf(w, "\t%s\n", hex(id))
		}
	}
	fmt.Fprintln(w)
}

// watchedPaths are the paths that each session watches the data of.
func (s *Server) watchedPaths() map[int64][]string {
	out := map[int64][]string{}
	s.watches.Walk(func(path string, r watch.Receiver) {
		id := r.(*conn).session.Load()
		out[id] = append(out[id], path)
	})
	return out
}

func (s *Server) watchers() map[string][]int64 {
	out := map[string][]int64{}
	s.watches.Walk(func(path string, r watch.Receiver) {
		out[path] = append(out[path], r.(*conn).session.Load())
	})
	return out
}
