package classic

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/protocol"
)

var update = flag.Bool("update", false, "write the outputs of the scripts")

// A script is a file of commands, each followed by what it did, indented. Lines that begin with
// # are comments. Tickets are the names of requests; time is milliseconds since the start.
//
//	config delay=3000 max=100
//	join T id=M instance=I type=consumer protocols=range:t1,sticky:t1 session=10000 rebalance=60000 [known] [skip]
//	sync T id=M generation=1 assign=M:x,N:y
//	heartbeat M generation=1
//	leave M N
//	commit M generation=1
//	tick MS          time passes
//	hold / written CODE   writes wait from now on; the oldest ends with the code
//	restart          the group is made anew from what was written last
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := newScript()
			var out strings.Builder
			for line := range strings.Lines(string(text)) {
				line = strings.TrimRight(line, "\n")
				if strings.HasPrefix(line, " ") {
					continue
				}
				fmt.Fprintln(&out, line)
				if line == "" || strings.HasPrefix(line, "#") {
					continue
				}
				for _, did := range r.run(t, line) {
					fmt.Fprintln(&out, "  "+did)
				}
			}
			if *update {
				if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got := out.String(); got != string(text) {
				t.Errorf("what happens is not what the script says (see -update):\n%s", diff(string(text), got))
			}
		})
	}
}

func diff(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s\n\n%s", i+1, a[i], b[i], got)
		}
	}
	return got
}

// script runs the commands of one file.
type script struct {
	g       *Group
	c       Config
	now     Now
	ids     int
	hold    bool
	waiting []*Write
	last    *Write
	did     []string
	all     []string
	shown   string
}

const epoch = 1_700_000_000_000

func newScript() *script {
	s := &script{c: Config{MinSessionMs: 6000, MaxSessionMs: 300_000, MaxSize: 100}, now: Now{UnixMs: epoch}}
	s.g = New(s.now)
	s.shown = s.state()
	return s
}

func (s *script) state() string {
	return fmt.Sprintf("%s generation %d leader %q members %d", s.g.State(), s.g.Generation(), s.g.Leader(), s.g.Size())
}

func (s *script) say(format string, args ...any) { s.did = append(s.did, fmt.Sprintf(format, args...)) }

