package broker

import (
	"sync"
	"time"

	"github.com/millrace/millrace/protocol"
)

// Fetch sessions (KIP-227). A consumer names its partitions once; later fetches carry only
// what changed, and answers only the partitions that have news.
//
// A session belongs to no connection: it is found by its id, and its epoch tells a lost or
// repeated request from the next one. The cache holds a bounded number of sessions; a new
// one takes the place of one that was not used for evictAfter, or of a smaller one that
// had that long to be useful.

const (
	// sessionEpochInitial in a request asks for a new session, sessionEpochFinal for none.
	sessionEpochInitial int32 = 0
	sessionEpochFinal   int32 = -1
	evictAfter                = 2 * time.Minute
)

// fetchPart is one partition that a fetch wants, and what its session's client knows of it.
type fetchPart struct {
	topic       string
	id          protocol.UUID
	index       int32
	offset      int64
	maxBytes    int32
	leaderEpoch int32
	lastEpoch   int32
	logStart    int64 // the follower's; -1 from consumers

	// What was answered last; -1 before the first answer.
	sentHighWatermark, sentLogStart int64
}

func (p *fetchPart) key() partKey { return partKey{p.topic, p.id, p.index} }

// same tells whether two requests mean the same partition.
type partKey struct {
	topic string
	id    protocol.UUID
	index int32
}

// want takes over what a request says of a partition.
func (p *fetchPart) want(q *protocol.FetchRequestPartition) {
	p.offset, p.maxBytes, p.leaderEpoch = q.FetchOffset, q.PartitionMaxBytes, q.CurrentLeaderEpoch
	p.lastEpoch, p.logStart = q.LastFetchedEpoch, q.LogStartOffset
}

// fetchSession is one cached session. mu guards all of it but id and created.
type fetchSession struct {
	id       int32
	byID     bool // made with topic ids: version 13 and later
	follower bool
	created  time.Time

	mu    sync.Mutex
	epoch int32 // that the next request must have
	parts []*fetchPart
	known map[partKey]*fetchPart
	used  time.Time // guarded by the cache's mutex
	size  int       // likewise: len(parts) when last seen
}

func newFetchSession(q *protocol.FetchRequest, follower, byID bool) *fetchSession {
	s := &fetchSession{byID: byID, follower: follower, epoch: 1, known: make(map[partKey]*fetchPart)}
	s.updateLocked(q)
	return s
}

// updateLocked takes over the partitions that a request adds, changes and forgets.
func (s *fetchSession) updateLocked(q *protocol.FetchRequest) {
	for i := range q.Topics {
		t := &q.Topics[i]
		for j := range t.Partitions {
			k := partKey{t.Topic, t.TopicID, t.Partitions[j].Partition}
			p := s.known[k]
			if p == nil {
				p = &fetchPart{topic: k.topic, id: k.id, index: k.index, sentHighWatermark: -1, sentLogStart: -1}
				s.known[k] = p
				s.parts = append(s.parts, p)
			}
			p.want(&t.Partitions[j])
		}
	}
	forgotten := false
	for i := range q.ForgottenTopicsData {
		f := &q.ForgottenTopicsData[i]
		for _, index := range f.Partitions {
			delete(s.known, partKey{f.Topic, f.TopicID, index})
			forgotten = true
		}
	}
	if !forgotten {
		return
	}
	kept := s.parts[:0]
	for _, p := range s.parts {
		if s.known[p.key()] == p {
			kept = append(kept, p)
		}
	}
	clear(s.parts[len(kept):])
	s.parts = kept
}

// rotateLocked moves the partitions that sent records behind the others, so that one busy
// partition cannot keep the rest from their turn when a response is full.
func (s *fetchSession) rotateLocked(sent map[*fetchPart]bool) {
	if len(sent) == 0 || len(sent) == len(s.parts) {
		return
	}
	front := make([]*fetchPart, 0, len(s.parts))
	var back []*fetchPart
	for _, p := range s.parts {
		if sent[p] {
			back = append(back, p)
		} else {
			front = append(front, p)
		}
	}
	s.parts = append(front, back...)
}

