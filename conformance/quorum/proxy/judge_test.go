package proxy

import (
	"fmt"
	"testing"

	"github.com/go-zookeeper/zk"
)

type findings []string

func (f *findings) Errorf(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// story is what honest servers tell: a writes versions 1 and 3, b version 2 without hearing of
// it, and c appends twice.
type story struct {
	*book
	last  []fact
	nodes map[string]node
}

func newStory() *story {
	s := &story{book: newBook(), nodes: map[string]node{}}
	const path = "/reg/0"
	for i, client := range []string{"a", "b", "a"} {
		value := s.try(client, i+1, path)
		f := fact{path, int32(i + 1), int64(0x10 * (i + 1)), value}
		if client == "a" {
			s.ack(value, "a 1", f)
		}
		s.see("reader 1", f)
		s.last = []fact{f}
	}
	s.try("b", 4, path) // never executed
	for i := range 2 {
		value := s.try("c", i+1, logPath)
		at := fmt.Sprintf("%sc-%010d", logPath, i)
		s.append(value, at)
		s.nodes[at] = node{data: value, stat: zk.Stat{Czxid: int64(0x40 + i)}}
	}
	return s
}

// TestWhatIsWrongIsFound tells the story with one thing wrong at a time.
func TestWhatIsWrongIsFound(t *testing.T) {
	const path, first, second = "/reg/0", logPath + "c-0000000000", logPath + "c-0000000001"
	for name, spoil := range map[string]func(s *story){
		"": func(*story) {},
		"the last write is lost": func(s *story) {
			s.last = []fact{{path, 2, 0x20, valueOf("b", 2)}}
		},
		"a write is executed twice": func(s *story) {
			s.last = []fact{{path, 4, 0x38, valueOf("a", 1)}}
		},
		"more writes than were sent": func(s *story) { s.last = []fact{{path, 5, 0x50, valueOf("b", 4)}} },
		"two servers, two values":    func(s *story) { s.see("reader 2", fact{path, 2, 0x20, valueOf("b", 4)}) },
		"a value that nobody wrote":  func(s *story) { s.see("reader 2", fact{path, 4, 0x40, "x 1"}) },
		"a session reads backwards":  func(s *story) { s.see("reader 1", fact{path, 2, 0x20, valueOf("b", 2)}) },
		"a session forgets another one": func(s *story) {
			s.told["a 1"] = append(s.told["a 1"], fact{"/reg/1", 0, 0x30, ""}, fact{path, 1, 0x10, valueOf("a", 1)})
		},
		"an old write comes late": func(s *story) {
			s.last = []fact{{path, 4, 0x40, s.try("a", 2, path)}}
		},
		"zxids go back":               func(s *story) { s.last = []fact{{path, 4, 0x28, valueOf("b", 4)}} },
		"an appended node is missing": func(s *story) { delete(s.nodes, second) },
		"all appended nodes are gone": func(s *story) { clear(s.nodes) },
		"an appended node is there twice": func(s *story) {
			s.nodes[logPath+"c-0000000002"] = node{data: valueOf("c", 1), stat: zk.Stat{Czxid: 0x50}}
		},
		"appended nodes changed places": func(s *story) { s.nodes[first], s.nodes[second] = s.nodes[second], s.nodes[first] },
		"a node that nobody appended":   func(s *story) { s.nodes[logPath+"c-0000000002"] = node{data: "c 9"} },
	} {
		s := newStory()
		spoil(s)
		var found findings
		s.checkRegisters(&found, s.last)
		s.checkLog(&found, s.nodes)
		if (len(found) == 0) != (name == "") {
			t.Errorf("%q: found %q", name, found)
		}
	}
}
