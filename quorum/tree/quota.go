package tree

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// The nodes that hold a quota, below /zookeeper/quota and the path it is for.
const (
	limitsName = "zookeeper_limits"
	statsName  = "zookeeper_stats"
)

// track is what a limits or stats node says (StatsTrack). What is not said is -1.
type track struct {
	count, bytes         int64
	hardCount, hardBytes int64
	other                []pair // the hard limits too, as they were written; sorted
}

type pair struct {
	key   string
	value int64
}

func parseTrack(text string) track {
	t := track{count: -1, bytes: -1, hardCount: -1, hardBytes: -1}
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ';' }) {
		key, value, _ := strings.Cut(part, "=")
		value, _, _ = strings.Cut(value, "=")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			n = -1
		}
		switch key {
		case "count":
			t.count = n
			continue
		case "bytes":
			t.bytes = n
			continue
		case "countHardLimit":
			t.hardCount = n
		case "byteHardLimit":
			t.hardBytes = n
		}
		t.other = slices.DeleteFunc(t.other, func(p pair) bool { return p.key == key })
		t.other = append(t.other, pair{key, n})
	}
	slices.SortFunc(t.other, func(a, b pair) int { return cmp.Compare(a.key, b.key) })
	return t
}

// text is the form that ZooKeeper writes, which its versions before 3.5 can read too.
func (t track) text() []byte {
	var b bytes.Buffer
	b.WriteString("count=" + strconv.FormatInt(t.count, 10) + ",bytes=" + strconv.FormatInt(t.bytes, 10))
	for i, p := range t.other {
		if i == 0 {
			b.WriteByte('=')
		}
		b.WriteString(";" + p.key + "=" + strconv.FormatInt(p.value, 10))
	}
	return b.Bytes()
}

// quotaOf returns the deepest node at or above path that has a quota, "" if none has.
func (s *State) quotaOf(path string) string {
	if len(s.quotas) == 0 {
		return ""
	}
	for path != "" {
		if _, ok := s.quotas[path]; ok {
			return path
		}
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return ""
}

// quotaFor returns the path that a node below /zookeeper/quota is about.
func quotaFor(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, quotaPath+"/")
	if !ok {
		return "", false
	}
	at := strings.LastIndexByte(rest, '/')
	if at < 0 {
		return "", false // the root has none
	}
	return "/" + rest[:at], true
}

// overQuota tells whether a write that adds so much is over a hard limit
// (ZooKeeperServer.checkQuota).
func (s *State) overQuota(path string, addBytes, addCount int64) bool {
	if s.flags&EnforceQuota == 0 {
		return false
	}
	at := s.quotaOf(path)
	if at == "" {
		return false
	}
	var limits, stats node
	if !s.at(quotaPath+at+"/"+limitsName, &limits) || !s.at(quotaPath+at+"/"+statsName, &stats) {
		return false
	}
	limit, have := parseTrack(string(limits.data)), parseTrack(string(stats.data))
	if addCount != 0 && s.over(QuotaExceeded{Path: at, Have: have.count + addCount}, limit.count, limit.hardCount) {
		return true
	}
	return addBytes != 0 && s.over(QuotaExceeded{Path: at, Bytes: true, Have: have.bytes + addBytes}, limit.bytes, limit.hardBytes)
}

// over compares with one limit, the hard one if there is, and notes what it finds.
func (s *State) over(q QuotaExceeded, soft, hard int64) bool {
	q.Hard, q.Limit = hard > -1, soft
	if q.Hard {
		q.Limit = hard
	}
	if q.Limit < 0 || q.Have <= q.Limit {
		return false
	}
	s.step.out.Quota = append(s.step.out.Quota, q)
	return q.Hard
}

// countQuota adds to the stats node of path's quota, if it has one. Its Stat does not change,
// and no watch fires (DataTree.updateQuotaStat).
func (s *State) countQuota(path string, addBytes, addCount int64) {
	at := s.quotaOf(path)
	if at == "" {
		return
	}
	statsPath := quotaPath + at + "/" + statsName
	var n node
	if s.at(statsPath, &n) {
		t := parseTrack(string(n.data))
		t.count, t.bytes = t.count+addCount, t.bytes+addBytes
		s.setStats(statsPath, &n, t)
	}
}

func (s *State) setStats(path string, n *node, t track) {
	s.save(n)
	hash := hashPath(path)
	s.digest -= s.nodeDigest(hash, n)
	s.bytes -= int64(len(n.data))
	s.setBytes(n, t.text())
	s.store(n)
	s.bytes += int64(len(n.data))
	s.digest += s.nodeDigest(hash, n)
}

// quotaNodeMade follows the creation of n: limits begin to count, and stats begin with what
// there is.
func (s *State) quotaNodeMade(path string, n *node) {
	if n.name != limitsName && n.name != statsName {
		return
	}
	at, ok := quotaFor(path)
	if !ok {
		return
	}
	if n.name == limitsName {
		s.quotas[at] = struct{}{}
		s.note(undo{kind: undoQuotaOn, path: at})
		return
	}
	s.recount(path, n, at)
}

// recount makes a stats node say what there is at and below the path at.
func (s *State) recount(statsPath string, stats *node, at string) {
	t := parseTrack("")
	t.count, t.bytes = 0, 0
	if top := s.find(at); top != 0 {
		for n := range s.subtree(top) {
			t.count, t.bytes = t.count+1, t.bytes+int64(len(n.data))
		}
	}
	s.setStats(statsPath, stats, t)
}

// recountQuota counts anew for the quota of a path, if it has a stats node.
func (s *State) recountQuota(at string) {
	path := quotaPath + at + "/" + statsName
	var n node
	if s.at(path, &n) {
		s.recount(path, &n, at)
	}
}

// quotaNodeGone follows the deletion of a node.
func (s *State) quotaNodeGone(path, name string) {
	if name != limitsName {
		return
	}
	at, ok := quotaFor(path)
	if _, on := s.quotas[at]; ok && on {
		delete(s.quotas, at)
		s.note(undo{kind: undoQuotaOff, path: at})
	}
}
