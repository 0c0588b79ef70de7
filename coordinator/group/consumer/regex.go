package consumer

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// compile makes a matcher of whole topic names. The expression is checked alone first:
// within the group that anchors it, a broken one might pass.
func compile(expr string) (*regexp.Regexp, error) {
	if len(expr) > MaxRegexBytes {
		return nil, &Error{protocol.CodeInvalidRegularExpression, fmt.Sprintf("SubscribedTopicRegex has %d bytes. At most %d are allowed: subscribe by names, or by a shorter expression.", len(expr), MaxRegexBytes)}
	}
	if _, err := regexp.Compile(expr); err != nil {
		return nil, &Error{protocol.CodeInvalidRegularExpression, fmt.Sprintf("SubscribedTopicRegex `%s` is not a valid regular expression: %v.", expr, err)}
	}
	re, err := regexp.Compile(`\A(?:` + expr + `)\z`)
	if err != nil {
		return nil, &Error{protocol.CodeInvalidRegularExpression, fmt.Sprintf("SubscribedTopicRegex `%s` is not a valid regular expression: %v.", expr, err)}
	}
	return re, nil
}

// changeRegex handles a member's new regular expression: a new one is resolved, one that
// nobody has any more is forgotten. It reports whether the expression changed.
func (s *step) changeRegex(old, m *Member) (bool, error) {
	if old.Regex == m.Regex {
		return false, nil
	}
	if old.Regex != "" && s.g.regexMembers[old.Regex] == 1 && s.g.members[old.ID] != nil {
		s.forget(old.Regex)
	}
	if m.Regex != "" && s.g.regexes[m.Regex] == nil {
		if err := s.resolve(m.Regex); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (s *step) forget(regex string) {
	if s.g.regexes[regex] != nil {
		s.record(tombstone(journal.KindConsumerRegex, s.g.id, regex))
	}
	s.note(regex, nil)
}

func (s *step) note(regex string, r *journal.ConsumerRegex) {
	if s.resolved == nil {
		s.resolved = make(map[string]*journal.ConsumerRegex)
	}
	s.resolved[regex] = r
}

// resolve finds the topics that match and that the client may see.
func (s *step) resolve(regex string) error {
	re := s.g.compiled[regex]
	if re == nil {
		var err error
		if re, err = compile(regex); err != nil {
			return err
		}
		if s.g.regexMembers[regex] > 0 {
			s.g.compiled[regex] = re // a cache: what it holds follows from its key
		}
	}
	r := &journal.ConsumerRegex{Topics: []string{}, Version: s.env.Topics.Version(), TimestampMs: s.env.UnixMs}
	for name := range s.env.Topics.Names() {
		if re.MatchString(name) && (s.env.Client.MayDescribe == nil || s.env.Client.MayDescribe(name)) {
			r.Topics = append(r.Topics, name)
		}
	}
	slices.Sort(r.Topics)
	s.note(regex, r)
	s.record(journal.ConsumerRecord{Kind: journal.KindConsumerRegex, Group: s.g.id, Name: regex, Regex: r})
	return nil
}

// refreshRegexes resolves all regular expressions of the group again when there are new
// topics, or when it is long ago. It reports whether any matches other topics now.
func (s *step) refreshRegexes() bool {
	if len(s.g.regexMembers) == 0 || !s.refreshDue() {
		return false
	}
	changed := false
	for _, regex := range sortedKeys(s.g.regexMembers) {
		if _, done := s.resolved[regex]; done {
			continue
		}
		before := s.regexTopics(regex)
		if err := s.resolve(regex); err != nil {
			continue // it was checked when it came; a later version may allow more
		}
		changed = changed || !slices.Equal(before, s.resolved[regex].Topics)
	}
	return changed
}

func (s *step) refreshDue() bool {
	newest := s.env.Topics.Newest()
	for regex := range s.g.regexMembers {
		r := s.g.regexes[regex]
		if r == nil {
			return true
		}
		age := s.env.UnixMs - r.TimestampMs
		if age >= s.env.Config.RegexRefreshInterval.Milliseconds() || age < 0 {
			return true
		}
		if newest > r.Version && age >= minRegexInterval.Milliseconds() {
			return true
		}
	}
	return false
}