func (s *script) run(t *testing.T, line string) []string {
	s.did = nil
	words := strings.Fields(line)
	args := map[string]string{}
	var names []string
	for _, w := range words[1:] {
		k, v, ok := strings.Cut(w, "=")
		if args[k] = v; !ok {
			names = append(names, w)
			args[k] = "true"
		}
	}
	number := func(key string, def int) int32 {
		v, ok := args[key]
		if !ok {
			return int32(def)
		}
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return int32(n)
	}
	var out Out
	switch words[0] {
	case "config":
		s.c.InitialDelayMs, s.c.MaxSize = int64(number("delay", 0)), int(number("max", 100))
	case "join":
		s.ids++
		q := &JoinRequest{
			MemberID: args["id"], InstanceID: args["instance"], NewID: fmt.Sprintf("m%d", s.ids), ClientID: "c", ClientHost: "/h", ProtocolType: "consumer",
			Protocols: protocols(args["protocols"]), SessionTimeoutMs: number("session", 10_000), RebalanceTimeoutMs: number("rebalance", 60_000),
			RequireKnownMember: args["known"] != "", CanSkipAssignment: args["skip"] != "",
		}
		if v, ok := args["type"]; ok {
			q.ProtocolType = v
		}
		s.g.Join(s.now, &s.c, q, names[0], &out)
	case "sync":
		q := &SyncRequest{MemberID: args["id"], InstanceID: args["instance"], Generation: number("generation", 1), ProtocolType: args["type"], Protocol: args["protocol"], Assignments: map[string][]byte{}}
		for a := range strings.SplitSeq(args["assign"], ",") {
			if m, v, ok := strings.Cut(a, ":"); ok {
				q.Assignments[m] = []byte(v)
			}
		}
		s.g.Sync(s.now, q, names[0], &out)
	case "heartbeat":
		s.say("%s", s.g.Heartbeat(s.now, names[0], args["instance"], number("generation", 1)).Name())
	case "leave":
		var q []LeaveRequest
		for _, id := range names {
			q = append(q, LeaveRequest{MemberID: id})
		}
		if i, ok := args["instance"]; ok {
			q = append(q, LeaveRequest{InstanceID: i})
		}
		for _, c := range s.g.Leave(s.now, &s.c, q, &out) {
			s.say("left: %s", c.Name())
		}
	case "commit":
		id := ""
		if len(names) > 0 {
			id = names[0]
		}
		s.say("%s", s.g.CheckCommit(id, args["instance"], number("generation", -1)).Name())
	case "tick":
		n, _ := strconv.Atoi(words[1])
		until := s.now.MonoMs + int64(n)
		for s.g.WakeMs() <= until {
			s.now.UnixMs += s.g.WakeMs() - s.now.MonoMs
			s.now.MonoMs = s.g.WakeMs()
			before := s.now.MonoMs
			s.g.Tick(s.now, &s.c, &out)
			s.settle(&out)
			out = Out{}
			if s.g.WakeMs() <= before {
				t.Fatalf("%s: it wants to be woken at %d again and again", line, before)
			}
		}
		s.now.UnixMs += until - s.now.MonoMs
		s.now.MonoMs = until
	case "hold":
		s.hold = true
	case "written":
		if len(s.waiting) == 0 {
			t.Fatalf("%s: nothing waits to be written\n%s", line, strings.Join(s.all, "\n"))
		}
		w := s.waiting[0]
		s.waiting = s.waiting[1:]
		code := protocol.CodeNone
		if words[1] != "NONE" {
			code = protocol.CodeNotCoordinator
		}
		s.g.Written(s.now, &s.c, w, code, &out)
	case "restart":
		s.g = Restore(&s.last.Value)
		s.g.Started(s.now, &s.c, &out)
	default:
		t.Fatalf("%s: unknown command", line)
	}
	s.settle(&out)
	if st := s.state(); st != s.shown {
		s.shown = st
		s.say("-> %s", st)
	}
	s.all = append(append(s.all, line), s.did...)
	return s.did
}

func protocols(v string) []Protocol {
	switch v {
	case "":
		v = "range:t"
	case "none":
		return nil
	}
	var all []Protocol
	for p := range strings.SplitSeq(v, ",") {
		name, metadata, _ := strings.Cut(p, ":")
		all = append(all, Protocol{name, []byte(metadata)})
	}
	return all
}

func (s *script) settle(out *Out) {
	for _, j := range out.Joins {
		a := j.Answer
		if a.Code != protocol.CodeNone {
			s.say("%v: %s id %q", j.Ticket, a.Code.Name(), a.MemberID)
			continue
		}
		text := fmt.Sprintf("%v: joined as %q generation %d protocol %s leader %q", j.Ticket, a.MemberID, a.Generation, a.Protocol, a.Leader)
		if a.SkipAssignment {
			text += " skip"
		}
		for _, m := range a.Members {
			text += " [" + m.ID
			if m.InstanceID != "" {
				text += "/" + m.InstanceID
			}
			text += " " + string(m.Metadata) + "]"
		}
		s.say("%s", text)
	}
	for _, y := range out.Syncs {
		if y.Answer.Code != protocol.CodeNone {
			s.say("%v: %s", y.Ticket, y.Answer.Code.Name())
			continue
		}
		s.say("%v: assigned %q", y.Ticket, y.Answer.Assignment)
	}
	for _, w := range out.Writes {
		var members []string
		for _, m := range w.Value.Members {
			members = append(members, fmt.Sprintf("%s=%s", m.ID, m.Assignment))
		}
		s.say("write generation %d %v", w.Value.Generation, members)
		s.last = w
		if s.hold {
			s.waiting = append(s.waiting, w)
			continue
		}
		var next Out
		s.g.Written(s.now, &s.c, w, protocol.CodeNone, &next)
		s.settle(&next)
	}
}
