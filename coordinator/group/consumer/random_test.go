package consumer

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/protocol"
)

// client is a consumer that follows the protocol: it gives up what it must before it says
// so, and uses what it was given.
type client struct {
	id, instance string
	epoch        int32
	owned        Assignment // what it uses
	told         Assignment // what it was last told to have; nil: it has it
	silent       bool       // it is gone without a word
	lost         bool       // the last answer: it has to repeat all it knows
	topics       []string
	regex        string

	// A client of the classic protocol; joined is false when it has to join (again).
	classic, joined bool
}

// request is the client's next heartbeat. full repeats all it knows.
func (c *client) request(full bool) *request {
	q := &request{MemberID: c.id, MemberEpoch: c.epoch, RebalanceTimeoutMs: -1, InstanceID: protocol.StrOrNull(c.instance)}
	if full || c.lost || c.epoch == 0 {
		q.RebalanceTimeoutMs = 30_000
		q.SubscribedTopicNames = append([]string{}, c.topics...)
		if c.regex != "" {
			q.SubscribedTopicRegex = protocol.Str(c.regex)
		}
	}
	q.TopicPartitions = holding(c.id, c.epoch, c.owned).TopicPartitions
	return q
}

// hear takes an answer.
func (c *client) hear(resp *protocol.ConsumerGroupHeartbeatResponse) {
	c.epoch = resp.MemberEpoch
	if resp.Assignment == nil {
		return
	}
	got := given(resp)
	owned := Assignment{}
	for id, parts := range c.owned { // revocation comes first
		for _, p := range parts {
			if got.Has(id, p) {
				owned[id] = append(owned[id], p)
			}
		}
	}
	c.owned, c.told = owned, got
}

// settle starts to use what was given, some time later. After a lost answer it waits for the
// next one: the protocol takes what a member does not list as given up, also when the
// member was given it but did not use it yet (Kafka's does, too).
func (c *client) settle() {
	if c.told != nil && !c.lost {
		c.owned, c.told = c.told.Clone(), nil
	}
}

func (c *client) restart() { c.epoch, c.owned, c.told, c.joined = 0, nil, nil, false }

// Random members come, go, fall silent, lose answers and come back, topics change, the
// coordinator restarts: no partition is ever used by two members that the group knows, what
// is in memory is what the log says, and once it is quiet all members have their share.
func TestRandomSchedules(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range testkit.Rounds(t, "CONSUMER_ROUNDS", 60) {
		s := &schedule{world: newWorld(t), seed: seed + uint64(round)}
		s.run()
	}
}

type schedule struct {
	*world
	seed    uint64
	clients []*client
	next    int
}

func (s *schedule) run() {
	r := testkit.NewRand(s.seed)
	for i := range 1 + r.IntN(4) {
		s.c.create(fmt.Sprintf("t%d", i), int32(r.IntN(12)))
	}
	for range 250 {
		s.pass(time.Duration(r.IntN(4000)) * time.Millisecond)
		if s.g.WakeMs() <= s.env.NowMs {
			c, _ := s.g.Expire(&s.env)
			s.apply(c)
		}
		switch n := r.IntN(100); {
		case n < 5 || len(s.clients) == 0:
			s.come(r.IntN(3) == 0, r.IntN(2) == 0, r.IntN(5))
		case n < 8:
			s.go1(r.IntN(len(s.clients)))
		case n < 10:
			s.clients[r.IntN(len(s.clients))].silent = true
		case n < 12:
			s.clients[r.IntN(len(s.clients))].restart()
		case n < 14:
			s.c.create(fmt.Sprintf("t%d", r.IntN(5)), int32(r.IntN(6))+s.partitionsOf(r.IntN(5)))
		case n == 14:
			s.c.remove(fmt.Sprintf("t%d", r.IntN(5)))
		case n == 15:
			s.g = s.replay(s.log)
			s.g.Loaded(&s.env)
		case n < 18:
			c := s.clients[r.IntN(len(s.clients))]
			c.topics = []string{fmt.Sprintf("t%d", r.IntN(5))}
			s.beatOf(c, true, false)
		default:
			c := s.clients[r.IntN(len(s.clients))]
			if r.IntN(3) == 0 {
				c.settle()
			}
			s.beatOf(c, r.IntN(10) == 0, r.IntN(12) == 0)
		}
		s.checkOwners()
	}
	s.quiet()
	s.checkReplay()
}

func (s *schedule) partitionsOf(i int) int32 {
	_, n, _ := s.c.ByName(fmt.Sprintf("t%d", i))
	return n
}

func (s *schedule) come(static, regex bool, topic int) {
	s.next++
	c := &client{id: fmt.Sprintf("m%d-%d", s.seed%97, s.next), topics: []string{"t0", fmt.Sprintf("t%d", topic)}}
	if static {
		c.instance = fmt.Sprintf("i%d", s.next)
	}
	if s.next%3 == 0 {
		c.classic, regex = true, false
	}
	if regex {
		c.topics, c.regex = nil, "t[0-3]"
	}
	s.clients = append(s.clients, c)
	s.beatOf(c, true, false)
}