// fetchSessions is the cache.
type fetchSessions struct {
	random func(n int64) int64

	mu      sync.Mutex
	slots   int
	byID    map[int32]*fetchSession
	evicted int64
}

func newFetchSessions(slots int, random func(n int64) int64) *fetchSessions {
	return &fetchSessions{slots: slots, random: random, byID: make(map[int32]*fetchSession)}
}

// add caches a session and gives it an id, or reports false when all slots are better used.
func (c *fetchSessions) add(s *fetchSession, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byID) >= c.slots && !c.evictLocked(s, now) {
		return false
	}
	for s.id == 0 || c.byID[s.id] != nil {
		s.id = int32(c.random(1<<31-1)) + 1
	}
	s.created, s.used, s.size = now, now, len(s.parts)
	c.byID[s.id] = s
	return true
}

// evictLocked frees a slot for s. A session goes if nobody used it for evictAfter; else the
// smallest goes that is at least that old, has fewer partitions, and is no follower's
// (a follower's place is kept from consumers).
func (c *fetchSessions) evictLocked(s *fetchSession, now time.Time) bool {
	var victim *fetchSession
	for _, other := range c.byID {
		if now.Sub(other.used) > evictAfter && (victim == nil || other.used.Before(victim.used)) {
			victim = other
		}
	}
	if victim == nil {
		for _, other := range c.byID {
			weaker := other.size < len(s.parts)
			if other.follower != s.follower {
				weaker = s.follower
			}
			if weaker && now.Sub(other.created) > evictAfter && (victim == nil || other.size < victim.size) {
				victim = other
			}
		}
	}
	if victim == nil {
		return false
	}
	delete(c.byID, victim.id)
	c.evicted++
	return true
}

func (c *fetchSessions) get(id int32, now time.Time) *fetchSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byID[id]
	if s != nil {
		s.used = now
	}
	return s
}

func (c *fetchSessions) sized(s *fetchSession, n int) {
	c.mu.Lock()
	s.size = n
	c.mu.Unlock()
}

func (c *fetchSessions) remove(id int32) {
	c.mu.Lock()
	delete(c.byID, id)
	c.mu.Unlock()
}

// stats is the number of sessions and of evictions so far.
func (c *fetchSessions) stats() (sessions int, evicted int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID), c.evicted
}

// enter finds what a request wants: its session, if it has one, and whether the answer is
// incremental. The error is the code of the whole response.
func (c *fetchSessions) enter(q *protocol.FetchRequest, version int16, follower bool, now time.Time) (s *fetchSession, incremental bool, code protocol.ErrorCode) {
	byID := version >= 13
	if version < 7 || q.SessionEpoch == sessionEpochFinal || q.SessionEpoch == sessionEpochInitial {
		if q.SessionID != 0 {
			c.remove(q.SessionID)
		}
		if version < 7 || q.SessionEpoch == sessionEpochFinal {
			return nil, false, protocol.CodeNone
		}
		s = newFetchSession(q, follower, byID)
		if len(s.parts) == 0 || !c.add(s, now) {
			return nil, false, protocol.CodeNone
		}
		return s, false, protocol.CodeNone
	}
	s = c.get(q.SessionID, now)
	if s == nil {
		return nil, false, protocol.CodeFetchSessionIDNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.byID != byID:
		return nil, false, protocol.CodeFetchSessionTopicIDError
	case s.epoch != q.SessionEpoch:
		return nil, false, protocol.CodeInvalidFetchSessionEpoch
	}
	s.epoch++
	if s.epoch <= 0 {
		s.epoch = 1
	}
	s.updateLocked(q)
	c.sized(s, len(s.parts))
	if len(s.parts) == 0 {
		c.remove(s.id)
		return nil, false, protocol.CodeNone
	}
	return s, true, protocol.CodeNone
}