// go1 lets a client leave; a static one comes back under a new id.
func (s *schedule) go1(i int) {
	c := s.clients[i]
	if c.silent || c.epoch <= 0 {
		return
	}
	if c.classic {
		change, _ := s.g.LeaveClassic(&s.env, []ClassicLeave{{c.id, c.instance}})
		s.apply(change)
		s.clients = slices.Delete(s.clients, i, i+1)
		return
	}
	q := c.request(false)
	q.TopicPartitions, q.MemberEpoch = nil, EpochLeave
	if c.instance != "" {
		q.MemberEpoch = EpochLeaveStatic
	}
	if _, err := s.beat(q); err != nil && codeOf(err) != protocol.CodeUnknownMemberID {
		s.t.Fatalf("seed %d: leave: %v", s.seed, err)
	}
	if c.instance == "" {
		s.clients = slices.Delete(s.clients, i, i+1)
		return
	}
	s.next++
	c.restart()
	c.id = fmt.Sprintf("%s-%d", c.id, s.next)
}

func (s *schedule) beatOf(c *client, full, lost bool) {
	if c.silent {
		return
	}
	if c.classic {
		s.classicBeat(c, lost)
		return
	}
	resp, err := s.beat(c.request(full))
	c.lost = lost
	switch code := codeOf(err); {
	case err == nil && !lost:
		c.hear(resp)
	case err == nil:
	case code == protocol.CodeUnknownMemberID, code == protocol.CodeFencedMemberEpoch:
		c.restart()
	default:
		s.t.Fatalf("seed %d: %v", s.seed, err)
	}
}

// classicBeat is what a client of the classic protocol with the cooperative assignor does
// next: it joins and fetches its assignment, or sends a heartbeat.
func (s *schedule) classicBeat(c *client, lost bool) {
	var err error
	if c.joined {
		var change Change
		change, err = s.g.HeartbeatClassic(&s.env, c.id, c.instance, c.epoch)
		s.apply(change)
	} else {
		err = s.classicJoin(c, lost)
	}
	switch code := codeOf(err); code {
	case protocol.CodeNone:
	case protocol.CodeRebalanceInProgress:
		c.joined = false
	case protocol.CodeUnknownMemberID, protocol.CodeIllegalGeneration:
		c.restart()
	default:
		s.t.Fatalf("seed %d: %v", s.seed, err)
	}
}

func (s *schedule) classicJoin(c *client, lost bool) error {
	q := s.classicRequest(c.id, c.topics, c.owned)
	q.InstanceID = c.instance
	if c.epoch == 0 {
		q.MemberID, q.NewID = "", c.id
	}
	change, joined, err := s.g.JoinClassic(&s.env, q)
	if err != nil {
		return err
	}
	s.apply(change)
	if lost {
		return nil // it joins again
	}
	c.epoch = joined.Generation
	s.checkOwners()
	change, assignment, err := s.g.SyncClassic(&s.env, c.id, c.instance, c.epoch, "consumer", joined.Protocol)
	s.apply(change)
	if err != nil {
		return err
	}
	c.joined, c.owned = true, s.assignment(assignment)
	return nil
}

func codeOf(err error) protocol.ErrorCode {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return protocol.CodeNone
}

// checkOwners: among members of the group no partition is used by two, whatever answers
// were lost, and each uses only what the group knows it to have.
func (s *schedule) checkOwners() {
	s.t.Helper()
	users := map[partition]string{}
	for _, c := range s.clients {
		m := s.g.Member(c.id)
		if m == nil || c.epoch == 0 {
			continue // it stopped, or will when it hears that it was removed
		}
		for id, parts := range c.owned {
			if _, exists := s.c.ByID(id); !exists && c.classic {
				continue // such a client tells by name what it owns, and this topic is gone
			}
			for _, p := range parts {
				key := partition{id, p}
				if other := users[key]; other != "" {
					s.t.Fatalf("seed %d: %x-%d is used by %s and %s", s.seed, id[0], p, other, c.id)
				}
				users[key] = c.id
				if s.g.owners[key].member != c.id {
					s.t.Fatalf("seed %d: %s uses %x-%d, which the group gives to %q", s.seed, c.id, id[0], p, s.g.owners[key].member)
				}
			}
		}
	}
	for id, m := range s.g.members {
		if m.Epoch > s.g.targetEpoch || s.g.targetEpoch > s.g.epoch {
			s.t.Fatalf("seed %d: member %s in epoch %d, target %d, group %d", s.seed, id, m.Epoch, s.g.targetEpoch, s.g.epoch)
		}
	}
}

// quiet lets everybody who is there speak until nothing happens any more.
func (s *schedule) quiet() {
	s.clients = slices.DeleteFunc(s.clients, func(c *client) bool { return c.silent })
	for range 12 { // longer than sessions and regular expressions last
		s.pass(10 * time.Second)
		for range 4 {
			for _, c := range s.clients {
				s.beatOf(c, false, false)
				c.settle()
			}
			s.checkOwners()
		}
		c, _ := s.g.Expire(&s.env)
		s.apply(c)
	}
	if s.g.Len() != len(s.clients) {
		s.t.Fatalf("seed %d: %d members, %d clients", s.seed, s.g.Len(), len(s.clients))
	}
	if len(s.clients) == 0 {
		return
	}
	if s.g.State() != StableGroup {
		s.t.Fatalf("seed %d: the group is %s", s.seed, s.g.State())
	}
	total := 0
	for name, tp := range s.c.topics {
		if s.g.Subscribed(name) {
			total += int(tp.partitions)
		}
	}
	for _, c := range s.clients {
		if !c.owned.Equal(s.g.Target(c.id)) {
			s.t.Fatalf("seed %d: %s uses %s, its target is %s", s.seed, c.id, s.show(c.owned), s.show(s.g.Target(c.id)))
		}
		total -= c.owned.Size()
	}
	if total != 0 {
		s.t.Fatalf("seed %d: %d partitions are used by nobody", s.seed, total)
	}
}
